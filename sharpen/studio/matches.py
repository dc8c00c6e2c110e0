"""Stored plays move by move: what each seat saw, what it thought and did, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.text import Text

from sharpen.runs.store import unit_files
from sharpen.studio.words import clean

STYLES = ("cyan", "magenta", "yellow", "green", "blue")
"""By seat, in turn."""


def first_plays(folder: Path, key: str, n: int) -> list[dict[str, Any]]:
    """The first ``n`` plays of a step, as plain dicts; empty for a step that is no ``play``."""
    import pyarrow.parquet as pq

    if key.rpartition("/")[2].partition(":")[0] != "play":
        return []
    found: list[dict[str, Any]] = []
    for path in unit_files(folder).get(key, [])[2::3]:
        rows = pq.read_table(path).slice(0, n - len(found)).to_pylist()
        found += [{**row, **{k: json.loads(row[k]) for k in ("moves", "turns", "end")}} for row in rows]
    return [{**row, "counts": dict(row["counts"])} for row in found[:n]]


def play_parts(play: dict[str, Any]) -> list[Text]:
    """Lines for a terminal; what models said is text of theirs, made harmless."""
    players = " - ".join(clean(name) for name in play["sitting"])
    returns = " ".join(f"{r:+g}" for r in play["returns"])
    head = Text(f"{returns}  ", style="bold").append(f"{clean(play['task_id'])}  {players}", style="dim")
    for seat, ending in enumerate(play["endings"]):
        if ending != "ok":
            head.append(f"  seat {seat}: {ending}", style="yellow")
    if play["detail"]:
        head.append(f"  {clean(play['detail'], 200)}", style="dim")
    lines = [head]
    for seat, shown, said in play["turns"]:
        style = STYLES[seat % len(STYLES)]
        name = f"  {seat} {clean(play['sitting'][seat])}"
        lines += [Text(f"{name} sees  {clean(line)}", style="dim") for line in shown.strip().split("\n")]
        lines += [Text(f"{name} says  {clean(line)}", style=style) for line in said.split("\n")]
    return lines
