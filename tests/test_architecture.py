"""The architecture, checked on the source's syntax tree: floors, rooms, confined imports, purity, manners.

Each rule is a function from a parsed module to sentences; no sentence means that the rule holds. The second half of the
file breaks every rule once in small planted modules, for a checker that cannot fail proves nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "daemon" / "selfdistill"
LONGEST_MODULE_LINES = 400

FLOORS = {
    **dict.fromkeys(("model", "manifest", "layouts", "errors", "config"), 0),
    **dict.fromkeys(("logs", "projects", "ingest", "sources", "signals", "store", "privacy"), 1),
    **dict.fromkeys(("distill", "recall"), 2),
    "service": 3,
    "cli": 4,
}
FLAT_ROOMS = (
    "model",
    "manifest",
    "layouts",
    "errors",
    "config",
    "logs",
    "projects",
)  # a module each, right in the package
DATA_ROOMS = ("sample",)  # files that are shipped, not imported

FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}

# package -> where it may be imported (patterns); "inside" = only within a function there, because it is heavy.
CONFINED = {
    "watchdog": (("ingest/watching.py",), "anywhere"),
    "anthropic": (("distill/llm/client.py",), "inside"),
    # Ours, another program's, and what agents start without the package (see its docstring).
    "sqlite3": (("store/*", "ingest/foreign.py", "recall/hook.py"), "anywhere"),
    "mcp": (("service/mcp_server.py",), "inside"),
    "mcp_types": (("service/mcp_server.py",), "inside"),
    "anyio": (("service/mcp_server.py",), "inside"),
    "rich": (("cli/*",), "inside"),
    "argparse": (("cli/*",), "anywhere"),
}

PURE = (
    "model.py",
    "layouts.py",
    "errors.py",
    "config.py",
    "ingest/framing.py",
    "ingest/identity.py",
    "ingest/settling.py",
    "signals/*.py",
    "privacy/*.py",
    "distill/heuristic/*.py",
    "distill/merging.py",
    *(f"distill/llm/{name}.py" for name in ("asking", "budget", "choosing", "danger", "exchange", "excerpts", "known")),
    *(f"distill/llm/{name}.py" for name in ("patience", "prices", "prompt", "reply", "schema", "soundness")),
    "distill/llm/transcript.py",
    *(f"recall/{name}.py" for name in ("cues", "languages", "moments", "opportunities", "ranking", "situations")),
    "service/diagnosis.py",
    "service/units.py",
)
IMPURE_MODULES = {
    *("glob", "io", "multiprocessing", "os", "queue", "random", "secrets", "selectors", "shutil", "signal", "socket"),
    *("sqlite3", "subprocess", "tempfile", "threading", "time", "urllib", "asyncio", "http", "fcntl"),
}
IMPURE_METHODS = {
    *("chmod", "exists", "glob", "hardlink_to", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "mkdir", "open"),
    *("read_bytes", "read_text", "readlink", "resolve", "rglob", "rmdir", "symlink_to", "touch", "unlink"),
    *("write_bytes", "write_text", "now", "utcnow", "today", "cwd", "home", "expanduser"),
}

# A thread's body must not die unheard, and watchdog's threads die for good of one exception (its issue #427): our
# event handler and our handler of its log run inside them. An agent that waits for its hook must never see it fail.
CATCH_ALL_ALLOWED = {"ingest/watching.py", "ingest/hints.py", "service/daemon.py", "service/asker.py"}
CATCH_ALL_ALLOWED |= {"recall/answering.py"}


@dataclass(frozen=True)
class Module:
    """One source file: its path below the package with slashes, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first part of its path: a folder, or a flat room's name."""
        return self.path.partition("/")[0].removesuffix(".py")


@dataclass(frozen=True)
class Import:
    """One imported dotted name, where, and whether inside a function or for type checkers only."""

    name: str
    line: int
    inside: bool
    typing_only: bool


@cache
def modules(package: Path) -> list[Module]:
    """Every source file of the package, parsed once for all rules."""
    found = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text()
        found.append(Module(path.relative_to(package).as_posix(), text, ast.parse(text)))
    return found


def imports(module: Module) -> Iterator[Import]:
    """Every import of a module, relative ones made absolute."""
    yield from _imports_below(module.tree, module, inside=False, typing_only=False)


def _imports_below(node: ast.AST, module: Module, *, inside: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, inside, typing_only)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(f"{_origin(child, module)}.{alias.name}", child.lineno, inside, typing_only)
        else:
            in_function = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for_types = typing_only or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            yield from _imports_below(child, module, inside=in_function, typing_only=for_types)


def _origin(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    folders = ["selfdistill", *module.path.split("/")[:-1]]
    base = folders[: len(folders) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def room_of(name: str) -> str:
    """The room that a dotted name of ours leads to; "" for other packages and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "selfdistill" and len(parts) > 1 else ""


def check_floors(module: Module) -> Iterator[str]:
    """Imports go down only, and rooms on one floor never import each other; type annotations count too."""
    if module.room == "__init__":
        return
    if module.room not in FLOORS:
        yield f"{module.path}: the room {module.room!r} has no floor; give it one in FLOORS and in DESIGN.md"
        return
    for found in imports(module):
        other = room_of(found.name)
        if other not in FLOORS or other == module.room:
            continue
        here, there = FLOORS[module.room], FLOORS[other]
        if there > here:
            yield f"{module.path}:{found.line}: {module.room} (floor {here}) imports {other} (floor {there}): upwards"
        elif there == here and there > 0:
            yield f"{module.path}:{found.line}: {module.room} imports {other}, another room on floor {here}: sideways"


def check_confined(module: Module) -> Iterator[str]:
    """Each edge package is imported in its one place, the heavy ones only inside a function."""
    for found in imports(module):
        package = found.name.partition(".")[0]
        if package not in CONFINED or found.typing_only:
            continue
        places, depth = CONFINED[package]
        if not any(fnmatch(module.path, place) for place in places):
            yield f"{module.path}:{found.line}: {package} may be imported in {' and '.join(places)} only"
        elif depth == "inside" and not found.inside:
            yield f"{module.path}:{found.line}: {package} is heavy: import it inside the function that needs it"


def check_purity(module: Module) -> Iterator[str]:
    """Pure modules touch no file, clock, thread, network or chance: what they need is passed in."""
    if not any(fnmatch(module.path, pattern) for pattern in PURE):
        return
    for found in imports(module):
        if found.name.partition(".")[0] in IMPURE_MODULES and not found.typing_only:
            yield f"{module.path}:{found.line}: a pure module imports {found.name}: pass in what it needs"
    for node in ast.walk(module.tree):
        called = _impure_call(node)
        if called:
            yield f"{module.path}:{node.lineno}: a pure module calls {called}: pass in what it needs"  # type: ignore[attr-defined]


def _impure_call(node: ast.AST) -> str:
    """What a call does to the world outside, or ""."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name) and node.func.id in ("open", "input", "print"):
        return f"{node.func.id}()"
    if isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
        return f".{node.func.attr}()"
    return ""


def check_catch_all(module: Module) -> Iterator[str]:
    """`except Exception` (and wider) stands only around a thread's body and in what watchdog calls.

    A handler that ends in a bare `raise` cleans up and swallows nothing, so it may be as wide as it needs.
    """
    if module.path in CATCH_ALL_ALLOWED:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler) or _raises_again(node):
            continue
        caught = (
            {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
        )
        wide = caught & {"Exception", "BaseException", "everything"}
        if wide:
            yield f"{module.path}:{node.lineno}: catches {wide.pop()}: name the errors that are expected here"


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def check_manners(module: Module) -> Iterator[str]:
    """Modules stay short, are named for what they are, and every room says what it is for."""
    length = module.text.count("\n")
    if length > LONGEST_MODULE_LINES:
        yield f"{module.path}: {length} lines, more than {LONGEST_MODULE_LINES}: split it along an idea"
    for part in module.path.removesuffix(".py").split("/"):
        bad = set(part.split("_")) & FORBIDDEN_NAMES
        if bad:
            yield f"{module.path}: {bad.pop()!r} in a name says nothing: call it by what is in it"
    if not ast.get_docstring(module.tree):
        what = "this room" if module.path.endswith("__init__.py") else "this module"
        yield f"{module.path}: no docstring: say in a sentence what {what} is for"


def check_init_files(package: Path) -> Iterator[str]:
    """Every folder with code is a package, so that nothing is left out of the wheel by accident."""
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        if not (folder / "__init__.py").exists() and folder.relative_to(package).as_posix() not in DATA_ROOMS:
            yield f"{folder.relative_to(package).as_posix()}/: code without an __init__.py"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    check_floors,
    check_confined,
    check_purity,
    check_catch_all,
    check_manners,
)


def complaints(package: Path, rule: Callable[[Module], Iterator[str]]) -> list[str]:
    """What a rule has to say of a whole package."""
    return [sentence for module in modules(package) for sentence in rule(module)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_our_package_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    """Every module of selfdistill keeps this rule."""
    broken = complaints(PACKAGE, rule)
    assert not broken, "\n".join(["", *broken])


def test_every_folder_is_a_package() -> None:
    """Every folder with code in it has an __init__.py."""
    assert list(check_init_files(PACKAGE)) == []


# ---- the checker itself, on planted sources ----

DOC = '"""A module."""\n'


def plant(package: Path, path: str, text: str) -> Path:
    """Write one source file below an invented package."""
    file = package / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return package


@pytest.mark.parametrize(
    ("rule", "path", "text", "sentence"),
    [
        (check_floors, "store/a.py", "from selfdistill.distill import x", "store (floor 1) imports distill (floor 2)"),
        (check_floors, "store/a.py", "import selfdistill.cli.main", "upwards"),
        (check_floors, "store/a.py", "from selfdistill import service", "upwards"),
        (check_floors, "store/a.py", "from ..cli import main", "upwards"),
        (check_floors, "store/a/b.py", "from ...cli.main import x", "upwards"),
        (check_floors, "model.py", "def f():\n    from selfdistill.store import x", "upwards"),
        (check_floors, "ingest/a.py", "if TYPE_CHECKING:\n    from selfdistill.sources import x", "sideways"),
        (check_floors, "logs.py", "from selfdistill.privacy import x", "sideways"),
        (check_floors, "attic/a.py", "", "has no floor"),
        (check_confined, "ingest/scanning.py", "import watchdog.events", "ingest/watching.py only"),
        (check_confined, "distill/llm/client.py", "import anthropic", "inside the function"),
        (check_confined, "distill/llm/prompt.py", "def f():\n    import anthropic", "client.py only"),
        (check_confined, "service/a.py", "from sqlite3 import connect", "recall/hook.py only"),
        (check_confined, "ingest/reading.py", "import sqlite3", "recall/hook.py only"),
        (check_confined, "cli/a.py", "def f():\n    import mcp.server", "service/mcp_server.py only"),
        (check_confined, "cli/a.py", "from rich.table import Table", "inside the function"),
        (check_confined, "service/a.py", "import argparse", "cli/* only"),
        (check_purity, "signals/a.py", "import time", "imports time"),
        (check_purity, "signals/a.py", "from os import path", "imports os.path"),
        (check_purity, "privacy/a.py", "def f():\n    import random", "imports random"),
        (check_purity, "ingest/framing.py", "open('x')", "calls open()"),
        (check_purity, "distill/heuristic/a.py", "def f(p):\n    return p.read_text()", "calls .read_text()"),
        (check_purity, "distill/merging.py", "datetime.now(UTC)", "calls .now()"),
        (check_catch_all, "store/a.py", "try: pass\nexcept Exception: pass", "catches Exception"),
        (check_catch_all, "store/a.py", "try: pass\nexcept (OSError, BaseException): pass", "catches BaseException"),
        (check_catch_all, "store/a.py", "try: pass\nexcept: pass", "catches everything"),
        (check_catch_all, "store/a.py", "try: pass\nexcept Exception as e: raise X from e", "catches Exception"),
        (check_manners, "store/a.py", DOC + "\n" * 400, "401 lines"),
        (check_manners, "store/utils.py", DOC, "'utils' in a name"),
        (check_manners, "store/row_helpers.py", DOC, "'helpers' in a name"),
        (check_manners, "store/common/a.py", DOC, "'common' in a name"),
        (check_manners, "store/__init__.py", "", "what this room is for"),
        (check_manners, "store/a.py", "x = 1", "what this module is for"),
    ],
)
def test_broken_rule_is_told(
    tmp_path: Path, rule: Callable[[Module], Iterator[str]], path: str, text: str, sentence: str
) -> None:
    """Each planted violation is found, and the sentence names the file and what is wrong."""
    broken = complaints(plant(tmp_path, path, text), rule)
    assert len(broken) == 1, broken
    assert path in broken[0]
    assert sentence in broken[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("store/a.py", "from selfdistill.model import Event\nfrom selfdistill.store.b import x\nfrom . import c"),
        ("config.py", "from selfdistill.errors import ConfigError"),
        ("cli/a.py", "import argparse\ndef f():\n    from rich.table import Table"),
        ("ingest/watching.py", "import watchdog.events\ntry: pass\nexcept Exception: pass"),
        ("distill/llm/client.py", "if TYPE_CHECKING:\n    import anthropic\ndef f():\n    import anthropic"),
        ("store/a.py", "import sqlite3, os, time\nopen('x')\ntry: pass\nexcept OSError: pass"),
        ("store/a.py", "try: pass\nexcept BaseException:\n    f()\n    raise"),
        ("signals/a.py", "import re\nif TYPE_CHECKING:\n    import os\nre.compile('x')"),
    ],
)
def test_kept_rules_are_silent(tmp_path: Path, path: str, text: str) -> None:
    """What the rules allow is not complained about."""
    plant(tmp_path, path, DOC + text)
    assert [sentence for rule in RULES for sentence in complaints(tmp_path, rule)] == []


def test_folder_without_init_is_told(tmp_path: Path) -> None:
    """A folder with code and no __init__.py is found."""
    plant(tmp_path, "__init__.py", DOC)
    plant(tmp_path, "store/a.py", DOC)
    assert list(check_init_files(tmp_path)) == ["store/: code without an __init__.py"]
