"""How a policy that plays came along: its contests, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from sharpen.studio.table import bare_table, gain_table
from sharpen.studio.words import clean, percent, spread

CONTEST = "contest"
"""Name of the metrics row of ``sharpen.verbs.contests``."""
MOST = 6
"""Rounds shown: the first, the last, and some between."""
SOLVED = {
    "nash_conv": "NashConv",
    "nash_conv_average": "NashConv of the average policy",
    "value": "value to the first seat",
    "illegal": "no legal move, mean over information sets",
}
SHARES = ("won", "drawn", "lost", "invalid")


def outcome_parts(metrics: Sequence[Mapping[str, Any]], gains: Sequence[Any]) -> list[Any]:
    """What a run came to: its contests where it played, and what was gained on questions."""
    rows = [row for row in metrics if row.get("name") == CONTEST]
    if not rows:
        return [gain_table(gains)]
    return [contest_table(rows), *(["", gain_table(gains)] if gains else [])]


def contest_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a measure, one column a round."""
    shown = spread(rows, MOST)
    table = bare_table("against", "measure", right=[f"round {row['round']}" for row in shown])
    for name, label in SOLVED.items():
        if any(name in row for row in shown):
            told = percent if name == "illegal" else _number
            table.add_row("", label, *(Text(_cell(row.get(name), told)) for row in shown))
    names = dict.fromkeys(key.rpartition("/")[0] for row in shown for key in row if key.endswith("/won"))
    for opponent in names:
        for k, share in enumerate(SHARES):
            cells = (Text(_cell(row.get(f"{opponent}/{share}"), percent)) for row in shown)
            table.add_row(Text(clean(opponent) if not k else ""), share, *cells)
    return table


def _cell(value: Any, form: Any) -> str:
    return "–" if value is None else form(float(value))


def _number(value: float) -> str:
    return f"{value:.3f}"
