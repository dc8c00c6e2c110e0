"""Marked regions of a page, ``<!-- table:NAME -->`` ... ``<!-- /table -->``: written by scripts alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]

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


def read(path: Path) -> Row | None:
    """A result file, None where nothing was measured yet."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def unmeasured(command: str) -> str:
    """A region without its result."""
    return f"Not measured yet: run `{command}`."


def from_result(path: Path, command: str, write: Callable[[Row], str]) -> str:
    """A region that a result file fills; without one, the command that measures it."""
    found = read(path)
    return unmeasured(command) if found is None else write(found)


def regions_of(
    path: Path, command: str, writers: dict[str, Callable[[Row], str]]
) -> dict[str, Callable[[], str]]:
    """Regions by name that one result file fills."""
    return {name: partial(from_result, path, command, write) for name, write in writers.items()}
