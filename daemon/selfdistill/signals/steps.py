"""What the signals room hands on: paired tool calls (steps) and human turns, small enough to be carried between runs.

Every text in here is redacted and bounded, because carried state is stored.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from selfdistill.model import FailureClass, Signal, Span, ToolKind
from selfdistill.signals.runs import TestRun


class Fault(StrEnum):
    """What an error message says is wrong with a command; NONE when it says nothing of the kind."""

    NONE = ""
    UNKNOWN_OPTION = "unknown_option"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_REVISION = "unknown_revision"
    PROGRAM_MISSING = "program_missing"
    MODULE_MISSING = "module_missing"
    PATH_MISSING = "path_missing"
    GLOB = "glob"
    ARGUMENT_MISSING = "argument_missing"
    PREREQUISITE = "prerequisite"
    PUSH_REJECTED = "push_rejected"
    QUOTING = "quoting"
    BAD_VALUE = "bad_value"


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why a call failed: whose fault, what kind, the word that the message names, and the message's key line."""

    blame: FailureClass | None  # None: the log does not say
    fault: Fault = Fault.NONE
    named: str = ""
    line: str = ""
    signature: str = ""  # the key line without what changes from one occurrence to the next


class Diagnostic(Struct, frozen=True, omit_defaults=True):
    """One thing that a linter, compiler or type checker found, without the place where it stood.

    `message` is normalised: names, numbers and paths that change from one place to the next are placeholders.
    `subject` is the name it was about this time (a function, module or symbol), "" where it names none.
    """

    tool: str  # "ruff", "golangci-lint", "tsc" ...; "" where the output does not say
    code: str  # the rule: "errcheck", "F401", "TS2339", "E0382"
    message: str
    subject: str = ""
    quote: str = ""  # the line as it stood in the output


class Step(Struct, omit_defaults=True):
    """One tool call with its result. `settled`: a rule has already told what became of it."""

    uid: str
    result_uid: str
    span: Span
    result_span: Span
    tool: str
    kind: ToolKind
    at: float | None = None
    began: float | None = None  # when the call was made; `at` is when its result came
    command: str = ""
    path: str = ""
    cwd: str = ""
    failed: bool = False
    failure: Failure | None = None
    quote: str = ""  # verbatim lines of the (redacted) result that show how it went
    check: str = ""  # "test", "lint", "build", "typecheck", "format": what the command is meant to find out
    run: TestRun | None = None
    diagnostics: tuple[Diagnostic, ...] = ()  # distinct ones, as they came; bounded
    before: str = ""  # EDIT: digests of the texts replaced and put there, to notice an inverse edit
    after: str = ""
    sidechain: bool = False
    settled: bool = False


class TurnKind(StrEnum):
    """What a human turn says about the work before it (labels of shared/labelled)."""

    CORRECTION = "correction"
    FAILURE_REPORT = "failure_report"
    FINDING = "finding"
    REFINEMENT = "refinement"
    QUESTION = "question"
    APPROVAL = "approval"
    PRAISE = "praise"
    NEUTRAL = "neutral"


class HumanTurn(Struct, omit_defaults=True):
    """What a person said: a prompt, or the words with which a tool call was rejected."""

    uid: str
    span: Span
    text: str
    kind: TurnKind
    at: float | None = None
    cwd: str = ""
    rejected: Step | None = None  # the call these words refused
    interrupted: bool = False
    first: bool = False  # opens the session: there was nothing to correct


class Statement(Struct, omit_defaults=True):
    """What the agent said."""

    uid: str
    span: Span
    text: str
    at: float | None = None
    ends_turn: bool = False


class Moment(Struct):
    """Something has just become known: a finished step, a human turn or a statement; with the signals it gives."""

    happened: Step | HumanTurn | Statement
    signals: tuple[Signal, ...] = ()
