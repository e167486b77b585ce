"""Makes secrets of every kind at run time, so that no scanner finds any in this repository."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEXADECIMAL: Final = "0123456789abcdef"
URL_SAFE: Final = ALPHANUMERIC + "-_"


def drawn(dice: random.Random, alphabet: str, length: int) -> str:
    """A random string with at least one digit and one letter."""
    body = dice.choices(alphabet, k=length)
    body[length // 3] = "7"
    body[length // 2] = "A" if "A" in alphabet else "a"
    body[-1] = "9"
    return "".join(body)


# kind -> (what stands before the random part, alphabet, length); a prefix in two parts, so that the file holds no key
PROVIDERS: Final[dict[str, tuple[str, str, int]]] = {
    "anthropic": ("sk-" + "ant-api03-", URL_SAFE, 93),
    "openai": ("sk-" + "", ALPHANUMERIC, 48),
    "openai-project": ("sk-" + "proj-", URL_SAFE, 120),
    "openrouter": ("sk-" + "or-v1-", HEXADECIMAL, 64),
    "stripe": ("sk_" + "live_", ALPHANUMERIC, 24),
    "stripe-restricted": ("rk_" + "live_", ALPHANUMERIC, 24),
    "stripe-webhook": ("whs" + "ec_", ALPHANUMERIC, 32),
    "github": ("gh" + "p_", ALPHANUMERIC, 36),
    "github-oauth": ("gh" + "o_", ALPHANUMERIC, 36),
    "github-server": ("gh" + "s_", ALPHANUMERIC, 36),
    "github-pat": ("github" + "_pat_", ALPHANUMERIC, 82),
    "gitlab": ("glp" + "at-", URL_SAFE, 20),
    "grafana": ("gls" + "a_", ALPHANUMERIC, 41),
    "slack-bot": ("xox" + "b-", ALPHANUMERIC, 48),
    "slack-user": ("xox" + "p-", ALPHANUMERIC, 60),
    "slack-app": ("xap" + "p-1-", ALPHANUMERIC, 60),
    "aws": ("AK" + "IA", string.ascii_uppercase + "234567", 16),
    "aws-session": ("AS" + "IA", string.ascii_uppercase + "234567", 16),
    "google-api": ("AI" + "za", URL_SAFE, 35),
    "google-oauth": ("ya2" + "9.", URL_SAFE, 60),
    "google-client": ("GOC" + "SPX-", URL_SAFE, 28),
    "twilio": ("S" + "K", HEXADECIMAL, 32),
    "npm": ("np" + "m_", ALPHANUMERIC, 36),
    "pypi": ("py" + "pi-AgEIcHlwaS5vcmc", URL_SAFE, 80),
    "rubygems": ("ruby" + "gems_", HEXADECIMAL, 48),
    "docker": ("dckr" + "_pat_", URL_SAFE, 27),
    "huggingface": ("h" + "f_", ALPHANUMERIC, 34),
    "digitalocean": ("do" + "p_v1_", HEXADECIMAL, 64),
    "linear": ("lin_" + "api_", ALPHANUMERIC, 40),
    "notion": ("nt" + "n_", ALPHANUMERIC, 46),
    "notion-old": ("secr" + "et_", ALPHANUMERIC, 43),
    "vault": ("hv" + "s.", URL_SAFE, 90),
    "databricks": ("da" + "pi", HEXADECIMAL, 32),
    "doppler": ("dp." + "pt.", ALPHANUMERIC, 43),
    "shopify": ("shp" + "at_", HEXADECIMAL, 32),
    "mailgun": ("ke" + "y-", HEXADECIMAL, 32),
    "age": ("AGE-SECRET" + "-KEY-1", string.ascii_uppercase + "023456789", 58),
    "newrelic": ("NRA" + "K-", string.ascii_uppercase + string.digits, 27),
    "atlassian": ("ATA" + "TT3", URL_SAFE, 100),
    "figma": ("fig" + "d_", URL_SAFE, 40),
    "square": ("sq0" + "atp-", URL_SAFE, 22),
    "planetscale": ("pscale" + "_tkn_", URL_SAFE, 43),
    "supabase": ("sb" + "p_", HEXADECIMAL, 40),
    "groq": ("gs" + "k_", ALPHANUMERIC, 52),
    "perplexity": ("ppl" + "x-", ALPHANUMERIC, 48),
    "replicate": ("r" + "8_", ALPHANUMERIC, 37),
    "xai": ("xa" + "i-", ALPHANUMERIC, 80),
    "langsmith": ("lsv2" + "_pt_", HEXADECIMAL, 32),
    "tavily": ("tv" + "ly-", ALPHANUMERIC, 32),
    "sentry": ("snt" + "rys_", ALPHANUMERIC, 60),
    "sonar": ("sq" + "p_", HEXADECIMAL, 40),
    "buildkite": ("bk" + "ua_", HEXADECIMAL, 40),
    "heroku": ("HRK" + "U-", URL_SAFE, 60),
    "pulumi": ("pu" + "l-", HEXADECIMAL, 40),
    "shippo": ("shippo" + "_live_", HEXADECIMAL, 40),
}
TEMPLATES: Final[dict[str, str]] = {
    "password pair": "password={}",
    "passwd pair": "DB_PASSWD={}",
    "env token": "MY_SERVICE_TOKEN={}",
    "json password": '{{"user": "joe", "password": "{}", "n": 1}}',
    "yaml secret": "client_secret: {}",
    "yaml api key": "  api_key: '{}'",
    "aws secret key": "aws_secret_access_key = {}",
    "azure account key": "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};EndpointSuffix=core",
    "flag": "tool --password {} --verbose",
    "flag with sign": "tool --token={}",
    "mysql": "mysql -u root -p{} db",
    "bearer": "Authorization: Bearer {}",
    "header in curl": 'curl -H "Authorization: token {}" https://x.test/',
    "api key header": "X-Api-Key: {}",
    "header in json": '{{"headers": {{"Authorization": "Bearer {}"}}}}',
    "proxy header": "Proxy-Authorization: Basic {}",
    "cookie": "Cookie: session={}; theme=dark",
    "set-cookie": "Set-Cookie: sid={}; HttpOnly",
    "url password": "postgres://joe:{}@db.test:5432/x",
    "url token": "https://{}@github.test/a/b.git",
    "private_key pair": "private_key = '{}'",
    "random near a word": "the secret for staging is {} (rotate it)",
    "npmrc": "//registry.npmjs.org/:_authToken={}",
    "query": "https://x.test/?access_token={}&page=2",
}


def provider_secret(kind: str, seed: int) -> tuple[str, str]:
    """A key of this provider, and its random part."""
    before, alphabet, length = PROVIDERS[kind]
    body = drawn(random.Random(seed), alphabet, length)  # noqa: S311 - a planted secret need not be one
    return before + body, body


def template_secret(template: str, seed: int) -> tuple[str, str]:
    """A text with a secret of 40 random characters in this place, and the secret."""
    body = drawn(random.Random(seed), ALPHANUMERIC, 40)  # noqa: S311 - a planted secret need not be one
    return TEMPLATES[template].format(body), body


def json_escaped(text: str) -> str:
    """As a string inside a JSON string."""
    return json.dumps(json.dumps({"text": text}))


def url_encoded(text: str) -> str:
    """As in a query or a form."""
    return quote(text, safe="")


def shell_quoted(text: str) -> str:
    """As an argument of a command."""
    return f"echo '{text}' >> file" if "'" not in text else f'echo "{text}" >> file'


def wrapped(text: str, width: int = 40) -> str:
    """Broken over lines, as terminals and mails do it."""
    return "\n".join(text[place : place + width] for place in range(0, len(text), width))


def in_base64(text: str) -> str:
    """As base64."""
    return base64.b64encode(text.encode()).decode()


ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "JSON": json_escaped,
    "URL": url_encoded,
    "shell": shell_quoted,
    "wrapped": wrapped,
    "base64": in_base64,
}


TRACE: Final = 12  # as many characters of a secret in a row, where much else is searched


class Planted(NamedTuple):
    """A secret as it is planted: the text around it, and what must not be found of it."""

    text: str
    secret: str

    def traces(self) -> Iterator[str]:
        """The pieces of the secret that give it away."""
        return (self.secret[place : place + TRACE] for place in range(len(self.secret) - TRACE + 1))


def kinds() -> list[str]:
    """All kinds of secrets: by shape and by what stands before them."""
    return [*PROVIDERS, *TEMPLATES]


def planted(kind: str, encoding: str, seed: int) -> Planted:
    """A secret of this kind in this encoding; in base64 it is the key itself, or a password with its user."""
    if kind in PROVIDERS:
        text, secret = provider_secret(kind, seed)
    else:
        text, secret = template_secret(kind, seed)
        text = f"joe:{secret}" if encoding == "base64" else text
    encoded = ENCODINGS[encoding](text)
    return Planted(encoded, encoded.rstrip("=")[TRACE:] if encoding == "base64" else secret)
