"""The MCP server: our tools in the protocol's words, on standard input and output. The one place that knows `mcp`.

`mcp` (an extra) takes about a second to import, so it is imported when the server starts. The SDK's stdio transport
keeps file descriptor 1 for itself and points everybody else's at standard error, so no print breaks the protocol.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from selfdistill.errors import SelfdistillError, UsageError
from selfdistill.manifest import Manifest
from selfdistill.service import agent_words
from selfdistill.service.agent_tools import Desk
from selfdistill.service.running import BUGS

if TYPE_CHECKING:
    import mcp_types
    from mcp.server.lowlevel import Server

_INSTRUCTIONS: Final = """\
Lessons from earlier sessions of AI agents on this machine: what failed, and what worked instead. Ask \
retrieve_lessons before work that may have failed before (a command, a file, an error at hand); silence is its usual \
answer. Lessons are hints: what the user says goes first. Say with give_feedback whether one was of use."""


class Tool(Struct, frozen=True):
    """A tool as it is described and done. `do` runs in a thread; None is the run, a process of its own."""

    name: str
    title: str
    description: str
    arguments: type[Struct]
    answer: type[Struct]
    do: Callable[[Desk, Any], Struct] | None
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False


TOOLS: Final = (
    Tool(
        "run_self_distill",
        "Distill recent sessions",
        "Reads the newest settled conversation logs of AI agents on this machine (20 sessions unless `limit` says"
        " otherwise), detects what failed and what worked, and stores the lessons. Returns the manifest: id, times,"
        " analysisMode (what really ran), sessions processed, skipped by reason and failed, the new lessons with"
        " confidence 0 to 1, usage.\n"
        "Writes: findings, lessons and reading positions in selfdistill's own database, a record of the run, and its"
        " status file unless a daemon keeps it. Known lessons may be confirmed, changed or withdrawn; what people"
        " decided about lessons stays. Never writes logs or repositories. With `dryRun` nothing is written and no model"
        " is asked. A model is asked only if the configuration or `model` says so; then redacted excerpts of sessions"
        " are sent to it, within a daily cap in dollars.\n"
        "Errors: a run of this server is still under way; the configuration or model name is wrong; the store is busy,"
        " damaged or of another version; the disk is full. Nothing is half written then. Logs that cannot be read are"
        " counted in the manifest, not errors. `notes` says why a model that was wanted was not asked.\n"
        "Use it when what just happened should be learned now. Not needed where the daemon runs (see"
        " self_distill_status), and not a way to read lessons: that is retrieve_lessons or search_lessons. It may take"
        " minutes on a first run.",
        agent_words.RunArguments,
        agent_words.RunAnswer,
        None,
        read_only=False,
        destructive=True,
        idempotent=False,
        open_world=True,
    ),
    Tool(
        "self_distill_status",
        "How distilling stands",
        "Returns the last run (id, time, analysis mode, sessions processed, lessons generated; null before the first,"
        ' and the message "No self-distill runs found."), the totals (runs, lessons that are not rejected, sessions,'
        " lessons that wait) and what the daemon does. Reads selfdistill's database and status file, writes nothing.\n"
        "Errors: the store is damaged, busy or of another version.\n"
        "Use it to see whether lessons are learned at all, or before run_self_distill; it names no lessons.",
        agent_words.StatusArguments,
        agent_words.StatusAnswer,
        Desk.status,
    ),
    Tool(
        "search_lessons",
        "Search lessons by words",
        "Returns the active lessons of this project (and global ones) that share words with a text, best first (BM25):"
        " id, trigger, action, rationale, confidence 0 to 1, support. An empty list and a message if there are none."
        " Writes nothing. Errors: an empty query, the store is damaged, busy or of another version.\n"
        "Use it to look around a topic. For what to mind right now ask retrieve_lessons, which knows when a lesson"
        " applies and is silent otherwise.",
        agent_words.SearchArguments,
        agent_words.LessonsAnswer,
        Desk.search,
    ),
    Tool(
        "retrieve_lessons",
        "Lessons for this moment",
        f"Returns at most {agent_words.MOST_LESSONS} active lessons whose moment this is, most telling first; `because`"
        " says whether each answers the error, the command, a file or the task. It compares the very command, path and"
        " error, not only words, so an empty list is the usual answer. Writes nothing. Errors: more than"
        f" {agent_words.MOST_FILES} files, the store is damaged, busy or of another version.\n"
        "Use it at the start of a task, before a command that may be tricky here, and after a failure (`error` with"
        " `command`). To browse use search_lessons; for the evidence behind one lesson get_lesson.",
        agent_words.RetrieveArguments,
        agent_words.LessonsAnswer,
        Desk.retrieve,
    ),
    Tool(
        "get_lesson",
        "One lesson with its evidence",
        "Returns an active lesson with its project, tags, who found it, how it fared since (helped, recurred, feedback)"
        " and up to 12 redacted quotes of the sessions that show it. Writes nothing. Errors: no lesson or several have"
        " an id that begins so; the lesson is not active, so it is not told.\n"
        "Use it when a lesson of search_lessons or retrieve_lessons surprises you and you want to see why.",
        agent_words.GetArguments,
        agent_words.LessonAnswer,
        Desk.get,
    ),
    Tool(
        "give_feedback",
        "Say whether a lesson was of use",
        "Keeps for good whether an active lesson was of use in this session, with a note for people; returns how the"
        " lesson stands. It moves the lesson's rank a little and brings it before a person, nothing else: no amount of"
        " feedback activates, rejects or changes a lesson. This session has one word for each lesson, the last one.\n"
        "Errors: no lesson or several have an id that begins so; the lesson is not active; the store is busy,"
        " damaged or of another version.\n"
        "Use it after you followed a lesson, or saw that it is wrong here. A person's verdict is given with"
        " `selfdistill lessons review`, not here.",
        agent_words.FeedbackArguments,
        agent_words.FeedbackAnswer,
        Desk.feedback,
        read_only=False,
    ),
)


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """The JSON schema of a struct with an object at its root, as the protocol wants it."""
    (root,), parts = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    whole = parts.pop(root["$ref"].rpartition("/")[2]) if "$ref" in root else root
    return {**whole, "$defs": parts} if parts else whole


def run_command(desk: Desk, arguments: agent_words.RunArguments, program: Sequence[str]) -> list[str]:
    """The command line of a run."""
    options = ["--json", "--limit", str(arguments.limit)]
    options += ["--dry-run"] if arguments.dry_run else []
    options += [f"--model={arguments.model}"] if arguments.model is not None else []
    return [*program, "--state-dir", str(desk.places.state), "run", *options]


def run_result(desk: Desk, code: int, output: bytes, errors: bytes) -> agent_words.RunAnswer:
    """What came of a run; SelfdistillError if it failed."""
    lines = desk.redact(errors.decode("utf-8", "replace")).splitlines()
    notes = tuple(one.removeprefix("selfdistill: ").strip() for one in lines if one.strip())
    if code:
        said = " ".join(notes) or "it said nothing"
        raise SelfdistillError(f"The run failed (exit code {code}): {said}", "")
    return agent_words.run_answer(msgspec.json.decode(output, type=Manifest), notes)


def serve(desk: Desk, program: Sequence[str]) -> None:
    """Serve the protocol until standard input ends. `program`: how to start selfdistill for a run.

    Raises UsageError where the extra is missing or too old.
    """
    _check_installed()
    import anyio  # noqa: PLC0415 - comes with mcp, see above
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    async def run() -> None:
        server = _server(desk, program)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(run)


def _check_installed() -> None:
    """Raise UsageError unless the SDK is there, in version 2."""
    advice = "Install the extra: pip install 'selfdistill[mcp]' (or: pipx inject selfdistill 'mcp>=2,<3')."
    try:
        from mcp.server.lowlevel import Server  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The MCP server needs the package `mcp`, which is not installed ({error}).", advice
        ) from error
    if not version("mcp").startswith("2."):
        raise UsageError(f"The MCP server needs version 2 of the package `mcp`, not {version('mcp')}.", advice)


def _server(desk: Desk, program: Sequence[str]) -> Server[Any]:
    """The server with its tools."""
    import anyio  # noqa: PLC0415 - see above
    import mcp_types  # noqa: PLC0415
    from mcp.server.lowlevel import Server  # noqa: PLC0415
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415

    tools = {tool.name: tool for tool in TOOLS}
    running = anyio.Lock()

    async def list_tools(_context: object, _request: object) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def distill(arguments: agent_words.RunArguments) -> agent_words.RunAnswer:
        try:
            running.acquire_nowait()
        except anyio.WouldBlock as error:
            raise UsageError("A run of this server is still under way.", "Wait for its answer.") from error
        try:
            done = await anyio.run_process(run_command(desk, arguments, program), check=False)
        finally:
            running.release()
        return run_result(desk, done.returncode, done.stdout, done.stderr)

    async def call_tool(_context: object, request: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
        tool = tools.get(request.name)
        if tool is None:
            raise MCPError(mcp_types.INVALID_PARAMS, f"There is no tool {request.name!r}; see tools/list.")
        try:
            arguments = _arguments(tool, request.arguments or {})
            if tool.do is None:
                return _answered(await distill(arguments))
            return _answered(await anyio.to_thread.run_sync(tool.do, desk, arguments))
        except SelfdistillError as error:
            return _failed(desk, f"{error.message} {error.advice}".strip())
        except (*BUGS, OSError) as error:
            traceback.print_exc(file=sys.stderr)
            return _failed(desk, f"{tool.name} failed by a fault of selfdistill ({type(error).__name__}). Report it.")

    return Server(
        "selfdistill",
        version=version("selfdistill"),
        title="selfdistill",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _described(tool: Tool) -> mcp_types.Tool:
    import mcp_types  # noqa: PLC0415 - see above

    return mcp_types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema_of(tool.arguments),
        output_schema=schema_of(tool.answer),
        annotations=mcp_types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
    )


def _arguments(tool: Tool, given: dict[str, Any]) -> Any:  # noqa: ANN401 - each tool has its own
    """The arguments of a call; UsageError says which is wrong, and what there is."""
    try:
        return msgspec.convert(given, tool.arguments)
    except msgspec.ValidationError as error:
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(tool.arguments))
        raise UsageError(f"{tool.name}: {error}.", f"Its arguments: {names or 'none'}.") from error


def _answered(answer: Struct) -> mcp_types.CallToolResult:
    import mcp_types  # noqa: PLC0415 - see above

    text = msgspec.json.encode(answer).decode()
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=text)], structured_content=msgspec.to_builtins(answer)
    )


def _failed(desk: Desk, message: str) -> mcp_types.CallToolResult:
    import mcp_types  # noqa: PLC0415 - see above

    try:
        clean = desk.redact(message)
    except SelfdistillError as error:  # the configuration itself is what is wrong
        clean = f"{error.message} {error.advice}".strip()
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=clean)], is_error=True)
