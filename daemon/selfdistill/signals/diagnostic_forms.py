"""Diagnostics that stand on one line behind a place (`file:line:col: ...`, `file(line,col): ...`), as a table of forms.

The forms are those that the tools print by default, from their documentation. A line of a file that was merely shown
or searched (`grep -n`) looks alike, so every form asks for a level word, a code, or a command that is a check.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.signals.programs import names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE: Final = 600  # characters of a line that are read
_MAX_LINES: Final = 500  # places looked at in one output; a longer list repeats itself


class Output(Struct, frozen=True):
    """What a command printed, and what the command was for ("" unless it is a check)."""

    command: str
    check: str
    text: str

    def names(self, tool: str) -> bool:
        """Whether the command line or the head of the output names this tool."""
        return tool in self.command or tool in self.text[:2000]


class Found(Struct, frozen=True):
    """A diagnostic as it stands in an output, before its message is normalised."""

    tool: str
    code: str
    message: str
    quote: str
    warning: bool = False


class Place(Struct, frozen=True):
    """The head of a diagnostic's line: where it points, and what is said behind it."""

    line: str
    mark: str  # what stands before the file: "e: ", "[ERROR] ", "vet: "
    extension: str
    has_column: bool
    indented: bool
    said: str


class Form(Struct, frozen=True):
    """One way to say what is wrong. Groups: `message`, and perhaps `code` and `level`.

    `extensions`: the files it is read for (none: any). `checks`: the kinds of command it is believed of (none: any).
    """

    tool: str
    expression: re.Pattern[str]
    extensions: frozenset[str] = frozenset()
    checks: frozenset[str] = frozenset()
    column: bool = False


_LOCATION: Final = re.compile(r"\.[A-Za-z]\w{0,9}(?::\[?|: \(|\()\d")
_PLACE: Final = re.compile(
    # the task runner's prefix: "[lint] ", "web | ", "web:lint: "
    r"(?:\[(?!ERROR|WARN)[\w:.-]{1,40}\] +|\w[\w.-]{0,40} +\| |[\w@/.#-]{1,40}:[a-z][\w:-]{0,40}: )?"
    r"(?P<indent>[ \t]{0,8})"
    r"(?P<mark>vet: |[ew]: (?:file://)?|\[(?:ERROR|WARN(?:ING)?)\] +)?"
    r"(?P<file>(?:[A-Za-z]:)?[^\s:()'\"`<>|,;={}\[\]]{1,300}\.(?P<extension>[A-Za-z]\w{0,9}))"
    r"(?::\[?\d{1,6}(?:[:,](?P<column>\d{1,5})(?:-\d+(?::\d+)?)?)?\]?"
    r"|(?:: )?\(\d{1,6}(?:, ?(?P<second>\d{1,5})[\d,]*)?\))"
    r":?(?: -)? (?P<said>\S.*)"
)
_ANY_CHECK: Final = frozenset({"test", "lint", "build", "typecheck", "format"})
_LINT: Final = frozenset({"lint", "format"})
_PYTHON: Final = frozenset({"py", "pyi", "ipynb"})
_GO: Final = frozenset({"go"})
_MARKDOWN: Final = frozenset({"md", "mdx", "markdown"})
_YAML: Final = frozenset({"yml", "yaml"})
_JVM: Final = frozenset({"java", "kt", "kts", "scala", "groovy"})
_COMPILED: Final = names_in(
    """
    c cc cpp cxx h hh hpp m mm java kt kts scala swift zig py pyi d pas f90 hs ml vala nim cu proto dart sol cr
    ts tsx mts cts js jsx mjs vue svelte
    """
)

# golangci-lint's linters by their own names: `(word)` at the end of a Go line means a rule only if it is one of them.
GO_LINTERS: Final = names_in(
    """
    arangolint asasalint asciicheck bidichk bodyclose canonicalheader containedctx contextcheck copyloopvar cyclop
    decorder depguard dogsled dupl dupword durationcheck embeddedstructfieldcheck err113 errcheck errchkjson errname
    errorlint exhaustive exhaustruct exptostd exportloopref fatcontext forbidigo forcetypeassert funcorder funlen
    ginkgolinter gocheckcompilerdirectives gochecknoglobals gochecknoinits gochecksumtype gocognit goconst gocritic
    gocyclo godot godox goerr113 goheader gomoddirectives gomodguard goprintffuncname gosec gosmopolitan govet grouper
    iface importas inamedparam ineffassign interfacebloat intrange iotamixing ireturn lll loggercheck maintidx makezero
    mirror misspell mnd musttag nakedret nestif nilerr nilnesserr nilnil nlreturn noctx noinlineerr nolintlint
    nonamedreturns nosprintfhostport paralleltest perfsprint prealloc predeclared promlinter protogetter reassign
    recvcheck revive
    rowserrcheck scopelint sloglint spancheck sqlclosecheck staticcheck stylecheck gosimple tagalign tagliatelle
    testableexamples testifylint testpackage thelper tparallel unconvert unparam unqueryvet unused usestdlibvars
    usetesting varnamelen wastedassign whitespace wrapcheck wsl wsl_v5 zerologlint modernize gofmt gofumpt goimports
    gci golines swaggo deadcode structcheck varcheck interfacer maligned exhaustivestruct ifshort nosnakecase tenv
    typecheck golint gomnd
    """
)


def _form(
    tool: str, expression: str, extensions: frozenset[str] = frozenset(), checks: frozenset[str] = frozenset()
) -> Form:
    return Form(tool, re.compile(expression), extensions, checks)


# The first form that fits a line reads it.
FORMS: Final = (
    _form("", r"(?:fatal )?(?P<level>error|warning) (?P<code>[A-Z]{1,10}\d{2,6}):? (?P<message>.+)"),
    _form("rubocop", r"(?P<level>[CWEFR]): (?:\[[\w ]+\] )?(?P<code>[A-Z]\w+(?:/\w+)+): (?P<message>.+)"),
    _form("pylint", r"(?P<code>[CRWEF]\d{4}): (?P<message>.+?)(?: \([a-z0-9-]+\))?$", _PYTHON),
    _form("ruff", r"(?P<code>[A-Z]{1,6}\d{2,4})(?::| \[\*\])? (?P<message>.+)", _PYTHON),
    _form("ruff", r"(?P<code>invalid-syntax|SyntaxError): (?P<message>.+)", _PYTHON),
    _form("markdownlint", r"(?:error )?(?P<code>MD\d{3})(?:/[\w/-]+)? (?P<message>.+)", _MARKDOWN),
    _form("yamllint", r"\[(?P<level>error|warning)\] (?P<message>.+?) +\((?P<code>[\w-]+)\)$", _YAML),
    _form("eslint", r"(?P<message>.+) \[(?P<level>Error|Warning)/(?P<code>[\w@/-]+)\]$"),
    _form("shellcheck", r"(?:error|warning|note|info|style): (?P<message>.+) \[(?P<code>SC\d{4})\]$"),
    _form("", r"(?P<level>fatal error|error|warning): (?P<message>.+?) +\[(?P<code>[\w.:/=+,-]{2,80})\]$"),
    _form("", r"(?P<level>fatal error|error|warning): (?P<message>.+?) \((?P<code>[a-zA-Z][\w:-]{2,60})\)$"),
    _form("cppcheck", r"(?P<level>style|performance|portability): (?P<message>.+) \[(?P<code>\w+)\]$"),
    _form("", r"(?:fatal error|error): (?P<message>.+)", _COMPILED, _ANY_CHECK),
    _form("golangci-lint", r"(?P<message>.+) \((?P<code>[a-z][a-z0-9_]+|[A-Z]{1,4}\d{3,4})\)$", _GO),
    _form("", r"(?P<message>.+) [\[(](?P<code>[A-Z][a-z]+[A-Z]\w+|standard:[\w-]+)[\])]$", _JVM),
    _form("checkstyle", r"\(\w+\) (?P<code>[A-Z]\w+): (?P<message>.+)", frozenset({"java"})),
    _form("actionlint", r"(?P<message>.+) \[(?P<code>[a-z][\w-]{2,60})\]$", _YAML, _LINT),
)  # fmt: skip
_PROJECT_FILE: Final = re.compile(r" \[[^\]]+proj(?:::[^\]]*)?\]$")  # .NET names it at the end of every line
_BARE: Final = re.compile(r"(?P<message>[^:\s].*)")

_BY_CODE: Final = (
    (re.compile(r"TS\d+"), "tsc"),
    (re.compile(r"SC\d{4}"), "shellcheck"),
    (re.compile(r"MD\d{3}"), "markdownlint"),
    (re.compile(r"(?:CS|CA|IDE|NU|NETSDK|MSB|FS|BC)\d+"), "dotnet"),
    (re.compile(r"report[A-Z]\w+"), "pyright"),
    (re.compile(r"-W.+"), "C compiler"),
    (re.compile(r"standard:.+"), "ktlint"),
    (re.compile(r"(?:bugprone|modernize|readability|performance|cppcoreguidelines|cert|google)-.+"), "clang-tidy"),
)  # fmt: skip
_BY_EXTENSION: Final = {
    **dict.fromkeys(("c", "cc", "cpp", "cxx", "h", "hh", "hpp", "m", "mm", "cu"), "C compiler"),
    **dict.fromkeys(("py", "pyi"), "mypy"),
    **dict.fromkeys(("ts", "tsx", "mts", "cts", "vue", "svelte"), "tsc"),
    **dict.fromkeys(("js", "jsx", "mjs"), "javascript"),
    **dict.fromkeys(("kt", "kts"), "kotlinc"),
    **dict.fromkeys(("yml", "yaml"), "actionlint"),
    "java": "javac", "scala": "scalac", "swift": "swiftc", "zig": "zig", "dart": "dart", "hs": "ghc",
}  # fmt: skip
_SUB_RULE: Final = re.compile(r"(?P<rule>[A-Za-z][\w-]{2,40}|[A-Z]{1,3}\d{3,4}): (?P<message>\S.*)")
_HAS_SUB_RULES: Final = names_in(
    "gocritic revive govet staticcheck gosec testifylint modernize perfsprint stylecheck gosimple"
)
_NUMBERED: Final = re.compile(r"[A-Z]{1,3}\d{3,4}")


def located(output: Output) -> Iterator[Found]:
    """The diagnostics that stand behind a place, in the order of the text."""
    text = output.text
    end = -1
    for number, location in enumerate(_LOCATION.finditer(text)):
        if number >= _MAX_LINES:
            return
        if location.start() <= end:
            continue
        start = text.rfind("\n", 0, location.start()) + 1
        end = text.find("\n", location.end())
        end = len(text) if end < 0 else end
        place = _place(text, start, end)
        found = _read(place, output) if place else None
        if found:
            yield found


def _place(text: str, start: int, end: int) -> Place | None:
    """The place at the head of a line; None for a line without one."""
    if end - start > MAX_LINE:
        end = start + MAX_LINE
    line = text[start:end].rstrip()
    found = _PLACE.match(line)
    if found is None:
        return None
    extension = found["extension"].lower()
    said = found["said"]
    if extension == "go" and said.count("`") % 2:  # goconst quotes strings that hold line breaks
        said += _continuation(text, end)
    has_column = bool(found["column"] or found["second"])
    return Place(line, found["mark"] or "", extension, has_column, bool(found["indent"]), said)


def _continuation(text: str, end: int) -> str:
    """What follows on the next lines up to the one that ends with a rule in brackets."""
    following = text[end : end + MAX_LINE].split("\n")[1:4]
    for count, line in enumerate(following, 1):
        if line.endswith(")"):
            return " ".join(["", *following[:count]])
    return ""


def _read(place: Place, output: Output) -> Found | None:
    """What the first fitting form makes of a line."""
    for form in FORMS:
        if (form.extensions and place.extension not in form.extensions) or (
            form.checks and output.check not in form.checks
        ):
            continue
        match = form.expression.match(place.said)
        if match:
            return _found(form, match, place, output)
    return _bare(place, output)


def _found(form: Form, match: re.Match[str], place: Place, output: Output) -> Found | None:
    """A match as a diagnostic; None where what looks like a rule is none."""
    groups = match.groupdict()
    code = groups.get("code") or ""
    message = match["message"]
    level = groups.get("level") or ""
    if place.extension == "go" and form.tool == "golangci-lint":
        return _go_linter(code, message, place, output)
    message = _PROJECT_FILE.sub("", message)
    code = code.split(",")[0].replace("-Werror=", "-W")
    return Found(
        form.tool if form.tool not in {"", "ruff"} else _tool(form.tool, code, place.extension, output),
        code,
        message,
        place.line,
        warning=level in {"warning", "Warning"},
    )


def _go_linter(code: str, message: str, place: Place, output: Output) -> Found | None:
    """A line of golangci-lint or staticcheck; the sub-rule that a message starts with becomes part of the code."""
    if code == "typecheck":
        return _bare(place, output, message)
    numbered = bool(_NUMBERED.fullmatch(code))
    if not numbered and code not in GO_LINTERS and not (output.check == "lint" and output.names("golangci-lint")):
        return _bare(place, output)
    tool = "staticcheck" if numbered else "golangci-lint"  # golangci-lint names the linter, not its rule
    sub = _SUB_RULE.match(message) if code in _HAS_SUB_RULES else None
    if sub:
        code = sub["rule"] if _NUMBERED.fullmatch(sub["rule"]) else f"{code}/{sub['rule']}"
        message = sub["message"]
    return Found(tool, code, message, place.line)


def _bare(place: Place, output: Output, message: str = "") -> Found | None:
    """A compiler's message without level and code: Go's, Maven's and Kotlin's, believed of checks only."""
    told = message or place.said
    if not output.check or not _BARE.fullmatch(told):
        return None
    if place.extension == "go" and place.has_column and not place.indented:
        return None if told == "too many errors" else Found("go", "", told, place.line)
    if place.extension in _JVM and place.mark.startswith(("e: ", "[ERROR]")):
        return Found(_BY_EXTENSION.get(place.extension, "javac"), "", told, place.line)
    return None


def _tool(shape: str, code: str, extension: str, output: Output) -> str:
    """Whose rule a code is, where several tools share the shape."""
    if shape == "ruff":
        return "flake8" if output.names("flake8") and not output.names("ruff") else "ruff"
    for expression, tool in _BY_CODE:
        if expression.fullmatch(code):
            return tool
    if code and extension == "swift":
        return "swiftlint"
    if extension == "kt" and code:
        return "detekt"
    if extension == "java" and code:
        return "checkstyle"
    return _BY_EXTENSION.get(extension, "")
