"""What a Codex parser remembers: who and where, ids for what has none, and which messages were told twice."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from selfdistill.model import Session
from selfdistill.sources.base import Memory, bounded
from selfdistill.sources.codex_records import Meta, Origin, Subagent
from selfdistill.sources.decoding import bounded_id, digest, exit_status, fact
from selfdistill.sources.injections import is_own_place

ECHOES: Final = 16  # how many messages apart the two records of one message may stand
ANCHORED: Final = 64
OUTCOMES: Final = 32
_HEADLESS_SOURCES: Final = frozenset({"exec", "mcp"})
_HEADLESS_ORIGINATORS: Final = ("codex_exec", "codex_sdk", "codex-exec", "codex-sdk", "codex_mcp")
_SKIPPED: Final = {"guardian": "guardian", "compact": "compaction worker", "compaction": "compaction worker"}


class Echo(Struct):
    """A message that was told, and through which kinds of records it came."""

    key: str
    channels: str


class CodexMemory(Memory):
    """The state of a parser between two lines."""

    cwd: str = ""  # of the turn
    named: bool = False  # the session's own session_meta was read
    tells_turns: bool = False  # this version says when turns begin and end
    prompted: bool = False
    anchor: str = ""  # what made-up ids hang on: the last call, before any the last session_meta
    anchored_calls: bool = False
    said: dict[str, int] = field(default_factory=dict)  # key -> how often since the anchor
    echoes: list[Echo] = field(default_factory=list)
    outcomes: dict[str, tuple[int | None, bool | None]] = field(default_factory=dict)  # told before the output
    script: str = ""  # the open code-mode call

    def meet(self, meta: Meta) -> None:
        """Learn from a `session_meta`: repeated up to 15 times; a copied ancestor's comes with another id."""
        identity = bounded_id(meta.id or "")
        if identity and not self.anchored_calls:
            self.anchor = identity
        if not self.named:
            self.named = True
            self.session = session_of(meta, self.session.id)
            self.cwd = self.session.cwd

    def made_up_id(self, kind: str, text: str, stamp: str) -> str:
        """Return an id for what has none: the same in a copied history, whose times and session are other ones.

        It hangs on the last call id; before any call on the session that the history was copied from, else the time.
        """
        key = digest(kind, text)
        count = self.said.get(key, 0)
        self.said[key] = count + 1
        bounded(self.said, ANCHORED)
        return digest(key, self.anchor or stamp, str(count))

    def hang_on(self, call_id: str) -> None:
        """Let made-up ids hang on this call from now on."""
        self.anchor, self.anchored_calls = call_id, True
        self.said.clear()

    def is_echo(self, kind: str, text: str, channel: str) -> bool:
        """Whether this message was told before by another kind of record (`i`tem, `e`vent, `p`aginated item)."""
        key = digest(kind, text)
        for echo in reversed(self.echoes):
            if echo.key == key and channel not in echo.channels:
                echo.channels += channel
                return True
        self.echoes.append(Echo(key, channel))
        del self.echoes[:-ECHOES]
        return False

    def expect(self, call_id: str, code: int | None, *, failed: bool | None) -> None:
        """Remember how a call ended until its output comes."""
        self.outcomes[call_id] = (exit_status(code), failed)
        bounded(self.outcomes, OUTCOMES)


def session_of(meta: Meta, hint: str) -> Session:
    """Return what a rollout's first `session_meta` says; `hint` is the id in the file's name."""
    subagent = meta.source.subagent if isinstance(meta.source, Origin) else None
    spawn = subagent.thread_spawn if isinstance(subagent, Subagent) else None
    kind = (subagent.other or "") if isinstance(subagent, Subagent) else subagent or ""
    own = "selfdistill" if is_own_place(meta.cwd or "") else ""
    return Session(
        id=bounded_id(meta.id or "") or hint,
        parent=bounded_id(meta.parent_thread_id or (spawn.parent_thread_id if spawn else "") or ""),
        cwd=fact(meta.cwd or ""),
        repository_url=fact((meta.git.repository_url if meta.git else "") or ""),
        agent_version=fact(meta.cli_version or ""),
        machine_run=_is_machine_run(meta) or subagent is not None,
        ignored=_SKIPPED.get(kind, own),
    )


def _is_machine_run(meta: Meta) -> bool:
    """Whether a program started the session: `codex exec`, the SDK, another agent."""
    return (
        meta.thread_source == "subagent"
        or (isinstance(meta.source, str) and meta.source in _HEADLESS_SOURCES)
        or (meta.originator or "").startswith(_HEADLESS_ORIGINATORS)
    )
