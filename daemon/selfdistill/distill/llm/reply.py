"""What the model answered, judged: operations that hold become findings, all others are refused and counted.

Pure, never raises, and blind to the order of the operations. A quote counts when its words stand in the record that it
names, runs of white space being alike on both sides; what is kept is the record's own text, not the model's copy.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from selfdistill.distill.heuristic.wording import folded, merge_key
from selfdistill.distill.llm.danger import Grounds, is_dangerous
from selfdistill.distill.llm.excerpts import folded_space
from selfdistill.distill.llm.schema import (
    MAX_ACTION,
    MAX_CONDITION,
    MAX_QUOTE,
    MAX_QUOTES,
    MAX_RATIONALE,
    MOST_OPERATIONS,
    Add,
    Contradict,
    Operation,
    Quote,
    Reinforce,
    Revise,
)
from selfdistill.distill.llm.soundness import Refusal, unprintable, unsound
from selfdistill.distill.llm.transcript import Entry, Tier
from selfdistill.model import Action, Evidence, Finding, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from selfdistill.distill.llm.choosing import Selection
    from selfdistill.distill.llm.known import Known

RULE: Final = "llm"
HELD: Final = 1_000_000  # independent sessions: only a person's approval activates the lesson
UNSAFE: Final = "unsafe"
MOST_JUDGED: Final = 50  # operations; a reply with more is no answer to our question
LEAST_QUOTE: Final = 8  # characters: less is found anywhere and proves nothing
MAX_EVIDENCE: Final = 600  # characters, `model.Evidence`

# How sure the best quoted text can make a single sighting; heuristics that saw a repair work begin at 0.7.
STRENGTHS: Final = {Tier.USER: 0.8, Tier.STATE: 0.7, Tier.AGENT: 0.55, Tier.TOOL: 0.4, Tier.WEB: 0.3}
SURE: Final = 0.5  # below, or by the agent's word alone, a second session must show it
_BY_ITSELF: Final = frozenset({Tier.USER, Tier.STATE})
_OWN_WORDS: Final = frozenset({Tier.USER, Tier.AGENT})
_ROLES: Final = {
    Tier.USER: "user",
    Tier.STATE: "result",
    Tier.AGENT: "agent",
    Tier.TOOL: "tool output",
    Tier.WEB: "web content",
}


class Contradiction(Struct, frozen=True):
    """A known lesson that a session shows to be wrong."""

    id: str
    merge_key: str
    rationale: str
    strength: float
    evidence: tuple[Evidence, ...]


class Judged(Struct, frozen=True):
    """What of an answer is applied. `findings` hold those of added, reinforced and revised lessons.

    `refused`: how many operations for each reason, by the words of `soundness.Refusal`. `held`: how many of the
    findings wait for a person.
    """

    findings: tuple[Finding, ...] = ()
    reinforced: tuple[str, ...] = ()
    revised: tuple[str, ...] = ()
    contradicted: tuple[Contradiction, ...] = ()
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """How many findings only a person can make active."""
        return sum(1 for finding in self.findings if finding.needs >= HELD)


def judge(
    reply: object,
    selection: Selection,
    known: Iterable[Known] = (),
    redact: Callable[[str], str] = str,
) -> Judged:
    """Judge a reply, given as its text, bytes or decoded JSON, to the prompt made of `selection` and `known`."""
    operations = _operations(reply)
    if operations is None:
        return Judged(refused={Refusal.SHAPE: 1})
    if len(operations) > MOST_JUDGED:
        return Judged(refused={Refusal.TOO_MANY: len(operations)})
    judge_one = _Judge(selection, known, redact)
    refused: Counter[str] = Counter()
    accepted: list[_Accepted] = []
    for raw in operations:
        verdict = judge_one(raw)
        if isinstance(verdict, Refusal):
            refused[verdict] += 1
        else:
            accepted.append(verdict)
    kept = _kept(accepted, refused)
    return Judged(
        findings=tuple(one.made for one in kept if isinstance(one.made, Finding)),
        reinforced=tuple(one.id for one in kept if one.op == "reinforce"),
        revised=tuple(one.id for one in kept if one.op == "revise"),
        contradicted=tuple(one.made for one in kept if isinstance(one.made, Contradiction)),
        refused={str(reason): count for reason, count in sorted(refused.items())},
    )


class _Accepted(Struct, frozen=True):
    """An operation that holds: which, about which known lesson ("" for none), and what it makes."""

    op: str
    id: str
    confidence: float
    made: Finding | Contradiction

    @property
    def order(self) -> tuple[float, bytes]:
        """The surest first; ties by content, so that the order of the reply does not matter."""
        return (-self.confidence, msgspec.json.encode(self))


def _operations(reply: object) -> list[Any] | None:
    """The reply's operations as plain values, None if it is no answer of the right shape."""
    if isinstance(reply, str | bytes):
        reply = _decoded(reply)
    listed = reply.get("operations") if isinstance(reply, dict) else None
    return listed if isinstance(listed, list) else None


def _decoded(reply: str | bytes) -> object:
    """The JSON of a reply; a server that knows no schemas may put words or a code fence around it."""
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            return msgspec.json.decode(part)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
    return None


def _kept(accepted: list[_Accepted], refused: Counter[str]) -> list[_Accepted]:
    """The operations to apply: none that say different things of one lesson, none twice, the surest five."""
    said: dict[str, set[str]] = {}
    for one in accepted:
        said.setdefault(one.id, set()).add(one.op)
    kept: list[_Accepted] = []
    keys: set[tuple[str, str]] = set()
    for one in sorted(accepted, key=lambda one: one.order):
        key = (one.op, one.made.merge_key)
        if one.id and len(said[one.id]) > 1:
            refused[Refusal.CONFLICTING] += 1
        elif key in keys:
            refused[Refusal.DUPLICATE] += 1
        elif len(kept) >= MOST_OPERATIONS:
            refused[Refusal.TOO_MANY] += 1
        else:
            keys.add(key)
            kept.append(one)
    return kept


class _Judge:
    """Judges one operation after the other against the same selection and known lessons."""

    def __init__(self, selection: Selection, known: Iterable[Known], redact: Callable[[str], str]) -> None:
        self._shown = selection.shown
        self._known = {lesson.id: lesson for lesson in known}
        self._redact = redact
        self._grounds = Grounds(selection.all)

    def __call__(self, raw: object) -> _Accepted | Refusal:
        """What an operation makes, or why it is refused."""
        try:
            operation = msgspec.convert(raw, Operation)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, TypeError):
            return Refusal.SHAPE
        if not 0 <= operation.confidence <= 1:
            return Refusal.CONFIDENCE
        evidence = self._evidence(operation.quotes)
        if isinstance(evidence, Refusal):
            return evidence
        if isinstance(operation, Add):
            return self._lesson(operation, None, evidence)
        lesson = self._known.get(operation.id)
        return Refusal.UNKNOWN_LESSON if lesson is None else self._about(lesson, operation, evidence)

    def _about(
        self, known: Known, told: Revise | Reinforce | Contradict, evidence: Sequence[tuple[Entry, Evidence]]
    ) -> _Accepted | Refusal:
        """What an operation on a known lesson makes; what only strangers' pages say neither confirms nor refutes it."""
        if isinstance(told, Revise):
            return self._lesson(told, known, evidence)
        if {entry.tier for entry, _ in evidence} == {Tier.WEB}:
            return Refusal.UNTRUSTED
        if isinstance(told, Reinforce):
            return _reinforced(told, known, evidence)
        return self._contradicted(told, known, evidence)

    def _evidence(self, quotes: list[Quote]) -> list[tuple[Entry, Evidence]] | Refusal:
        """The records that the quotes stand in, in log order, or what is wrong with the first bad one."""
        if not quotes:
            return Refusal.NO_QUOTE
        if len(quotes) > MAX_QUOTES:
            return Refusal.TOO_MANY
        found: dict[tuple[int, str], tuple[Entry, Evidence]] = {}
        for quote in quotes:
            quoted = self._quoted(quote)
            if isinstance(quoted, Refusal):
                return quoted
            found[quoted[0].number, quoted[1].quote] = quoted
        return [found[key] for key in sorted(found)]

    def _quoted(self, quote: Quote) -> tuple[Entry, Evidence] | Refusal:
        """The record that a quote stands in and what stands there, or what is wrong with it."""
        if bad := unprintable(quote.text):
            return bad
        if len(quote.text) > MAX_QUOTE:
            return Refusal.TOO_LONG
        entry = self._shown.get(quote.record.strip("[] "))
        if entry is None:
            return Refusal.UNKNOWN_RECORD
        verbatim = _verbatim(quote.text, entry)
        if isinstance(verbatim, Refusal):
            return verbatim
        return entry, Evidence(entry.uid, entry.span, verbatim, _ROLES[entry.tier], entry.at)

    def _lesson(
        self, told: Add | Revise, known: Known | None, evidence: Sequence[tuple[Entry, Evidence]]
    ) -> _Accepted | Refusal:
        """A new or revised lesson as a finding.

        What must wait for a person never touches a known lesson: it becomes one of its own. Neither does a revision of
        words that a person has approved.
        """
        if bad := self._unfit(told):
            return bad
        condition, action, rationale = (folded_space(text) for text in (told.condition, told.action, told.rationale))
        own_key = merge_key(RULE, folded(condition), folded(action))
        tiers = {entry.tier for entry, _ in evidence}
        held = self._must_wait(f"{condition} . {action} . {rationale}", f"{condition} . {action}", tiers)
        held = held or (known is not None and known.held)
        shares = known is not None and not held and not known.approved
        finding = Finding(
            rule=RULE,
            merge_key=known.merge_key if known is not None and shares else own_key,
            signal=told.signal,
            trigger=Trigger(condition, told.trigger),
            action=Action(told.kind, action),
            evidence=tuple(one for _, one in evidence),
            strength=_strength(told.confidence, tiers),
            needs=HELD if held else max(_needs(told.confidence, tiers), known.needs if known and shares else 1),
            rationale=rationale,
            tags=(UNSAFE,) if held else (),
            cwd=_cwd(evidence),
        )
        return _Accepted("revise" if known else "add", known.id if known else "", told.confidence, finding)

    def _unfit(self, told: Add | Revise) -> Refusal | None:
        """What is wrong with a lesson's texts; None if nothing is."""
        if not folded(told.condition) or not folded(told.action):
            return Refusal.EMPTY
        reasons = (
            # Before white space is folded: \x1c to \x1f would go with it, and the line breaks in a wrapped key.
            unprintable(written) or unsound(folded_space(written), limit) or self._secret(written)
            for written, limit in (
                (told.condition, MAX_CONDITION),
                (told.action, MAX_ACTION),
                (told.rationale, MAX_RATIONALE),
            )
        )
        return next(filter(None, reasons), None)

    def _must_wait(self, text: str, action: str, tiers: set[Tier]) -> bool:
        """Whether only a person may activate a lesson with these words on this evidence."""
        return tiers.isdisjoint(_OWN_WORDS) or is_dangerous(text) or self._grounds.has_strange_command(action)

    def _secret(self, text: str) -> Refusal | None:
        """Whether a text holds a secret, or the mark of one: neither is a lesson."""
        return Refusal.SECRET if "[REDACTED" in text or self._redact(text) != text else None

    def _contradicted(
        self, told: Contradict, known: Known, evidence: Sequence[tuple[Entry, Evidence]]
    ) -> _Accepted | Refusal:
        """A contradiction of a known lesson."""
        rationale = folded_space(told.rationale)
        bad = unprintable(told.rationale) or unsound(rationale, MAX_RATIONALE) or self._secret(rationale)
        if bad:
            return bad
        strength = _strength(told.confidence, {entry.tier for entry, _ in evidence})
        made = Contradiction(known.id, known.merge_key, rationale, strength, tuple(one for _, one in evidence))
        return _Accepted("contradict", known.id, told.confidence, made)


def _verbatim(quote: str, entry: Entry) -> str | Refusal:
    """The record's own text for a quote."""
    words = quote.split()
    flat = " ".join(words)
    if len(flat) < LEAST_QUOTE and not any(flat and flat == folded_space(piece) for piece in entry.text.pieces):
        return Refusal.QUOTE_TOO_SHORT
    expression = re.compile(r"\s+".join(map(re.escape, words)))
    for piece in entry.text.pieces:
        if match := expression.search(piece):
            return match.group() if len(match.group()) <= MAX_EVIDENCE else flat
    return Refusal.QUOTE_NOT_FOUND


def _strength(confidence: float, tiers: set[Tier]) -> float:
    """How sure a sighting makes a lesson: the model's word, capped by the best text that it quotes."""
    return round(min(float(confidence), max(STRENGTHS[tier] for tier in tiers)), 3)


def _needs(confidence: float, tiers: set[Tier]) -> int:
    """How many sessions must show a lesson before it is told."""
    return 1 if confidence >= SURE and not tiers.isdisjoint(_BY_ITSELF) else 2


def _cwd(evidence: Sequence[tuple[Entry, Evidence]]) -> str:
    """The working directory of the first quoted record that has one."""
    return next((entry.cwd for entry, _ in evidence if entry.cwd), "")


def _reinforced(told: Reinforce, known: Known, evidence: Sequence[tuple[Entry, Evidence]]) -> _Accepted:
    """A known lesson's own words as a finding with new evidence."""
    tiers = {entry.tier for entry, _ in evidence}
    finding = Finding(
        rule=RULE,
        merge_key=known.merge_key,
        signal=known.signal,
        trigger=Trigger(known.condition, known.trigger_type),
        action=Action(known.action_type, known.action),
        evidence=tuple(one for _, one in evidence),
        strength=_strength(told.confidence, tiers),
        needs=HELD if known.held else max(known.needs, _needs(told.confidence, tiers)),
        rationale=known.rationale,
        tags=(UNSAFE,) if known.held else (),
        cwd=_cwd(evidence),
    )
    return _Accepted("reinforce", known.id, told.confidence, finding)
