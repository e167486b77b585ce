"""The texts of Gemini CLI and Qwen Code, its fork: parts, who typed them, and what a call's result says in words."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from selfdistill.sources.decoding import exit_status, typed
from selfdistill.sources.injections import without_own, without_wrapped

_INJECTED: Final = (
    "<session_context>",
    "This is the Gemini CLI. We are setting up the context",
    "This is the Qwen Code. We are setting up the context",
    "<hook_context>",
    "<qwen:",
    "<task-notification",
    "<system-reminder",
    "Here is the user's editor context",
    "Here is a summary of changes in the user's editor context",
    "I ran the following shell command:",
    "System: ",
)
SNAPSHOT: Final = "<state_snapshot>"
_CONTINUES: Final = "Please continue."  # what the client sends where the model stopped in the middle
_SLASH: Final = re.compile(r"/[\w:.-]+(\s|$)")
_REFERENCED: Final = re.compile(r"^--- Content from referenced files ---", re.MULTILINE)
_TRAILER: Final = re.compile(r"(Exit Code|Signal|Background PIDs|Process Group PGID): (.*)")
_HEADED: Final = re.compile(r"Command: .*?\nDirectory: [^\n]*\n(?:Output|Stdout): ", re.DOTALL)
_TRAILER_LINES: Final = 6
_NONE: Final = frozenset({"(none)", "0", ""})
_CANCELLED: Final = "[Operation Cancelled] Reason: "
_STOPPED: Final = "Command was cancelled by user before it could"
_REFUSED: Final = ("User did not allow tool call", "User denied execution")
_POLICY: Final = re.compile(
    r"Tool execution (?:denied|blocked) by policy|.{0,400}not in the list of allowed tools for non-interactive mode"
    r"|.{0,400}requires user approval but cannot (?:be )?execute",
    re.DOTALL,
)


class FunctionCall(Struct, frozen=True, gc=False):
    """What the model calls."""

    id: str | None = None
    name: str = ""
    args: Raw = field(default_factory=Raw)


class FunctionResponse(Struct, frozen=True, gc=False):
    """What a call has given back."""

    id: str | None = None
    name: str = ""
    response: Raw = field(default_factory=Raw)


class Part(Struct, frozen=True, gc=False):
    """A piece of content as Google's API has it."""

    text: str | None = None
    thought: bool | str | None = None
    functionCall: FunctionCall | None = None  # noqa: N815 - the API's own names
    functionResponse: FunctionResponse | None = None  # noqa: N815


Content = str | Part | list[Part | str] | None


class _Response(Struct):
    """The answer of a call: its output, or why there is none."""

    output: Raw = field(default_factory=Raw)
    error: Raw = field(default_factory=Raw)


class Ending(Enum):
    """Why a call came to an end."""

    DONE = 0
    REFUSED = 1  # a person did not allow it
    STOPPED = 2  # a person interrupted it
    DENIED = 3  # a rule did not allow it


class Outcome(NamedTuple):
    """A result without its wrapping."""

    text: str
    is_error: bool | None = None
    exit_code: int | None = None
    ending: Ending = Ending.DONE
    feedback: str = ""  # REFUSED: what the person said about it


_response_decoder: Final = msgspec.json.Decoder(_Response)
_string: Final = msgspec.json.Decoder(str)


def parts_of(content: Content) -> list[Part]:
    """Return the parts of a content; a text is one part."""
    if content is None:
        return []
    if isinstance(content, Part):
        return [content]
    pieces = [content] if isinstance(content, str) else content
    return [Part(text=piece) if isinstance(piece, str) else piece for piece in pieces]


def texts_of(content: Content) -> list[str]:
    """Return the texts of a content without the model's thoughts."""
    return [part.text for part in parts_of(content) if part.text and not part.thought]


def typed_text(texts: list[str]) -> str:
    """Return what a person typed of a user message's texts, "" where a program wrote them.

    Files that a prompt names (`@file`) are put behind it; a slash command is a program's text.
    """
    said = [text for text in texts if not text.lstrip().startswith("<qwen:")]
    whole = without_wrapped(without_own("\n".join(said))).strip()
    if whole.startswith(_INJECTED) or whole == _CONTINUES or _SLASH.match(whole):
        return ""
    referenced = _REFERENCED.search(whole)
    return whole[: referenced.start()].rstrip() if referenced else whole


def outcome(status: str, response: Raw, *, command: bool) -> Outcome:
    """Return what the answer of a call says; `status` is the log's own word, "" where it has none."""
    answer = typed(response, _response_decoder, _Response) if bytes(response) else _Response()
    failed = bool(bytes(answer.error)) and bytes(answer.error) != b"null"
    text = _unwrapped(_text(answer.error if failed else answer.output))
    if not text and not failed and not bytes(answer.output):
        text = _text(response)
    if status == "cancelled" or text.startswith(_CANCELLED):
        return _cancelled(text)
    if text.startswith(_STOPPED):
        return Outcome(text, is_error=True, ending=Ending.STOPPED)
    if failed or status == "error":
        return Outcome(text, is_error=True, ending=Ending.DENIED if _POLICY.match(text) else Ending.DONE)
    if command:
        text, code = _shell(text)
        return Outcome(text, is_error=False, exit_code=code)
    return Outcome(text, is_error=False)


def _text(value: Raw) -> str:
    """A piece of JSON as text: a string's own, anything else as it stands."""
    raw = bytes(value)
    if raw in {b"", b"null"}:
        return ""
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, ValueError):
        return raw.decode("utf-8", "replace")


def _unwrapped(text: str) -> str:
    """The text without the tag that newer versions put around what comes from outside."""
    if not text.startswith("<untrusted_context>"):
        return text
    return text.removeprefix("<untrusted_context>").removesuffix("</untrusted_context>").strip("\n")


def _cancelled(text: str) -> Outcome:
    """The outcome of a cancelled call: not allowed (in words of one's own at times), or interrupted."""
    reason = text.removeprefix(_CANCELLED).strip()
    if reason.startswith(_REFUSED):
        return Outcome(text, is_error=True, ending=Ending.REFUSED)
    if not reason or "cancel" in reason.casefold():
        return Outcome(text, is_error=True, ending=Ending.STOPPED)
    return Outcome(text, is_error=True, ending=Ending.REFUSED, feedback=reason)


def _shell(text: str) -> tuple[str, int | None]:
    """The output of a shell command and its exit code, out of the lines that stand around it.

    Up to 0.2x every line is there with `(none)`; later ones leave out what is nothing: no code means 0.
    """
    head, *tail = text.rsplit("\n", _TRAILER_LINES)
    lines = [head, *tail]
    told: dict[str, str] = {}
    while len(lines) > 1 and (found := _TRAILER.fullmatch(lines[-1])):
        told[found[1]] = found[2]
        lines.pop()
    error = lines.pop()[len("Error: ") :] if len(lines) > 1 and lines[-1].startswith("Error: ") else ""
    body = "\n".join(lines)
    headed = _HEADED.match(body)
    if headed is None and not body.startswith("Output: "):
        return text, None
    output = body[headed.end() :] if headed else body.removeprefix("Output: ")
    output = output.removesuffix("\nStderr: (empty)").removeprefix("(empty)")
    if error and error not in _NONE:
        output = f"{output}\n{error}".strip("\n")
    return output, _exit_code(told, error)


def _exit_code(told: dict[str, str], error: str) -> int | None:
    """The exit code that the lines tell, 0 where they tell of nothing wrong."""
    code = told.get("Exit Code", "")
    if code.lstrip("-").isdecimal():
        return exit_status(int(code[:12]))
    killed = told.get("Signal", "") not in _NONE or error not in _NONE
    return None if killed or code else 0
