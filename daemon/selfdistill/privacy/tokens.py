"""Keys that tell by their shape whose they are: one table, and the patterns made of it.

Prefixes and lengths are the providers' own, as their documentation and the rule sets of gitleaks and GitHub's secret
scanning state them; lengths are lower bounds here, so that a new length is still caught.
"""

from __future__ import annotations

import base64
import re
import string
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable


class TokenKind(Struct, frozen=True):
    """A provider's kind of key: `prefix` and `body` are patterns, `sample` literals that the prefix can stand for."""

    name: str
    prefix: str
    body: str
    samples: tuple[str, ...] = ()


_WORDS: Final = r"[A-Za-z0-9_-]"
_LETTERS: Final = r"[A-Za-z0-9]"
_HEX: Final = r"[0-9a-fA-F]"


def _kind(name: str, prefix: str, body: str, *samples: str) -> TokenKind:
    """A row of the table; a prefix without pattern characters is its own sample."""
    return TokenKind(name, prefix, body, samples or (prefix.replace("\\", ""),))


# More specific prefixes first: the first that matches names the kind.
TOKEN_KINDS: Final = (
    _kind("anthropic", "sk-ant-", rf"{_WORDS}{{16,}}"),
    _kind("openrouter", "sk-or-", rf"{_WORDS}{{20,}}"),
    _kind("langfuse", "sk-lf-", rf"{_WORDS}{{20,}}"),
    _kind("openai", "sk-(?:proj|svcacct|admin)-", rf"{_WORDS}{{20,}}", "sk-proj-", "sk-svcacct-", "sk-admin-"),
    _kind("openai", "sk-", rf"{_WORDS}{{20,}}"),
    _kind("stripe", "[sr]k_(?:live|test)_", rf"{_LETTERS}{{16,}}", "sk_live_", "rk_live_", "sk_test_"),
    _kind("stripe-webhook", "whsec_", r"[A-Za-z0-9+/]{16,}"),
    _kind("github", "gh[pousr]_", rf"{_LETTERS}{{30,}}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _kind("github-pat", "github_pat_", r"[A-Za-z0-9_]{30,}"),
    _kind(
        "gitlab", "gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas)-", r"[A-Za-z0-9_.-]{16,}", "glpat-", "gldt-", "glrt-"
    ),
    _kind("grafana", "gl(?:c|sa)_", r"[A-Za-z0-9_+/=-]{28,}", "glc_", "glsa_"),
    _kind("slack", "xox[abeoprs]-", r"[A-Za-z0-9-]{10,}", "xoxb-", "xoxp-", "xoxa-", "xoxs-"),
    _kind("slack-app", "xapp-", r"[A-Za-z0-9-]{10,}"),
    # Not in the middle of a word of capitals: nothing but its own letters tells it from one.
    _kind("aws", "A(?<![A-Z]A)(?:KIA|SIA|BIA|CCA)", r"[A-Z0-9]{16}(?![A-Za-z0-9])", "AKIA", "ASIA"),
    _kind("google-api", "AIza", rf"{_WORDS}{{33,}}"),
    _kind("google-oauth", r"ya29\.", r"[A-Za-z0-9_.-]{20,}", "ya29."),
    _kind("google-client", "GOCSPX-", rf"{_WORDS}{{20,}}"),
    _kind("sendgrid", r"SG\.", rf"{_WORDS}{{16,}}\.{_WORDS}{{16,}}"),
    _kind("twilio", "SK", r"[0-9a-f]{32}(?![A-Za-z0-9])", *(f"SK{digit}" for digit in "0123456789abcdef")),
    _kind("npm", "npm_", rf"{_LETTERS}{{30,}}"),
    _kind("pypi", "pypi-", rf"{_WORDS}{{16,}}"),
    _kind("rubygems", "rubygems_", rf"{_HEX}{{32,}}"),
    _kind("crates", "cio", rf"{_LETTERS}{{32}}(?![A-Za-z0-9])"),
    _kind("nuget", "oy2", r"[a-z0-9]{43}(?![A-Za-z0-9])"),
    _kind("docker", "dckr_(?:pat|oat)_", rf"{_WORDS}{{20,}}", "dckr_pat_"),
    _kind("huggingface", "hf_", rf"{_LETTERS}{{30,}}"),
    _kind("digitalocean", "do[opr]_v1_", rf"{_HEX}{{32,}}", "dop_v1_", "doo_v1_"),
    _kind("linear", "lin_(?:api|oauth)_", rf"{_LETTERS}{{32,}}", "lin_api_"),
    _kind("notion", "ntn_", rf"{_LETTERS}{{32,}}"),
    _kind("notion", "secret_", rf"{_LETTERS}{{43}}(?![A-Za-z0-9])"),
    _kind("vault", r"hv[sbr]\.", rf"{_WORDS}{{20,}}", "hvs.", "hvb.", "hvr."),
    _kind("databricks", "dapi", rf"{_HEX}{{32}}(?:-\d)?(?![A-Za-z0-9])"),
    _kind(
        "doppler",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.",
        r"[A-Za-z0-9.]{20,}",
        *(f"dp.{kind}." for kind in ("pt", "st", "ct", "sa", "scim", "audit")),
    ),
    _kind("shopify", "shp(?:at|ss|ca|pa)_", rf"{_HEX}{{32,}}", "shpat_", "shpss_"),
    _kind("mailgun", "key-", r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    _kind("cloudflare", r"v1\.0-", r"[0-9a-f]{24}-[0-9a-f]{60,}"),
    _kind("age", "AGE-SECRET-KEY-1", r"[A-Z0-9]{40,}"),
    _kind("newrelic", "NR(?:AK|JS|II|RA)-", rf"{_LETTERS}{{19,}}", "NRAK-"),
    _kind("postman", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    _kind("airtable", "pat", rf"{_LETTERS}{{14}}\.[0-9a-f]{{64}}"),
    _kind("atlassian", "AT(?:ATT3|CTT3)", r"[A-Za-z0-9_=-]{40,}", "ATATT3"),
    _kind("figma", "figd_", rf"{_WORDS}{{32,}}"),
    _kind("square", "sq0(?:atp|csp|idp)-", rf"{_WORDS}{{22,}}", "sq0atp-"),
    _kind("planetscale", "pscale_(?:tkn|pw|oauth)_", r"[A-Za-z0-9_.-]{32,}", "pscale_tkn_"),
    _kind("supabase", "sb(?:p|_secret)_", rf"{_WORDS}{{20,}}", "sbp_"),
    _kind("netlify", "nfp_", rf"{_LETTERS}{{32,}}"),
    _kind("fly", "fo1_", rf"{_WORDS}{{32,}}"),
    _kind("render", "rnd_", rf"{_LETTERS}{{24,}}"),
    _kind("heroku", "HRKU-", rf"{_WORDS}{{32,}}"),
    _kind("pulumi", "pul-", r"[0-9a-f]{40}(?![A-Za-z0-9])"),
    _kind("groq", "gsk_", rf"{_LETTERS}{{32,}}"),
    _kind("perplexity", "pplx-", rf"{_LETTERS}{{32,}}"),
    _kind("replicate", "r8_", rf"{_LETTERS}{{32,}}"),
    _kind("xai", "xai-", rf"{_LETTERS}{{32,}}"),
    _kind("langsmith", "lsv2_(?:pt|sk)_", r"[0-9a-f_]{32,}", "lsv2_pt_"),
    _kind("tavily", "tvly-", rf"{_WORDS}{{20,}}"),
    _kind("sentry", "sntry[su]_", r"[A-Za-z0-9_=+/-]{32,}", "sntrys_", "sntryu_"),
    _kind("sonar", "sq[pua]_", r"[0-9a-f]{40}(?![A-Za-z0-9])", "sqp_"),
    _kind("jfrog", "AKCp", rf"{_LETTERS}{{60,}}"),
    _kind("buildkite", "bk(?:ua|at)_", r"[0-9a-f]{40}(?![A-Za-z0-9])", "bkua_"),
    _kind("circleci", "CCIPAT_", rf"{_LETTERS}{{10,}}_[0-9a-f]{{32,}}"),
    _kind("tailscale", "tskey-", rf"[a-z]+-{_LETTERS}{{8,}}(?:-{_LETTERS}{{16,}})?"),
    _kind("contentful", "CFPAT-", rf"{_WORDS}{{32,}}"),
    _kind("hubspot", "pat-(?:na|eu)\\d-", r"[0-9a-fA-F-]{32,}", "pat-na1-"),
    _kind("dynatrace", r"dt0[a-z]\d{2}\.", r"[A-Z0-9]{24}\.[A-Z0-9]{60,}", "dt0c01."),
    _kind("shippo", "shippo_(?:live|test)_", rf"{_HEX}{{32,}}", "shippo_live_"),
    _kind("flutterwave", "FLWSECK(?:_TEST)?-", r"[0-9a-zA-Z-]{12,}", "FLWSECK-"),
    _kind("facebook", "EAA", rf"{_LETTERS}{{60,}}"),
    _kind("jwt", "eyJ", rf"{_WORDS}{{8,}}\.{_WORDS}{{8,}}(?:\.{_WORDS}*)?"),
)


def _base64_heads() -> list[str]:
    """What the base64 of each sample begins with: as many characters as the sample alone decides."""
    heads = {
        base64.b64encode(sample.encode()).decode()[: len(sample) * 8 // 6]
        for kind in TOKEN_KINDS
        for sample in kind.samples
    }
    return sorted(heads, key=len, reverse=True)


def _by_first(patterns: Iterable[str]) -> str:
    """One alternation of patterns, those with the same first letter under one branch: 5 times faster to search."""
    branches: dict[str, list[str]] = {}
    for pattern in dict.fromkeys(patterns):
        first = pattern[: pattern.index("]") + 1] if pattern[0] == "[" else pattern[0]
        branches.setdefault(first, []).append(pattern[len(first) :])
    return "|".join(f"{first}(?:{'|'.join(rests)})" for first, rests in branches.items())


# Where a key may begin: where a word does, or after an encoded character (`%3D`, an escaped newline).
_BEFORE: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u00[0-9a-fA-F]{2}))"

# Prefixes that words and names end with (`task-`, `monkey-`, `keyJson`): a letter before them makes them a part of one.
_WORD_ENDS: Final = frozenset({"sk-", "SK", "key-", "cio", "oy2", "pat", "pul-", "secret_", r"SG\.", "EAA", "eyJ"})
_ALONE: Final = tuple(kind.prefix for kind in TOKEN_KINDS if kind.prefix in _WORD_ENDS)
_ANYWHERE: Final = tuple(kind.prefix for kind in TOKEN_KINDS if kind.prefix not in _WORD_ENDS)

PREFIX: Final = re.compile(f"{_by_first(_ANYWHERE)}|{_BEFORE}(?:{_by_first(_ALONE)})")
PREFIX_IN_BASE64: Final = re.compile(_BEFORE + "(?:" + _by_first(_base64_heads()) + ")")

# Kinds whose prefix is a part of ordinary names (`mirror-pypi-...`, `configd_...`, `disk_test_...`): in the middle of
# one, what follows must look random.
NAMELIKE: Final = frozenset(
    {
        "anthropic",
        "openrouter",
        "openai",
        "stripe",
        "pypi",
        "npm",
        "huggingface",
        "notion",
        "render",
        "figma",
        "supabase",
    }
    | {"sendgrid", "vault", "doppler", "tailscale"}
)

# The first three characters of every prefix, plain and in base64: the cheap test before the patterns.
HEAD_CHARACTERS: Final = 3
HEADS: Final = frozenset(
    head[:HEAD_CHARACTERS] for head in (*(sample for kind in TOKEN_KINDS for sample in kind.samples), *_base64_heads())
)

# The last three characters of the prefixes that end with a point: their random part is a run of its own.
TAILS: Final = frozenset(
    {sample[-HEAD_CHARACTERS:] for kind in TOKEN_KINDS for sample in kind.samples if sample.endswith(".")} | {"v1."}
)

# A key in the middle of a name (`mcp_` + key, `Agent` + key) shows by what one of the name's parts ends with: the last
# three characters before the first joint of a prefix. Where a prefix has fewer, any other may stand before them.
PART_END_CHARACTERS: Final = 3
PART_ENDS: Final = frozenset(
    other + end
    for kind in TOKEN_KINDS
    for sample in kind.samples
    if "_" in sample or "-" in sample
    for end in (re.split("[_-]", sample)[0][-PART_END_CHARACTERS:],)
    for other in ("", *(string.ascii_letters + string.digits if len(end) < PART_END_CHARACTERS else ""))
)

# Prefixes without a joint, where they tell of a key in the middle of a name; by their first character, for speed.
_AFTER_JOINT: Final = _by_first(("SK[0-9a-f]", "cio", "oy2", "eyJ", "EAA", *_base64_heads()))
HIDDEN: Final = re.compile(f"AIza|ATATT3|ATCTT3|AKCp|dapi|_(?:{_AFTER_JOINT})|-(?:{_AFTER_JOINT})")

# A whole key; the name of the group that matched gives its place in the table.
TOKEN: Final = re.compile("|".join(f"(?P<t{place}>{kind.prefix}{kind.body})" for place, kind in enumerate(TOKEN_KINDS)))

# Keys without a prefix of letters.
SHAPES: Final = re.compile(
    r"(?<![\w:])(?P<telegram>\d{8,10}(?::|%3[Aa])AA[\w-]{32,34})(?!\w)"
    r"|(?<![\w.])(?P<discord>[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})(?![\w.])"
    r"|(?<![\w-])(?P<mailchimp>[0-9a-f]{32}-us\d{1,2})(?!\w)"
    r"|(?<=\.atlasv1\.)(?P<terraform>[A-Za-z0-9_-]{60,})"
    r"|(?:services|webhooks|workflows)(?:\\?/|%2[Ff])(?P<webhook>[A-Z0-9]{6,}(?:\\?/|%2[Ff])[\w%/\\-]{16,200})"
)


def token_kind(match: re.Match[str]) -> str:
    """The kind that a match of `TOKEN` is of."""
    return TOKEN_KINDS[int((match.lastgroup or "t0")[1:])].name
