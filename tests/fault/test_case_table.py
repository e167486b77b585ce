"""The table of faults tells the truth: every case has its line, every test it names is there, none is forgotten."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
CASES = 62
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
NAMED = re.compile(r"`(\w+)::(\w+)`")
NUMBERED = re.compile(r"[Cc]ase (\d+)")


def rows() -> dict[int, str]:
    """What the table says of each case."""
    text = (Path(__file__).parent / "README.md").read_text("utf-8")
    return {int(number): proofs for number, _, proofs, _ in ROW.findall(text)}


@cache
def functions() -> dict[tuple[str, str], str]:
    """Every test there is: (module, name) with its docstring."""
    found = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[path.stem, node.name] = ast.get_docstring(node) or ""
    return found


def test_every_case_has_its_line() -> None:
    """The table has a line for each of the 62 cases, with a test or the reason why there is none."""
    table = rows()
    assert sorted(table) == list(range(1, CASES + 1))
    assert all(NAMED.search(proofs) or "not here" in proofs for proofs in table.values())


def test_every_named_test_is_there() -> None:
    """What the table names exists, under that name."""
    known = functions()
    named = {one for proofs in rows().values() for one in NAMED.findall(proofs)}
    assert named - known.keys() == set()


def test_no_test_is_forgotten() -> None:
    """A test whose name or docstring claims a case stands in that case's line."""
    table = rows()
    for (module, name), docstring in functions().items():
        claimed = {int(number) for number in re.findall(r"^test_case_(\d+)", name)}
        claimed |= {int(number) for number in NUMBERED.findall(docstring)} if module != "test_case_table" else set()
        for case in claimed:
            assert (module, name) in NAMED.findall(table[case]), f"{module}::{name} claims case {case}"
