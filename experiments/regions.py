"""Marked regions of a page, ``<!-- table:NAME -->`` ... ``<!-- /table -->``: written by scripts alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"

_REGION = re.compile(r"(<!-- table:([\w. -]+?) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)


def filled(text: str, write: Callable[[str], str]) -> str:
    """``text`` with every region's body replaced by ``write(NAME)``. ValueError for an unclosed region."""
    opened, closed = text.count("<!-- table:"), text.count("<!-- /table -->")
    if opened != closed or opened != len(_REGION.findall(text)):
        raise ValueError(f"{opened} regions are opened and {closed} closed")
    return _REGION.sub(lambda m: f"{m[1]}{write(m[2]).strip()}\n{m[4]}", text)


def update(page: Path, write: Callable[[str], str], *, check: bool) -> bool:
    """Fill ``page``'s regions; with ``check`` only say whether they are up to date already."""
    before = page.read_text("utf-8")
    after = filled(before, write)
    if before != after and not check:
        page.write_text(after, "utf-8")
    return before == after


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; columns from the ``left``-th on are aligned to the right."""
    rule = ["---" if i < left else "---:" for i in range(len(heads))]
    lines = [heads, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
