"""The configuration file: TOML to `config.Config` and back, with errors that name file, key, and what is allowed."""

from __future__ import annotations

import difflib
import math
import os
import re
import stat
import textwrap
import tomllib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import tomli_w

from selfdistill.config import DESCRIPTIONS, Config, Llm, SourceSettings
from selfdistill.distill.llm.credentials import checked_base_url
from selfdistill.errors import ConfigError, PermissionProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from msgspec import Struct

_COMMENT_WIDTH: Final = 100
_EXAMPLE_HEAD: Final = """\
# selfdistill reads this file from $XDG_CONFIG_HOME/selfdistill/config.toml (~/.config/...; macOS: ~/Library/Application
# Support/selfdistill/config.toml) or from --config PATH. Every default is meant to be left alone: a line such as
# "#key = value" shows one; take its "#" away to change it. See what counts with: selfdistill config show
"""


def load(path: Path, known_sources: Sequence[str], home: Path, *, required: bool = False) -> Config:
    """Given the file's path and the names that may stand under [sources], the configuration; no file: the defaults.

    `~` at the start of a root becomes `home`. `required`: the user named the file, so it must be there.

    Raises:
        ConfigError: not readable, not TOML, an unknown key, or a value that is not allowed.
        PermissionProblem: others can write to the file: they could name the directories that we read.
    """
    try:
        raw = _read(path)
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"There is no config file {path}.", "Check --config, or leave it out.") from error
        return Config()
    table = _parse(raw, path)
    _refuse_unknown_keys(table, known_sources, path)
    _refuse_infinite(table, path)
    config = _convert(table, path)
    _check_patterns(config, path)
    return msgspec.structs.replace(
        config,
        sources=_expand_roots(config, path, home),
        privacy=msgspec.structs.replace(
            config.privacy,
            exclude=tuple(_expand(glob, "privacy.exclude", path, home) for glob in config.privacy.exclude),
        ),
        llm=_expand_key_file(config.llm, path, home),
    )


def example(known_sources: Sequence[str]) -> str:
    """The text of config.example.toml: every option with its description, commented out, at its default."""
    tables = (_example_table(name) for name in Config.__struct_fields__ if name != "sources")
    named = f"{DESCRIPTIONS['sources']} Known are: {', '.join(known_sources)}."
    sources = _comment(named) + _source_tables(known_sources)
    return "\n".join((_EXAMPLE_HEAD, *tables, sources))


def effective(config: Config) -> str:
    """The configuration as TOML that `load` reads back to the same."""
    return tomli_w.dumps(as_table(config))


def as_table(config: Config) -> dict[str, Any]:
    """The configuration as plain tables and values."""
    table: dict[str, Any] = msgspec.to_builtins(config)
    return table


def _read(path: Path) -> bytes:
    """The bytes of a regular file that nobody but its owner, us or root, can write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang us
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(
            f"The config file {path} cannot be opened: {error.strerror}.", "Make it readable, or move it away."
        ) from error
    try:
        _refuse_untrusted(os.fstat(descriptor), path)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _refuse_untrusted(found: os.stat_result, path: Path) -> None:
    """Who writes this file decides which directories we read: as ssh does, only its owner may, group included."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"The config file {path} is not a regular file.", "Put a file there, or move it away.")
    if found.st_uid not in (0, os.geteuid()):
        raise PermissionProblem(
            f"The config file {path} belongs to user {found.st_uid}, not to you or root.",
            f"Make it yours if you trust it: cp '{path}' it.toml, then use --config it.toml",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionProblem(
            f"Others may write to the config file {path} (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"Look whether it still says what you want, then: chmod go-w '{path}'",
        )


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 at byte {error.start}.", "Save it as UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not TOML: {error}.", "Correct that line; config.example.toml shows the form."
        ) from error


def _refuse_unknown_keys(table: dict[str, Any], known_sources: Sequence[str], path: Path) -> None:
    """Raise for the first key that no setting has, with the closest one that exists."""
    for key, value in table.items():
        allowed = _fields(Config)
        if key not in allowed:
            raise _unknown(path, key, key, tuple(allowed))
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key} must be a table.", f"Write [{key}] on its own line, its keys below.")
        for name, item in value.items():
            if key == "sources":
                _refuse_unknown_in_source(name, item, known_sources, path)
            elif name not in _fields(allowed[key].type):
                raise _unknown(path, f"{key}.{name}", name, tuple(_fields(allowed[key].type)))


def _refuse_unknown_in_source(name: str, item: object, known_sources: Sequence[str], path: Path) -> None:
    if name not in known_sources:
        raise _unknown(path, f"sources.{name}", name, known_sources)
    if not isinstance(item, dict):
        raise ConfigError(f"{path}: sources.{name} must be a table.", f"Write [sources.{name}], its keys below.")
    for option in item:
        if option not in _fields(SourceSettings):
            raise _unknown(path, f"sources.{name}.{option}", option, tuple(_fields(SourceSettings)))


def _fields(struct: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(struct)}


def _unknown(path: Path, full_key: str, key: str, allowed: Sequence[str]) -> ConfigError:
    close = difflib.get_close_matches(key, allowed, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return ConfigError(f"{path}: unknown key {full_key}.", f"{meant}Known here: {', '.join(sorted(allowed))}.")


def _refuse_infinite(table: dict[str, Any], path: Path) -> None:
    """TOML knows inf and nan, and nan passes every bound: no comparison with it is ever true."""
    for key, value in _leaves(table, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}: {key} = {value} is not a finite number.", _allowed(key))


def _leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    """Every value that is no table, with its dotted key."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _convert(table: dict[str, Any], path: Path) -> Config:
    """The table as typed settings, one by one, so that an error can name its key."""
    for section, value in table.items():
        if section == "sources":
            for name, settings in value.items():
                _convert_options(settings, SourceSettings, f"sources.{name}", path)
        else:
            _convert_options(value, _fields(Config)[section].type, section, path)
    return msgspec.convert(table, Config)


def _convert_options(options: dict[str, Any], struct: type[Struct], prefix: str, path: Path) -> None:
    for option, value in options.items():
        try:
            msgspec.convert({option: value}, struct)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at ")[0].replace("`", "")
            key = f"{prefix}.{option}"
            raise ConfigError(f"{path}: {key} = {value!a}: {reason}.", _allowed(key)) from error


def _allowed(key: str) -> str:
    """What the option means and what it is when left alone, as far as the key exists."""
    if key.startswith("sources."):
        option = key.rpartition(".")[2]
        meaning, default = DESCRIPTIONS[f"sources.NAME.{option}"], getattr(SourceSettings(), option)
    else:
        section, _, option = key.partition(".")
        meaning, default = DESCRIPTIONS[key], getattr(getattr(Config(), section), option)
    return f"{option}: {meaning} Default: {_value(default)}"


def _check_patterns(config: Config, path: Path) -> None:
    checked_base_url(config.llm.base_url)
    for pattern in config.privacy.extra_patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{path}: privacy.extra_patterns: {pattern!a} is no regular expression: {error}.",
                "Correct it: a pattern that is left out would let through what it should hide.",
            ) from error


def _expand_roots(config: Config, path: Path, home: Path) -> dict[str, SourceSettings]:
    return {
        name: msgspec.structs.replace(
            settings, roots=tuple(_expand(root, f"sources.{name}.roots", path, home) for root in settings.roots)
        )
        for name, settings in config.sources.items()
    }


def _expand_key_file(llm: Llm, path: Path, home: Path) -> Llm:
    if not llm.api_key_file:
        return llm
    key_file = _expand(llm.api_key_file, "llm.api_key_file", path, home)
    return msgspec.structs.replace(llm, api_key_file=key_file)


def _expand(root: str, key: str, path: Path, home: Path) -> str:
    """An absolute path; a relative one would depend on where the daemon was started."""
    if root == "~" or root.startswith("~/"):
        return str(home / root[2:])
    if not root.startswith("/") or "\0" in root:
        raise ConfigError(f"{path}: {key}: {root!a} is not an absolute path.", "Begin it with / or ~/.")
    return root


def _example_table(section: str) -> str:
    return f"{_comment(DESCRIPTIONS[section])}[{section}]\n{_options(section, getattr(Config(), section))}"


def _options(key: str, defaults: Struct) -> str:
    """The options of one table, each commented out below its description."""
    return "".join(
        f"{_comment(DESCRIPTIONS[f'{key}.{option}'])}#{option} = {_value(getattr(defaults, option))}\n"
        for option in defaults.__struct_fields__
    )


def _source_tables(known_sources: Sequence[str]) -> str:
    """One commented-out table per agent; what its options mean is said once, with the first."""
    described = _options("sources.NAME", SourceSettings())
    bare = "".join(line for line in described.splitlines(keepends=True) if not line.startswith("# "))
    return "\n".join(f"#[sources.{name}]\n{described if name == known_sources[0] else bare}" for name in known_sources)


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, _COMMENT_WIDTH))


def _value(value: object) -> str:
    """One value in TOML's spelling."""
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")
