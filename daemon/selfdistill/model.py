"""The nouns: what flows from a log to a lesson, as frozen values without behaviour.

Times are seconds since the epoch, UTC (float), or None where the log does not say. Offsets and lengths are
bytes of the (decompressed) log.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field


class Author(StrEnum):
    """Who wrote a text. Programs write about a third of all "user" messages, so the source decides, once."""

    HUMAN = "human"
    PROGRAM = "program"


class EventKind(StrEnum):
    """What a record of a log says, in words that fit every agent."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    INTERRUPT = "interrupt"
    REJECTION = "rejection"
    SESSION_START = "session_start"
    SESSION_END = "session_end"
    COMPACTION = "compaction"
    NOTICE = "notice"


class ToolKind(StrEnum):
    """What a tool does, whatever the agent calls it."""

    SHELL = "shell"
    EDIT = "edit"
    WRITE = "write"
    READ = "read"
    SEARCH = "search"
    WEB = "web"
    AGENT = "agent"
    PLAN = "plan"
    OTHER = "other"


class Turn(StrEnum):
    """Where a conversation stands after its last record."""

    CLOSED = "closed"  # the agent has answered; a human is next
    OPEN = "open"  # the agent is at work, no tool call is running
    OPEN_CALL = "open_call"  # a tool call has no result yet
    ENDED = "ended"  # the log says that the session is over


class Span(Struct, frozen=True, array_like=True, gc=False):
    """The bytes of one whole record."""

    offset: int
    length: int


class ToolInput(Struct, frozen=True, omit_defaults=True, gc=False):
    """The arguments of a tool call under the same names for every agent; "" where there are none."""

    command: str = ""  # SHELL: the command line as the shell gets it
    path: str = ""  # EDIT, WRITE, READ, SEARCH: the file or directory
    old: str = ""  # EDIT: the text to replace
    new: str = ""  # EDIT, WRITE: the text to put there
    text: str = ""  # anything else worth reading: pattern, URL, prompt, or the arguments as compact JSON


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing that happened in a session, agent-neutral.

    `uid` is the same in every copy of the record (resumed, forked and cumulative logs) and differs between
    records; where the agent gives no id, the source makes one and says how. A call and its result share `call_id`.
    """

    kind: EventKind
    span: Span
    uid: str
    at: float | None = None
    text: str = ""
    author: Author = Author.PROGRAM
    tool: str = ""
    tool_kind: ToolKind = ToolKind.OTHER
    input: ToolInput | None = None
    call_id: str = ""
    is_error: bool | None = None
    exit_code: int | None = None
    cwd: str = ""
    sidechain: bool = False  # a sub-agent's doing, inside its parent's session
    ends_turn: bool = False  # ASSISTANT: the log says that the agent has finished its turn


class Session(Struct, frozen=True, omit_defaults=True):
    """What the log says about the conversation it belongs to.

    `machine_run`: driven by a program (sub-agent, headless, SDK): gives tool and test findings, never human signals.
    `ignored`: our own, a guardian's or a compaction worker's log: skipped whole; says why in a few words.
    """

    id: str = ""
    parent: str = ""
    cwd: str = ""
    repository_url: str = ""
    model: str = ""
    agent_version: str = ""
    machine_run: bool = False
    ignored: str = ""


class Records(Struct, omit_defaults=True):
    """How a parser fared: every record is known, deliberately ignored, unknown (drift) or undecodable."""

    total: int = 0
    known: int = 0
    ignored: int = 0
    unknown: int = 0
    undecodable: int = 0
    unknown_types: dict[str, int] = field(default_factory=dict)  # at most 32 names, longest 80 characters


class Skip(StrEnum):
    """Why a log, or the rest of one, is not distilled: the words of the skip ledger."""

    EMPTY = "empty"
    MACHINE_RUN = "machine_run"
    EXCLUDED = "excluded"
    UNSETTLED = "unsettled"
    UNREADABLE = "unreadable"
    NOT_REGULAR = "not_regular"
    NO_CONVERSATION = "no_conversation"  # records, but no event of a conversation among them
    QUARANTINED = "quarantined"
    GONE = "gone"


class SignalKind(StrEnum):
    """What the events of a session tell about how it went."""

    TOOL_ERROR = "tool_error"
    EDIT_FAILURE = "edit_failure"
    TEST_FAILED = "test_failed"
    TEST_PASSED = "test_passed"
    LINT_FAILED = "lint_failed"
    BUILD_FAILED = "build_failed"
    REJECTION = "rejection"
    INTERRUPT = "interrupt"
    CORRECTION = "correction"
    FAILURE_REPORT = "failure_report"
    APPROVAL = "approval"
    PRAISE = "praise"
    REVERT = "revert"
    LOOP = "loop"
    UNVERIFIED_CLAIM = "unverified_claim"
    ENVIRONMENT = "environment"


class Polarity(StrEnum):
    """Whether something speaks for or against what the agent did; NEUTRAL is abstention, not a tie."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class FailureClass(StrEnum):
    """Whose fault a failed call is (shared/lessons.md): only USAGE failures teach a command repair."""

    USAGE = "usage"
    CHECK = "check"
    GUARDRAIL = "guardrail"
    EXPECTED = "expected"
    ENVIRONMENT = "environment"
    HUMAN = "human"


class Signal(Struct, frozen=True, omit_defaults=True):
    """One observation: what, for or against, where, and the redacted words that show it."""

    kind: SignalKind
    polarity: Polarity
    spans: tuple[Span, ...]
    excerpt: str = ""
    detail: str = ""


class Outcome(Struct, frozen=True, omit_defaults=True):
    """How an episode or a session went, with a calibrated probability of failure and what carries it."""

    verdict: Polarity
    failure_probability: float
    contributions: tuple[tuple[str, float], ...] = ()  # signal kind -> log-odds it adds


class TriggerType(StrEnum):
    """The original tool's classes of situations."""

    DEBUGGING = "debugging"
    IMPLEMENTATION = "implementation"
    CONSTRAINT = "constraint"
    ERROR_REPORT = "error-report"
    GENERAL = "general"


class Trigger(Struct, frozen=True):
    """When a lesson applies."""

    condition: str
    type: TriggerType


class ActionType(StrEnum):
    """Whether a lesson tells to do or to avoid something."""

    DO = "do"
    AVOID = "avoid"


class Action(Struct, frozen=True):
    """What to do then."""

    type: ActionType
    description: str


class Evidence(Struct, frozen=True, omit_defaults=True):
    """One record a finding rests on. `quote` is verbatim from the redacted, decoded text, at most 600 characters."""

    uid: str
    span: Span
    quote: str
    role: str  # what the record shows: "failed call", "working call", "user", "test failed" ...
    at: float | None = None


class Point(Struct, frozen=True, array_like=True):
    """One entry of a list that grows over sessions: the cause it is about, and what to say of it."""

    cause: str
    text: str


class Finding(Struct, frozen=True, omit_defaults=True):
    """What a rule saw once: the stored fact that lessons are derived from.

    `merge_key` is rule + normalised signature + normalised repair: equal keys in one project are one lesson.
    `strength` 0..1 is how sure this single sighting makes the lesson; `needs` is how many independent sessions
    must show it before the lesson is active. `covers`: the causes (`signals/causes.py`) of the failures it is about.
    `prefers` and `over`: what it says to use and to leave; a lesson that chooses the other way round contradicts it.
    `points`: what the lesson lists after its action, the points that most sessions showed first.
    """

    rule: str
    merge_key: str
    signal: Polarity
    trigger: Trigger
    action: Action
    evidence: tuple[Evidence, ...]
    strength: float
    needs: int = 1
    rationale: str = ""
    tags: tuple[str, ...] = ()
    cwd: str = ""
    covers: tuple[str, ...] = ()
    prefers: str = ""
    over: str = ""
    points: tuple[Point, ...] = ()
    model: str = ""  # that was asked for it; "" for a rule of ours


class Mishap(Struct, frozen=True, omit_defaults=True):
    """A failed call by one of its causes (`signals/causes.py`): what tells whether a lesson's failure came again."""

    uid: str
    cause: str
    at: float | None = None
    cwd: str = ""
    began: float | None = None  # when the call was made; `at` is when it had failed


class Scope(StrEnum):
    """Where a lesson may be told."""

    PROJECT = "project"
    GLOBAL = "global"


class LessonState(StrEnum):
    """Where a lesson stands. REJECTED is a tombstone: never learned again."""

    ACTIVE = "active"
    PENDING = "pending"
    ARCHIVED = "archived"
    REJECTED = "rejected"


class Sighting(Struct, frozen=True, omit_defaults=True):
    """Where a finding was seen: one log, with the places and times of its evidence in the finding's order."""

    log_id: int
    generation: int
    session: str
    spans: tuple[Span, ...]
    times: tuple[float | None, ...]


class StoredFinding(Struct, frozen=True):
    """A finding as the store keeps it: what all copies share, and every place it was seen.

    `imported`: it came in a file from elsewhere. `adopted`: a person merged its lesson into the one it is loaded for.
    """

    id: str
    distiller: str
    version: int
    project: str
    remote: str  # git remote of the project, "" if it has none
    finding: Finding
    sightings: tuple[Sighting, ...]
    imported: bool = False
    adopted: bool = False


class Lesson(Struct, frozen=True, omit_defaults=True):
    """What went wrong or right, and what to do next time; derived from findings, see `distill/merging.py`."""

    id: str
    project: str
    merge_key: str
    signal: Polarity
    trigger: Trigger
    action: Action
    rationale: str
    confidence: float
    scope: Scope
    tags: tuple[str, ...]
    state: LessonState
    support: int
    distiller: str
    version: int
    first_seen: float | None = None
    last_seen: float | None = None
    model: str = ""  # that was asked for it, "" for rules of ours alone
    covers: tuple[str, ...] = ()
    prefers: str = ""
    over: str = ""
    first_session: str = ""
    helped: int = 0  # sessions that were told, in which the failure could have come and did not
    recurred: int = 0  # later sessions in which a failure came that the lesson covers
    created_at: float | None = None
    updated_at: float | None = None
    recurred_told: int = 0  # sessions that were told, had a chance, and in which the failure came all the same
    reason: str = ""  # why it is archived where no person did it
    feedback: int = 0  # agents' sessions that called it helpful, less those that did not


class Stat(Struct, frozen=True, array_like=True, gc=False):
    """What `stat` says of a log: enough to know that nothing happened without opening it."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Proof(Struct, frozen=True, array_like=True):
    """Proof that a log still is the log a cursor was made for: BLAKE2b of its head and of the bytes before `offset`.

    `head` covers the first min(1024, offset) bytes, `tail` the last min(256, offset) bytes before the offset.
    """

    offset: int = 0
    head_length: int = 0
    head: bytes = b""
    tail_length: int = 0
    tail: bytes = b""


class Cursor(Struct, frozen=True, omit_defaults=True):
    """How far one distiller has read one log, with what parser and distiller must remember to go on."""

    proof: Proof
    generation: int = 0
    version: int = 0  # of the distiller that made it
    parser_state: bytes | None = None
    carry: bytes | None = None
