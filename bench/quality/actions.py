"""What an agent does, out of the forms in which agents write it down: named calls, fences, XML, JSON, bare commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from selfdistill.model import ToolInput, ToolKind

# Words in a tool's name that say what it does, in this order: `str_replace_editor` edits, `FindFunction` searches.
_KIND_WORDS: Final[tuple[tuple[ToolKind, frozenset[str]], ...]] = (
    (ToolKind.EDIT, frozenset(["edit", "editor", "replace", "insert", "patch", "append", "diff", "undo", "modify"])),
    (ToolKind.WRITE, frozenset(["create", "write"])),
    (ToolKind.SEARCH, frozenset(["search", "find", "grep", "glob", "list", "ls", "locate", "semantic"])),
    (ToolKind.READ, frozenset(["view", "read", "open", "cat", "scroll", "goto", "show"])),
    (ToolKind.WEB, frozenset(["browse", "browser", "fetch", "web"])),
    (ToolKind.PLAN, frozenset(["think", "plan", "todo", "finish", "submit", "exit", "done", "complete"])),
    (
        ToolKind.SHELL,
        frozenset(
            ["bash", "shell", "execute", "exec", "run", "terminal", "command", "cmd", "ipython", "python", "powershell"]
        ),
    ),
)
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Commands of agents that have an editor in their shell; anything else that a bare text asks for is a shell line.
_EDITOR_COMMANDS: Final = {
    **dict.fromkeys(("edit", "str_replace", "insert", "append", "undo_edit", "apply_patch"), ToolKind.EDIT),
    **dict.fromkeys(("create", "write_file"), ToolKind.WRITE),
    **dict.fromkeys(("open", "goto", "scroll_up", "scroll_down", "view"), ToolKind.READ),
    **dict.fromkeys(("search_dir", "search_file", "find_file"), ToolKind.SEARCH),
    **dict.fromkeys(("submit", "exit_cost", "exit_context", "exit_format"), ToolKind.PLAN),
}
_SUBCOMMANDS: Final = {"view": ToolKind.READ, "create": ToolKind.WRITE}
_COMMAND_KEYS: Final = ("command", "cmd", "code", "keystrokes", "script", "bash")
_PATH_KEYS: Final = ("path", "file_path", "filename", "file", "file_name", "target_file")
_OLD_KEYS: Final = ("old_str", "old_string", "search", "old", "find")
_NEW_KEYS: Final = ("new_str", "new_string", "replace", "file_text", "content", "new", "text", "replacement")

_FENCE: Final = re.compile(r"^```[ \t]*([\w-]*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FENCE_MARK: Final = "```"
_ONE_FENCE: Final = 2  # marks: one opens, one closes
_SHELL_FENCES: Final = frozenset({"bash", "sh", "shell", "console", "zsh", "mswea_bash_command", "cmd"})
_FUNCTION: Final = re.compile(r"<function=([\w.-]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER: Final = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_TAGGED: Final = re.compile(r"<(execute_bash|execute_ipython|bash|keystrokes|command)\b[^>]*>(.*?)</\1>", re.DOTALL)
_SEARCH_REPLACE: Final = "<<<<<<< SEARCH"
_BLOCK: Final = re.compile(
    r"(?:^(?P<path>[\w./ -]+)\n)?(?:^```[^\n]*\n)?^<<<<<<< SEARCH\n(?P<old>.*?)^=======\n(?P<new>.*?)(?:^>>>>>>>|\Z)",
    re.MULTILINE | re.DOTALL,
)
_ENDS: Final = frozenset(("finish", "submit", "done", "complete", "completion", "exit"))
_SUBMITS: Final = re.compile(r"\A\s*(?:submit|exit|finish)\s*\Z|COMPLETE_TASK_AND_SUBMIT")


class Action(Struct, frozen=True):
    """A call that an agent makes: the tool's name, what it does, and its arguments."""

    tool: str
    kind: ToolKind
    input: ToolInput


class Block(Struct, frozen=True):
    """An edit as a chat writes it: the text to find and the text to put there."""

    path: str
    old: str
    new: str


def call_of(tool: str, given: object) -> Action:
    """A named call with its arguments: an object, an object as JSON, or a bare command."""
    if isinstance(given, str):
        text = given.strip()
        if text.startswith("{"):
            try:
                given = json.loads(text)
            except ValueError:  # cut off: the arguments still tell the call apart from others
                return Action(tool, _kind(tool, _cut_command(text)), ToolInput(text=text))
        else:
            return _bare(tool, text)
    return _with_arguments(tool, given) if isinstance(given, Mapping) else Action(tool, _kind(tool, ""), ToolInput())


def actions_in(text: str) -> list[Action]:
    """The calls that an assistant's text makes; none where it only talks or shows code."""
    if "<function=" in text:
        return [call_of(name, dict(_PARAMETER.findall(body))) for name, body in _FUNCTION.findall(text)]
    if tagged := _TAGGED.findall(text):
        return [Action(tag, ToolKind.SHELL, ToolInput(command=command.strip())) for tag, command in tagged]
    if text.lstrip().startswith(("{", "```json")) and (commands := _json_commands(text)):
        return [Action("terminal", ToolKind.SHELL, ToolInput(command=command)) for command in commands]
    if _SEARCH_REPLACE in text or "```" not in text:
        return []
    fenced = [body.strip() for language, body in _FENCE.findall(text) if language in _SHELL_FENCES]
    fenced += _closing_fence(text) if not fenced else []
    return [_bare("", fenced[-1])] if fenced and fenced[-1] else []


def _closing_fence(text: str) -> list[str]:
    """The one fenced block without a language that a message ends with: an action, not an example."""
    found = _FENCE.search(text)
    only = (
        found is not None
        and text.count(_FENCE_MARK) == _ONE_FENCE
        and found.start() > 0
        and not text[found.end() :].strip()
    )
    return [found[2].strip()] if found and only and not found[1] else []


def blocks_in(text: str) -> list[Block]:
    """The edits that a text proposes as SEARCH/REPLACE blocks."""
    if _SEARCH_REPLACE not in text:
        return []
    return [Block((found["path"] or "").strip(), found["old"], found["new"]) for found in _BLOCK.finditer(text)]


def with_text(action: Action, blocks: Iterable[Block]) -> Action:
    """An edit with the text of what was proposed for it."""
    old, new = "".join(block.old for block in blocks), "".join(block.new for block in blocks)
    return Action(action.tool, action.kind, ToolInput(path=action.input.path, old=old, new=new))


def ends_work(action: Action) -> bool:
    """Whether a call does nothing but hand the work in."""
    words = {word.lower() for word in _WORDS.findall(action.tool)}
    return not _ENDS.isdisjoint(words) or bool(_SUBMITS.search(action.input.command or action.input.text[:100]))


def _with_arguments(tool: str, given: Mapping[str, Any]) -> Action:
    """A call with named arguments."""
    command = _first(given, _COMMAND_KEYS)
    kind = _kind(tool, command)
    if kind is ToolKind.OTHER and command:
        kind = ToolKind.SHELL
    made = ToolInput(
        command=command if kind is ToolKind.SHELL else "",
        path=_first(given, _PATH_KEYS),
        old=_first(given, _OLD_KEYS) if kind is ToolKind.EDIT else "",
        new=_first(given, _NEW_KEYS) if kind in {ToolKind.EDIT, ToolKind.WRITE} else "",
        text=json.dumps(given, ensure_ascii=False)[:4000],
    )
    return Action(tool, kind, made)


def _bare(tool: str, text: str) -> Action:
    """A call that is one command line, or one command of an agent's own editor."""
    first, _, rest = text.partition(" ")
    first = first.partition("\n")[0]
    kind = _EDITOR_COMMANDS.get(first) or (_kind(tool, "") if tool else ToolKind.SHELL)
    if kind is ToolKind.SHELL or (kind is ToolKind.OTHER and text):
        return Action(tool or "bash", ToolKind.SHELL, ToolInput(command=text))
    path = rest.split()[0] if kind in {ToolKind.WRITE, ToolKind.READ} and rest.split() else ""
    return Action(tool or first, kind, ToolInput(path=path, new=rest if kind is ToolKind.EDIT else "", text=text))


def _kind(tool: str, command: str) -> ToolKind:
    """What a tool does, by the subcommand that it is given and the words of its name."""
    words = {word.lower() for word in _WORDS.findall(tool)}
    for kind, telling in _KIND_WORDS:
        if not telling.isdisjoint(words):
            return _SUBCOMMANDS.get(command, kind) if kind is ToolKind.EDIT else kind
    return ToolKind.OTHER


def _cut_command(text: str) -> str:
    """The subcommand in arguments whose JSON was cut off."""
    found = re.search(r'"command": *"(\w+)"', text)
    return found[1] if found else ""


def _json_commands(text: str) -> list[str]:
    """The keystrokes or commands of an answer that is one JSON object."""
    body = text[text.find("{") : text.rfind("}") + 1]
    try:
        answer = json.loads(body)
    except ValueError:
        return []
    commands = answer.get("commands") if isinstance(answer, dict) else None
    given = commands if isinstance(commands, list) else [answer] if isinstance(answer, dict) else []
    found = [
        one if isinstance(one, str) else _first(one, _COMMAND_KEYS) for one in given if isinstance(one, str | dict)
    ]
    return [command.strip() for command in found if command.strip()]


def _first(given: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of these arguments that is a text."""
    return next((value for key in keys if isinstance(value := given.get(key), str) and value), "")
