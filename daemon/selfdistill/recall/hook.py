"""Which lessons to tell an agent now: one file, standard library only, started anew at every event of an agent.

An agent waits for it, so it is short (it is compiled at each start), imports what it needs when it needs it, and
computes little: the daemon has stored when each lesson applies (`cues.py`), here a moment is taken apart into marks and
looked up. The package imports these functions too, so that there is one matcher. Nothing here writes.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3

TYPE_CHECKING = False  # `typing` would take a tenth of the time of a start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

SCHEMA = 4  # of the store, see store/migrations.py; any other is left alone
MARKER = "selfdistill"  # sources/injections.py takes out again what is wrapped in it
LIMIT = 3  # one helps most; four make agents worse (ReasoningBank, arXiv 2509.25140: 49.7 -> 44.4 % at k = 4)
MAX_TOKENS = 400  # of all lessons told at once
FLOOR = 0.3
SURE = 0.8  # the floor after a failure: what has just happened is more than this kind of work
EXACT_CAUSE = 2.0  # above every sum of the others
MAX_CHARACTERS = 2_000  # of a text; a pasted log is a query, too
MAX_WRITTEN = 100_000
BUSY_SECONDS = 0.05

_TOKEN = re.compile(
    r"""[ \t\r]++ | \\\n | (?<![^\s;&|(])\#[^\n]*+ | \d*(?:&>>?|>>?[&|]?|<<<|<)[ \t]*(?:"[^"]*"|'[^']*'|[^\s;&|()"'])*+
    | (&&|\|\||\|&|[;&|\n()`]) | ((?:[^\s;&|()`'"\\<>]|\\.|'[^']*'|"(?:[^"\\]|\\.)*+")++) | .""",
    re.VERBOSE | re.DOTALL,
)
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?[ \t]*['\"\\]?([A-Za-z_]\w*)['\"]?([^\n]*\n).*?\n[ \t]*\1(?=[\n\r)]|\Z)", re.S)
_KEYWORDS = frozenset("if then elif else while until do ! { } fi done esac".split())
_PREFIXES = frozenset(
    "( { ! then do else if while sudo time nohup command env exec stdbuf nice builtin timeout".split()
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SUBCOMMAND = re.compile(r"[a-z][a-z0-9_:.-]*\Z")
_VALUE_OPTIONS = frozenset("-C -c --git-dir --work-tree -R --repo -n --namespace".split())
_FLAGS = re.compile(r"-([A-Za-z]+)")
_SPLIT = re.compile(r"[\s=,;:()\[\]{}|]+")
_HOME = re.compile(r"^(?:/(?:Users|home)/[^/]+|~|/root|[A-Za-z]:\\Users\\[^\\]+)(?=[/\\]|$)")
_TEMPORARY = re.compile(r"^/(?:private/)?(?:tmp|var/folders/\w+/\w+/T)(?=/|$)")
_CHANGING = re.compile(r"(?=[\w-]*\d)[0-9a-f-]{7,}|\d+")
_NAME = re.compile(r"\w+(?:\.\w+)*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]+|\d{3,}")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_SAID = re.compile(r"[^\W\d]\w{3,}")
_STOP = frozenset(
    """about add again all also and any are been but can did does for from get has have how into its just let make may
    more need not now one our out please see should some than that the their then there these this use was what when
    which will with work would you your""".split()
)


class Moment:
    """What is known when lessons are asked for: its marks, its words, and texts that a cue may look into."""

    __slots__ = ("error", "marks", "text", "words")

    def __init__(self, marks: set[str], words: frozenset[str], text: str = "", error: str = "") -> None:
        self.marks, self.words, self.text, self.error = marks, words, text, error


class Known:
    """A lesson as it is told and ranked; the arguments are the columns of `_COLUMNS`."""

    def __init__(
        self,
        id: str,  # noqa: A002 - the column's name
        condition: str,
        action: str,
        tags: Sequence[str],
        covers: Sequence[str],
        confidence: float,
        support: int,
        last_seen: float | None,
        helped: int,
        recurred: int,
        foreign: bool,  # noqa: FBT001 - a column: told everywhere, learned in another project
    ) -> None:
        self.id, self.condition, self.action, self.covers = id, condition, action, covers
        self.confidence, self.support, self.last_seen = confidence, support, last_seen
        self.helped, self.recurred, self.foreign = helped, recurred, bool(foreign)
        self.words = tokens((condition, action, *tags))
        self.fit = self.score = 0.0


def moment(
    kind: str = "",
    tool: str = "",
    command: str = "",
    path: str = "",
    cwd: str = "",
    written: str = "",
    text: str = "",
    request: str = "",
    error: str = "",
) -> Moment:
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
    marks.update(f"error:{word}" for word in _SAID.findall(said))
    return Moment(marks, tokens((tool, command, path, text, request, error)), text.casefold(), said)


def command_marks(command: str, cwd: str = "") -> set[str]:
    """What a shell line is told by: its commands with subcommands and flags, its words, paths, and what it checks."""
    marks: set[str] = set()
    checks = set()
    for words in simple_commands(command[:4096]):
        keys = keys_of(words)
        checks.add(check_of([unquoted(word) for word in words]))
        marks.update(f"run:{key}" for key in keys)
        for word in words[1:]:
            flags = _FLAGS.match(word)
            signs = [f"-{letter}" for letter in flags[1]] if flags else []
            signs += [letter for letter in "?*[]{}" if letter in word and word == unquoted(word)]
            marks.update(f"run:{key} {sign}" for key in keys for sign in signs)
        for word in map(unquoted, words):
            marks.update(f"word:{piece.lstrip('-')}" for piece in (*_SPLIT.split(word), word))
            marks.add(f"path:{general_path(word, cwd)}")
    check = next((kind for kind in _PROGRAMS if kind in checks), "")
    return marks | {f"check:{check}"} if check else marks


def simple_commands(line: str) -> list[list[str]]:
    """The words of each simple command as they are written, without assignments and wrappers before the program."""
    commands: list[list[str]] = [[]]
    for separator, word in _TOKEN.findall(_HERE_DOCUMENT.sub(r" \2", line) if "<<" in line else line):
        if separator:
            commands.append([])
        elif word and (commands[-1] or word not in _KEYWORDS):
            commands[-1].append(word)
    return [_bare(words) for words in commands if words]


def _bare(words: list[str]) -> list[str]:
    while len(words) > 1 and (words[0] in _PREFIXES or _ASSIGNMENT.match(words[0])):
        words = words[2 if words[0] == "timeout" and len(words) > 2 else 1 :]  # noqa: PLR2004 - its duration
    return words


def keys_of(words: Sequence[str]) -> list[str]:
    """A command's program, and with one to three of the words that may say what it is to do."""
    keys = [unquoted(words[0]).rpartition("/")[2]]
    skip = False
    for word in words[1:]:
        if skip or word.startswith("-"):
            skip = not skip and word in _VALUE_OPTIONS
        elif not _SUBCOMMAND.match(word) or len(keys) > 3:  # noqa: PLR2004 - `gcloud compute ssh x`
            break
        else:
            keys.append(f"{keys[-1]} {word}")
    return keys


# Kinds of checks by program, and by the parts of a task's name ("lint-all"): a line's kind is the first of its kinds.
# A short form of signals/commands.py; `tests/unit/recall/test_recall_marks.py` holds them together.
_PROGRAMS = {
    "test": """pytest py.test unittest nosetests behave tox nox jest vitest mocha ava karma cypress playwright gotestsum
        ginkgo rspec cucumber phpunit pest ctest bats miri nextest llvm-cov""",
    "typecheck": "tsc vue-tsc mypy dmypy pyright basedpyright pytype ty svelte-check flow phpstan psalm",
    "lint": """eslint oxlint tslint stylelint markdownlint flake8 pylint pyflakes bandit vulture golangci-lint
        staticcheck revive shellcheck hadolint actionlint yamllint rubocop swiftlint ktlint detekt checkstyle clang-tidy
        cppcheck sqlfluff codespell typos semgrep pre-commit ruff biome clippy vet""",
    "build": "webpack rollup esbuild tsup gcc g++ cc clang clang++ javac kotlinc rustc goreleaser msbuild vite",
    "format": "black isort prettier gofmt gofumpt goimports rustfmt clang-format shfmt",
}
_TASKS = {
    "test": "test tests spec specs e2e unit integration coverage cov verify ci smoke testonly runtest",
    "typecheck": "typecheck types typing typescript",
    "lint": "lint lints linter linters golangci style analyze check checks",
    "build": "build compile bundle dist assemble package",
    "format": "fmt format formatting",
}
_PROGRAM_KIND = {name: kind for kind, names in _PROGRAMS.items() for name in names.split()}
_TASK_KIND = _PROGRAM_KIND | {name: kind for kind, names in _TASKS.items() for name in names.split()}
_EXCEPTIONS = {"cargo check": "typecheck", "cargo c": "typecheck", "go install": "build", "ruff format": "format"}
_EXCEPTIONS |= {"biome format": "format", "make check": "test", "npm ci": "", "make": "build", "uv types": ""}
_LAUNCHERS = frozenset(
    """uv poetry pdm hatch pipenv npm pnpm yarn bun npx bunx uvx mise pipx run exec x dlx run-script xargs docker
    docker-compose compose podman env dotenv doas coverage tool bundle nix""".split()
)
_RUNNERS = frozenset(
    """make gmake just task rake invoke nx turbo composer gradle gradlew mvn mvnw go cargo dotnet swift npm pnpm yarn bun
    mise poetry hatch pdm uv docker deno flutter dart zig mix next""".split()
)
_NOT_RUN = frozenset("--version --help -h --collect-only --co --listTests --list-tests --dry-run --no-run".split())
_TEST_SCRIPT = re.compile(r"(?:^|[_\-.])tests?[_\-.][\w.-]*(?<=\.)(?:py|sh|js|ts|rb)$|^runtests$")
_GIVEN = frozenset("-u -s -g -C -p -w -F -f --filter --prefix --workspace --cwd --dir --with --package -n -t".split())


def check_of(words: Sequence[str]) -> str:
    """The kind of check that a simple command is, "" for none."""
    if not _NOT_RUN.isdisjoint(words):
        return ""
    if _basename(words[0]) in {"bash", "sh", "zsh"} and "-c" in words[1:3] and words[-1] != "-c":
        kinds = {check_of(inner) for inner in simple_commands(words[-1][:MAX_CHARACTERS])}
        return next((kind for kind in _PROGRAMS if kind in kinds), "")
    before, is_task = "", False
    for word, last in zip(words, ("", *words)):  # noqa: B905 - the last word's successor is none
        name = _basename(word)
        if word[:1] in {"-", "+"} or "=" in word or last in _GIVEN or name.startswith("python"):
            continue
        if f"{before} {name}" in _EXCEPTIONS:
            return _EXCEPTIONS[f"{before} {name}"]
        kind = _task_kind(name) if is_task else _PROGRAM_KIND.get(name, "")
        if kind or (name not in _LAUNCHERS and name not in _RUNNERS):
            return kind or ("test" if _TEST_SCRIPT.search(name) and not is_task else "")
        before, is_task = name, is_task or name in _RUNNERS
    return _EXCEPTIONS.get(before, "")


def _task_kind(name: str) -> str:
    return next((_TASK_KIND[part] for part in re.split(r"[:_\-./]+", name) if part in _TASK_KIND), "")


def _basename(word: str) -> str:
    return word.rpartition("/")[2]


def unquoted(word: str) -> str:
    """A word without the quotes around it or around its value (`--x="y"` -> `--x=y`)."""
    return word.replace('"', "").replace("'", "")


def general_path(path: str, cwd: str = "") -> str:
    """The last two parts of a path, numbers and hashes aside, as in signals/causes.py."""
    path = unquoted(path).rstrip("/\\")
    if cwd and path.startswith(f"{cwd.rstrip('/')}/"):
        path = path[len(cwd.rstrip("/")) + 1 :]
    parts = [
        part for part in re.split(r"[/\\]", _TEMPORARY.sub("", _HOME.sub("", path))) if part.strip(".") or "..." in part
    ]
    return "/".join(_CHANGING.sub("<n>", part) for part in parts[-2:])


def written_marks(text: str) -> set[str]:
    """The names in code that is written, each also by its parts: `os.exec.Command` is an `exec.Command`, too."""
    marks: set[str] = set()
    for name in set(_NAME.findall(text[:MAX_WRITTEN])):
        parts = name.split(".")
        for start in range(len(parts)):
            marks.update(f"writes:{'.'.join(parts[start:end])}" for end in range(start + 1, len(parts) + 1)[:3])
    return marks


def tokens(texts: Iterable[str]) -> frozenset[str]:
    """The words of texts as they are matched: lower case, names also by their parts (`boilTimer`: `boil`, `timer`)."""
    found = set()
    for word in {word for text in texts for word in _WORD.findall(text[:MAX_CHARACTERS])}:
        found.add(word.casefold())
        if not word.islower():
            found.update(part.casefold() for part in _PARTS.findall(word))
    return frozenset(word for word in found if len(word) > 2 and word not in _STOP)  # noqa: PLR2004 - "an", "of"


def fit_of(cues: Iterable[tuple[str, Sequence[str], float]], now: Moment) -> float:
    """How surely a lesson with these cues (anchor, needs, fit) is about the moment; 0 for not at all."""
    return max((_fit(needs, fit, now) for anchor, needs, fit in cues if anchor in now.marks), default=0.0)


def _fit(needs: Sequence[str], fit: float, now: Moment) -> float:
    """The fit of a cue whose needs are met; between FLOOR and that where only some of its wishes (`+`) are."""
    if not all(_holds(need, now) for need in needs if need[0] != "+"):
        return 0.0
    wishes = [need[1:] in now.marks for need in needs if need[0] == "+"]
    return (FLOOR + (fit - FLOOR) * sum(wishes) / len(wishes) if any(wishes) else 0.0) if wishes else fit


def _holds(need: str, now: Moment) -> bool:
    """`!mark`: not there; `~name`: a word is its beginning; `%text`: the error says it; `&text`: the input holds it."""
    sign, rest = need[0], need[1:]
    if sign == "%":
        return rest in now.error
    if sign == "&":
        return rest in now.text
    if sign == "~":  # eight letters of a test's name are hardly another word's
        return any(f"word:{rest[:length]}" in now.marks for length in range(8, len(rest) + 1))
    return rest not in now.marks if sign == "!" else need in now.marks


def choose(
    fitting: Iterable[Known],
    now: Moment,
    told: Iterable[str] = (),
    heard: Iterable[str] = (),
    limit: int = LIMIT,
    max_tokens: int = MAX_TOKENS,
) -> list[Known]:
    """The lessons to tell of those that fit (`fit` is set), best first: few, short together, none of them told before.

    Exact causes first, then the project's own, then by fit, words, confidence, support, recency and use. A lesson that
    was `told` keeps its place: a lesser one is not told because the better ones have been. Causes that were `heard` of,
    or that a better lesson covers, need no second one; a long lesson does not silence a short one behind it.
    """
    fitting = list(fitting)
    newest = max((one.last_seen or 0.0 for one in fitting), default=0.0)
    for one, words in zip(fitting, word_scores(now.words, [one.words for one in fitting]), strict=True):
        one.score = one.fit + 0.1 * words + standing(one, newest)
    fitting.sort(key=lambda one: (one.fit < EXACT_CAUSE, one.foreign, -one.score, one.id))
    left, told, heard, chosen = max_tokens, set(told), set(heard), []
    for one in fitting:
        if one.id not in told:
            if cost_tokens(one) > left or (one.covers and heard.issuperset(one.covers)):
                continue
            left -= cost_tokens(one)
            heard.update(one.covers)
        chosen.append(one)
    return [one for one in chosen[:limit] if one.id not in told]


def cost_tokens(lesson: Known) -> int:
    """About how many tokens telling a lesson takes: four characters of English text each."""
    return (len(lesson.condition) + len(lesson.action)) // 4 + 1


def standing(lesson: Known, newest: float) -> float:
    """What speaks for a lesson whatever the moment: confidence, support, recency, and whether it has helped."""
    support = min(1.0, math.log1p(lesson.support) / math.log1p(10))  # more sessions say no more
    age_days = (newest - lesson.last_seen) / 86_400 if lesson.last_seen is not None else 30.0
    use = (lesson.helped - lesson.recurred) / (lesson.helped + lesson.recurred + 2)  # one success proves little
    return 0.15 * lesson.confidence + 0.3 * support + 0.05 * 2 ** -max(0.0, age_days / 30) + 0.1 * use


def word_scores(wanted: frozenset[str], texts: Sequence[frozenset[str]]) -> list[float]:
    """BM25 (Robertson and Zaragoza, 2009; k1 1.2, b 0.75) of each text's words, bent into 0..1 (5 is half way)."""
    usual = sum(map(len, texts)) / len(texts) or 1.0 if texts else 1.0
    holding = [words & wanted for words in texts]
    counts = {word: sum(word in words for words in holding) for word in frozenset().union(*holding)}
    weights = {word: math.log1p((len(texts) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}
    scores = [
        sum(weights[word] for word in found) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * len(words) / usual))
        for words, found in zip(texts, holding, strict=True)
    ]
    return [score / (score + 5.0) for score in scores]


def tell(lessons: Sequence[Known]) -> str:
    """The lessons as an agent reads them, wrapped so that we never learn from our own words; "" for none."""
    lines = [f"- {one.condition}: {one.action}".replace("</", "< /") for one in lessons]
    head = "Seen in earlier sessions here (hints, not orders; the user's words go first):"
    return "\n".join((f"<{MARKER}>", head, *lines, f"</{MARKER}>")) if lines else ""


_COLUMNS = """l.id, l.condition, l.action, l.tags, l.covers, l.confidence, l.support, l.last_seen, l.helped, l.recurred,
    l.project <> :project"""
# What may be told in a project, as in store/lessons.py: its own; of global ones the best of each merge key it has not.
_VISIBLE = """l.state = 'active' AND (l.project = :project OR (l.scope = 'global' AND NOT EXISTS (
    SELECT 1 FROM lessons AS o WHERE o.merge_key = l.merge_key AND (o.project = :project OR (o.scope = 'global'
        AND o.state = 'active' AND (o.confidence, o.support, o.id) > (l.confidence, l.support, l.id))))))"""


def lessons_for(event: str, database: str, cwd: str, now: Moment, session: str, told: Iterable[str]) -> list[Known]:
    """The lessons to tell at an event of `_ASK`, best first; none on any trouble with the store.

    `told`: ids that this session has heard of besides those that the store knows of.
    """
    try:
        return _asked(event, database, cwd, now, session, set(told))
    except (sqlite3.Error, OSError, ValueError, TypeError):  # no store, another schema, locked, damaged, odd rows
        return []


def _asked(event: str, database: str, cwd: str, now: Moment, session: str, told: set[str]) -> list[Known]:
    """Ask the store as it stands: without a journal as an immutable file, again if it changed; else beside its writer."""
    for _ in range(3):
        before, journal = _stamp(database), _stamp(f"{database}-wal")
        alone = not journal or not journal[0]
        if not alone and _stamp(f"{database}-shm") is None:
            return []  # SQLite would have to make it, and nothing is made here
        address = "".join(chr(byte) if chr(byte).isalnum() else f"%{byte:02x}" for byte in os.fsencode(database))
        options = "mode=ro&immutable=1" if alone else "mode=ro"
        connection = sqlite3.connect(f"file:{address}?{options}", uri=True, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA query_only = ON")
            if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
                return []
            found = _ASK[event](connection, project_of(connection, cwd), now, told)
        finally:
            connection.close()
        if not alone or (before, journal) == (_stamp(database), _stamp(f"{database}-wal")):
            return found
    return []


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - pathlib takes longer to import than everything here
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def project_of(connection: sqlite3.Connection, cwd: str) -> str:
    """The key of the project that a directory belongs to: as decided before, else by `.git` as in projects.py."""
    row = connection.execute("SELECT key FROM projects WHERE cwd = ?", (cwd,)).fetchone()
    if row:
        return str(row[0])
    place = cwd
    while place.strip("/"):
        if os.path.exists(f"{place}/.git/HEAD"):  # noqa: PTH110 - as above
            return place
        if os.path.isfile(f"{place}/.git"):  # noqa: PTH113 - as above
            return _main_directory(place)
        place = place.rpartition("/")[0]
    return cwd


def _main_directory(worktree: str) -> str:
    """The main directory of a worktree; the directory itself for a submodule."""
    pointer = _first_line(f"{worktree}/.git").removeprefix("gitdir:").strip()
    target = os.path.normpath(os.path.join(worktree, pointer))  # noqa: PTH118 - as above
    shared = _first_line(f"{target}/commondir")
    common = os.path.normpath(os.path.join(target, shared))  # noqa: PTH118 - as above
    return common.rpartition("/")[0] if shared and common.endswith(("/.git", "/.bare")) else worktree


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.readline(4096).strip()
    except OSError:
        return ""


def _of_call(connection: sqlite3.Connection, project: str, now: Moment, told: set[str], floor: float) -> list[Known]:
    """The lessons whose cues fit: one look-up by all that may be an anchor."""
    anchors = [mark for mark in now.marks if not mark.startswith(("word:", "writes:"))][:2000]
    places = ",".join("?" * len(anchors))
    rows = connection.execute(
        f"SELECT number, needs, fit FROM cues WHERE anchor IN ({places}) AND project IN (?, '')",  # noqa: S608
        (*anchors, project),
    )
    fits: dict[int, float] = {}
    for number, needs, fit in rows:
        if fit > fits.get(number, 0.0):
            fits[number] = max(fits.get(number, 0.0), _fit(json.loads(needs) if len(needs) > 2 else (), fit, now))  # noqa: PLR2004 - "[]"
    numbers = ",".join(str(number) for number, fit in fits.items() if fit >= floor)
    fitting = []
    if numbers:
        for number, *row in _lessons(connection, f"l.number IN ({numbers})", project):
            fitting.append(_known(row))
            fitting[-1].fit = fits[number]
    return choose(fitting, now, told, _heard(connection, told))


def _of_failure(connection: sqlite3.Connection, project: str, now: Moment, told: set[str]) -> list[Known]:
    return _of_call(connection, project, now, told, SURE) or _of_words(connection, project, now, told)


def _lessons(connection: sqlite3.Connection, where: str, project: str, **given: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT l.number, {_COLUMNS} FROM lessons AS l WHERE {where} AND {_VISIBLE}"  # noqa: S608 - constants
    return connection.execute(sql, {"project": project, **given}).fetchall()


def _known(row: Sequence[Any]) -> Known:
    return Known(*row[:3], json.loads(row[3]), json.loads(row[4]), *row[5:])  # type: ignore[call-arg]


def _heard(connection: sqlite3.Connection, told: set[str]) -> set[str]:
    """The causes that lessons told before are about."""
    rows = connection.execute(f"SELECT covers FROM lessons WHERE id IN ({','.join('?' * len(told))})", [*told])  # noqa: S608
    return {cause for (covers,) in rows for cause in json.loads(covers)}


def _of_words(connection: sqlite3.Connection, project: str, now: Moment, told: set[str]) -> list[Known]:
    """The lessons that share telling words with a request or an error (BM25)."""
    words = " OR ".join(f'"{word}"' for word in sorted(now.words, key=len)[-32:])
    where = "l.number IN (SELECT rowid FROM lessons_index WHERE lessons_index MATCH :words ORDER BY rank LIMIT 20)"
    found = [_known(row) for _, *row in _lessons(connection, where, project, words=words)] if words else []
    for one in found:
        one.fit = len(one.words & now.words) / 10
    return choose([one for one in found if one.fit >= FLOOR], now, told, _heard(connection, told))


def _of_start(connection: sqlite3.Connection, project: str, now: Moment, told: set[str]) -> list[Known]:
    """The project's own lessons that many sessions have shown."""
    where = "l.project = :project AND l.support > 1"
    found = [_known(row) for _, *row in _lessons(connection, where, project)]
    return choose(found, now, told, (), LIMIT, MAX_TOKENS // 2)


_ASK = {
    "session_start": _of_start,
    "user_prompt": _of_words,
    "pre_tool_use": lambda connection, project, now, told: _of_call(connection, project, now, told, FLOOR),
    "post_tool_failure": _of_failure,
}
EVENTS = tuple(_ASK)
