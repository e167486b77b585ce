"""The shape of an answer: what the API is told to keep to, and the structs it is decoded into.

Structured outputs know no lengths, ranges or numbers of items (anthropic 2.12, `lib/_parse/_transform.py`), so that
these are said in descriptions and checked in `reply.py`. A local server may not enforce the schema at all.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from selfdistill.model import ActionType, Polarity, TriggerType

MOST_OPERATIONS: Final = 5
MAX_CONDITION: Final = 200
MAX_ACTION: Final = 300
MAX_RATIONALE: Final = 300
MAX_QUOTE: Final = 400
MAX_QUOTES: Final = 6


class Quote(Struct, frozen=True):
    """Words of one entry, as they stand there."""

    record: str
    text: str


class Add(Struct, frozen=True, tag="add", tag_field="op"):
    """A new lesson."""

    condition: str
    trigger: TriggerType
    action: str
    kind: ActionType
    rationale: str
    signal: Polarity
    confidence: float
    quotes: list[Quote]


class Revise(Struct, frozen=True, tag="revise", tag_field="op"):
    """A known lesson in better words."""

    id: str
    condition: str
    trigger: TriggerType
    action: str
    kind: ActionType
    rationale: str
    signal: Polarity
    confidence: float
    quotes: list[Quote]


class Reinforce(Struct, frozen=True, tag="reinforce", tag_field="op"):
    """A known lesson that this session shows again."""

    id: str
    confidence: float
    quotes: list[Quote]


class Contradict(Struct, frozen=True, tag="contradict", tag_field="op"):
    """A known lesson that this session shows to be wrong."""

    id: str
    rationale: str
    confidence: float
    quotes: list[Quote]


Operation = Add | Revise | Reinforce | Contradict


def _text(description: str) -> dict[str, Any]:
    """A text."""
    return {"type": "string", "description": description}


def _choice(*values: str) -> dict[str, Any]:
    """One of these words."""
    return {"enum": list(values)}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """An object with these properties, all required and no others: what the API accepts."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_QUOTES: Final[dict[str, Any]] = {"$ref": "#/$defs/quotes"}
_ID: Final = _text("id of a known lesson")
_CONFIDENCE: Final[dict[str, Any]] = {"type": "number", "description": "0 to 1"}
_RATIONALE: Final = _text(f"why, at most {MAX_RATIONALE} characters")
_LESSON: Final[dict[str, Any]] = {
    "condition": _text(f"when it applies, at most {MAX_CONDITION} characters"),
    "trigger": _choice(*(kind.value for kind in TriggerType)),
    "action": _text(f"what to do then, at most {MAX_ACTION} characters"),
    "kind": _choice(*(kind.value for kind in ActionType)),
    "rationale": _RATIONALE,
    "signal": _choice(*(polarity.value for polarity in Polarity)),
    "confidence": _CONFIDENCE,
    "quotes": _QUOTES,
}

_DEFINITIONS: Final[dict[str, Any]] = {
    "quotes": {
        "type": "array",
        "description": f"1 to {MAX_QUOTES} quotes",
        "items": _object(
            {
                "record": _text("id of the record, such as e12"),
                "text": _text(f"copied character by character from that record, at most {MAX_QUOTE} characters"),
            }
        ),
    }
}

SCHEMA: Final[dict[str, Any]] = {"$defs": _DEFINITIONS} | _object(
    {
        "operations": {
            "type": "array",
            "description": f"at most {MOST_OPERATIONS}; empty when there is nothing to learn",
            "items": {
                "anyOf": [
                    _object({"op": _choice("add"), **_LESSON}),
                    _object({"op": _choice("revise"), "id": _ID, **_LESSON}),
                    _object({"op": _choice("reinforce"), "id": _ID, "confidence": _CONFIDENCE, "quotes": _QUOTES}),
                    _object(
                        {
                            "op": _choice("contradict"),
                            "id": _ID,
                            "rationale": _RATIONALE,
                            "confidence": _CONFIDENCE,
                            "quotes": _QUOTES,
                        }
                    ),
                ]
            },
        }
    }
)
"""For `output_config={"format": {"type": "json_schema", "schema": SCHEMA}}`."""
