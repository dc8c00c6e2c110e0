"""Stored plays move by move: what each seat saw, what it thought and did, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from sharpen.runs.step import verb_of
from sharpen.runs.store import unit_files
from sharpen.studio.words import clean

STYLES = ("cyan", "magenta", "yellow", "green", "blue")
"""By seat, in turn."""


def first_plays(folder: Path, key: str, n: int) -> list[dict[str, Any]]:
    """The first ``n`` plays of a step, as plain dicts; empty for a step that is no ``play``."""
    if verb_of(key) != "play":
        return []
    return read_plays(unit_files(folder).get(key, [])[2::3], 0, n)


def read_plays(paths: Sequence[Path], start: int, n: int) -> list[dict[str, Any]]:
    """Plays ``start`` to ``start + n`` of a step's unit files of plays, as plain dicts."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    for path in paths:
        table = pq.ParquetFile(path).read()
        found += table.slice(start, max(n - len(found), 0)).to_pylist()
        start = max(start - table.num_rows, 0)
    for row in found:
        row |= {k: json.loads(row[k]) for k in ("moves", "turns", "end")} | {"counts": dict(row["counts"])}
    return found


def some_plays(paths: Sequence[Path], key: str, round_: int, n: int, start: int = 0) -> list[dict[str, Any]]:
    """Plays as a page shows them: each with its ``step``, ``round`` and number ``i`` in the step."""
    return [
        {"step": key, "round": round_, "i": start + i, **play}
        for i, play in enumerate(read_plays(paths, start, n))
    ]


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
