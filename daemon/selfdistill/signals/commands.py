"""What kind of check a shell line is, by the programs it runs: tests, types, lint, build or format.

Sees through `cd x && ...`, environment prefixes, `timeout`, launchers (`uv run`, `npx`, `python -m`, `bundle exec`,
`docker compose exec`), task runners (`npm run X`, `make X`, `mise run X`) and `bash -c "..."`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from selfdistill.signals.programs import (
    GIT_WITH_HOOKS,
    PRECEDENCE,
    PRINTERS,
    PROGRAMS,
    SUBCOMMANDS,
    TASK_LISTS,
    TASK_RUNNERS,
    TASK_WORDS,
    names_in,
)
from selfdistill.signals.shell import SimpleCommand, simple_commands

_MAX_DEPTH: Final = 4  # launchers inside launchers: `mise exec -- uv run python -m pytest` is 3

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_DURATION: Final = re.compile(r"\d+(?:\.\d+)?[smhd]?")
_PYTHON: Final = re.compile(r"(?:python|pypy)[\d.]*|py")
_NAME_PARTS: Final = re.compile(r"[:_\-./\s]+")
_TEST_FILE: Final = re.compile(r"(?:^|[_\-.])tests?(?:[_\-.]|$)")
# The output of a command that Claude Code ran in the background: reading it is how the agent sees that run.
_BACKGROUND_OUTPUT: Final = re.compile(r"/tasks/[\w-]+\.output\b")

_WRAPPERS: Final = names_in(
    """
    time nohup command exec sudo doas env nice ionice stdbuf xvfb-run caffeinate unbuffer cross-env dotenv setsid
    chronic timeout gtimeout xargs builtin eval
    """
)
_LAUNCHERS: Final = names_in(
    """
    uv:run poetry:run pdm:run hatch:run pipenv:run rye:run pixi:run bundle:exec npm:exec pnpm:exec pnpm:dlx
    yarn:exec yarn:dlx bun:x mise:exec mise:x pipx:run coverage:run nix:develop cargo:watch devbox:run direnv:exec
    go:tool
    """
)
_SINGLE_LAUNCHERS: Final = frozenset({"npx", "bunx", "pnpx", "uvx", "tsx", "ts-node", "php", "ruby", "perl"})
_CONTAINERS: Final = frozenset({"docker", "docker-compose", "podman", "ssh", "devcontainer", "nerdctl"})
_TASK_LAUNCHERS: Final = frozenset({"hatch", "pdm", "pixi", "devbox", "poetry"})  # they run tasks of their own, too
_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "fish", "ksh"})
_VALUE_OPTIONS: Final = names_in(
    """
    -u -s -k -g -C -p -w -F -f --filter --prefix --workspace --cwd --dir --with --python --package --extra --group
    --env-file --directory --project --working-directory --manifest-path --justfile --chdir --only-group --source -n
    """
)
_NOT_RUN: Final = frozenset(
    {"--version", "--help", "-h", "--collect-only", "--co", "--listTests", "--list-tests", "--dry-run", "--no-run"}
)


class Purpose(Struct, frozen=True, gc=False):
    """What a shell line is for: the kind of its foremost check ("" for none), and whether it merely prints text.

    `several`: it runs checks of more than one kind (`pytest; ruff check .`).
    """

    check: str = ""
    prints: bool = False
    several: bool = False


@lru_cache(maxsize=256)  # the same line is asked about for the call, its result and its repair
def purpose(command: str) -> Purpose:
    """What this shell line is for; never raises."""
    if command.startswith("apply_patch"):
        return Purpose(prints=True)  # Codex writes files so; the rest of the line is a patch
    commands = simple_commands(command)
    kinds = {check_of(one.words) for one in commands}
    check = next((kind for kind in PRECEDENCE if kind in kinds), "")
    prints = bool(commands) and not check and all(map(_prints, commands)) and not _BACKGROUND_OUTPUT.search(command)
    return Purpose(check, prints, several=len(kinds - {""}) > 1)


# One of these is in nearly every check's command line; taking a line apart costs 40 us, looking for these 1.
_CHECK_WORDS: Final = (
    "test", "lint", "check", "build", "fmt", "format", "type", "tsc", "mypy", "ruff", "vet", "clippy", "spec", "tox",
    "black", "ci", "compile", "javac", "make", "shellcheck", "rubocop", "mvn", "gradle", "analy",
)  # fmt: skip


def may_check(command: str) -> bool:
    """Whether a command line is worth asking what it checks: cheap, and wrong about few that do check something."""
    return any(map(command.__contains__, _CHECK_WORDS))


def is_check_command(command: str) -> str:
    """Of "test", "typecheck", "lint", "build", "format" the first that the line runs, else ""."""
    return purpose(command).check


def is_test_command(command: str) -> bool:
    """Whether the line runs tests."""
    return purpose(command).check == "test"


def check_of(words: tuple[str, ...], depth: int = 0) -> str:
    """The kind of check that one simple command is, else ""."""
    words = _without_prefixes(words)
    if not words or depth > _MAX_DEPTH or not _NOT_RUN.isdisjoint(words):
        return ""
    program = words[0].rpartition("/")[2]
    if program in PROGRAMS:
        return PROGRAMS[program]
    if program in PRINTERS or program == "git":
        return ""
    launched = _launched(program, words[1:])
    if launched is None:
        return _unlaunched(words[0], program, words[1:], depth)
    kind = check_of(launched, depth + 1)
    return kind or (_task_kind(launched[0]) if launched and program in _TASK_LAUNCHERS else "")


def _unlaunched(word: str, program: str, rest: tuple[str, ...], depth: int) -> str:
    """The kind of a command whose program does its work itself, or inside a shell or container."""
    if program in _SHELLS or program in _CONTAINERS:
        return _nested(program, rest, depth)
    if program in SUBCOMMANDS and (kind := _subcommand(program, rest)):
        return kind
    if program in TASK_RUNNERS:
        return _task(program, rest)
    return _script(word, rest)


def _prints(command: SimpleCommand) -> bool:
    """Whether this simple command only hands on text."""
    words = _without_prefixes(command.words)
    if not words:
        return True
    program = words[0].rpartition("/")[2]
    if program == "git":
        return GIT_WITH_HOOKS.isdisjoint(words[1:4])
    return program in PRINTERS or (program in _CONTAINERS and "logs" in words)


def _without_prefixes(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command without environment assignments and wrappers such as `timeout 60`."""
    while words:
        if _ASSIGNMENT.match(words[0]):
            words = words[1:]
        elif words[0] in _WRAPPERS:
            words = _after_options(words[1:])
            while words and _DURATION.fullmatch(words[0]):
                words = words[1:]
        else:
            break
    return words


def _after_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """From the first word on that is neither an option nor the value of one."""
    index = 0
    while index < len(words) and words[index][:1] in {"-", "+"}:
        index += 2 if words[index] in _VALUE_OPTIONS else 1
    return words[index:]


def _launched(program: str, rest: tuple[str, ...]) -> tuple[str, ...] | None:
    """What a launcher launches; None when this is no launcher."""
    if _PYTHON.fullmatch(program):
        return _python_launches(rest)
    if program in _SINGLE_LAUNCHERS:
        return _after_options(rest)
    arguments = _after_options(rest)
    if arguments and f"{program}:{arguments[0]}" in _LAUNCHERS:
        arguments = arguments[1:]
        return arguments[arguments.index("-m") + 1 :] if "-m" in arguments[:4] else _after_options(arguments)
    return None


def _python_launches(rest: tuple[str, ...]) -> tuple[str, ...]:
    """The module after `-m`, else the script, else nothing (`-c`, `-`)."""
    for index, word in enumerate(rest):
        if word == "-m":
            return rest[index + 1 :]
        if word.startswith(("-c", "-m")) or word == "-":
            return (word[2:], *rest[index + 1 :]) if word.startswith("-m") else ()
        if not word.startswith("-"):
            return rest[index:]
    return ()


def _nested(program: str, rest: tuple[str, ...], depth: int) -> str:
    """The check inside `bash -c "..."`, `docker exec x ...` or `ssh host ...`; else that of the script."""
    if program in _SHELLS:
        for index, word in enumerate(rest):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
                return purpose(rest[index + 1]).check if index + 1 < len(rest) else ""
        return _script(*_head(_after_options(rest)))
    for index, word in enumerate(rest):
        inner = purpose(word).check if " " in word else ""
        if not inner and word not in SUBCOMMANDS["docker"] and not word.startswith("-"):
            inner = _known(word, rest[index + 1 :], depth)
        if inner:
            return inner
    return SUBCOMMANDS["docker"].get("build", "") if "build" in rest[:2] and program != "ssh" else ""


def _known(word: str, rest: tuple[str, ...], depth: int) -> str:
    """The check a word inside a container's command line stands for, if it is a program by name."""
    known = (
        word in PROGRAMS or word in SUBCOMMANDS or word in TASK_RUNNERS or word in _SHELLS or _PYTHON.fullmatch(word)
    )
    return check_of((word, *rest), depth + 1) if known else ""


def _head(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """First word ("" when there is none) and the others."""
    return (words[0], words[1:]) if words else ("", ())


def _subcommand(program: str, rest: tuple[str, ...]) -> str:
    """The kind of `program subcommand`."""
    table = SUBCOMMANDS[program]
    if rest and rest[0] in table:
        return table[rest[0]]
    word = _head(_after_options(rest))[0]
    return table.get(word, table.get("", ""))


def _task(program: str, rest: tuple[str, ...]) -> str:
    """The kind of the tasks that a task runner is asked for."""
    words = [word for word in _after_options(rest) if word[:1] != "-" and not _ASSIGNMENT.match(word)]
    while words and words[0] in {"run", "run-script", "r", "run-many", "watch", "foreach", "workspaces"}:
        words = words[1:]
    if words[:1] == ["workspace"]:
        words = words[2:]
    if words[:1] == ["ci"] and program in {"npm", "pnpm"}:
        return ""  # installs packages
    if program not in TASK_LISTS:
        words = words[:1]
    if not words:
        return TASK_RUNNERS.get(program, "")
    if program in {"make", "gmake", "gradle", "gradlew"} and "check" in words:
        return "test"  # GNU coding standards; Gradle's `check` depends on `test`
    kinds = {_task_kind(word) for word in words}
    return next((kind for kind in PRECEDENCE if kind in kinds), "")


def _task_kind(name: str) -> str:
    """The kind that a task's name tells: the first of its parts that is a known word, else `check`."""
    parts = _NAME_PARTS.split(name.casefold())
    if "type" in parts and "check" in parts:
        return "typecheck"
    found = next((TASK_WORDS[part] for part in parts if part in TASK_WORDS), "")
    return found or ("lint" if "check" in parts or "checks" in parts else "")


def _script(word: str, rest: tuple[str, ...]) -> str:
    """The kind of a script by its file's name; of `node --test`; of Gradle's and Maven's wrappers."""
    name = word.rpartition("/")[2]
    if name == "node":
        return "test" if "--test" in rest else _script(*_head(_after_options(rest)))
    if name in SUBCOMMANDS:
        return _subcommand(name, rest)
    stem, _, extension = name.rpartition(".")
    if extension in {"sh", "bash", "zsh", "fish", "ps1", "cmd", "bat"}:
        return _task_kind(stem)
    if extension in {"py", "js", "ts", "mjs", "cjs", "mts", "rb", "php", "pl", "lua", "tsx"}:
        return "test" if _TEST_FILE.search(stem) else ""
    named_after_its_task = word.startswith(("./", "bin/")) and name in TASK_WORDS
    return _task_kind(name) if named_after_its_task or name.startswith(("run-", "run_")) else ""
