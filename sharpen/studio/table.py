"""The tables at the end of a run and beside other runs: rich for terminals, plain dicts for ``--json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from sharpen.studio.words import (
    HEADLINE,
    Cell,
    cells,
    clean,
    interval,
    is_share,
    label,
    number,
    percent,
    points,
)

MAIN = "held_out"
"""The name of the metrics rows of the held-out evaluation."""

_TOLD = re.compile(r"accuracy_greedy|accuracy_t1|pass_at_(?!1$)\d+|truncated_share")


@dataclass(frozen=True)
class Gain:
    """One measure before and after; ``low`` and ``high`` are the 95 % interval of the change.

    ``name`` is the metrics row's name: ``held_out``, or a control's.
    """

    name: str
    measure: str
    base: float
    final: float
    change: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def gains(
    rows: Iterable[Mapping[str, Any]], changes: Mapping[str, tuple[float, float, float]] | None = None
) -> list[Gain]:
    """First against last metrics row of every name that was measured at least twice.

    Args:
        rows: of ``metrics.jsonl``, in order. A row may hold ``change_<measure>`` with ``_low`` and
            ``_high``: then that is the change told.
        changes: (mean, low, high) of the change of a measure of the main held-out set, which win.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(str(row.get("name", "")), []).append(row)
    out = []
    for name, group in by_name.items():
        first, last = cells(group[0]), cells(group[-1])
        if len(group) < 2 or not any(m.startswith("accuracy") for m in last):
            continue  # measured once, or no evaluation
        for measure in [m for m in last if m in first and not m.startswith("change_")]:
            told = cells(group[-1]).get(f"change_{measure}")
            change, low, high = last[measure].value - first[measure].value, None, None
            if told is not None:
                change, low, high = told.value, told.low, told.high
            if changes and name == MAIN and measure in changes:
                change, low, high = changes[measure]
            out.append(Gain(name, measure, first[measure].value, last[measure].value, change, low, high))
    # what a run is for comes first
    return sorted(out, key=lambda g: g.name != MAIN)


def seeds_gains(summary: Mapping[str, Any]) -> list[Gain]:
    """The gains in a ``summary.json``: means over seeds, intervals over seeds and items."""
    order = sorted(
        summary["measures"], key=lambda m: (HEADLINE.index(m) if m in HEADLINE else len(HEADLINE), m)
    )
    out = []
    for measure in order:
        m = summary["measures"][measure]
        change = m["change"]
        ends = m["base"]["mean"], m["final"]["mean"]
        out.append(Gain(MAIN, measure, *ends, change["mean"], change["low"], change["high"]))
    return out


def gain_table(found: Sequence[Gain], *, every: bool = False) -> RenderableType:
    """The table of what was gained: accuracy, pass@k and truncation, or ``every`` measure."""
    # rows without an accuracy tell of samples, not of what the model can do
    told = {g.name for g in found if g.measure in HEADLINE}
    shown = [g for g in found if every or (g.name in told and _TOLD.fullmatch(g.measure))]
    if not shown:
        return Text("nothing was measured twice, so there is no gain to tell", style="dim")
    table = bare_table("", "measure", right=["base", "final", "points", "95 % interval"])
    last = None
    for g in shown:
        share = is_share(g.measure)
        name = "" if g.name == last else g.name.replace("_", " ")
        last = g.name
        sure = g.low is not None and g.high is not None and (g.low > 0 or g.high < 0)
        style = ("green" if g.change > 0 else "red") if sure else ""
        table.add_row(
            Text(clean(name)),
            Text(clean(label(g.measure))),
            Text(percent(g.base) if share else number(g.base)),
            Text(percent(g.final) if share else number(g.final)),
            Text(points(g.change) if share else f"{g.change:+.4g}", style=style),
            Text(interval(g.low, g.high, sign=True) if share else _plain_interval(g.low, g.high)),
        )
    return table


def side_by_side(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a measure, one column a run: the last metrics row of each, intervals under the value."""
    found = [cells(row) for row in rows]
    table = bare_table("measure", right=[clean(n) for n in names])
    for measure in dict.fromkeys(m for f in found for m in f):
        table.add_row(Text(clean(label(measure))), *(_cell(f.get(measure)) for f in found))
    return table


def pairs_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    """Paired differences: dicts with ``a``, ``b``, ``measure``, ``items``, ``change``, ``low``, ``high``."""
    table = bare_table("difference", "measure", right=["items", "points", "95 % interval"])
    for p in pairs:
        table.add_row(
            Text(clean(f"{p['b']} - {p['a']}")),
            Text(clean(label(p["measure"]))),
            Text(number(p["items"])),
            Text(points(p["change"])),
            Text(interval(p["low"], p["high"], sign=True)),
        )
    return table


def listing(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Any list: the last column may wrap, the others keep their width."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for i, head in enumerate(heads):
        last = i == len(heads) - 1
        table.add_column(head, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in rows:
        table.add_row(*(Text(number(v)) for v in row))
    return table


def settings_lines(values: Mapping[str, Any]) -> Table:
    """Names and values, aligned."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(Text(clean(str(key)), style="dim"), Text(number(value)))
    return table


def show(stream: TextIO, *parts: RenderableType, plain: bool = False) -> None:
    """Print ``parts`` to ``stream``; text is taken as it stands. No escape codes unless it is a terminal."""
    from sharpen.studio.live import wants_colour

    colour = not plain and wants_colour(stream)
    # a pipe has no width: lines there are not wrapped at 80
    console = Console(file=stream, no_color=not colour, force_terminal=colour, width=None if colour else 200)
    for part in parts:
        console.print(Text(part) if isinstance(part, str) else part)


def bare_table(*left: str, right: Sequence[str]) -> Table:
    """An empty table: text columns, then numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for head in left:
        table.add_column(head, no_wrap=True, overflow="ellipsis")
    for head in right:
        table.add_column(Text(head), justify="right")
    return table


def _cell(cell: Cell | None) -> Text:
    return Text("-" if cell is None else str(cell))


def _plain_interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"({low:+.4g} to {high:+.4g})"
