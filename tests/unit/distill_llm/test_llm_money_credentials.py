"""Which key and address may be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfdistill.distill.llm.credentials import Access, checked_base_url, find_access
from selfdistill.errors import ConfigError

KEY = "sk-ant-made-up-0123456789"
EXPORTED = {"ANTHROPIC_API_KEY": "sk-ant-exported"}


def access(
    mode: str = "auto",
    *,
    model_chosen: bool = False,
    api_key_file: str = "",
    base_url: str = "",
    environment: dict[str, str] | None = None,
) -> Access:
    """What these settings allow."""
    return find_access(
        mode=mode,
        model_chosen=model_chosen,
        api_key_file=api_key_file,
        base_url=base_url,
        environment=environment or {},
    )


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file as it should be."""
    path = tmp_path / "anthropic_api_key"
    path.touch(0o600)
    path.write_text(f"{KEY}\n")
    return path


@pytest.mark.parametrize(
    ("mode", "model_chosen", "used"),
    [("auto", False, False), ("auto", True, True), ("on", False, True), ("off", True, False), ("off", False, False)],
)
def test_exported_key_needs_to_be_meant(mode: str, model_chosen: bool, used: bool) -> None:
    """A key exported for another tool is used with mode "on" or an explicit model only."""
    found = access(mode, model_chosen=model_chosen, environment=EXPORTED)
    assert found.usable is used
    assert found.key.reveal() == ("sk-ant-exported" if used else "")


def test_unused_exported_key_is_told() -> None:
    """Whoever wonders why an exported key is not used reads it in the reason."""
    assert "ANTHROPIC_API_KEY is set but was not meant for us" in access(environment=EXPORTED).reason
    assert "There is no key" in access().reason


def test_key_file_counts_in_auto(key_file: Path) -> None:
    """A key file is meant for us, and comes before what is exported."""
    found = access(api_key_file=str(key_file), environment=EXPORTED)
    assert (found.usable, found.key.reveal(), found.warnings) == (True, KEY, ())


def test_systemd_credential_counts_in_auto(key_file: Path) -> None:
    """A credential that systemd hands over is meant for us."""
    found = access(environment={**EXPORTED, "CREDENTIALS_DIRECTORY": str(key_file.parent)})
    assert found.key.reveal() == KEY
    assert not access(environment={"CREDENTIALS_DIRECTORY": "/nowhere"}).usable


def test_open_key_file_is_warned_of(key_file: Path) -> None:
    """A key file that others may read is used, with a warning that says what to type."""
    key_file.chmod(0o644)
    found = access(api_key_file=str(key_file))
    assert found.usable
    assert found.warnings == (f"The key file {key_file} is open to others (mode 0644): `chmod 600 {key_file}`.",)


@pytest.mark.parametrize(
    "content", [b"", b"two words", b"two\nlines", b"\xff\xfe", b"k" * 5000, "schl\u00fcssel".encode()]
)
def test_what_is_no_key_is_not_sent(key_file: Path, content: bytes) -> None:
    """A file that does not hold one key on one line is not used; its content is not told."""
    key_file.write_bytes(content)
    found = access(api_key_file=str(key_file))
    assert not found.usable
    assert str(key_file) in found.reason
    assert "words" not in found.reason


def test_missing_file_or_pipe_is_told(tmp_path: Path) -> None:
    """A key file that is missing, a directory or a pipe is a reason, not a crash or a wait; no other key steps in."""
    import os  # noqa: PLC0415 - one use

    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        found = access("on", api_key_file=str(path), environment=EXPORTED)
        assert not found.usable
        assert str(path) in found.reason


@pytest.mark.parametrize(
    "url", ["http://localhost:11434", "http://127.0.0.1:8080/", "http://[::1]:1", "http://192.168.1.5"]
)
def test_local_service_needs_no_key(url: str) -> None:
    """A service on this machine or in a private network works without a key; mode "off" still means off."""
    found = access(base_url=url)
    assert found.usable
    assert not found.key
    assert found.base_url == url.rstrip("/")
    assert not access("off", base_url=url).usable


def test_far_service_needs_a_key() -> None:
    """A service elsewhere is not asked without a key."""
    assert not access(base_url="https://models.example.org").usable


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example.org",
        "http://localhost.example.org",
        "http://0.0.0.0:80",
        "ftp://localhost",
        "localhost:8080",
        "https://",
        "https://host:99999",
        "https://host/?key=1",
    ],
)
def test_addresses_that_would_leak_are_refused(url: str) -> None:
    """Unencrypted addresses in the open net, and what is no address, are errors that say what to do."""
    with pytest.raises(ConfigError) as caught:
        checked_base_url(url)
    assert "https" in caught.value.advice


def test_login_in_an_address_is_refused_and_hidden() -> None:
    """An address with a password is refused without repeating the password."""
    with pytest.raises(ConfigError) as caught:
        checked_base_url("https://mara:hunter2@models.example.org")
    assert "hunter2" not in caught.value.message


def test_key_does_not_show_itself(key_file: Path) -> None:
    """Neither repr nor fingerprint tells the key; the fingerprint changes with key, model and address."""
    found = access(api_key_file=str(key_file))
    assert KEY not in repr(found) + found.fingerprint("m")
    key_file.write_text("sk-ant-another")
    prints = {
        found.fingerprint("m"),
        found.fingerprint("n"),
        access(api_key_file=str(key_file)).fingerprint("m"),
        access(api_key_file=str(key_file), base_url="http://localhost:1").fingerprint("m"),
    }
    assert len(prints) == 4
