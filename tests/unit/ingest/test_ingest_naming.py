"""Naming: paths as text for people."""

from __future__ import annotations

import os
from pathlib import PurePath

import pytest

from selfdistill.ingest.naming import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"/a/plain name.jsonl", "/a/plain name.jsonl"),
        ("/a/caf\u00e9-\U0001f600".encode(), "/a/caf\u00e9-\U0001f600"),
        (b"/a/new\nline\x1b[31m", "/a/new\\nline\\x1b[31m"),
        (b"/a/\xff\xfe", "/a/\\xff\\xfe"),
        ("/a/\u202egpj".encode(), "/a/\\u202egpj"),
        (b"/a/\\n", "/a/\\\\n"),
    ],
)
def test_a_path_prints_on_one_line(name: bytes, shown: str) -> None:
    """Whatever the name, its printed form is one line of encodable text, and no two names share it."""
    text = printable(PurePath(os.fsdecode(name)))
    assert text == shown
    assert text.isprintable()
    text.encode()
