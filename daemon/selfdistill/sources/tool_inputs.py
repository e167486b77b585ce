"""The arguments of a tool call under the same names for every agent."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from selfdistill.model import ToolInput, ToolKind
from selfdistill.sources.decoding import coerce
from selfdistill.sources.injections import OWN_NAME, without_own
from selfdistill.sources.patches import (
    command_line,
    has_patch,
    javascript_commands,
    patch_in,
    patch_input,
    replacements,
)

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
_GEMINI: Final = {  # Gemini CLI and Qwen Code
    ToolKind.SHELL: "run_shell_command",
    ToolKind.EDIT: "replace notebook_edit",
    ToolKind.READ: "read_many_files",
    ToolKind.SEARCH: "list_directory search_file_content grep_search",
    ToolKind.WEB: "google_web_search",
    ToolKind.AGENT: "agent task delegate_to_agent invoke_agent codebase_investigator create_sub_session",
    ToolKind.PLAN: "write_todos todo_write ask_user ask_user_question enter_plan_mode exit_plan_mode",
}
_COPILOT: Final = {  # GitHub Copilot CLI
    ToolKind.SHELL: "powershell read_bash write_bash stop_bash read_powershell write_powershell stop_powershell",
    ToolKind.WRITE: "create",
    ToolKind.SEARCH: "rg",
    ToolKind.PLAN: "update_todo task_complete report_intent",
}
_NAMES_IN_STORES: Final = {  # OpenCode, Crush and Goose, which keep their logs in databases
    ToolKind.SHELL: "developer__shell",
    ToolKind.EDIT: "multiedit patch developer__text_editor developer__edit",
    ToolKind.WRITE: "developer__write",
    ToolKind.SEARCH: "list ls tree codesearch sourcegraph developer__tree",
    ToolKind.WEB: "webfetch websearch fetch agentic_fetch download",
    ToolKind.AGENT: "task agent subagent delegate subagent__execute_task",
    ToolKind.PLAN: "todowrite todoread todos question plan_exit plan_enter todo__todo_write todo_write",
}
_EDITORS: Final = {  # Cline, Roo Code and Kilo, Cursor
    ToolKind.SHELL: "execute_command run_commands Shell run_terminal_command run_terminal_command_v2",
    ToolKind.EDIT: "replace_in_file apply_diff insert_content search_and_replace search_replace editor StrReplace"
    " ApplyPatch EditNotebook edit_file_v2 apply_patch_v2",
    ToolKind.WRITE: "write_to_file",
    ToolKind.READ: "read_files read_file_v2 ReadFile",
    ToolKind.SEARCH: "list_code_definition_names codebase_search search_codebase file_search glob_file_search"
    " ripgrep_raw_search semantic_search_full SemanticSearch list_dir_v2",
    ToolKind.WEB: "fetch_web_content browser_action",
    ToolKind.AGENT: "new_task task_v2",
    ToolKind.PLAN: "update_todo_list switch_mode create_plan CreatePlan SwitchMode AskQuestion ask_question",
}
_SHELL_TOO: Final = (
    "run_terminal_cmd run_command terminal PowerShell BashOutput KillShell KillBash write_stdin unified_exec"
)
_TERMINALS: Final = {  # pi and its relatives, Factory Droid, Amp, Kimi and Grok
    ToolKind.SHELL: "Execute Shell shell_exec run_terminal run_terminal_command",
    ToolKind.EDIT: "ApplyPatch StrReplaceFile",
    ToolKind.WRITE: "Create WriteFile",
    ToolKind.READ: "ReadFile ReadMediaFile look_at",
    ToolKind.SEARCH: "find finder",
    ToolKind.WEB: "FetchUrl FetchURL SearchWeb read_web_page",
    ToolKind.AGENT: "AgentSwarm oracle librarian spawn_subagent sessions_spawn",
    ToolKind.PLAN: "TodoList SetTodoList todo_read",
}
_TABLES: Final = (_NAMES, _GEMINI, _COPILOT, _NAMES_IN_STORES, _EDITORS, _TERMINALS)
KINDS: Final = {
    name: kind for table in _TABLES for kind, names in table.items() for name in names.split()
} | dict.fromkeys(_SHELL_TOO.split(), ToolKind.SHELL)


class _Change(Struct, gc=False):
    """One replacement of a MultiEdit."""

    old_string: str = ""
    new_string: str = ""
    oldText: str = ""  # noqa: N815 - as pi writes it
    newText: str = ""  # noqa: N815
    old: str = ""
    new: str = ""


class _Command(Struct, gc=False):
    """A program with its arguments, run without a shell."""

    command: str = ""
    args: list[str] = field(default_factory=list)


class _Arguments(Struct):
    """The arguments that mean the same for many tools; whatever else a tool takes is not looked at."""

    command: str | list[str] | None = None
    cmd: str | list[str] | None = None
    chars: str | None = None
    workdir: str | None = None
    file_path: str | None = None
    notebook_path: str | None = None
    absolute_path: str | None = None
    path: str | None = None
    dir_path: str | None = None
    directory: str | None = None
    paths: str | list[str] | None = None
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
    filePath: str | None = None  # noqa: N815 - as OpenCode writes it
    oldString: str | None = None  # noqa: N815
    newString: str | None = None  # noqa: N815
    patchText: str | None = None  # noqa: N815
    file_text: str | None = None
    before: str | None = None
    after: str | None = None
    diff: str | None = None
    commands: str | list[str | _Command] | None = None
    working_directory: str | None = None
    target_file: str | None = None
    target_directory: str | None = None
    relativeWorkspacePath: str | None = None  # noqa: N815 - as Cursor writes it
    targetFile: str | None = None  # noqa: N815
    contents: str | None = None
    old_text: str | None = None
    new_text: str | None = None
    regex: str | None = None
    glob_pattern: str | None = None
    search_term: str | None = None
    queries: str | list[str] | None = None
    cwd: str | None = None
    oldText: str | None = None  # noqa: N815 - as pi writes it
    newText: str | None = None  # noqa: N815
    edit: _Change | list[_Change] | None = None
    directory_path: str | None = None
    folder: str | None = None
    patterns: str | list[str] | None = None
    filePattern: str | None = None  # noqa: N815 - as Amp writes it
    objective: str | None = None
    task: str | None = None


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
        given = _arguments_of(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
    return _first(given.workdir, given.directory, given.dir_path, given.working_directory, given.cwd)


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
    command = given.command or given.cmd or _commands(given.commands)
    if patch := patch_in(command):
        return patch_input(patch)
    return ToolInput(command=command_line(command), text=given.chars or "")


def _commands(commands: str | list[str | _Command] | None) -> str:
    """Several commands of one call, each on its line."""
    if commands is None or isinstance(commands, str):
        return commands or ""
    return "\n".join(each if isinstance(each, str) else command_line([each.command, *each.args]) for each in commands)


def _edit(given: _Arguments) -> ToolInput:
    if patch := given.patch or given.input or given.patchText:
        return patch_input(patch)
    if isinstance(given.command, list) and (patch := patch_in(given.command)):
        return patch_input(patch)
    if replaced := replacements(given.diff or ""):
        old, new = zip(*replaced, strict=True)
        return ToolInput(path=_path(given), old="\n".join(old), new="\n".join(new))
    edits = given.edits or (given.edit if isinstance(given.edit, list) else [given.edit] if given.edit else [])
    return ToolInput(
        path=_path(given),
        old=_first(given.old_string, given.old_str, given.oldString, given.before, given.old_text, given.oldText)
        or "\n".join(_first(edit.old_string, edit.oldText, edit.old) for edit in edits),
        new=_first(given.new_string, given.new_str, given.new_source, given.newString, given.after, given.diff)
        or _first(given.new_text, given.newText, given.content)
        or "\n".join(_first(edit.new_string, edit.newText, edit.new) for edit in edits),
    )


def _write(given: _Arguments) -> ToolInput:
    return ToolInput(path=_path(given), new=_first(given.content, given.file_text, given.contents))


def _read(given: _Arguments) -> ToolInput:
    return ToolInput(path=_path(given))


def _search(given: _Arguments) -> ToolInput:
    return ToolInput(
        path=_path(given),
        text=_first(given.pattern, given.query, given.regex, given.glob_pattern, given.filePattern)
        or _joined(given.queries)
        or _joined(given.patterns),
    )


def _web(given: _Arguments) -> ToolInput:
    return ToolInput(text=_first(given.url, given.query, given.search_term, given.objective))


def _agent(given: _Arguments) -> ToolInput:
    return ToolInput(text=_first(given.prompt, given.task, given.description))


def _path(given: _Arguments) -> str:
    paths = _joined(given.paths)
    named = _first(given.file_path, given.notebook_path, given.absolute_path, given.path, given.filePath)
    named = named or _first(given.target_file, given.relativeWorkspacePath, given.targetFile, given.target_directory)
    return named or _first(given.dir_path, given.directory, given.directory_path, given.folder, paths)


def _joined(texts: str | list[str] | None) -> str:
    """Several values of one argument, or the one."""
    return texts if isinstance(texts, str) else " ".join(texts or ())


def _first(*texts: str | None) -> str:
    """The first argument that is there: every agent has its own name for it."""
    return next(filter(None, texts), "")


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
