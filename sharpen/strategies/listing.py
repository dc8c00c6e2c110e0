"""The table of all strategies in ``docs/strategies.md``.

``python -m sharpen.strategies.listing PAGE`` renews it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

from sharpen.strategies import STRATEGIES, StrategyEntry

_BEGIN, _END = "<!-- strategies -->\n", "<!-- end -->"


def table() -> str:
    """All strategies as a Markdown table, in the order of ``STRATEGIES``."""
    head = "| strategy | what it does | kind | calls | settings | needs |\n|---|---|---|---|---|---|\n"
    return head + "".join(map(_row, STRATEGIES.values()))


def renewed(page: str) -> str:
    """A page with the table between its marks replaced."""
    return re.sub(
        f"(?<={re.escape(_BEGIN)}).*?(?={re.escape(_END)})", lambda m: table(), page, count=1, flags=re.DOTALL
    )


def _row(entry: StrategyEntry) -> str:
    name = f"`{entry.name}`"
    if entry.source:
        where = "doi.org" if entry.source.startswith("10.") else "arxiv.org/abs"
        name = f"[{name}](https://{where}/{entry.source})"
    cls = entry.load()[1]
    settings = " ".join(f"`{f.name}={_said(f.default)}`" for f in fields(cls))
    return (
        f"| {name} | {entry.title} | {entry.kind} | {entry.calls} | {settings} | {', '.join(entry.needs)} |\n"
    )


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text("utf-8")), "utf-8")
