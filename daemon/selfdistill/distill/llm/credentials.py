"""Which key may be used, and which address: only what was meant for us (rulings.md, "The environment's key").

A key that was exported for another tool must not upload private transcripts, so `mode = "auto"` takes a key from
`api_key_file` or a systemd credential only; `ANTHROPIC_API_KEY` needs `mode = "on"` or `--model`. A local service that
is named in `base_url` works without a key.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from selfdistill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIAL: Final = "anthropic_api_key"
"""Name of the systemd credential: `LoadCredential=anthropic_api_key:/path`."""

_VARIABLE: Final = "ANTHROPIC_API_KEY"
_LONGEST_KEY_BYTES: Final = 4096
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_OPEN_TO_OTHERS: Final = 0o077


class ApiKey:
    """A key that does not show itself in repr, logs or tracebacks."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself, "" for none."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "ApiKey(hidden)" if self._text else "ApiKey()"


class Access(Struct, frozen=True):
    """Whether the model may be asked, and with what. `reason` says why (not), for `status`; `warnings` what to mend."""

    usable: bool
    reason: str
    key: ApiKey
    base_url: str
    warnings: tuple[str, ...] = ()

    def fingerprint(self, model: str) -> str:
        """Changes with key, address and model, so that a stored "blocked" ends when one of them does; tells no key."""
        parts = f"{self.key.reveal()}\n{self.base_url}\n{model}"
        return blake2b(parts.encode("utf-8", "replace"), digest_size=8).hexdigest()


def find_access(
    *,
    mode: str,
    model_chosen: bool,
    api_key_file: str,
    base_url: str,
    environment: Mapping[str, str],
) -> Access:
    """What `[llm]` and the environment allow. `mode`: auto, off or on; `model_chosen`: `--model` was given.

    Never raises for a missing or unreadable key: then the heuristics work alone, and the reason is told. Raises
    ConfigError for an address that must not be used.
    """
    url = checked_base_url(base_url)
    if mode == "off":
        return _no('The model is turned off (`[llm] mode = "off"`).', url)
    if api_key_file:
        return _from_file(Path(api_key_file).expanduser(), "api_key_file", url)
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    if credential.is_absolute() and credential.exists():
        return _from_file(credential, "systemd credential", url)
    return _without_file(url, environment, on=mode == "on" or model_chosen)


def _without_file(url: str, environment: Mapping[str, str], *, on: bool) -> Access:
    exported = environment.get(_VARIABLE, "").strip()
    if exported and on:
        return _with_key(exported, _VARIABLE, url)
    if url and is_local(url):
        return Access(usable=True, reason="local service without a key", key=ApiKey(""), base_url=url)
    if exported:
        return _no(f'{_VARIABLE} is set but was not meant for us: set `[llm] mode = "on"` to use it.', url)
    return _no("There is no key: name a file with one in `[llm] api_key_file`.", url)


def checked_base_url(url: str) -> str:
    """The address without a slash at its end, "" for the official one; ConfigError if transcripts must not go there."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_url(url, f"it is no address ({error})") from error
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise _bad_url(url, "it is no http or https address")
    if parts.username or parts.password:
        raise _bad_url(_without_login(parts), "it holds a name or password")
    if parts.scheme == "http" and not is_local(url):
        raise _bad_url(url, "http would send transcripts unencrypted")
    return url.rstrip("/")


def is_local(url: str) -> bool:
    """Whether the address is this machine, or an address of a private network."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (address.is_private and not address.is_unspecified)


def _from_file(path: Path, origin: str, url: str) -> Access:
    try:
        text, warnings = _read(path)
    except OSError as error:
        return _no(f"The key in {path} ({origin}) cannot be read: {error.strerror}.", url)
    except ValueError:
        return _no(f"The key in {path} ({origin}) cannot be read: it is no text file. Put the key alone there.", url)
    return _with_key(text, f"{origin} {path}", url, warnings)


def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a key file, and what is wrong with who may read it. Never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        text = file.read(_LONGEST_KEY_BYTES + 1).decode()
    if not found.st_mode & _OPEN_TO_OTHERS:
        return text, ()
    mode = stat.S_IMODE(found.st_mode)
    return text, (f"The key file {path} is open to others (mode {mode:04o}): `chmod 600 {path}`.",)


def _with_key(text: str, origin: str, url: str, warnings: tuple[str, ...] = ()) -> Access:
    key = text.strip()
    if not _KEY.fullmatch(key) or len(key) > _LONGEST_KEY_BYTES:
        return _no(f"What {origin} holds is not one key on one line.", url, warnings)
    return Access(usable=True, reason=f"key from {origin}", key=ApiKey(key), base_url=url, warnings=warnings)


def _no(reason: str, url: str, warnings: tuple[str, ...] = ()) -> Access:
    return Access(usable=False, reason=reason, key=ApiKey(""), base_url=url, warnings=warnings)


def _bad_url(url: str, why: str) -> ConfigError:
    return ConfigError(
        f"`[llm] base_url` = {url!r} cannot be used: {why}.",
        "Use https, or http for this machine or a private network; leave it out for Anthropic's own service.",
    )


def _without_login(parts: SplitResult) -> str:
    return f"{parts.scheme}://...@{parts.hostname}"
