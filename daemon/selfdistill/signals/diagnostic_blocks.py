"""Diagnostics that stretch over lines or stand under their file's name: rustc, ruff, eslint, shellcheck, biome ...

Every reader waits for a plain substring, its mark: most outputs hold none of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.signals.diagnostic_forms import MAX_LINE, Found, Output
from selfdistill.signals.run_shapes import lines_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_BLOCKS: Final = 200
_BLOCK: Final = 3_000  # characters of a block in which the name of its rule is looked for
_WARNINGS: Final = frozenset({"warning", "Warning", "\u26a0", "!"})

# rustc, clippy, ruff, ty, typos: a headline, then an arrow with the place.
_HEADLINE: Final = re.compile(
    r"(?P<level>error|warning)(?:\[(?P<code>[\w:-]+)\])?: (?P<message>.+)"
    r"|(?P<rule>[A-Z]{1,6}\d{2,4})(?: \[\*\])? (?P<told>.+)|(?P<syntax>invalid-syntax|SyntaxError): (?P<said>.+)"
)
_ARROW_PLACE: Final = re.compile(r"--> (?P<file>[^\n:]{1,300}\.(?P<extension>\w{1,6})):\d+:\d+")
_LINT_NAME: Final = re.compile(
    r"index\.html#(?P<clippy>\w+)|#\[(?:warn|deny|forbid)\((?P<named>[\w:]+)\)\]|`-[DW] (?P<option>[\w:-]+)`"
)

_UNDER_FILE: Final = re.compile(
    r"(?:[\w@/.#-]{1,40}:[a-z][\w:-]{0,40}: )? *\d+:\d+ +(?P<level>error|warning|Error|Warning|\u2716|\u26a0):? +"
    r"(?P<message>\S.*?)(?: {2,}\(?(?P<code>[@\w/.-]+)\)?)?\s*$"
)
_GROUPED: Final = re.compile(r"(?:^|\n) +\d+:\d+:? (?P<code>[A-Z]{1,6}\d{2,4}) (?:\[\*\] )?(?P<message>\S.*)")
_SHELLCHECK: Final = re.compile(r"[ \t]*\^[-^ ]*(?P<code>SC\d{4})(?: \(\w+\))?: (?P<message>.+)")
_BIOME: Final = re.compile(r"\S+:\d+:\d+ (?P<code>lint/\w+/\w+)")
_BIOME_MESSAGE: Final = re.compile(r"\n\s*(?P<level>[\u00d7\u2716x!\u26a0i]) (?P<message>\S.*)")
_OXLINT: Final = re.compile(r" *(?P<level>[\u00d7\u26a0]) (?P<code>[\w@/-]+\([\w/-]+\)): (?P<message>.+)")
_DART: Final = re.compile(
    r" *(?P<level>error|warning|info) [-\u2022] (?:\S+\.dart:\d+:\d+ - (?P<message>.+) - (?P<code>\w+)"
    r"|(?P<told>.+) \u2022 \S+\.dart:\d+:\d+ \u2022 (?P<rule>\w+))\s*$"
)
_TYPE_ERROR: Final = re.compile(r"Type error: (?P<message>.+)|Error: (?P<told>.+) \((?:ts|js)\)$")
_BANDIT: Final = re.compile(r">> Issue: \[(?P<code>B\d{3}):[\w-]+\] (?P<message>.+)")
_HADOLINT: Final = re.compile(r"\S*Dockerfile\S*:\d+ (?P<code>(?:DL|SC)\d{4}) (?:\w+: )?(?P<message>.+)")

_UNFORMATTED: Final = (
    ("Would reformat: ", "ruff"),
    ("would reformat ", "black"),
    ("Code style issues found", "prettier"),
    ("Code style issues fixed", "prettier"),
    ("Diff in /", "rustfmt"),
    ("Formatter would have printed", "biome"),
)


def arrows(output: Output) -> Iterator[Found]:
    """Headlines with an arrow below: rustc, clippy, ruff's full format, ty, typos."""
    text = output.text
    position = text.find("--> ")
    for _ in range(_MAX_BLOCKS):
        if position < 0:
            return
        place = _ARROW_PLACE.match(text, position)
        if place:
            found = _headline(text, position, place, output)
            if found:
                yield found
        position = text.find("--> ", position + 4)


def _headline(text: str, position: int, place: re.Match[str], output: Output) -> Found | None:
    """The headline above an arrow."""
    head_end = text.rfind("\n", 0, position)
    if head_end < 0:
        return None
    line = text[text.rfind("\n", 0, head_end) + 1 : head_end][:MAX_LINE].strip()
    match = _HEADLINE.fullmatch(line)
    if match is None:
        return None
    extension = place["extension"]
    code = match["code"] or match["rule"] or match["syntax"] or ""
    if extension == "rs" and not code:
        code = _lint_name(text, position)
    warning = match["level"] == "warning"
    if not code and (warning or not output.check):
        return None
    tool = _arrow_tool(extension, code, bool(match["level"]))
    return (
        Found(tool, code, match["message"] or match["told"] or match["said"], line, warning=warning) if tool else None
    )


def _arrow_tool(extension: str, code: str, has_level: bool) -> str:  # noqa: FBT001 - a fact about the line
    """Whose arrow it is."""
    if extension == "rs":
        return "clippy" if code.startswith("clippy::") else "rustc"
    if extension in {"py", "pyi", "ipynb"}:
        return "ty" if has_level else "ruff"
    return "typos" if has_level and not code else ""


def _lint_name(text: str, position: int) -> str:
    """The lint that the notes of a rustc block name, "" if they name none."""
    end = text.find("\n\n", position, position + _BLOCK)
    found = _LINT_NAME.search(text, position, end if end >= 0 else position + _BLOCK)
    if found is None:
        return ""
    if found["clippy"]:
        return f"clippy::{found['clippy']}"
    return (found["named"] or found["option"]).replace("-", "_")


def _lines(expression: re.Pattern[str], tool: str, marks: tuple[str, ...]) -> Callable[[Output], Iterator[Found]]:
    """A reader of lines that one expression matches."""

    def read(output: Output) -> Iterator[Found]:
        for line in lines_with(output.text, marks)[:_MAX_BLOCKS]:
            match = expression.match(line[:MAX_LINE])
            if match:
                yield _of_match(match, tool, line)

    return read


def _of_match(match: re.Match[str], tool: str, line: str) -> Found:
    groups = match.groupdict()
    code = groups.get("code") or groups.get("rule") or ""
    if tool == "oxlint":
        code = _as_eslint(code)
    message = groups.get("message") or groups.get("told") or ""
    return Found(tool, code, message, line[:MAX_LINE].strip(), warning=groups.get("level") in _WARNINGS)


def _as_eslint(code: str) -> str:
    """The rule of oxlint's `plugin(rule)` as eslint names it, so that both tools agree."""
    plugin, _, rule = code.rstrip(")").partition("(")
    if plugin == "eslint":
        return rule
    return f"{'@typescript-eslint' if plugin.startswith('typescript') else plugin}/{rule}"


def under_file(output: Output) -> Iterator[Found]:
    """`12:5  error  message  rule` below a file's name: eslint, stylelint, yamllint, Next.js.

    Believed of checks and where eslint's own summary follows; without a rule it is a parse error.
    """
    if not output.check and "\u2716 " not in output.text:
        return
    tool = next((name for name in ("stylelint", "yamllint") if output.names(name)), "eslint")
    for line in lines_with(output.text, _UNDER_MARKS)[:_MAX_BLOCKS]:
        match = _UNDER_FILE.match(line[:MAX_LINE])
        if match and (match["code"] or match["level"] in {"error", "Error"}):
            yield _of_match(match, tool, line)


_UNDER_MARKS: Final = (" error ", " warning ", "  Error: ", "  Warning: ", "  \u2716  ")


def grouped(output: Output) -> Iterator[Found]:
    """`12:5 F401 message` below a file's name: ruff's grouped format."""
    if output.names("ruff") or output.check:
        for match in _GROUPED.finditer(output.text):
            yield Found("ruff", match["code"], match["message"], match[0][:MAX_LINE].strip())


def biome(output: Output) -> Iterator[Found]:
    """A headline with place and rule, the message some lines below."""
    for line in lines_with(output.text, (" lint/",))[:_MAX_BLOCKS]:
        headline = _BIOME.match(line)
        if headline is None:
            continue
        start = output.text.find(line) + len(line)
        told = _BIOME_MESSAGE.search(output.text, start, start + _BLOCK)
        if told:
            yield Found("biome", headline["code"], told["message"], headline[0], warning=told["level"] in _WARNINGS)


def unformatted(output: Output) -> Iterator[Found]:
    """That a formatter would change files: which ones does not matter, the cure is one command."""
    for mark, tool in _UNFORMATTED:
        if output.check and mark in output.text:
            line = lines_with(output.text, (mark,))[0]
            yield Found(tool, "unformatted", "a file is not formatted", line[:MAX_LINE].strip())


BLOCKS: Final[tuple[tuple[tuple[str, ...], Callable[[Output], Iterator[Found]]], ...]] = (
    (("--> ",), arrows),
    (("rror", "arning", "\u2716"), under_file),
    (("Found ",), grouped),
    ((" lint/",), biome),
    (("^ SC", "- SC"), _lines(_SHELLCHECK, "shellcheck", (" SC",))),
    (("\u00d7 ", "\u26a0 "), _lines(_OXLINT, "oxlint", ("\u00d7 ", "\u26a0 "))),
    ((".dart:",), _lines(_DART, "dart", (".dart:",))),
    (("Type error: ", " (ts)"), _lines(_TYPE_ERROR, "tsc", ("Type error: ", " (ts)"))),
    ((">> Issue: [B",), _lines(_BANDIT, "bandit", (">> Issue: [B",))),
    (("Dockerfile",), _lines(_HADOLINT, "hadolint", ("Dockerfile",))),
    (("ormat", "Code style", "Diff in "), unformatted),
)
