"""The MCP server as an agent meets it: a process of its own, spoken to by the SDK's client over pipes.

One server answers for nearly everything here, for it takes a second or more to start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from homes import PROGRAM, Home
from invented import mended, put, repaired, run
from selfdistill.service.agent_words import MARK
from selfdistill.service.mcp_server import TOOLS, schema_of
from selfdistill.sources.injections import without_own

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
READ_ONLY = {"self_distill_status", "search_lessons", "retrieve_lessons", "get_lesson"}


class Agent:
    """The SDK's client on a server in this user's home."""

    def __init__(self, client: Any, home: Home) -> None:  # noqa: ANN401 - the SDK's client
        self.client = client
        self.home = home

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """The structured answer of a call that must succeed; the text says the same."""
        done = await self.client.call_tool(tool, arguments)
        assert not done.is_error, done.content[0].text
        assert json.loads(done.content[0].text) == done.structured_content
        answer: dict[str, Any] = done.structured_content
        return answer

    async def fail(self, tool: str, **arguments: Any) -> str:  # noqa: ANN401 - JSON
        """The words of a call that must fail as a tool's error."""
        done = await self.client.call_tool(tool, arguments)
        assert done.is_error
        text: str = done.content[0].text
        return text


def spoken(home: Home, talk: Callable[[Agent], Awaitable[None]]) -> str:
    """Let an agent talk to a server that was started in the project; what the server wrote to standard error."""
    mcp = pytest.importorskip("mcp", reason="the extra `mcp` is not installed: pip install -e '.[dev]'")
    import anyio  # noqa: PLC0415 - comes with mcp

    log = home.path / "mcp.log"
    broken: list[Exception] = []

    async def heard(message: object) -> None:
        if isinstance(message, Exception):  # a line that is no message of the protocol
            broken.append(message)

    async def main() -> None:
        program, *words = [*PROGRAM, "mcp"]
        parameters = mcp.StdioServerParameters(
            command=program, args=words, env=home.environment(), cwd=home.path / "kettle"
        )
        with log.open("w") as errors:
            async with mcp.Client(mcp.stdio_client(parameters, errlog=errors), message_handler=heard) as client:
                await talk(Agent(client, home))

    anyio.run(main)
    assert broken == []
    return log.read_text()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user whose logs nobody has distilled yet: one lesson will be active, one will wait."""
    home, kettle = Home(tmp_path), tmp_path / "kettle"
    put(kettle / ".git" / "HEAD", b"ref: refs/heads/main\n")
    repaired("1", str(kettle)).say(f"The token is {SECRET}.").answer("Noted.").write(tmp_path)
    tests = mended("3")
    tests.lines = [line.replace(b"/home/mara/kettle", bytes(kettle)) for line in tests.lines]
    tests.write(tmp_path)
    return home


async def describes(agent: Agent) -> None:
    """Names, schemas and hints are what the README and the original tool say."""
    tools = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
    assert list(tools) == [tool.name for tool in TOOLS]
    assert list(tools["run_self_distill"].input_schema["properties"]) == ["dryRun", "limit", "model"]
    for name, tool in tools.items():
        assert tool.annotations.read_only_hint is (name in READ_ONLY)
        assert tool.annotations.destructive_hint is (name == "run_self_distill")
        assert tool.annotations.idempotent_hint is (name != "run_self_distill")
        assert tool.annotations.open_world_hint is (name == "run_self_distill")
        assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
        for promise in ("eturns", "Errors:", "Use it"):
            assert promise in tool.description, (name, promise)


async def is_empty(agent: Agent) -> None:
    """Before the first run: the original's words, no lessons, no errors, and nothing is written."""
    status = await agent.ask("self_distill_status")
    assert status["message"] == "No self-distill runs found."
    assert (status["lastRunId"], status["totalRuns"], status["daemon"]) == (None, 0, "never started")
    assert (await agent.ask("search_lessons", query="gh"))["lessons"] == []
    assert (await agent.ask("retrieve_lessons", task="gh pr diff"))["lessons"] == []
    assert "There is no lesson" in await agent.fail("get_lesson", id="ab")
    assert "There is no lesson" in await agent.fail("give_feedback", id="ab", helpful=True)
    assert (await agent.ask("run_self_distill", dryRun=True))["lessonsGenerated"] == 2
    assert not agent.home.state.exists()


async def distills(agent: Agent) -> None:
    """A run answers with its manifest; a second one meanwhile is refused at once, so the protocol goes on beside it."""
    import anyio  # noqa: PLC0415 - comes with mcp

    made: list[dict[str, Any]] = []

    async def keep() -> None:
        made.append(await agent.ask("run_self_distill", limit=1))

    async with anyio.create_task_group() as group:
        group.start_soon(keep)
        await anyio.lowlevel.checkpoint()
        assert "still under way" in await agent.fail("run_self_distill")
    assert made[0]["sessionsProcessed"] == 1
    made.append(await agent.ask("run_self_distill", model="claude-haiku-4-5"))
    assert sum(one["lessonsGenerated"] for one in made) == 2
    assert (made[1]["marker"], made[1]["analysisMode"], made[1]["dryRun"]) == (MARK, "heuristic", False)
    assert any("no model is asked" in note for note in made[1]["notes"])
    status = await agent.ask("self_distill_status")
    assert (status["lastRunId"], status["totalRuns"], status["totalLessons"]) == (made[1]["id"], 2, 2)
    assert (status["pendingLessons"], status["daemon"]) == (1, "not running")


async def finds(agent: Agent) -> None:
    """Words find it; the very command and its error retrieve it; harmless ones do not; the pending one never comes."""
    (found,) = (await agent.ask("search_lessons", query="what about --stat in gh"))["lessons"]
    assert (await agent.ask("search_lessons", query="timer test boils"))["lessons"] == []
    asked = {"task": "look at it", "command": "gh pr diff 33 --stat"}
    (told,) = (await agent.ask("retrieve_lessons", **asked))["lessons"]
    assert (told["id"], told["because"]) == (found["id"], "the command")
    (told,) = (await agent.ask("retrieve_lessons", **asked, error="unknown flag: --stat"))["lessons"]
    assert told["because"] == "the error"
    for harmless in ("ls -la", "gh pr diff 33 --name-only"):
        silent = await agent.ask("retrieve_lessons", task="x", command=harmless, files=["web/timer.ts"])
        assert silent["lessons"] == []
        assert "usual answer" in silent["message"]
    assert (await agent.ask("search_lessons", query="gh", directory=str(agent.home.path)))["lessons"] == []


async def shows(agent: Agent) -> None:
    """One lesson comes with its evidence; what an agent is told is taken out of its log by our own reader."""
    (found,) = (await agent.ask("search_lessons", query="gh"))["lessons"]
    shown = await agent.ask("get_lesson", id=found["id"][:6])
    assert shown["lesson"] == found
    assert any("unknown flag: --stat" in one["quote"] for one in shown["evidence"])
    assert without_own(json.dumps(shown)) == '{"marker": "'


async def hears(agent: Agent) -> None:
    """Feedback moves a figure, once for a session, and never the state."""
    (found,) = (await agent.ask("search_lessons", query="gh"))["lessons"]
    for _ in range(3):
        after = await agent.ask("give_feedback", id=found["id"], helpful=False, note=f"wrong: {SECRET}")
        assert (after["feedback"], after["state"]) == (-1, "active")
    kept = agent.home.command("lessons", "show", found["id"])
    assert "not helpful, an agent says" in kept
    assert SECRET not in kept
    assert (await agent.ask("give_feedback", id=found["id"], helpful=True))["feedback"] == 1
    assert (await agent.ask("get_lesson", id=found["id"]))["feedback"] == 1


async def refuses(agent: Agent) -> None:
    """Wrong arguments, ids, names of models and tools are errors that say what to do; the server goes on."""
    words = ("lessons", "list", "--all", "--state", "pending", "--json")
    pending = json.loads(agent.home.command(*words))[0]["id"]
    assert "is pending" in await agent.fail("get_lesson", id=pending)
    assert "is pending" in await agent.fail("give_feedback", id=pending, helpful=True)
    assert "No lesson has an id" in await agent.fail("get_lesson", id="zzzz")
    assert "Its arguments: dryRun, limit, model" in await agent.fail("run_self_distill", limit="many")
    assert "dry_run" in await agent.fail("run_self_distill", dry_run=True)
    assert "limit" in await agent.fail("run_self_distill", limit=-1)
    assert "is no model's name" in await agent.fail("run_self_distill", model="--state-dir=/tmp")
    assert "query" in await agent.fail("search_lessons")
    assert "files" in await agent.fail("retrieve_lessons", task="x", files=["a"] * 21)
    from mcp import MCPError  # noqa: PLC0415 - a second, which only these tests need

    with pytest.raises(MCPError, match="no tool 'frob'"):
        await agent.client.call_tool("frob", {})


async def survives(agent: Agent) -> None:
    """A wrong configuration and a damaged store are errors that name the file, and gone the tools work again."""
    config = agent.home.config.read_text()
    agent.home.config.write_text("[settling]\nodd = 7\n")
    assert "unknown key settling.odd" in await agent.fail("give_feedback", id="ab", helpful=True)
    agent.home.config.write_text(config)
    store = agent.home.state / "lessons.db"
    sound = store.read_bytes()
    store.write_bytes(b"nonsense" * 1000)
    assert "lessons.db" in await agent.fail("search_lessons", query="x")
    assert "lessons.db" in await agent.fail("retrieve_lessons", task="x")
    store.write_bytes(sound)
    assert (await agent.ask("search_lessons", query="gh"))["lessons"]


async def shares(agent: Agent) -> None:
    """With a daemon on the same store it reads, runs and hears as ever."""
    with agent.home.daemon():
        assert (await agent.ask("self_distill_status"))["daemon"] in {"watching", "distilling"}
        assert (await agent.ask("run_self_distill", limit=0))["sessionsFailed"] == 0
        (found,) = (await agent.ask("search_lessons", query="gh"))["lessons"]
        assert (await agent.ask("give_feedback", id=found["id"], helpful=True))["feedback"] == 1


STEPS = (describes, is_empty, distills, finds, shows, hears, refuses, survives, shares)


def test_a_whole_conversation(home: Home) -> None:
    """Every tool, from an empty machine to one with a daemon; no secret is kept, no line breaks the protocol."""
    done: list[str] = []

    async def talk(agent: Agent) -> None:
        for step in STEPS:
            await step(agent)
            done.append(step.__name__)

    errors = spoken(home, talk)
    assert done == [step.__name__ for step in STEPS]
    assert SECRET not in errors
    assert "Traceback" not in errors
    for file in home.state.iterdir():
        assert SECRET.encode() not in (file.read_bytes() if file.is_file() else b"")


def test_without_the_extra(tmp_path: Path) -> None:
    """Where the SDK is missing, the command says how to install it, exits 64 and prints no traceback."""
    put(tmp_path / "mcp" / "__init__.py", b"raise ModuleNotFoundError(\"No module named 'mcp'\")\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run(tmp_path, "mcp", variables={"PYTHONPATH": paths})
    assert done.returncode == 64
    assert "pip install 'selfdistill[mcp]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_schemas_have_objects_at_their_roots() -> None:
    """The schemas are whole: every reference leads somewhere, and a struct's answer fits its own schema."""
    for tool in TOOLS:
        for kind in (tool.arguments, tool.answer):
            schema = schema_of(kind)
            text = json.dumps(schema)
            assert schema["type"] == "object"
            for part in schema.get("$defs", {}):
                assert f"#/$defs/{part}" in text
            assert {part.split('"')[0] for part in text.split("#/$defs/")[1:]} <= set(schema.get("$defs", {}))
            assert {field.encode_name for field in msgspec.structs.fields(kind)} == set(schema["properties"])
