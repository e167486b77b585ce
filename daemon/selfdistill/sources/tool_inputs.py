"""The arguments of a tool call under the same names for every agent."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from selfdistill.model import ToolInput, ToolKind
from selfdistill.sources.decoding import coerce
from selfdistill.sources.injections import OWN_NAME, without_own
from selfdistill.sources.patches import command_line, has_patch, javascript_commands, patch_in, patch_input

_NAMES: Final = {
    ToolKind.SHELL: "Bash bash shell exec_command local_shell shell_command container.exec execute_bash",
    ToolKind.EDIT: "Edit MultiEdit NotebookEdit apply_patch applypatch str_replace str_replace_editor edit edit_file",
    ToolKind.WRITE: "Write write_file create_file write",
    ToolKind.READ: "Read NotebookRead view read_file view_image read",
    ToolKind.SEARCH: "Grep Glob LS grep glob list_dir list_files grep_files search_files",
    ToolKind.WEB: "WebFetch WebSearch web_search web_search_call web_fetch",
    ToolKind.AGENT: "Task Agent spawn_agent",
    ToolKind.PLAN: "ExitPlanMode EnterPlanMode AskUserQuestion TodoWrite update_plan request_user_input",
}
_SHELL_TOO: Final = (
    "run_terminal_cmd run_command terminal PowerShell BashOutput KillShell KillBash write_stdin unified_exec"
)
KINDS: Final = {name: kind for kind, names in _NAMES.items() for name in names.split()} | dict.fromkeys(
    _SHELL_TOO.split(), ToolKind.SHELL
)


class _Change(Struct, gc=False):
    """One replacement of a MultiEdit."""

    old_string: str = ""
    new_string: str = ""


class _Arguments(Struct):
    """The arguments that mean the same for many tools; whatever else a tool takes is not looked at."""

    command: str | list[str] | None = None
    cmd: str | list[str] | None = None
    chars: str | None = None
    workdir: str | None = None
    file_path: str | None = None
    notebook_path: str | None = None
    path: str | None = None
    old_string: str | None = None
    new_string: str | None = None
    new_source: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    content: str | None = None
    edits: list[_Change] | None = None
    patch: str | None = None
    input: str | None = None
    pattern: str | None = None
    query: str | None = None
    url: str | None = None
    prompt: str | None = None
    description: str | None = None


_arguments_of: Final = msgspec.json.Decoder(_Arguments).decode


def kind_of(tool: str) -> ToolKind:
    """Return what a tool does."""
    return KINDS.get(tool, ToolKind.OTHER)


def tool_input(kind: ToolKind, raw: bytes | Raw | str) -> ToolInput:
    """Return a call's arguments, given as the JSON the log holds; arguments of an odd type count as absent."""
    if kind is ToolKind.OTHER or kind is ToolKind.PLAN:
        return ToolInput(text=without_own(_text(raw)))
    try:
        arguments = _arguments_of(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        arguments = _odd_arguments(raw)
    made = _INPUTS[kind](arguments)
    return _without_own(made) if OWN_NAME in f"{made.command}{made.new}{made.old}{made.text}" else made


def workdir_of(raw: bytes | Raw | str) -> str:
    """Return the directory that a call names for itself, "" where it names none."""
    try:
        return _arguments_of(raw).workdir or ""
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""


def script_input(script: str) -> tuple[ToolKind, ToolInput]:
    """Return what a code-mode script does: its shell commands, else its patch, else its text."""
    commands = javascript_commands(script)
    if commands:
        return ToolKind.SHELL, ToolInput(command=without_own("\n".join(commands)), text=without_own(script))
    if has_patch(script):
        return ToolKind.EDIT, _without_own(patch_input(script))
    return ToolKind.OTHER, ToolInput(text=without_own(script))


def _text(raw: bytes | Raw | str) -> str:
    """The JSON as text, as it stands in the log (agents write it compact)."""
    return raw if isinstance(raw, str) else bytes(raw).decode("utf-8", "replace")


def _odd_arguments(raw: bytes | Raw | str) -> _Arguments:
    """The arguments whose types are as expected, of a call where some are not; bare text is the command or patch."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = _text(raw)
    return _Arguments(command=value, input=value) if isinstance(value, str) else coerce(value, _Arguments)


def _shell(given: _Arguments) -> ToolInput:
    command = given.command or given.cmd or ""
    if patch := patch_in(command):
        return patch_input(patch)
    return ToolInput(command=command_line(command), text=given.chars or "")


def _edit(given: _Arguments) -> ToolInput:
    if patch := given.patch or given.input:
        return patch_input(patch)
    if isinstance(given.command, list) and (patch := patch_in(given.command)):
        return patch_input(patch)
    edits = given.edits or ()
    return ToolInput(
        path=_path(given),
        old=given.old_string or given.old_str or "\n".join(edit.old_string for edit in edits),
        new=given.new_string or given.new_str or given.new_source or "\n".join(edit.new_string for edit in edits),
    )


def _write(given: _Arguments) -> ToolInput:
    return ToolInput(path=_path(given), new=given.content or "")


def _read(given: _Arguments) -> ToolInput:
    return ToolInput(path=_path(given))


def _search(given: _Arguments) -> ToolInput:
    return ToolInput(path=_path(given), text=given.pattern or given.query or "")


def _web(given: _Arguments) -> ToolInput:
    return ToolInput(text=given.url or given.query or "")


def _agent(given: _Arguments) -> ToolInput:
    return ToolInput(text=given.prompt or given.description or "")


def _path(given: _Arguments) -> str:
    return given.file_path or given.notebook_path or given.path or ""


def _without_own(made: ToolInput) -> ToolInput:
    """The same arguments without text that selfdistill injected into files."""
    return ToolInput(
        command=without_own(made.command),
        path=made.path,
        old=without_own(made.old),
        new=without_own(made.new),
        text=without_own(made.text),
    )


_INPUTS: Final = {
    ToolKind.SHELL: _shell,
    ToolKind.EDIT: _edit,
    ToolKind.WRITE: _write,
    ToolKind.READ: _read,
    ToolKind.SEARCH: _search,
    ToolKind.WEB: _web,
    ToolKind.AGENT: _agent,
}
