"""What we depend on is locked with hashes, and an audit that looked at nothing never passes for a good one."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))


def normalised(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    """What requirements.lock pins: name -> everything that follows it."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / "requirements.lock").read_text())
    return {normalised(name): rest for name, rest in re.findall(r"(?m)^([\w.-]+)==((?:.*\\\n)*.*)$", text)}


def asked() -> list[str]:
    """The names that pyproject.toml depends on, for running and for developing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [normalised(re.split(r"[<>=!~ ;\[]", word)[0]) for word in words]


def test_every_dependency_is_locked() -> None:
    """requirements.lock pins whatever pyproject.toml asks for."""
    assert set(asked()) <= locked().keys()


def test_every_pin_has_hashes() -> None:
    """No line of the lock could be satisfied by another file of that version."""
    pins = locked()
    assert len(pins) > len(asked())
    assert [name for name, rest in pins.items() if "--hash=sha256:" not in rest] == []


def package(name: str, *ids: str, skipped: str = "") -> dict[str, Any]:
    """One package in pip-audit's JSON."""
    if skipped:
        return {"name": name, "skip_reason": skipped}
    return {"name": name, "version": "1.0", "vulns": [{"id": one} for one in ids]}


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([package("a"), package("b")], "SOUND"),
        ([package("a"), package("b", "CVE-1")], "VULNERABLE"),
        ([package("a", skipped="not found"), package("b", skipped="not found")], "UNKNOWN"),
        ([package("a"), package("b", skipped="not found")], "FAILED"),
        ([package("a", "CVE-1"), package("b", skipped="not found")], "VULNERABLE"),
    ],
)
def test_an_audit_is_judged_by_what_it_looked_at(packages: list[dict[str, Any]], expected: str) -> None:
    """Looked up in whole, in part or not at all are three things; a vulnerable package fails in any case."""
    code, _ = AUDIT["judge"](json.dumps({"dependencies": packages}), "", 0)
    assert code == AUDIT[expected]


def test_no_network_is_no_verdict() -> None:
    """A broken connection is told from a broken auditor."""
    assert AUDIT["judge"]("", "ConnectionError: Failed to resolve pypi.org", 1)[0] == AUDIT["UNKNOWN"]
    assert AUDIT["judge"]("", "error: unrecognized arguments", 2)[0] == AUDIT["FAILED"]
