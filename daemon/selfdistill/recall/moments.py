"""What a moment is told by: a call, prompt or failure taken apart into marks, and whether a cue fits them.

A mark is a text: `run:gh pr diff`, `run:ls -l`, `word:stat`, `path:web/x.ts`, `check:lint`, `edits:.go`,
`writes:exec.Command`, `kind:edit`, `tool:Bash`, `error:rejected`. The daemon stores when each lesson applies as cues of
such marks (`cues.py`); agents' hooks, `ranking.py` and the judging of deliveries all match with these functions.
Standard library only, for hooks start with it.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # `typing` takes 4 ms of a hook's start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FLOOR = 0.3  # of how surely a lesson is about the moment; below it nothing is told
MAX_COMMAND = 4096
MAX_CHARACTERS = 2_000  # of a text; a pasted log is a query, too
MAX_WRITTEN = 100_000


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Shell words as in signals/shell.py and signals/invocations.py, paths as in signals/causes.py.
_TOKEN = re.compile(
    r"""[ \t\r]++ | \\\n | (?<![^\s;&|(])\#[^\n]*+ | \d*(?:&>>?|>>?[&|]?|<<<|<)[ \t]*(?:"[^"]*"|'[^']*'|[^\s;&|()"'])*+
    | (&&|\|\||\|&|[;&|\n()`]) | ((?:[^\s;&|()`'"\\<>]|\\.|'[^']*'|"(?:[^"\\]|\\.)*+")++) | .""",
    re.VERBOSE | re.DOTALL,
)
_HERE_DOCUMENT = r"(?s)(?<!<)<<-?[ \t]*['\"\\]?([A-Za-z_]\w*)['\"]?([^\n]*\n).*?\n[ \t]*\1(?=[\n\r)]|\Z)"
_PREFIXES = _set("( { ! then do else if while sudo time nohup command env exec stdbuf nice builtin timeout")
_KEYWORDS = _set("if then elif else while until do ! { } fi done esac")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SUBCOMMAND = re.compile(r"[a-z][a-z0-9_:.-]*\Z")
_VALUE_OPTIONS = _set("-C -c --git-dir --work-tree -R --repo -n --namespace")
_SPLIT = re.compile(r"[\s=,;:()\[\]{}|]+")
_HOME = re.compile(r"^(?:/(?:Users|home)/[^/]+|~|/root|[A-Za-z]:\\Users\\[^\\]+)(?=[/\\]|$)")
_TEMPORARY = re.compile(r"^/(?:private/)?(?:tmp|var/folders/\w+/\w+/T)(?=/|$)")
_CHANGING = re.compile(r"(?=[\w-]*\d)[0-9a-f-]{7,}|\d+")
_SLASH = re.compile(r"[/\\]")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]+|\d{3,}")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_STOP = _set(
    """about add again all also and any are been but can did does for from get has have how into its just let make may
    more need not now one our out please see should some than that the their then there these this use was what when
    which will with work would you your"""
)
# Kinds of checks by program, and by the parts of a task's name ("lint-all"); the first kind of a line is its kind. A
# short form of signals/commands.py: of 2,801 real commands, 1,255 of them checks, 6 are taken for something else.
_PROGRAMS = {
    "test": """pytest py.test unittest tox nox jest vitest mocha ava karma cypress playwright gotestsum ginkgo rspec
        cucumber phpunit pest ctest bats nextest""",
    "typecheck": "tsc vue-tsc mypy dmypy pyright basedpyright pytype ty svelte-check flow phpstan psalm",
    "lint": """eslint oxlint tslint stylelint markdownlint flake8 pylint bandit golangci-lint staticcheck revive
        shellcheck hadolint actionlint yamllint rubocop swiftlint ktlint detekt checkstyle clang-tidy cppcheck sqlfluff
        codespell typos semgrep pre-commit ruff biome clippy vet""",
    "build": "webpack rollup esbuild tsup gcc g++ cc clang clang++ javac kotlinc rustc goreleaser msbuild vite",
    "format": "black isort prettier gofmt gofumpt goimports rustfmt clang-format shfmt",
}
_TASKS = {
    "test": "test tests spec specs e2e unit integration coverage cov verify ci smoke",
    "typecheck": "typecheck types typing typescript",
    "lint": "lint lints linter linters golangci style analyze check checks",
    "build": "build compile bundle dist assemble package",
    "format": "fmt format formatting",
}
_PROGRAM_KIND = {name: kind for kind, names in _PROGRAMS.items() for name in names.split()}
_TASK_KIND = _PROGRAM_KIND | {name: kind for kind, names in _TASKS.items() for name in names.split()}
_EXCEPTIONS = {"cargo check": "typecheck", "go install": "build", "ruff format": "format", "biome format": "format"}
_EXCEPTIONS |= {"make check": "test", "npm ci": "", "make": "build"}
_LAUNCHERS = _set("npx bunx uvx run exec x dlx run-script xargs docker-compose compose podman env coverage tool bundle")
_LAUNCHERS |= _set("bash sh zsh")
_RUNNERS = _set("make gmake just task rake invoke nx turbo composer gradle gradlew mvn mvnw go cargo dotnet swift npm")
_RUNNERS |= _set("pnpm yarn bun mise poetry hatch pdm uv docker deno flutter dart zig mix next")
_NOT_RUN = _set("--version --help -h --collect-only --co --listTests --list-tests --dry-run --no-run")
_TEST_SCRIPT = re.compile(r"(?:^|[_\-.])tests?[_\-.][\w.-]*(?<=\.)(?:py|sh|js|ts|rb)$")
_GIVEN = _set("-u -s -g -C -p -w -F -f --filter --prefix --workspace --cwd --dir --with --package -n -t")


class Moment:
    """What is known when lessons are asked for: its marks, its words, and texts that a cue may look into."""

    def __init__(self, marks: set[str], words: frozenset[str], text: str = "", error: str = "") -> None:
        self.marks, self.words, self.text, self.error = marks, words, text, error


def moment(  # noqa: PLR0917 - the fields of a query
    kind: str = "", tool: str = "", command: str = "", path: str = "", cwd: str = "", written: str = "", text: str = "",
    request: str = "", error: str = "",
) -> Moment:  # fmt: skip
    """The moment of a call, prompt or failure; `kind` is a `model.ToolKind`, the rest as in `situations.Query`."""
    marks = {f"kind:{kind}", f"tool:{tool}"}
    if path:
        marks.add(f"path:{general_path(path, cwd)}")
    if kind == "shell":
        marks |= command_marks(command, cwd)
    elif kind in {"edit", "write"}:
        name = path.rpartition("/")[2]
        marks.add(f"edits:.{name.rpartition('.')[2]}" if "." in name else "edits:")
        marks |= written_marks(written)
    if request and not kind:  # commands in a request stand in code quotes, and errors are pasted into it
        marks |= command_marks("\n".join(re.findall(r"`([^`\n]{2,200})`", request)), cwd)
    error = error or ("" if kind else request)
    said = " ".join(f"{error[:4000]} {error[4000:][-8000:]}".casefold().split())
    marks.update(f"error:{word}" for word in error_words(said))
    return Moment(marks, tokens((tool, command, path, text, request, error)), text.casefold(), said)


def error_words(said: str) -> list[str]:
    """The words of a folded error text that cues are anchored at."""
    return re.findall(r"[^\W\d]\w{3,}", said)


def command_marks(command: str, cwd: str = "") -> set[str]:
    """What a shell line is told by: its commands with subcommands and flags, its words and paths, what it checks."""
    marks: set[str] = set()
    checks = set()
    for words in simple_commands(command[:MAX_COMMAND]):
        keys = keys_of(words)
        bare = [unquoted(word) for word in words]
        checks.add(check_of(bare))
        marks.update(f"run:{key}" for key in keys)
        for word, plain in zip(words, bare, strict=True):
            flags = re.match("-[A-Za-z]+", word)
            signs = [f"-{letter}" for letter in flags[0][1:]] if flags else []
            signs += [letter for letter in "?*[]{}" if letter in word and word == plain]
            marks.update(f"run:{key} {sign}" for key in keys for sign in signs)
            marks.update(f"word:{piece.lstrip('-')}" for piece in (*_SPLIT.split(plain), plain))
            marks.add(f"path:{general_path(plain, cwd)}")
    check = next((kind for kind in _PROGRAMS if kind in checks), "")
    return marks | {f"check:{check}"} if check else marks


def simple_commands(line: str) -> list[list[str]]:
    """The words of each simple command as they are written, without assignments and wrappers before the program."""
    commands: list[list[str]] = [[]]
    for separator, word in _TOKEN.findall(re.sub(_HERE_DOCUMENT, r" \2", line) if "<<" in line else line):
        if separator:
            commands.append([])
        elif word and (commands[-1] or word not in _KEYWORDS):
            commands[-1].append(word)
    return [_unwrapped(words) for words in commands if words]


def _unwrapped(words: list[str]) -> list[str]:
    while len(words) > 1 and (words[0] in _PREFIXES or _ASSIGNMENT.match(words[0])):
        words = words[2:] if words[0] == "timeout" and words[2:] else words[1:]
    return words


def keys_of(words: Sequence[str]) -> list[str]:
    """A command's program, and with one to three of the words that may say what it is to do."""
    keys = [unquoted(words[0]).rpartition("/")[2]]
    skip = False
    for word in words[1:]:
        if skip or word.startswith("-"):
            skip = not skip and word in _VALUE_OPTIONS
        elif len(keys) == 4 or not _SUBCOMMAND.match(word):  # noqa: PLR2004 - `gcloud compute ssh x`
            break
        else:
            keys.append(f"{keys[-1]} {word}")
    return keys


def check_of(words: Sequence[str]) -> str:
    """The kind of check that a simple command (unquoted words) is, "" for none."""
    before, is_task = "", False
    if not _NOT_RUN.isdisjoint(words):
        return ""
    for word, last in zip(words, ("", *words), strict=False):
        name = word.rpartition("/")[2]
        if word[:1] in {"-", "+"} or "=" in word or last in _GIVEN or name.startswith("python"):
            continue
        if f"{before} {name}" in _EXCEPTIONS:
            return _EXCEPTIONS[f"{before} {name}"]
        parts = re.split(r"[:_\-./]+", name) if is_task else ()
        kind = _PROGRAM_KIND.get(name) or next((_TASK_KIND[part] for part in parts if part in _TASK_KIND), "")
        if kind or (name not in _LAUNCHERS and name not in _RUNNERS):
            return kind or ("test" if not is_task and _TEST_SCRIPT.search(name) else "")
        before, is_task = name, is_task or name in _RUNNERS
    return _EXCEPTIONS.get(before, "")


def unquoted(word: str) -> str:
    """A word without the quotes around it or around its value (`--x="y"` -> `--x=y`)."""
    return word.replace('"', "").replace("'", "")


def general_path(path: str, cwd: str = "") -> str:
    """The last two parts of a path, numbers and hashes aside: the same in another home, worktree or week."""
    path = unquoted(path).rstrip("/\\")
    if cwd and path.startswith(f"{cwd.rstrip('/')}/"):
        path = path[len(cwd.rstrip("/")) + 1 :]
    path = _TEMPORARY.sub("", _HOME.sub("", path))
    parts = [part for part in _SLASH.split(path) if part not in {"", ".", ".."}]
    return "/".join(_CHANGING.sub("<n>", part) for part in parts[-2:])


def written_marks(text: str) -> set[str]:
    """The names in code that is written, each also by its parts: `os.exec.Command` is an `exec.Command`, too."""
    names = [name.split(".") for name in set(re.findall(r"\w+(?:\.\w+)*", text[:MAX_WRITTEN]))]
    return {f"writes:{'.'.join(parts[at : at + n])}" for parts in names for at in range(len(parts)) for n in (1, 2, 3)}


def tokens(texts: Iterable[str]) -> frozenset[str]:
    """The words of texts as they are matched: lower case, names also by their parts (`boilTimer`: `boil`, `timer`)."""
    found = set()
    for word in {word for text in texts for word in _WORD.findall(text[:MAX_CHARACTERS])}:
        found.add(word.casefold())
        if not word.islower():
            found.update(part.casefold() for part in _PARTS.findall(word))
    return frozenset(word for word in found if len(word) > 2 and word not in _STOP)  # noqa: PLR2004 - "an", "of"


def fit_of(needs: Sequence[str], fit: float, now: Moment) -> float:
    """The fit of a cue that is anchored here: 0 if a need is unmet, less where only some wishes (`+mark`) are met."""
    if not all(_holds(need, now) for need in needs if need[0] != "+"):
        return 0.0
    wishes = [need[1:] in now.marks for need in needs if need[0] == "+"]
    return (FLOOR + (fit - FLOOR) * sum(wishes) / len(wishes) if any(wishes) else 0.0) if wishes else fit


def _holds(need: str, now: Moment) -> bool:
    """`!mark`: not there; `~name`: a word is its beginning; `%text`: the error says it; `&text`: the input holds it."""
    sign, rest = need[0], need[1:]
    if sign == "~":  # eight letters of a test's name are hardly another word's
        return any(f"word:{rest[:length]}" in now.marks for length in range(8, len(rest) + 1))
    if sign in "%&":
        return rest in (now.error if sign == "%" else now.text)
    return rest not in now.marks if sign == "!" else need in now.marks
