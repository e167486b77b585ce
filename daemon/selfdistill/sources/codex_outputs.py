"""What a Codex tool output says: six shapes of exit codes (formats.md 3.3), refusals, and the bare text."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from selfdistill.sources.codex_records import Output, Part
from selfdistill.sources.decoding import exit_status

_SANDBOX: Final = re.compile(
    r"failed in sandbox \w* ?with execution error: (?:sandbox denied exec error, )?"
    r"(?:exit code: (-?\d{1,10}), stdout: (.*), stderr: (.*)|(.*))\Z",
    re.DOTALL,
)
_HEADER: Final = re.compile(
    r"(?:(?:Chunk ID|Wall time|Original token count|Total output lines|Session ID)[^\n]*\n"
    r"|(?:Process exited with code|Exit code:) ?(?P<code>-?\d{1,10})\n"
    r"|Process running with session ID [^\n]*\n)+(?:Output:\n?)?"
)
_HEADER_CODE: Final = re.compile(r"^(?:Process exited with code|Exit code:) ?(-?\d{1,10})$", re.MULTILINE)
_SCRIPT: Final = re.compile(r"Script (completed|failed|running|error)[^\n]*(?:\nWall time[^\n]*)?(?:\nOutput:)?\n*")
_INNER_CODE: Final = re.compile(r"Process exited with code (-?\d{1,10})|[\"']?exit_code[\"']?: ?(-?\d{1,10})")
_HARNESS_ERROR: Final = (
    "error: ",
    "apply_patch verification failed",
    "failed in sandbox",
    "failed to parse function arguments",
    "execution error",
    "aborted by user",
    "unsupported call",
    "exec command rejected",
    "command timed out",
    "patch rejected",
)
_BY_USER: Final = re.compile(
    r"(?:exec command|patch|tool call|request|command|call) (?:was )?(?:rejected|denied) by (?:the )?user"
)
_BY_RULE: Final = re.compile(
    r"(?:exec command|patch|tool call) (?:was )?rejected\b|rejected by (?:policy|guardian|rule)"
)
SHORT: Final = 400  # a refusal is a sentence; longer outputs that hold its words are file contents


class _Metadata(Struct):
    exit_code: int | None = None


class _ShellOutput(Struct):
    """What the `shell` tool up to 0.4x returns as JSON inside a string."""

    output: str | UnsetType = UNSET
    metadata: _Metadata | UnsetType = UNSET


class Outcome(NamedTuple):
    """A tool output without its wrapping."""

    text: str
    exit_code: int | None = None
    is_error: bool | None = None
    by_user: bool = False  # the user refused the call
    by_rule: bool = False  # a policy or a guardian did


_shell_output: Final = msgspec.json.Decoder(_ShellOutput).decode


def outcome(output: str | list[Part] | Output | None) -> Outcome:
    """Return what a call's output says."""
    if isinstance(output, Output):
        inner = outcome(output.content if output.content is not None else output.text)
        return inner if output.success is None else inner._replace(is_error=not output.success)
    if isinstance(output, list):
        return _script_outcome([part.text for part in output if part.text])
    return _text_outcome(output or "")


def _text_outcome(text: str) -> Outcome:
    """The outcome of an output that is one text."""
    if text.startswith("{"):
        return _json_outcome(text)
    if header := _HEADER.match(text):
        code = _HEADER_CODE.search(header[0])
        return Outcome(text[header.end() :], exit_status(int(code[1])) if code else None)
    if text.startswith(_HARNESS_ERROR):
        return _harness_error(text)
    if text.startswith("Script "):
        return _script_outcome([text])
    return Outcome(text)


def _json_outcome(text: str) -> Outcome:
    """The outcome of an output that looks like JSON: the wrapping of `shell`, or what a command printed."""
    try:
        shell = _shell_output(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Outcome(text)
    if isinstance(shell.output, str) and isinstance(shell.metadata, _Metadata):
        return Outcome(shell.output, exit_status(shell.metadata.exit_code))
    return Outcome(text)


def _harness_error(text: str) -> Outcome:
    """The outcome of a call that the harness itself says has failed."""
    if sandbox := _SANDBOX.match(text):
        if sandbox[1] is None:
            return Outcome(sandbox[4], is_error=True)
        streams = "\n".join(stream for stream in (sandbox[2], sandbox[3]) if stream)
        return Outcome(streams, exit_status(int(sandbox[1])), is_error=True)
    short = text[:SHORT] if len(text) <= SHORT else ""
    by_user = bool(_BY_USER.search(short))
    return Outcome(text, is_error=True, by_user=by_user, by_rule=not by_user and bool(_BY_RULE.search(short)))


def _script_outcome(texts: list[str]) -> Outcome:
    """The outcome of parts: code mode puts its own verdict first, and hides the inner exit codes in the text."""
    head = _SCRIPT.match(texts[0]) if texts else None
    if head is None:
        return _text_outcome(texts[0]) if len(texts) == 1 else Outcome("\n".join(texts))
    text = "\n".join(part for part in (texts[0][head.end() :], *texts[1:]) if part)
    codes = [exit_status(int(first or second)) for first, second in _INNER_CODE.findall(text)]
    failed = next((code for code in codes if code), None)
    code = failed if failed is not None else codes[-1] if codes else None
    if len(texts) == 2 and (inner := _text_outcome(texts[1])).text != texts[1]:  # noqa: PLR2004 - verdict and one output
        text = inner.text
    return Outcome(text, code, is_error=True if head[1] in {"failed", "error"} else None)
