"""The README's table of agents, made of what each source says of itself.

Usage: python -m bench.agents_table     writes the table into README.md
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.sources import Source

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- python -m bench.agents_table: -->\n"
END: Final = "<!-- :agents_table -->\n"
_HEAD: Final = ("agent", "seen", "where", "what is read", "what is not")


def table(sources: Iterable[Source]) -> str:
    """The table in Markdown, one row per agent, those first that the sources name first."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, sources)]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in rows)


def _row(source: Source) -> tuple[str, ...]:
    """What a source says of itself, with the variables that move its logs."""
    facts = source.facts
    variables = "".join(f"; `{name}`" for name in source.variables)
    return (facts.agent, facts.versions, f"{facts.where}{variables}", facts.read, facts.left_out)


def with_table(readme: str, sources: Iterable[Source]) -> str:
    """The README with the table as it is to be; it stands between two marks."""
    before, mark, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"The marks {BEGIN.strip()} and {END.strip()} are not in the README; put them back.")
    return f"{before}{BEGIN}\n{table(sources)}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(), SOURCES))
