"""What an agent's hook does: reads the event from standard input, answers on standard output, always exits with 0.

Standard library only, for it starts with `python -I -S` (`hook_start.py`) while an agent waits. It writes nothing but
lines in `spool/`, empty files in `hints/`, and on trouble one line in `hook-errors.log`: never the store (rulings.md).
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # `typing` takes 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

BUDGET_SECONDS = 1.0
MAX_INPUT_BYTES = 8_388_608  # a larger event is about a file so large that no lesson could be told from it
MAX_SPOOL_BYTES = 1_048_576
MAX_TROUBLE_BYTES = 65_536
MAX_SESSION_CHARACTERS = 128
TROUBLES = "hook-errors.log"

# agent -> its event -> what that is to us, and how its answer is shaped; "" answers nothing. Events that cannot bring
# words to the model without deciding on the call are not here: nothing of ours allows, denies or blocks anything.
DIALECTS: dict[str, dict[str, tuple[str, str]]] = {
    "claude_code": {
        "SessionStart": ("session_start", "nested"),
        "UserPromptSubmit": ("user_prompt", "nested"),
        "PreToolUse": ("pre_tool_use", "nested"),
        "PostToolUseFailure": ("post_tool_failure", "nested"),
        "SessionEnd": ("session_end", ""),
    },
    "codex": {
        "SessionStart": ("session_start", "nested"),
        "UserPromptSubmit": ("user_prompt", "nested"),
        "PreToolUse": ("pre_tool_use", "nested"),
        "PostToolUse": ("post_tool_failure", "nested"),
        "SessionEnd": ("session_end", ""),
    },
    "gemini_cli": {
        "SessionStart": ("session_start", "nested"),
        "BeforeAgent": ("user_prompt", "nested"),
        "AfterTool": ("post_tool_failure", "nested"),
        "SessionEnd": ("session_end", ""),
    },
    "qwen_code": {
        "SessionStart": ("session_start", "nested"),
        "UserPromptSubmit": ("user_prompt", "nested"),
        "PostToolUseFailure": ("post_tool_failure", "nested"),
        "SessionEnd": ("session_end", ""),
    },
    "cursor": {
        "sessionStart": ("session_start", "snake"),
        "postToolUse": ("post_tool_failure", "snake"),
        "sessionEnd": ("session_end", ""),
    },
    "copilot": {
        "SessionStart": ("session_start", "flat"),
        "PostToolUse": ("post_tool_failure", "flat"),
        "SessionEnd": ("session_end", ""),
    },
}

_KINDS = {
    "shell": """bash shell exec_command local_shell shell_command container.exec execute_bash run_shell_command
        run_terminal_cmd run_command terminal powershell unified_exec""",
    "edit": "edit multiedit notebookedit apply_patch str_replace str_replace_editor edit_file replace",
    "write": "write write_file create_file create",
    "read": "read notebookread view read_file view_image read_many_files",
    "search": "grep glob ls list_dir list_files grep_files search_files list_directory search_file_content",
    "web": "webfetch websearch web_search web_fetch google_web_search",
    "agent": "task agent spawn_agent",
    "plan": "exitplanmode enterplanmode askuserquestion todowrite update_plan request_user_input",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_EXIT_CODE = r"(?i)\bexit(?:ed)?(?: with)?(?: exit)?(?: code| status):?\s+(-?\d+)"


class Event:
    """One event of an agent, in the words that all agents share."""

    def __init__(self, name: str, agent: str, given: Mapping[str, Any]) -> None:
        """`name` as in DIALECTS; `given` is what the agent says, of which nothing is trusted to be there."""
        self.name, self.agent = name, agent
        self.session = _first(given, "session_id", "conversation_id", "sessionId")
        roots = given.get("workspace_roots")
        self.cwd = _first(given, "cwd") or (roots[0] if roots and isinstance(roots, list) else "")
        self.tool = _first(given, "tool_name", "toolName")
        given_input = _unfolded(given.get("tool_input", given.get("toolArgs")))
        self.input: dict[str, Any] = given_input if isinstance(given_input, dict) else {}
        # Qwen Code calls this event for tool results, too; only `submitted_prompt` is what a person typed.
        self.request = _first(given, "submitted_prompt" if agent == "qwen_code" else "prompt")
        self.error = _failure(given) if name == "post_tool_failure" else ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that a lesson could be about: most calls do not fail."""
        return {"user_prompt": not self.request, "pre_tool_use": not self.tool}.get(
            self.name, self.name == "post_tool_failure" and not self.error
        )

    def moment(self) -> dict[str, str]:
        """The arguments of `moments.moment`."""
        kind, taken = _KIND_OF.get(self.tool.casefold(), "other"), self.input
        command = taken.get("command", taken.get("cmd", ""))
        command = " ".join(map(str, command)) if isinstance(command, list) else str(command)
        path = _first(taken, "file_path", "path", "notebook_path", "absolute_path", "filePath")
        written = _first(taken, "new_string", "content", "new_str", "new_source")
        if kind == "edit" and not path:  # a patch names its file
            patch, command = command or _first(taken, "input", "patch"), ""
            path = next((line[16:] for line in patch.splitlines() if line.startswith("*** Update File: ")), "").strip()
            written = "\n".join(line[1:] for line in patch.splitlines() if line.startswith("+"))
        text = " ".join(_first(taken, name) for name in ("pattern", "query", "url", "prompt"))
        return {
            "kind": kind if self.tool else "",
            "tool": self.tool,
            "command": command if kind == "shell" else "",
            "path": path,
            "cwd": self.cwd,
            "written": written,
            "text": text.strip(),
            "request": self.request,
            "error": self.error,
        }


def main(arguments: Sequence[str]) -> None:
    """Given EVENT, AGENT and the state directory, answer and end this process with 0, whatever happens."""
    import signal  # noqa: PLC0415 - in here, like the rest: `cli/` looks at DIALECTS without it

    name, agent, state = (*arguments, "", "", "")[:3]
    try:
        signal.signal(signal.SIGALRM, lambda *_: _leave(state, name, agent, "out of time"))
        signal.setitimer(signal.ITIMER_REAL, BUDGET_SECONDS)
        answered = answer(name, agent, state, _everything(0))
        if answered:
            sys.stdout.write(answered)
            sys.stdout.flush()
    except BaseException as problem:  # noqa: BLE001 - an agent must never see us fail; `hooks status` shows the note
        _leave(state, name, agent, f"{type(problem).__name__}: {problem}")
    os._exit(0)  # without taking the interpreter apart: 2 ms


def answer(event: str, agent: str, state: str, given: bytes) -> str:
    """What is to be printed at an agent's event, "" for nothing; the spool has been told of it before.

    Raises ValueError for an event that is not in DIALECTS and for input that is no JSON object, OSError where the spool
    cannot be written: then nothing is told, for it could not be remembered that it was.
    """
    name, shape = DIALECTS.get(agent, {}).get(event, ("", ""))
    fields = json.loads(given)
    if not name or not isinstance(fields, dict):
        raise ValueError("unknown event" if not name else "no object")
    now = Event(name, agent, fields)
    if not 0 < len(now.session) <= MAX_SESSION_CHARACTERS:
        raise ValueError("no session")
    if name == "session_end":
        _settle_now(state, now.session)
        return ""
    return "" if now.is_empty else _shaped(_told(now, state), event, shape)


def quoted(session: str) -> str:
    """A session's id as a file name: letters, digits and `-` as they are, every other byte as %XX."""
    plain = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in session.encode("utf-8", "surrogatepass"))


def _told(now: Event, state: str) -> str:
    """The text that tells the lessons for this moment, after they were written into the spool."""
    from selfdistill.recall import hook, moments  # noqa: PLC0415 - a session's end needs them not

    spool = f"{state}/spool/deliveries-{quoted(now.session)}.jsonl"
    told = _ids(_read(spool))  # before the store is asked: the worker deletes the file after its lines are in the store
    moment = moments.moment(**now.moment())
    lessons = hook.lessons_for(now.name, f"{state}/lessons.db", now.cwd, moment, now.session, told)
    return str(hook.tell(_noted(lessons, now, spool))) if lessons else ""


def _noted(lessons: list[Any], now: Event, spool: str) -> list[Any]:
    """Write lessons into the spool; return those that no other hook of the session has written meanwhile."""
    import fcntl  # noqa: PLC0415 - only where something is told

    if not os.path.isdir(os.path.dirname(spool)):  # noqa: PTH112, PTH120 - pathlib takes 5 ms
        os.mkdir(os.path.dirname(spool), 0o700)  # noqa: PTH102, PTH120 - as above
    while True:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(spool, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # against our like and the worker; the budget ends a long wait
            if not os.fstat(descriptor).st_nlink:
                continue  # the worker has taken it in just now: what it held is in the store
            told = _ids(os.pread(descriptor, MAX_SPOOL_BYTES, 0))
            fresh = [one for one in lessons if one.id not in told]
            lines = [json.dumps(_delivery(one.id, now)) for one in fresh]
            if lines:
                os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
            return fresh
        finally:
            os.close(descriptor)


def _delivery(lesson: str, now: Event) -> dict[str, object]:
    return {
        "v": 1,
        "lesson": lesson,
        "session": now.session,
        "agent": now.agent,
        "event": now.name,
        "at": round(time.time(), 3),
        "cwd": now.cwd[:4096],
        "tool": now.tool[:128],
    }


def _shaped(text: str, event: str, shape: str) -> str:
    """An answer in the words of the agent."""
    shapes: dict[str, Callable[[], object]] = {
        "nested": lambda: {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}},
        "flat": lambda: {"additionalContext": text},
        "snake": lambda: {"additional_context": text},
    }
    return json.dumps(shapes[shape]()) if text else ""


def _settle_now(state: str, session: str) -> None:
    """Tell the daemon that a session is over. Without `hints/` there never was a daemon, and nobody would look."""
    if os.path.isdir(f"{state}/hints"):  # noqa: PTH112 - as above
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        new = f"{state}/hints/.{quoted(session)}"
        os.close(os.open(new, flags, 0o600))
        os.replace(new, f"{state}/hints/{quoted(session)}")  # noqa: PTH105 - as above; the daemon hears of renames


def _ids(lines: bytes) -> set[str]:
    """The lessons that spool lines tell of; a damaged line tells of none."""
    found = set()
    for line in lines.splitlines():
        try:
            found.add(str(json.loads(line)["lesson"]))
        except (ValueError, KeyError, TypeError):
            continue  # the worker counts it
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return file.read(MAX_SPOOL_BYTES)
    except FileNotFoundError:
        return b""


def _everything(descriptor: int) -> bytes:
    """All that comes until the other side closes; raises ValueError for more than anybody should send."""
    pieces: list[bytes] = []
    size = 0
    while piece := os.read(descriptor, 65_536):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_INPUT_BYTES:
            raise ValueError("too much input")
    return b"".join(pieces)


def _leave(state: str, event: str, agent: str, trouble: str) -> None:
    """End this process with 0 after one line on what went wrong; the file does not grow beyond 64 KiB."""
    try:
        line = f"{int(time.time())} {agent[:32]} {event[:32]} {trouble[:200]}".replace("\n", " ")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(f"{state}/{TROUBLES}", flags, 0o600) if state else -1
        if state and os.fstat(descriptor).st_size < MAX_TROUBLE_BYTES:
            os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # a read-only state directory: there is nowhere to tell it
    os._exit(0)


def _first(given: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is a text with something in it."""
    return next((found for name in names if isinstance(found := given.get(name), str) and found), "")


def _unfolded(found: object) -> object:
    """A value that may be JSON in a text (Cursor's results, Copilot's arguments), as what it says."""
    if isinstance(found, str) and found[:1] == "{":
        try:
            return json.loads(found)
        except ValueError:
            return found
    return found


def _failure(given: Mapping[str, Any]) -> str:
    """The text of a failed call, "" for one that went well, was interrupted, or does not say."""
    if given.get("is_interrupt") is True:
        return ""
    told = _first(given, "error", "error_message")
    if told:
        return told
    result = _unfolded(given.get("tool_response", given.get("tool_output", given.get("tool_result"))))
    fields: dict[str, Any] = result if isinstance(result, dict) else {"output": result}
    error = fields.get("error")
    error = error.get("message", "") if isinstance(error, dict) else error
    names = ("stderr", "stdout", "output", "llmContent", "text_result_for_llm", "textResultForLlm")
    texts = [str(text) for text in (error, *(fields.get(name) for name in names)) if text]
    text = "\n".join(texts)
    code = fields.get("exit_code", fields.get("exitCode"))
    failed = error or fields.get("result_type", fields.get("resultType")) == "failure" or _exit_code(code, text)
    return text if failed else ""


def _exit_code(code: object, text: str) -> int:
    """The exit code that a result names, in a field or in its first or last words; 0 for none."""
    import re  # noqa: PLC0415 - for agents without an event of its own for failures

    if isinstance(code, int):
        return code
    found = re.findall(_EXIT_CODE, f"{text[:400]} {text[-400:]}")
    return int(found[-1]) if found else 0
