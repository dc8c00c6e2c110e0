"""Strategies of an evaluation side by side: accuracy, what it cost, and paired differences."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.measure.strategies import WEIGHED
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.studio.items import seconds
from sharpen.studio.table import bare_table, gain_table, seeds_gains
from sharpen.studio.words import clean, number, percent, points

_COSTS = ("calls", "tokens", "prompt_tokens", "evals", "tools")
_SHARES = ("coverage", "none_share", "batch_fill", "shared", "calls_before")


@dataclass(frozen=True)
class Line:
    """One strategy over all seeds; means, and 95 % intervals over seeds and questions.

    Attributes:
        gain, gain_low, gain_high: its accuracy minus the first strategy's, paired by question; None for the
            first.
        best: no other strategy without the verifier has both more accuracy and fewer tokens.
    """

    strategy: str
    oracle: bool
    questions: int
    accuracy: float
    low: float
    high: float
    calls: float
    tokens: float
    prompt_tokens: float
    evals: float
    tools: float
    seconds: float | None
    coverage: float
    none_share: float
    batch_fill: float | None
    shared: float
    calls_before: float
    stops: dict[str, float]
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    best: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def read_strategies(folders: Sequence[Path]) -> list[Line]:
    """The strategies that every one of the runs has evaluated, in the first one's order; [] where none is."""
    found = [_rows(f) for f in folders]
    names = [n for n in (found[0] if found else {}) if all(n in rows for rows in found)]
    if not names:
        return []
    items = [{n: _items(f, rows[n]["key"]) for n in names} for f, rows in zip(folders, found, strict=True)]
    times = [seconds(f) for f in folders]
    lines = []
    for name in names:
        rows = [r[name] for r in found]
        spent = [s.get(str(r["key"]).replace("/weigh:", "/solve:")) for s, r in zip(times, rows, strict=True)]
        mean = _over([i[name] for i in items], None, name)
        gain = (
            None if name == names[0] else _over([i[name] for i in items], [i[names[0]] for i in items], name)
        )
        lines.append(_line(name, rows, mean, gain, [s for s in spent if s is not None]))
    return [_marked(line, lines) for line in lines]


def _line(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    mean: tuple[float, float, float],
    gain: tuple[float, float, float] | None,
    spent: Sequence[float],
) -> Line:
    def average(key: str) -> float | None:
        values = [r[key] for r in rows if r.get(key) is not None]
        return float(np.mean(values)) if values else None

    stops = sorted({k for r in rows for k in r if k.startswith("stopped_")})
    return Line(
        name,
        bool(rows[0].get("oracle")),
        int(rows[0]["questions"]),
        *mean,
        **{key: average(key) for key in (*_COSTS, *_SHARES)},  # type: ignore[arg-type]
        seconds=float(np.mean(spent)) if spent else None,
        stops={k.removeprefix("stopped_"): float(np.mean([r.get(k, 0.0) for r in rows])) for k in stops},
        **dict(zip(("gain", "gain_low", "gain_high"), gain or (None,) * 3, strict=True)),
    )


def _marked(line: Line, lines: Sequence[Line]) -> Line:
    rivals = [o for o in lines if not o.oracle and o is not line]
    beaten = any(
        o.accuracy >= line.accuracy and o.tokens <= line.tokens
        and (o.accuracy, -o.tokens) != (line.accuracy, -line.tokens)
        for o in rivals
    )  # fmt: skip
    return Line(**{**asdict(line), "best": not line.oracle and not beaten})


def strategies_table(lines: Sequence[Line], width: int = 200) -> Any:
    """The table for terminals. The first column marks those on the front of accuracy against tokens. What has
    no room in ``width`` is left out, from the right."""
    rows = [_cells(line) for line in lines]
    heads = [
        "",
        "strategy",
        "accuracy, %",
        f"against {clean(lines[0].strategy)}",
        "calls",
        "tokens",
        "seconds",
    ]
    heads += ["evals", "tools", "none", "any", "batch"]
    told = {"evals": any(line.evals for line in lines), "tools": any(line.tools for line in lines)}
    kept = [i for i, head in enumerate(heads) if told.get(head, True)]

    def wide() -> int:
        return sum(max(cell_len(heads[i]), *(cell_len(r[i].plain) for r in rows)) + 2 for i in kept)

    while len(kept) > 6 and wide() > width:
        kept.pop()
    table = bare_table(*(heads[i] for i in kept[:2]), right=[heads[i] for i in kept[2:]])
    table.columns[1].overflow, table.columns[1].no_wrap = "fold", False
    for column in table.columns[2:]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


def _cells(line: Line) -> list[Text]:
    """One row, all columns."""
    told, style = "", ""
    if line.gain is not None and line.gain_low is not None and line.gain_high is not None:
        told = f"{points(line.gain)} {_ends(line.gain_low, line.gain_high, '+.1f')}"
        style = "green" if line.gain_low > 0 else "red" if line.gain_high < 0 else ""
    return [
        Text("*" if line.best else ""),
        Text(clean(line.strategy) + (" (oracle)" if line.oracle else "")),
        Text(f"{100 * line.accuracy:.1f} {_ends(line.low, line.high, '.1f')}"),
        Text(told, style=style),
        Text(f"{line.calls:.1f}"),
        Text(f"{line.tokens:,.0f}"),
        Text("" if line.seconds is None else number(round(line.seconds, 1))),
        Text(f"{line.evals:.1f}"),
        Text(f"{line.tools:.1f}"),
        Text(f"{100 * line.none_share:.0f}"),
        Text(f"{100 * line.coverage:.0f}"),
        Text("–" if line.batch_fill is None else f"{100 * line.batch_fill:.0f}"),
    ]


def _ends(low: float, high: float, form: str) -> str:
    """An interval of shares in percent, short."""
    return f"({100 * low:{form}}, {100 * high:{form}})"


def strategies_parts(lines: Sequence[Line]) -> list[Any]:
    """The table and its notes."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    return [strategies_table(lines, width), *(Text(note, style="dim") for note in notes(lines))]


def summary_parts(summary: Mapping[str, Any]) -> list[Any]:
    """What ``summary.json`` of several seeds tells: strategies, or what was gained."""
    if "strategies" in summary:
        return strategies_parts([Line(**line) for line in summary["strategies"]])
    return [gain_table(seeds_gains(summary))]


def notes(lines: Sequence[Line]) -> list[str]:
    """What a reader of the table must know."""
    out = [
        "* more accuracy than everything cheaper. In brackets 95 % intervals, in points behind a difference.",
        "calls, tokens: sampled, mean a question; none, any: % without an answer, with a right candidate; "
        "batch: % of the engine's rows in use",
    ]
    if any(line.shared for line in lines):
        out.append(
            "equal requests got the same samples: seconds leave out what an earlier strategy had drawn"
        )
    before = [f"{line.strategy} {line.calls_before:,.0f}" for line in lines if line.calls_before]
    if before:
        out.append("calls on training questions beforehand: " + ", ".join(before))
    bad = [f"{line.strategy}: {why} {percent(share)}" for line in lines for why, share in line.stops.items()
           if why not in ("done", "max") and share > 0]  # fmt: skip
    if bad:
        out.append("stopped early: " + "; ".join(bad))
    return out


def _rows(folder: Path) -> dict[str, Mapping[str, Any]]:
    rows = read_manifest(folder).metrics
    return {row["strategy"]: row for row in rows if row.get("name") == WEIGHED and "strategy" in row}


def _items(folder: Path, key: str) -> dict[str, float]:
    import pyarrow.parquet as pq

    out: dict[str, float] = {}
    for path in unit_files(folder).get(key, []):
        table = pq.read_table(path, columns=["task_id", "correct"])
        out |= dict(zip(table["task_id"].to_pylist(), table["correct"].to_pylist(), strict=True))
    return out


def _over(
    after: Sequence[Mapping[str, float]], before: Sequence[Mapping[str, float]] | None, name: str
) -> tuple[float, float, float]:
    """Mean and interval, over seeds and the questions that all of them have."""
    shared = sorted(set.intersection(*(set(a) for a in after)))
    values = np.array([[a[i] for i in shared] for a in after])
    if before is not None:
        values = values - np.array([[b[i] for i in shared] for b in before])
    return hierarchical_bootstrap(values, stream=stream("strategies", name))
