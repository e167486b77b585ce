"""How Cline, Roo Code and Kilo Code write calls, results and people's words into plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from selfdistill.sources.conversation import Given

# Tools through which the agent speaks: the argument is what it says, then it waits for a person.
SPEAKING: Final = {
    "attempt_completion": "result",
    "ask_followup_question": "question",
    "ask_question": "question",
    "plan_mode_respond": "response",
    "plan_mode_response": "response",
    "submit_and_exit": "summary",
}
QUESTIONS: Final = frozenset({"ask_followup_question", "ask_question"})
_XML_TOOLS: Final = (
    "execute_command|read_file|write_to_file|replace_in_file|apply_diff|insert_content|search_and_replace|edit_file"
    "|search_files|list_files|list_code_definition_names|codebase_search|browser_action|use_mcp_tool"
    "|access_mcp_resource|load_mcp_documentation|new_task|switch_mode|fetch_instructions|update_todo_list|new_rule"
    "|web_fetch|web_search|use_skill|condense|summarize_task|report_bug|run_slash_command|generate_image|apply_patch"
)
_CALL: Final = re.compile(rf"^[ \t]*<({_XML_TOOLS}|{'|'.join(SPEAKING)})>", re.MULTILINE)
_PARAMETER: Final = re.compile(r"<([a-z_]+)>")
_HEADER: Final = re.compile(r"\[(\w+)")
_HEADER_END: Final = "] Result:"
_PEOPLE: Final = ("task", "feedback", "user_message", "answer", "user_input", "user_command")
_NOTICE: Final = re.compile(r"<mode_notice>.*?</mode_notice>", re.DOTALL)
_PROGRAM: Final = ("[ERROR]", "[NOTE]", "[TASK RESUMPTION]", "# TODO", "# Todo", "Skipping tool", "<explicit_instruc",
                   "<file_content", "<folder_content", "<hook_context", "<environment_details", "<mode_notice",
                   "<system-reminder", "<git_working_state", "<workspace_diagnostics", "<url_content",
                   "This session is being continued from a previous conversation")  # fmt: skip
_QUOTING: Final = ("<file_content", "<folder_content", "<url_content", "<explicit_instruc", "<git_working_state",
                   "<workspace_diagnostics", "<environment_details")  # fmt: skip
_WORKING: Final = re.compile(r"^# Current Work(?:ing|space) Directory \((/.*)\)(?: Files)?\s*$", re.MULTILINE)
_MODEL: Final = re.compile(r"^<model>([^<\n]+)</model>", re.MULTILINE)
_DENIED: Final = "The user denied this operation"
_ADDED: Final = "The user provided the following feedback:\n<feedback>"
_FAILED: Final = (
    "The tool execution failed",
    "Missing value for required parameter",
    "Skipping tool",
    "Tool [",
    "[ERROR]",
    "Invalid JSON argument",
    "Task was interrupted before this tool call could be completed",
    "Command failed",
    "This is likely because the SEARCH block content doesn't match exactly",
    "The command was terminated after exceeding",
    *(f"Error {doing}" for doing in ("executing", "reading", "writing", "listing", "searching", "applying", "parsing")),
    *(f"Error {doing}" for doing in ("inserting", "replacing", "during", "fetching", "accessing", "querying")),
)
_EXIT: Final = re.compile(r"[^\n]{0,600}?(?:\n[^\n]{0,200}?)?\b[Ee]xit code:? (\d{1,9})\b")
_WITHIN: Final = re.compile(r"[^\n]{0,100}within working directory '([^'\n]{1,500})'")
_OUTPUT: Final = "\nOutput:\n"
_SHORT: Final = 1_200  # characters in which the sentence before a command's output stands


class Call(NamedTuple):
    """A tool call that stands as XML in a text."""

    tool: str
    arguments: dict[str, str]
    whole: bool = True


class Outcome(NamedTuple):
    """A result without its wrapping, where the command ran, and what a person said beside it."""

    given: Given
    cwd: str = ""
    said: str = ""


class _Status(Struct, gc=False):
    """How Roo Code answers for a call that did not run."""

    status: str = ""
    message: str | None = None
    error: str | None = None
    feedback: str | None = None


_status_of: Final = msgspec.json.Decoder(_Status).decode


def spoken_parts(text: str) -> Iterator[str | Call]:
    """Return the texts and calls of what an agent wrote, in order; a call that is cut off is one all the same."""
    position = 0
    while found := _CALL.search(text, position):
        yield text[position : found.start()]
        closing = f"</{found[1]}>"
        end = text.find(closing, found.end())
        yield Call(found[1], _parameters(text[found.end() : end if end >= 0 else len(text)]), whole=end >= 0)
        if end < 0:
            return
        position = end + len(closing)
    yield text[position:]


def _parameters(body: str) -> dict[str, str]:
    """The parameters of a call. A file's content may hold the same tags, so it goes to the last closing one."""
    made: dict[str, str] = {}
    position = 0
    while found := _PARAMETER.search(body, position):
        name, closing = found[1], f"</{found[1]}>"
        find = body.rfind if name in {"content", "diff", "args"} else body.find
        end = find(closing, found.end())
        end = end if end >= 0 else len(body)
        made[name] = body[found.end() : end].strip("\n")
        position = end + len(closing)
    if "args" in made:
        made |= _first_file(made.pop("args"))
    return made


def _first_file(listed: str) -> dict[str, str]:
    """The first of the files that Roo Code names in one call."""
    made = {name: _inside(listed, name) for name in ("path", "content")}
    return {"path": made["path"], "diff": made["content"].removeprefix("<![CDATA[").removesuffix("]]>")}


def _inside(text: str, name: str) -> str:
    """What stands between the first tags of a name, "" for none; a cut off text counts to its end."""
    start = text.find(f"<{name}")
    opened = text.find(">", start) if start >= 0 else -1
    if opened < 0 or text[start + len(name) + 1] not in "> ":
        return ""
    end = text.find(f"</{name}>", opened)
    return text[opened + 1 : end if end >= 0 else len(text)].strip()


def headed(text: str) -> tuple[str, str] | None:
    """Return the tool that a result's heading names and what follows it, None for any other text."""
    found = _HEADER.match(text)
    end = text.find(_HEADER_END) if found else -1
    return (found[1], text[end + len(_HEADER_END) :]) if found and end >= 0 else None


def human_words(text: str) -> str:
    """Return what a person wrote of a user's text: what stands in the tags for it, "" for nothing."""
    if text.startswith(_QUOTING):
        return ""
    if "<" in text:
        words = next(filter(None, (_inside(text, name) for name in _PEOPLE)), "")
        return _NOTICE.sub("", words).strip()
    return (_refusal(text).feedback or "") if text.startswith("{") else ""


def of_program(text: str) -> bool:
    """Return whether an untagged text is one of those that the harness writes."""
    return text.lstrip().startswith(_PROGRAM)


def environment_facts(text: str) -> tuple[str, str]:
    """Return the working directory and the model that the harness tells the agent, "" each where it does not."""
    if "<environment_details>" not in text:
        return "", ""
    cwd, model = _WORKING.search(text), _MODEL.search(text)
    return cwd[1] if cwd else "", model[1].strip() if model else ""


def given_back(text: str, *, is_error: bool | None, shell: bool) -> Outcome:
    """Return what a result says; a command without an exit code has worked or not, nobody knows."""
    text = text.lstrip("\n")
    told = _refusal(text) if text.startswith("{") else _Status()
    if text.startswith(_DENIED) or told.status == "denied":
        feedback = told.feedback or _inside(text, "feedback")
        return Outcome(Given(text, is_error=True, refused=True, feedback=feedback))
    text, said = _without_feedback(text)
    said = said or (told.feedback or "" if told.status == "approved" else "")
    if (told.status == "error" and told.message) or text.startswith(_FAILED):
        return Outcome(Given(told.error or told.message or _unwrapped(text), is_error=True), said=said)
    if shell:
        return _ran(text, said, is_error=is_error)
    return Outcome(Given(text, is_error=bool(is_error)), said=said)


def _ran(text: str, said: str, *, is_error: bool | None) -> Outcome:
    """What a command gave, without the sentence before it."""
    head, divider, output = text.partition(_OUTPUT)
    head = head if len(head) <= _SHORT else head[:_SHORT]
    code, within = _EXIT.match(head), _WITHIN.match(head)
    number = int(code[1]) if code else None
    failed = is_error if number is None else number != 0
    kept = output if divider and head.startswith("Command ") else text
    return Outcome(Given(kept, is_error=failed, exit_code=number), within[1] if within else "", said)


def _without_feedback(text: str) -> tuple[str, str]:
    """A result without what a person said while it was running, and that."""
    start = text.find(_ADDED)
    return (text[:start].rstrip(), _inside(text[start:], "feedback")) if start >= 0 else (text, "")


def _unwrapped(text: str) -> str:
    """The words of an error without the tags around them."""
    return (_inside(text, "error") or text) if text.startswith("The tool execution failed") else text


def _refusal(text: str) -> _Status:
    """What Roo Code says of a call in JSON; nothing where it is something else."""
    try:
        return _status_of(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _Status()
