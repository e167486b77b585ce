"""What must be known before a call: its name, and the most it can cost. Pure; the ledger is `store/spending.py`."""

from __future__ import annotations

import json
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from selfdistill.distill.llm.prices import worst_case

if TYPE_CHECKING:
    from selfdistill.distill.llm.asking import Request

BYTES_PER_TOKEN: Final = 2
"""A prompt has at most one token for each two bytes of its UTF-8, as a bound and not as an estimate.

English and code have about 2.8 bytes a token (excerpts.py); Chinese has about 1.5 tokens for three bytes.
"""

_OVERHEAD_TOKENS: Final = 500
"""What the service adds for a schema and the frame of a conversation."""


def request_key(session: str, start: int, end: int, model: str, prompt_version: int) -> str:
    """The name of a call: equal for a repetition of it, different for any other; 32 hexadecimal digits.

    `start` and `end` are the bytes of the log that the call is about: its cursor, and where its text ends.
    """
    parts = json.dumps([session, start, end, model, prompt_version]).encode()
    return blake2b(parts, digest_size=16).hexdigest()


def prompt_tokens_bound(request: Request) -> int:
    """No fewer tokens than the prompt of this request has."""
    schema = json.dumps(request.schema) if request.schema else ""
    size = sum(len(text.encode("utf-8", "replace")) for text in (request.system, request.user, schema))
    return size // BYTES_PER_TOKEN + _OVERHEAD_TOKENS


def most_it_can_cost(request: Request, *, batch: bool = False) -> Decimal | None:
    """What to reserve for this request, in US dollars; None for a model whose price is not known."""
    return worst_case(request.model, prompt_tokens_bound(request), request.max_output_tokens, batch=batch)
