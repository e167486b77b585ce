"""The configuration file: its defaults, its errors in words, its example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from selfdistill.cli import configuration
from selfdistill.config import Config, SourceSettings
from selfdistill.errors import ConfigError, PermissionProblem
from selfdistill.sources import SOURCES

REPOSITORY = Path(__file__).parents[3]
KNOWN = tuple(source.name for source in SOURCES)
HOME = Path("/home/mara")


def write(directory: Path, text: str | bytes) -> Path:
    path = directory / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def load(directory: Path, text: str | bytes) -> Config:
    return configuration.load(write(directory, text), KNOWN, HOME)


def uncommented(text: str) -> str:
    """The example as a user gets it who takes away every "#" that stands right before a key or a table."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def test_missing_file_is_the_defaults(tmp_path: Path) -> None:
    """Without a file the defaults count; a file that the user named must be there."""
    assert configuration.load(tmp_path / "none.toml", KNOWN, HOME) == Config()
    with pytest.raises(ConfigError, match=r"none\.toml"):
        configuration.load(tmp_path / "none.toml", KNOWN, HOME, required=True)


def test_values_are_read(tmp_path: Path) -> None:
    """What the file says replaces that default and no other; whole numbers will do where fractions may stand."""
    config = load(
        tmp_path, "[settling]\nsettle_seconds = 5\n[logging]\nlevel = 'debug'\n[sources.codex]\nenabled = false"
    )
    assert config.settling.settle_seconds == 5.0
    assert config.settling.max_wait_minutes == Config().settling.max_wait_minutes
    assert config.logging.level == "debug"
    assert config.sources == {"codex": SourceSettings(enabled=False)}


def test_tilde_is_home(tmp_path: Path) -> None:
    """`~` at the start of a root is the user's home; other roots stay as they are."""
    config = load(tmp_path, '[sources.codex]\nroots = ["~", "~/.codex", "/srv/~/x"]')
    assert config.sources["codex"].roots == ("/home/mara", "/home/mara/.codex", "/srv/~/x")


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("setling = 1", "unknown key setling", "Did you mean settling?"),
        ("[settling]\nsettle_second = 1", "unknown key settling.settle_second", "Did you mean settle_seconds?"),
        ("[sources.claudecode]", "unknown key sources.claudecode", "Did you mean claude_code?"),
        ("[sources.zzz]", "unknown key sources.zzz", "role_content"),
        ("[sources.codex]\nroot = []", "unknown key sources.codex.root", "Did you mean roots?"),
        ("settling = 1", "settling must be a table", "[settling]"),
        ("[sources]\ncodex = 1", "sources.codex must be a table", "[sources.codex]"),
        ("[settling]\nsettle_seconds = '2m'", "settling.settle_seconds = '2m': Expected float, got str", "120.0"),
        ("[settling]\nsettle_seconds = -1", "settling.settle_seconds = -1: Expected float >= 0", "120.0"),
        ("[settling]\nsettle_seconds = nan", "settling.settle_seconds = nan is not a finite number", "120.0"),
        ("[limits]\nmax_line_mib = inf", "limits.max_line_mib = inf is not a finite number", "32.0"),
        ("[limits]\nchunk_kib = 4.5", "limits.chunk_kib = 4.5: Expected int, got float", "1024"),
        ("[logging]\nlevel = 'loud'", "logging.level = 'loud'", "debug, info, warning or error"),
        ("[sources.codex]\nenabled = 1", "sources.codex.enabled = 1: Expected bool, got int", "true"),
        ("[sources.codex]\nroots = ['x/y']", "sources.codex.roots: 'x/y' is not an absolute path", "~/"),
        ("[sources.codex]\nroots = ['~mara/y']", "sources.codex.roots: '~mara/y' is not an absolute path", "~/"),
        ("[privacy]\nextra_patterns = ['(']", "privacy.extra_patterns: '(' is no regular expression", "let through"),
        ("[settling", "is not TOML", "config.example.toml"),
        ("[settling]\na = 1\na = 2", "is not TOML", "line"),
        (b"\xff", "is not UTF-8 at byte 0", "UTF-8"),
        ("a = " + "[" * 100_000, "is not TOML", ""),
    ],
)
def test_errors_say_what_where_and_what_to_do(tmp_path: Path, text: str | bytes, message: str, advice: str) -> None:
    """Every mistake names the file, the key, what stands there and what may; nothing is silently ignored."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "config.toml") in caught.value.message
    assert message in caught.value.message
    assert advice in caught.value.advice + caught.value.message
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o666])
def test_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Who may write the file decides what is read: a group- or world-writable one is refused, with the command."""
    path = write(tmp_path, "")
    path.chmod(mode)
    with pytest.raises(PermissionProblem, match="Others may write") as caught:
        configuration.load(path, KNOWN, HOME)
    assert f"chmod go-w '{path}'" in caught.value.advice


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: another user's file can only be made by root")
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Another user's file is refused, however private it is."""
    path = write(tmp_path, "")
    os.chown(path, 65534, 65534)
    with pytest.raises(PermissionProblem, match="65534"):
        configuration.load(path, KNOWN, HOME)


def test_odd_files_are_refused_at_once(tmp_path: Path) -> None:
    """A directory or a FIFO in its place is named, and nothing hangs; a link to a file of ours is followed."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for odd in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(ConfigError, match="not a regular file"):
            configuration.load(odd, KNOWN, HOME)
    (tmp_path / "link").symlink_to(write(tmp_path, "[logging]\nlevel = 'error'"))
    assert configuration.load(tmp_path / "link", KNOWN, HOME).logging.level == "error"


class TestExample:
    """config.example.toml."""

    def test_file_is_what_the_code_renders(self) -> None:
        """config.example.toml is the rendering of the defaults: neither can change without the other."""
        assert (REPOSITORY / "config.example.toml").read_text() == configuration.example(KNOWN)

    def test_loads_to_the_defaults(self, tmp_path: Path) -> None:
        """The example as it is changes nothing."""
        assert load(tmp_path, configuration.example(KNOWN)) == Config()

    def test_uncommented_loads_to_the_defaults(self, tmp_path: Path) -> None:
        """With every option switched on the example still says the defaults, and it names every one."""
        text = uncommented(configuration.example(KNOWN))
        config = load(tmp_path, text)
        assert msgspec.structs.replace(config, sources={}) == Config()
        assert config.sources == dict.fromkeys(KNOWN, SourceSettings())
        for section in (name for name in Config.__struct_fields__ if name != "sources"):
            for option in getattr(Config(), section).__struct_fields__:
                assert re.search(rf"^{option} = ", text, re.MULTILINE), option


def test_effective_reads_back(tmp_path: Path) -> None:
    """What `config show` prints is a config file that loads to the same settings."""
    config = load(tmp_path, "[privacy]\nextra_patterns = ['a\"\\\\d']\n[sources.codex]\nroots = ['~/x']")
    assert load(tmp_path, configuration.effective(config)) == config


class TestCommand:
    """`selfdistill config`, run as a user does."""

    def config(self, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """The finished process."""
        environment = {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
        return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=False)

    def test_path_show_and_check(self, tmp_path: Path) -> None:
        """`path` says where the file belongs, `show` what counts, with every agent, `check` that all is well."""
        path = self.config(tmp_path, "config", "path")
        assert path.stdout == f"{tmp_path}/selfdistill/config.toml\n"
        shown = self.config(tmp_path, "config", "show")
        assert set(load(tmp_path, shown.stdout).sources) == set(KNOWN)
        assert (
            msgspec.json.decode(self.config(tmp_path, "config", "show", "--json").stdout)["logging"]["level"] == "info"
        )
        checked = self.config(tmp_path, "config", "check")
        assert (checked.returncode, "defaults" in checked.stdout) == (0, True)

    def test_check_fails_with_78(self, tmp_path: Path) -> None:
        """A mistake in the file is told on stderr, message and advice, with exit code 78."""
        path = write(tmp_path, "[settling]\nsettle_secs = 1")
        done = self.config(tmp_path, "--config", str(path), "config", "check")
        assert done.returncode == 78
        assert "unknown key settling.settle_secs" in done.stderr
        assert "Known here" in done.stderr
        assert done.stdout == ""

    def test_named_file_must_exist(self, tmp_path: Path) -> None:
        """--config with a path that does not exist is an error, not the defaults."""
        done = self.config(tmp_path, "--config", str(tmp_path / "typo.toml"), "config", "check")
        assert (done.returncode, "typo.toml" in done.stderr) == (78, True)
