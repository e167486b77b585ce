"""Proof that one command mends another: for each kind of fault, the change must touch what the message names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.heuristic.wording import code, general_word, general_words
from selfdistill.signals.invocations import Invocation, invocations, unquoted
from selfdistill.signals.steps import Fault, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STRENGTH: Final = 0.75
PATH_STRENGTH: Final = 0.6
ALIKE: Final = 0.4  # share of words that must stay for two commands to have the same purpose
MANY_WORDS: Final = 8

_NAME_END: Final = re.compile(r"[^\w.]+")


class Repair(Struct, frozen=True):
    """How a fault was mended: the failed command, what to do instead, and the words that matter in both."""

    failed: Invocation
    worked: Invocation
    advice: str
    key: tuple[str, ...]
    strength: float = STRENGTH


class Attempt(Struct, frozen=True):
    """A failed step beside a command that worked later."""

    step: Step
    named: str
    failed: Invocation
    worked: Invocation
    others: tuple[Invocation, ...]  # the other commands of the line that worked
    between: tuple[str, ...]  # commands that worked in between


def _alike(left: Sequence[str], right: Sequence[str]) -> float:
    """Jaccard similarity of two commands' words."""
    one, other = set(left), set(right)
    return len(one & other) / len(one | other) if one | other else 1.0


def _option_name(word: str) -> str:
    return unquoted(word).split("=", 1)[0]


def _names_option(word: str, named: str) -> bool:
    """Whether a word is the option that a message names (`--stat`, `stat`, or the letter of `-abc`)."""
    option = _option_name(word)
    bare = named.lstrip("-").split("=", 1)[0]
    if option.startswith("--"):
        return option[2:] == bare
    return option.startswith("-") and len(bare) == 1 and bare in option[1:]


# Without one of these a command does what it was only to show: never advise to leave it out.
ONLY_LOOKS: Final = frozenset(
    {
        "--dry-run",
        "--dryrun",
        "--check",
        "--what-if",
        "--whatif",
        "--simulate",
        "--preview",
        "--no-commit",
        "--no-push",
        "--diff",
        "-n",
    }
)


def _unknown_option(attempt: Attempt) -> Repair | None:
    """The same command, without the option that the program does not know."""
    failed, worked = attempt.failed, attempt.worked
    culprit = next((word for word in failed.arguments if _names_option(word, attempt.named)), None)
    if (
        culprit is None
        or worked.key != failed.key
        or any(_names_option(word, attempt.named) for word in worked.arguments)
    ):
        return None
    rest = [word for word in failed.arguments if word != culprit]
    added = _options(worked.arguments) - _options(rest)
    if _options(rest) - _options(worked.arguments) or len(added) > 1 or _purpose(rest) != _purpose(worked.arguments):
        return None
    option = _option_name(culprit)
    if added:
        advice = f"Use {code(*added)}: {code(general_words(worked.words, added))}"
    elif option in ONLY_LOOKS:
        return None
    else:
        advice = f"Leave {code(option)} out: {code(general_words(worked.words))}"
    return Repair(failed, worked, advice, (failed.key, option, *(_option_name(word) for word in added)))


def _options(words: Sequence[str]) -> set[str]:
    """The words that are options."""
    return {word for word in words if word.startswith("-") and word.strip("-")}


def _purpose(words: Sequence[str]) -> list[str]:
    """The words that are no options, instances (numbers, hashes, long texts) aside."""
    return [general_word(word) for word in words if not word.startswith("-")]


def _unknown_command(attempt: Attempt) -> Repair | None:
    """The same program with another subcommand or task, tried for the same purpose."""
    failed, worked = attempt.failed, attempt.worked
    if worked.program != failed.program or any(attempt.named == unquoted(word) for word in worked.arguments):
        return None
    if not _related_names(attempt.named, worked.key.rsplit(" ", 1)[-1]) and _alike(failed.words, worked.words) < ALIKE:
        return None
    if worked.key == failed.program:
        return None
    return Repair(
        failed, worked, f"Use {code(general_words(worked.words))}", (failed.program, attempt.named, worked.key)
    )


def _related_names(one: str, other: str) -> bool:
    """Whether one name is a part of the other, or they begin alike (`tests` and `test`, `lint:full` and `lint`)."""
    return one != other and (one in other or other in one or one[:4] == other[:4])


def _unknown_field(attempt: Attempt) -> Repair | None:
    """The same command with other field names."""
    failed, worked = attempt.failed, attempt.worked
    if worked.key != failed.key or any(attempt.named in _NAME_END.split(word) for word in worked.words):
        return None
    changed = [word for word in worked.words if word not in failed.words]
    if not changed or len(changed) > MANY_WORDS // 2:
        return None
    works = code(general_words(worked.words, changed))
    advice = f"{code(failed.key)} has no field {code(attempt.named)}; this works: {works}"
    return Repair(failed, worked, advice, (failed.key, attempt.named))


def _program_missing(attempt: Attempt) -> Repair | None:
    """The same arguments with another program, or the program started through another (`npx`, `.venv/bin`)."""
    failed, worked = attempt.failed, attempt.worked
    arguments = failed.arguments
    through = [word for word in worked.words[1:] if unquoted(word) == failed.program]
    by_path = "/" in worked.words[0] and worked.program == failed.program if worked.words else False
    renamed = (
        worked.program != failed.program and bool(arguments) and _alike(arguments, worked.arguments) >= ALIKE * 1.5
    )
    if failed.words[:1] == worked.words[:1] or not (through or by_path or renamed):
        return None
    start = worked.words[0] if not through else " ".join(worked.words[: worked.words.index(through[0]) + 1])
    advice = f"Use {code(start)}: {code(general_words(worked.words))}"
    return Repair(failed, worked, advice, (failed.program, start))


def _module_missing(attempt: Attempt) -> Repair | None:
    """The same arguments with another interpreter (`.venv/bin/python`, `uv run python`)."""
    failed, worked = attempt.failed, attempt.worked
    if failed.words[:1] == worked.words[:1] or not failed.arguments:
        return None
    if set(failed.arguments) - set(worked.words):
        return None
    start = worked.words[: len(worked.words) - len(failed.arguments)]
    if not start or not any(
        "python" in word or "/bin/" in word or word in {"uv", "poetry", "pipenv", "hatch"} for word in start
    ):
        return None
    shown = " ".join(start)
    return Repair(
        failed, worked, f"Use {code(shown)}: {code(general_words(worked.words))}", (failed.words[0], "module", shown)
    )


def _glob(attempt: Attempt) -> Repair | None:
    """The same word, quoted, so that the shell leaves `?`, `*` and `[` alone."""
    failed, worked = attempt.failed, attempt.worked
    quoted = next((w for w in worked.words if w != unquoted(w) and unquoted(w) == attempt.named), None)
    if quoted is None or worked.key != failed.key:
        return None
    letters = "".join(letter for letter in "?*[]" if letter in attempt.named)
    shown = " ".join(code(letter) for letter in letters)
    advice = f"Quote arguments that hold {shown}: {code(general_words(worked.words, [quoted]))}"
    return Repair(failed, worked, advice, ("glob", failed.program, letters))


def _path_missing(attempt: Attempt) -> Repair | None:
    """The same command with another path to the same name, or from another directory."""
    failed, worked = attempt.failed, attempt.worked
    if worked.key != failed.key or not attempt.named:
        return None
    culprit = next(
        (word for word in failed.arguments if unquoted(word).rstrip("/").endswith(attempt.named.rstrip("/"))), None
    )
    if culprit is None:
        return None
    if culprit in worked.words:
        return _from_other_directory(attempt, culprit)
    name = unquoted(culprit).rstrip("/").rsplit("/", 1)[-1]
    mended = next(
        (w for w in worked.arguments if w not in failed.words and _same_place(unquoted(w), unquoted(culprit), name)),
        None,
    )
    if (
        mended is None
        or _alike([w for w in failed.words if w != culprit], [w for w in worked.words if w != mended]) < ALIKE
    ):
        return None
    works = code(general_words(worked.words, [mended]))
    advice = f"The path is {code(unquoted(mended))}, not {code(unquoted(culprit))}: {works}"
    return Repair(failed, worked, advice, (failed.key, unquoted(culprit), unquoted(mended)), PATH_STRENGTH)


def _same_place(one: str, other: str, name: str) -> bool:
    """Whether two different paths end in the same name, or one is the other without the Go wildcard `/...`."""
    if not name.strip(".*"):
        return one.strip("./") == other.removesuffix("/" + name).strip("./")
    return one.rstrip("/").rsplit("/", 1)[-1] == name


def _from_other_directory(attempt: Attempt, culprit: str) -> Repair | None:
    """The same command after `cd`."""
    moved = next(
        (invocation for invocation in attempt.others if invocation.program == "cd" and invocation.arguments), None
    )
    if (
        moved is None
        or attempt.worked.words != attempt.failed.words
        or moved.words[0] in attempt.step.command.split()[:1]
    ):
        return None
    place = unquoted(moved.arguments[0])
    advice = f"Run it in {code(place)}: {code('cd ' + place + ' && ' + general_words(attempt.worked.words, [culprit]))}"
    return Repair(attempt.failed, attempt.worked, advice, (attempt.failed.key, "cd", place), PATH_STRENGTH)


def _argument_missing(attempt: Attempt) -> Repair | None:
    """The same command with the argument that was asked for."""
    failed, worked = attempt.failed, attempt.worked
    bare = attempt.named.strip("-<>[]")
    added = [word for word in worked.arguments if word not in failed.words]
    asked = [word for word in added if _option_name(word).strip("-") == bare]
    if worked.key != failed.key or not asked or _alike(failed.words, worked.words) < ALIKE:
        return None
    return Repair(
        failed,
        worked,
        f"Give {code(asked[0])}: {code(general_words(worked.words, asked))}",
        (failed.key, "needs", bare),
    )


def _prerequisite(attempt: Attempt) -> Repair | None:
    """The command that the message asks for ran in between (or in front), and then the same command worked."""
    failed, worked = attempt.failed, attempt.worked
    ran = any(attempt.named in line for line in attempt.between)
    ran = ran or any(attempt.named in " ".join(invocation.words) for invocation in attempt.others)
    if not ran or worked.key != failed.key or _alike(failed.words, worked.words) < ALIKE:
        return None
    return Repair(
        failed, worked, f"Run {code(attempt.named)} first, then {code(worked.key)} works", ("first", attempt.named)
    )


def _push_rejected(attempt: Attempt) -> Repair | None:
    """The remote's commits were taken in, and then the push worked."""
    if attempt.worked.key != "git push" or attempt.failed.key != "git push":
        return None
    taken = [
        invocation
        for line in attempt.between
        for invocation in invocations(line)
        if invocation.key in {"git pull", "git rebase", "git merge"} and "--abort" not in invocation.words
    ]
    taken += [invocation for invocation in attempt.others if invocation.key in {"git pull", "git rebase"}]
    if taken:
        cure = taken[-1]
        shown = " ".join([cure.key, *(word for word in cure.arguments if word.startswith("--"))])
        return Repair(
            attempt.failed,
            attempt.worked,
            f"Run {code(shown)} before {code('git push')}",
            ("git push", "behind", shown),
        )
    return None


def _bad_value(attempt: Attempt) -> Repair | None:
    """The same command, where the word that holds the refused value, or the option before it, was changed."""
    failed, worked = attempt.failed, attempt.worked
    removed = [word for word in failed.words if word not in worked.words]
    added = [word for word in worked.words if word not in failed.words]
    if worked.key != failed.key or not removed or not added or len(added) > MANY_WORDS // 2:
        return None
    position = next((at for at, word in enumerate(failed.words) if attempt.named in unquoted(word)), None)
    if position is None or not {failed.words[position], failed.words[max(0, position - 1)]} & set(removed):
        return None
    if _alike(failed.words, worked.words) < ALIKE:
        return None
    advice = f"This works: {code(general_words(worked.words, added))}"
    return Repair(failed, worked, advice, (failed.key, attempt.named, *sorted(added)[:3]))


PROOFS: Final[dict[Fault, Callable[[Attempt], Repair | None]]] = {
    Fault.UNKNOWN_OPTION: _unknown_option,
    Fault.UNKNOWN_COMMAND: _unknown_command,
    Fault.UNKNOWN_FIELD: _unknown_field,
    Fault.PROGRAM_MISSING: _program_missing,
    Fault.MODULE_MISSING: _module_missing,
    Fault.GLOB: _glob,
    Fault.PATH_MISSING: _path_missing,
    Fault.UNKNOWN_REVISION: _path_missing,
    Fault.ARGUMENT_MISSING: _argument_missing,
    Fault.PREREQUISITE: _prerequisite,
    Fault.PUSH_REJECTED: _push_rejected,
    Fault.BAD_VALUE: _bad_value,
}
