"""Which lessons to tell an agent now: one file, standard library only, started anew at every event of an agent.

An agent waits for it, and a script is compiled at each start, so it is short and computes little: the daemon has stored
when each lesson applies (`cues.py`); here a moment is taken apart into marks, and these are looked up. The package
imports these functions too, so that there is one matcher and one order. Nothing here writes the store.
"""

from __future__ import annotations

import json
import math
import os
import re

try:
    import _sqlite3 as sqlite3  # the C half: `sqlite3` itself adds datetime, 3 ms of a start's 12
except ImportError:  # another Python than CPython
    import sqlite3  # type: ignore[no-redef]

TYPE_CHECKING = False  # `typing` takes 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

SCHEMA = 6  # of the store (store/migrations.py); any other is left alone
MARKER = "selfdistill"  # sources/injections.py takes out again what is wrapped in it
LIMIT = 3  # one helps most; four make agents worse (ReasoningBank, arXiv 2509.25140: 49.7 -> 44.4 % at k = 4)
MAX_TOKENS = 400  # of all lessons told at once
FLOOR = 0.3  # of how surely a lesson is about the moment
SURE = 0.8  # the floor after a failure: what has just happened says more than "this kind of work"
EXACT_CAUSE = 2.0  # above every sum of the others
MAX_CHARACTERS = 2_000  # of a text; a pasted log is a query, too
MAX_WRITTEN = 100_000
MAX_ANCHORS = 2_000
BUSY_SECONDS = 0.05


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
_PREFIX_OF_PATH = re.compile(
    r"(?:/(?:Users|home)/[^/]+|~|/root|[A-Za-z]:\\Users\\[^\\]+|/(?:private/)?(?:tmp|var/folders/\w+/\w+/T))(?=[/\\]|$)"
)
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
_RUNNERS = _set("make gmake just task rake invoke nx turbo composer gradle gradlew mvn mvnw go cargo dotnet swift npm")
_RUNNERS |= _set("pnpm yarn bun mise poetry hatch pdm uv docker deno flutter dart zig mix next")
_NOT_RUN = _set("--version --help -h --collect-only --co --listTests --list-tests --dry-run --no-run")
_TEST_SCRIPT = re.compile(r"(?:^|[_\-.])tests?[_\-.][\w.-]*(?<=\.)(?:py|sh|js|ts|rb)$")
_GIVEN = _set("-u -s -g -C -p -w -F -f --filter --prefix --workspace --cwd --dir --with --package -n -t")


class Moment:
    """What is known when lessons are asked for: its marks, its words, and texts that a cue may look into."""

    def __init__(self, marks: set[str], words: frozenset[str], text: str = "", error: str = "") -> None:
        self.marks, self.words, self.text, self.error = marks, words, text, error


class Known:
    """A lesson as it is told and ranked."""

    def __init__(self, row: Sequence[Any]) -> None:
        """`row`: the columns of `_COLUMNS`, with tags and covers as lists."""
        self.id, self.condition, self.action, self.tags, self.covers = row[:5]
        self.confidence, self.support, self.last_seen, self.helped, self.recurred, self.foreign = row[5:]
        self.words = tokens((self.condition, self.action, *self.tags))
        self.fit = self.score = 0.0


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
    for words in simple_commands(command[:4096]):
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
    found = _PREFIX_OF_PATH.match(path)
    parts = [part for part in _SLASH.split(path[found.end() :] if found else path) if part not in {"", ".", ".."}]
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
    """The fit of a cue that is anchored here: 0 if a need is unmet; where only some wishes (`+`) are met, less of it."""
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


def choose(
    fitting: list[Known], now: Moment, told: Iterable[str] = (), heard: Iterable[str] = (), limit: int = LIMIT,
    max_tokens: int = MAX_TOKENS,
) -> list[Known]:  # fmt: skip
    """The lessons to tell of those that fit (`fit` is set), best first: few, short together, none of them told before.

    Exact causes first, then the project's own, then by fit, words, confidence, support, recency and use. One that was
    `told` keeps its place: a lesser one is not told because the better ones have been. Causes that were `heard` of, or
    that a better lesson covers, need no second one; a long lesson does not silence a short one behind it.
    """
    newest = max((one.last_seen or 0.0 for one in fitting), default=0.0)
    for one, words in zip(fitting, word_scores(now.words, [one.words for one in fitting]), strict=True):
        one.score = one.fit + 0.1 * words + standing(one, newest)
    told, heard, chosen = set(told), set(heard), []
    for one in sorted(fitting, key=lambda one: (one.fit < EXACT_CAUSE, one.foreign, -one.score, one.id)):
        if one.id not in told:
            cost = (len(one.condition) + len(one.action)) // 4 + 1  # tokens of English text, roughly
            if cost > max_tokens or (one.covers and heard.issuperset(one.covers)):
                continue
            max_tokens -= cost
            heard.update(one.covers)
        chosen.append(one)
    return [one for one in chosen[:limit] if one.id not in told]


def standing(lesson: Known, newest: float) -> float:
    """What speaks for a lesson whatever the moment: confidence, support, recency, and whether it has helped."""
    support = min(1.0, math.log1p(lesson.support) / math.log1p(10))  # more sessions say no more
    age_months = (newest - lesson.last_seen) / (30 * 86_400) if lesson.last_seen is not None else 1.0
    use = (lesson.helped - lesson.recurred) / (lesson.helped + lesson.recurred + 2)  # one success proves little
    return float(0.15 * lesson.confidence + 0.3 * support + 0.05 * 2 ** -max(0.0, age_months) + 0.1 * use)


def word_scores(wanted: frozenset[str], texts: Sequence[frozenset[str]]) -> list[float]:
    """BM25 (Robertson and Zaragoza, 2009; k1 1.2, b 0.75) of each text's words, bent into 0..1 (5 is half way)."""
    usual = sum(map(len, texts)) / len(texts) or 1.0 if texts else 1.0
    holding = [words & wanted for words in texts]
    counts = {word: sum(word in words for words in holding) for word in frozenset().union(*holding)}
    weights = {word: math.log1p((len(texts) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}
    lengths = [1 + 1.2 * (0.25 + 0.75 * len(words) / usual) for words in texts]
    scores = [
        sum(map(weights.__getitem__, found)) * 2.2 / length for found, length in zip(holding, lengths, strict=True)
    ]
    return [score / (score + 5.0) for score in scores]


def tell(lessons: Sequence[Known]) -> str:
    """The lessons as an agent reads them, wrapped so that we never learn from our own words; "" for none."""
    lines = [f"- {one.condition}: {one.action}".replace("</", "< /") for one in lessons]
    head = "Seen in earlier sessions here (hints, not orders; what the user says goes first):"
    return "\n".join((f"<{MARKER}>", head, *lines, f"</{MARKER}>")) if lines else ""


_COLUMNS = """l.id, l.condition, l.action, l.tags, l.covers, l.confidence, l.support, l.last_seen, l.helped, l.recurred,
    l.project <> :project"""
# What may be told in a project, as in store/lessons.py: its own; of global ones the best of each merge key it has not.
_VISIBLE = """l.state = 'active' AND (l.project = :project OR (l.scope = 'global' AND NOT EXISTS (
    SELECT 1 FROM lessons AS o WHERE o.merge_key = l.merge_key AND (o.project = :project OR (o.scope = 'global'
        AND o.state = 'active' AND (o.confidence, o.support, o.id) > (l.confidence, l.support, l.id))))))"""


class Asked:
    """What is asked of the store at one event; `told`: ids of lessons that this session has heard of."""

    def __init__(self, connection: sqlite3.Connection, cwd: str, now: Moment, told: set[str]) -> None:
        self._connection, self._now, self._told = connection, now, told
        self._project = self._project_of(cwd)

    def before_call(self, floor: float = FLOOR) -> list[Known]:
        """The lessons whose cues fit: one look-up by all marks that may be an anchor."""
        anchors = [mark for mark in self._now.marks if not mark.startswith(("word:", "writes:"))][:MAX_ANCHORS]
        wanted = ",".join("?" * len(anchors))
        sql = f"SELECT number, needs, fit FROM cues WHERE anchor IN ({wanted}) AND project IN (?, '')"  # noqa: S608
        fits: dict[int, float] = {}
        for number, needs, fit in self._connection.execute(sql, (*anchors, self._project)):
            if fit > fits.get(number, 0.0):
                fits[number] = max(fits.get(number, 0.0), fit_of(json.loads(needs), fit, self._now))
        numbers = [str(number) for number, fit in fits.items() if fit >= floor]
        return self._chosen(self._lessons(f"l.number IN ({','.join(numbers)})"), fits) if numbers else []

    def after_failure(self) -> list[Known]:
        """The lessons about this very failure; else those that share telling words with its message."""
        return self.before_call(SURE) or self.at_prompt()

    def at_prompt(self) -> list[Known]:
        """The lessons that share telling words with a request or an error (BM25)."""
        words = " OR ".join(f'"{word}"' for word in sorted(self._now.words, key=len)[-32:])
        where = "l.number IN (SELECT rowid FROM lessons_index WHERE lessons_index MATCH :words ORDER BY rank LIMIT 20)"
        found = self._lessons(where, words) if words else {}
        fits = {number: len(one.words & self._now.words) / 10 for number, one in found.items()}
        return self._chosen({number: one for number, one in found.items() if fits[number] >= FLOOR}, fits)

    def at_start(self) -> list[Known]:
        """The project's own lessons that several sessions have shown, at half the length."""
        found = self._lessons("l.project = :project AND l.support > 1")
        return choose(list(found.values()), self._now, self._told, (), LIMIT, MAX_TOKENS // 2)

    def _lessons(self, where: str, words: str = "") -> dict[int, Known]:
        sql = f"SELECT l.number, {_COLUMNS} FROM lessons AS l WHERE {where} AND {_VISIBLE}"  # noqa: S608 - constants
        rows = self._connection.execute(sql, {"project": self._project, "words": words})
        return {row[0]: Known((*row[1:4], json.loads(row[4]), json.loads(row[5]), *row[6:])) for row in rows}

    def _chosen(self, fitting: dict[int, Known], fits: dict[int, float]) -> list[Known]:
        for number, one in fitting.items():
            one.fit = fits[number]
        sql = f"SELECT covers FROM lessons WHERE id IN ({','.join('?' * len(self._told))})"  # noqa: S608 - marks
        heard = {cause for (covers,) in self._connection.execute(sql, [*self._told]) for cause in json.loads(covers)}
        return choose(list(fitting.values()), self._now, self._told, heard)

    def _project_of(self, cwd: str) -> str:
        """The key of the project that a directory belongs to: as decided before, else by `.git` as in projects.py."""
        row = self._connection.execute("SELECT key FROM projects WHERE cwd = ?", (cwd,)).fetchone()
        place = cwd
        while not row and place.strip("/"):
            if os.path.exists(f"{place}/.git"):  # noqa: PTH110 - pathlib takes longer to import than all of this
                return _main_directory(place)
            place = place.rpartition("/")[0]
        return str(row[0]) if row else cwd


def _main_directory(place: str) -> str:
    """The repository's main directory: of a worktree that which its `.git` file points into."""
    if os.path.isdir(f"{place}/.git"):  # noqa: PTH112 - as above
        return place
    with open(f"{place}/.git", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
        return file.read(4096).partition("gitdir: ")[2].partition("/.git/worktrees/")[0] or place


_ASK = {
    "session_start": Asked.at_start,
    "user_prompt": Asked.at_prompt,
    "pre_tool_use": Asked.before_call,
    "post_tool_failure": Asked.after_failure,
}


def lessons_for(event: str, database: str, cwd: str, now: Moment, session: str, told: Iterable[str]) -> list[Known]:
    """The lessons to tell at an event of `_ASK`, best first; none on any trouble with the store.

    `told`: ids that this session has heard of besides those that the store knows of. Without a journal the file is
    complete: it is read as immutable, again if it changed meanwhile. Else it is read beside its writer.
    """
    try:
        for _ in range(3):
            stamp = _stamp(database), _stamp(f"{database}-wal")
            alone = not (stamp[1] and stamp[1][0])
            if alone or _stamp(f"{database}-shm"):  # without it SQLite would make one, and nothing is made here
                found = _read(event, database, alone, cwd, now, session, set(told))
                if not alone or stamp == (_stamp(database), _stamp(f"{database}-wal")):
                    return found
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError):  # locked, damaged, odd rows, another schema
        pass
    return []


def _read(
    event: str, database: str, alone: bool, cwd: str, now: Moment, session: str, told: set[str]  # noqa: FBT001 - as found
) -> list[Known]:  # fmt: skip
    quoted = "".join(chr(byte) if chr(byte).isalnum() else f"%{byte:02x}" for byte in os.fsencode(database))
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    connection = sqlite3.connect(f"file:{quoted}?{options}", uri=True, timeout=BUSY_SECONDS)
    try:
        if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
            return []
        told.update(
            row[0] for row in connection.execute("SELECT lesson_id FROM deliveries WHERE session = ?", (session,))
        )
        return _ASK[event](Asked(connection, cwd, now, told))
    finally:
        connection.close()


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
