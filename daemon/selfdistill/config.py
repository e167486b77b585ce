"""Every setting with its default, as frozen structs; `cli/configuration.py` loads the file into them.

The comments of `config.example.toml` are the docstrings of `DESCRIPTIONS`, so that an option cannot exist undocumented.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

Seconds = Annotated[float, Meta(ge=0)]
Dollars = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]


class Settling(Struct, frozen=True, forbid_unknown_fields=True):
    """When a session counts as settled."""

    settle_seconds: Seconds = 120.0
    max_wait_minutes: Positive = 30.0
    open_call_hours: Positive = 6.0


class Scanning(Struct, frozen=True, forbid_unknown_fields=True):
    """How often the file system is looked at, whatever the watcher says."""

    directories_every_seconds: Positive = 30.0
    hot_every_seconds: Positive = 30.0
    hot_hours: Positive = 24.0
    full_every_minutes: Positive = 15.0
    canary_every_seconds: Positive = 60.0
    watch: bool = True


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on memory and disk."""

    max_line_mib: Positive = 32.0
    chunk_kib: Annotated[int, Meta(ge=4, le=65536)] = 1024
    min_free_mib: Seconds = 100.0


class Privacy(Struct, frozen=True, forbid_unknown_fields=True):
    """What else to hide beside the built-in kinds of secrets, and which projects to leave alone."""

    extra_patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Llm(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether, when and for how much a model is asked."""

    mode: Annotated[str, Meta(pattern="^(auto|off|on)$")] = "auto"
    model: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/@-]{0,128}$")] = ""
    base_url: str = ""
    api_key_file: str = ""
    daily_usd: Dollars = 1.0
    settle_minutes: Annotated[float, Meta(ge=0)] = 30.0
    max_wait_minutes: Positive = 120.0
    budget_tokens: Annotated[int, Meta(ge=1000, le=150_000)] = 24_000


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One agent's logs."""

    enabled: bool = True
    roots: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Logging(Struct, frozen=True, forbid_unknown_fields=True):
    """What selfdistill says of itself."""

    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration; every default is meant to be left alone."""

    settling: Settling = field(default_factory=Settling)
    scanning: Scanning = field(default_factory=Scanning)
    limits: Limits = field(default_factory=Limits)
    privacy: Privacy = field(default_factory=Privacy)
    llm: Llm = field(default_factory=Llm)
    logging: Logging = field(default_factory=Logging)
    sources: dict[str, SourceSettings] = field(default_factory=dict)


DESCRIPTIONS: Final[Mapping[str, str]] = {
    "settling": "When a session counts as settled. It is a version, not an end: what follows is distilled later.",
    "settling.settle_seconds": "Quiet time after which a session whose turn is closed is distilled.",
    "settling.max_wait_minutes": "Quiet time for an open turn; also the longest wait for a log that never rests.",
    "settling.open_call_hours": "Quiet time for a session with a tool call that has no result yet.",
    "scanning": "How often the file system is looked at. Events are only hints; these scans are the truth.",
    "scanning.directories_every_seconds": "Period of the pass over directory times (finds new and removed logs).",
    "scanning.hot_every_seconds": "Period of the pass over logs that changed lately.",
    "scanning.hot_hours": "How long ago a change still makes a log a hot one.",
    "scanning.full_every_minutes": "Period of the pass over every log.",
    "scanning.canary_every_seconds": "How often the watcher is tested with a file of our own.",
    "scanning.watch": "false: no watcher, scans only (network drives).",
    "limits": "Bounds on memory and disk.",
    "limits.max_line_mib": "A longer line is skipped and counted.",
    "limits.chunk_kib": "How much of a log is read at once.",
    "limits.min_free_mib": "Below this much free disk distilling pauses.",
    "privacy": "What else to hide beside the built-in kinds of secrets, and which projects to leave alone.",
    "privacy.extra_patterns": "Regular expressions; whatever they match is redacted before it is stored or shown.",
    "privacy.exclude": (
        'Globs of project directories, e.g. ["~/clients/*"]: sessions that worked there are not distilled at all, '
        "neither by the heuristics nor by a model. A file named .selfdistillignore in a project does the same."
    ),
    "llm": "A model that reads what the heuristics cannot. Without a key that is meant for us nothing is ever sent.",
    "llm.mode": (
        "auto: ask a model if api_key_file, the systemd credential anthropic_api_key, or a local base_url is there; "
        "off; on: the environment's ANTHROPIC_API_KEY counts too."
    ),
    "llm.model": "The model's name; empty: the cheapest current one that does the job.",
    "llm.base_url": "Another service that speaks the Messages API; a local one needs no key.",
    "llm.api_key_file": "A file that holds the key alone (mode 0600); ~ is your home.",
    "llm.daily_usd": "What may be spent in a day (UTC) in US dollars; the most a call can cost is reserved before it.",
    "llm.settle_minutes": "Quiet time after which a model is asked: one call is to see a whole piece of work.",
    "llm.max_wait_minutes": "The longest wait for a log that never rests, from its first record not yet shown.",
    "llm.budget_tokens": "How much of a session the model is shown, in tokens: all that fits, else what tells most.",
    "logging": "What selfdistill says of itself (systemd: in the journal).",
    "logging.level": "debug, info, warning or error.",
    "sources": "One table per agent.",
    "sources.NAME.enabled": "false: leave this agent's logs alone.",
    "sources.NAME.roots": "Directories to watch instead of the ones found by default; ~ is your home.",
    "sources.NAME.exclude": 'Globs of logs to leave alone, e.g. ["*/secret-project/*"].',
}


class Places(Struct, frozen=True):
    """Where our own files live."""

    config: Path
    state: Path

    @property
    def database(self) -> Path:
        """The SQLite store."""
        return self.state / "lessons.db"

    @property
    def status(self) -> Path:
        """The status file."""
        return self.state / "status.toml"

    @property
    def lock(self) -> Path:
        """The daemon's lock file."""
        return self.state / "daemon.lock"

    @property
    def hints(self) -> Path:
        """Directory in which an empty file says "look now"."""
        return self.state / "hints"

    @property
    def attempts(self) -> Path:
        """Directory in which each process notes which log it is reading."""
        return self.state / "attempts"

    @property
    def spool(self) -> Path:
        """Directory in which hooks note what they have told."""
        return self.state / "spool"


def places(home: Path, environment: Mapping[str, str], platform: str = sys.platform) -> Places:
    """Where config and state live for a user with this home and environment (XDG; Library on macOS)."""
    if platform == "darwin":
        support = home / "Library" / "Application Support" / "selfdistill"
        config, state = support / "config.toml", support
    else:
        config = _xdg(environment, "XDG_CONFIG_HOME", home / ".config") / "selfdistill" / "config.toml"
        state = _xdg(environment, "XDG_STATE_HOME", home / ".local" / "state") / "selfdistill"
    override = environment.get("SELFDISTILL_STATE_DIR", "")
    return Places(config=config, state=Path(override) if override else state)


def _xdg(environment: Mapping[str, str], name: str, default: Path) -> Path:
    """The directory that an XDG variable names; relative values are ignored, as the specification says."""
    value = environment.get(name, "")
    return Path(value) if value.startswith("/") else default
