"""Secrets of every kind, in every encoding, in any surroundings leave no trace; nothing else changes twice."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.privacy.redaction import Redactor, scrub
from support.examples import examples

if TYPE_CHECKING:
    from types import ModuleType


def _planted() -> ModuleType:
    """The maker of secrets beside this file: tests are no package, so it is loaded by its path."""
    specification = util.spec_from_file_location("planted_secrets", Path(__file__).with_name("planted_secrets.py"))
    if specification is None or specification.loader is None:
        pytest.fail("tests/property/planted_secrets.py is missing")
    module = util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


PLANTED: Final = _planted()
REDACT: Final = Redactor()
TRACE: Final = 8  # as many characters of a secret in a row are a trace of it
ENDS_OF_WORDS: Final = frozenset({"openai", "twilio", "mailgun", "pulumi"})  # `task-`, `TASK`, `monkey-`, `pul-`
BREAKS: Final = str.maketrans("", "", "\n\r\\ ")

surroundings = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
seeds = st.integers(0, 2**32)


def traces(secret: str, text: str) -> list[str]:
    """The pieces of the secret that are still in the text, broken over lines or not."""
    joined = text.translate(BREAKS).replace("\\n", "")
    pieces = {secret[place : place + TRACE] for place in range(len(secret) - TRACE + 1)}
    return [piece for piece in pieces if piece in text or piece in joined]


def assert_gone(secret: str, text: str) -> None:
    """The text keeps no trace of the secret, says so, and does not change any more."""
    redacted = REDACT(text)
    assert not traces(secret, redacted), redacted
    assert "[REDACTED:" in redacted
    assert REDACT(redacted) == redacted


def test_there_are_fifty_kinds() -> None:
    """At least 50 kinds of provider keys are known, and as many are planted."""
    assert len(PLANTED.PROVIDERS) >= 50
    assert len(PLANTED.TEMPLATES) >= 20


@pytest.mark.parametrize("encoding", ["plain", "JSON", "URL", "shell", "wrapped"])
@pytest.mark.parametrize("kind", PLANTED.PROVIDERS)
@examples(2)
@given(seed=seeds, before=surroundings, after=surroundings)
def test_provider_key_leaves_no_trace(kind: str, encoding: str, seed: int, before: str, after: str) -> None:
    """A provider's key in any encoding is gone (case 61)."""
    key, body = PLANTED.provider_secret(kind, seed)
    assert_gone(body, f"{before} {PLANTED.ENCODINGS[encoding](key)} {after}")


@pytest.mark.parametrize("kind", PLANTED.PROVIDERS)
@examples(2)
@given(seed=seeds, before=surroundings, after=surroundings)
def test_provider_key_in_base64_leaves_no_trace(kind: str, seed: int, before: str, after: str) -> None:
    """A provider's key in base64 is gone, because its prefix shows through."""
    key, _ = PLANTED.provider_secret(kind, seed)
    encoded = PLANTED.in_base64(key)
    assert_gone(encoded.rstrip("=")[12:], f"{before} {encoded} {after}")


@pytest.mark.parametrize("before", ["mcp_", "mcp__server__", "for-", "9-"])
@pytest.mark.parametrize("kind", PLANTED.PROVIDERS)
def test_key_behind_a_joint_leaves_no_trace(kind: str, before: str) -> None:
    """A provider's key that is a part of a name, as in a tool's name or a file's, is gone, in base64 too."""
    for seed in range(3):
        key, body = PLANTED.provider_secret(kind, seed)
        assert_gone(body, f"see {before}{key} and {before}{key}.txt")
        assert_gone(body, f"see {before}{PLANTED.wrapped(key)}")
        encoded = PLANTED.in_base64(key)
        assert_gone(encoded.rstrip("=")[12:], f"see {before}{encoded}")


@pytest.mark.parametrize("before", ["word", "Agent", "a1"])
@pytest.mark.parametrize("kind", sorted(set(PLANTED.PROVIDERS) - ENDS_OF_WORDS))
def test_key_glued_to_a_word_leaves_no_trace(kind: str, before: str) -> None:
    """A provider's key straight behind a letter or digit is gone, but for prefixes that ordinary words end with."""
    for seed in range(3):
        key, body = PLANTED.provider_secret(kind, seed)
        assert_gone(body, f"see {before}{key} and {before}{key}.txt")


@pytest.mark.parametrize("encoding", ["plain", "JSON", "URL", "shell", "wrapped"])
@pytest.mark.parametrize("template", PLANTED.TEMPLATES)
@examples(2)
@given(seed=seeds, before=surroundings, after=surroundings)
def test_named_secret_leaves_no_trace(template: str, encoding: str, seed: int, before: str, after: str) -> None:
    """A secret that only its name, header, flag or URL makes one is gone in any encoding."""
    text, secret = PLANTED.template_secret(template, seed)
    assert_gone(secret, f"{before}\n{PLANTED.ENCODINGS[encoding](text)}\n{after}")


@examples(50)
@given(user=st.from_regex(r"[a-z]{3,12}", fullmatch=True), seed=seeds, bare=st.booleans())
def test_user_and_password_in_base64_leave_no_trace(user: str, seed: int, *, bare: bool) -> None:
    """`user:password` in base64 is gone, in a header and alone."""
    _, secret = PLANTED.template_secret("password pair", seed)
    encoded = PLANTED.in_base64(f"{user}:{secret[:16]}")
    assert_gone(encoded.rstrip("=")[4:], encoded if bare else f"Authorization: Basic {encoded}")


@examples(25)
@given(seed=seeds, end=st.booleans(), escaped=st.booleans(), before=surroundings)
def test_private_key_leaves_no_trace(seed: int, *, end: bool, escaped: bool, before: str) -> None:
    """A private key in PEM is gone: whole or cut off, with line breaks or their escapes."""
    lines = [PLANTED.template_secret("password pair", seed + line)[1] + "xyz4" * 6 for line in range(5)]
    parts = ["-----BEGIN OPENSSH " + "PRIVATE KEY-----", *lines, "-----END OPENSSH " + "PRIVATE KEY-----"]
    text = "\n".join(parts if end else parts[:-1])
    text = f"{before}\n{json.dumps(text) if escaped else text}\n"
    for line in lines:
        assert_gone(line, text)


@examples(100)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                [
                    "password=",
                    "token: ",
                    '"',
                    "'",
                    "\\",
                    "\n",
                    "Authorization: Bearer ",
                    "https://a:",
                    "@",
                    "ghp" + "_",
                    "sk-",
                    "x9" * 20,
                    "-----BEGIN PRIVATE" + " KEY-----",
                    "[REDACTED:key]",
                    "Cookie: a=",
                    "%3D",
                    "--token ",
                    "eyJ",
                    ".",
                ]
            ),
        ),
        max_size=12,
    ).map("".join)
)
def test_redacting_twice_changes_nothing(text: str) -> None:
    """Redaction of redacted text is the same text, whatever the text is."""
    redacted = REDACT(text)
    assert REDACT(redacted) == redacted


@examples(80)
@given(st.text(st.characters(), max_size=80))
def test_scrubbed_text_is_fit_for_files_and_terminals(text: str) -> None:
    """Scrubbed text has no control characters but line breaks and tabs, encodes as UTF-8 and scrubs to itself."""
    scrubbed = scrub(text)
    assert scrub(scrubbed) == scrubbed
    assert not [one for one in scrubbed if (ord(one) < 32 and one not in "\n\t") or 127 <= ord(one) < 160]
    scrubbed.encode()
