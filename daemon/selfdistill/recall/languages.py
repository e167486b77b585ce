"""Which files a checker's rule is about: by the tool that applies it, else by the shape of the rule's code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_GO: Final = frozenset({".go"})
_PYTHON: Final = frozenset({".py", ".pyi"})
_TYPESCRIPT: Final = frozenset({".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"})
_JAVASCRIPT: Final = frozenset({".js", ".jsx", ".mjs", ".cjs"}) | _TYPESCRIPT
_RUST: Final = frozenset({".rs"})
_SHELL: Final = frozenset({".sh", ".bash"})
_JAVA: Final = frozenset({".java"})
_KOTLIN: Final = frozenset({".kt", ".kts"})
_C: Final = frozenset({".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".m"})
_SWIFT: Final = frozenset({".swift"})
_RUBY: Final = frozenset({".rb"})
_DOTNET: Final = frozenset({".cs", ".fs", ".vb"})

_BY_TOOL: Final = {
    **dict.fromkeys(("golangci-lint", "go", "staticcheck", "vet", "revive"), _GO),
    **dict.fromkeys(("ruff", "flake8", "pylint", "mypy", "pyright", "ty", "bandit", "black"), _PYTHON),
    **dict.fromkeys(("eslint", "biome", "oxlint", "javascript", "prettier"), _JAVASCRIPT),
    **dict.fromkeys(("rustc", "clippy", "rustfmt"), _RUST),
    **dict.fromkeys(("kotlinc", "ktlint", "detekt"), _KOTLIN),
    **dict.fromkeys(("javac", "checkstyle"), _JAVA),
    **dict.fromkeys(("C compiler", "clang-tidy", "cppcheck"), _C),
    **dict.fromkeys(("swiftc", "swiftlint"), _SWIFT),
    "tsc": _TYPESCRIPT,
    "shellcheck": _SHELL,
    "rubocop": _RUBY,
    "dotnet": _DOTNET,
    "yamllint": frozenset({".yml", ".yaml"}),
    "markdownlint": frozenset({".md"}),
    "stylelint": frozenset({".css", ".scss", ".less"}),
    "dart": frozenset({".dart"}),
}
_BY_CODE: Final = (
    (re.compile(r"TS\d+"), _TYPESCRIPT),
    (re.compile(r"SC\d{4}"), _SHELL),
    (re.compile(r"clippy::.*|E0\d{3}"), _RUST),
    (re.compile(r"(?:CS|CA|IDE)\d{4}"), _DOTNET),
    (re.compile(r"(?:react|import|@typescript-eslint|no|prefer)[/-].*"), _JAVASCRIPT),
    (re.compile(r"-W.*"), _C),
    (re.compile(r"(?:[EWFCNBDS]|[A-Z]{2,4})\d{3}"), _PYTHON),
)


def extensions_of(code: str, tags: Iterable[str]) -> frozenset[str]:
    """The endings of the files that a rule is about; empty where neither the lesson's tags nor the code tell."""
    for tag in tags:
        if tag in _BY_TOOL:
            return _BY_TOOL[tag]
    return next((endings for shape, endings in _BY_CODE if shape.fullmatch(code)), frozenset())


def is_tool(name: str) -> bool:
    """Whether this is a tool that we know, not a rule's code: causes name it where a message has no code."""
    return name in _BY_TOOL
