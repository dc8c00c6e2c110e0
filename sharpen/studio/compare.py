"""Two runs against each other: last measures, and differences paired by held-out question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.runs.manifest import read_manifest
from sharpen.studio.items import held_out_items, paired
from sharpen.studio.table import MAIN
from sharpen.verbs.seeds import read_plan


def last_row(folder: Path) -> dict[str, Any]:
    """The metrics row of a run's last held-out evaluation; empty before the first."""
    if read_plan(folder):
        raise SharpenError(f"{folder} holds several seeds: compare one of its runs, such as {folder}/seed-0")
    rows = [row for row in read_manifest(folder).metrics if row.get("name") == MAIN]
    return rows[-1] if rows else {}


def pairs(a: Path, b: Path) -> list[dict[str, Any]]:
    """Final value of ``b`` minus that of ``a`` over the questions both answered, a dict a measure:
    ``a``, ``b``, ``measure``, ``items``, ``change``, ``low``, ``high`` (95 %)."""
    ends_a, ends_b = held_out_items(a), held_out_items(b)
    out = []
    for measure in [m for m in ends_a if m in ends_b]:
        found = paired(ends_a[measure]["final"], ends_b[measure]["final"], "compare", measure)
        if found:
            items, change, low, high = found
            told = {"items": items, "change": change, "low": low, "high": high}
            out.append({"a": a.name, "b": b.name, "measure": measure, **told})
    return out
