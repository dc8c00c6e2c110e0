"""Strategies of an evaluation side by side: accuracy, what it cost, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.studio.items import seconds
from sharpen.studio.table import bare_table, gain_table, seeds_gains
from sharpen.studio.words import clean, interval, number, percent, points

WEIGHED = "strategy"
"""The name of a strategy's metrics rows."""
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


def strategies_table(lines: Sequence[Line]) -> Any:
    """The table for terminals. The first column marks those on the front of accuracy against tokens."""
    many = any(line.evals for line in lines)
    tools = any(line.tools for line in lines)
    heads = ["accuracy", "95 % interval", f"against {clean(lines[0].strategy)}", "calls", "tokens"]
    heads += ["evals"] * many + ["tools"] * tools + ["seconds", "none", "coverage", "batch"]
    table = bare_table("", "strategy", right=heads)
    for line in lines:
        sure = line.gain_low is not None and line.gain_high is not None
        style = ""
        if sure and line.gain_low > 0:  # type: ignore[operator]
            style = "green"
        elif sure and line.gain_high < 0:  # type: ignore[operator]
            style = "red"
        told = f"{points(line.gain)} {interval(line.gain_low, line.gain_high, sign=True)}" if sure else ""
        cells = [
            Text("*" if line.best else ""),
            Text(clean(line.strategy) + (" (oracle)" if line.oracle else "")),
            Text(percent(line.accuracy)),
            Text(interval(line.low, line.high)),
            Text(told, style=style),
            Text(f"{line.calls:.1f}"),
            Text(f"{line.tokens:,.0f}"),
        ]
        cells += [Text(f"{line.evals:.1f}")] * many + [Text(f"{line.tools:.1f}")] * tools
        cells += [
            Text("" if line.seconds is None else number(round(line.seconds, 1))),
            Text(percent(line.none_share)),
            Text(percent(line.coverage)),
            Text("–" if line.batch_fill is None else percent(line.batch_fill)),
        ]
        table.add_row(*cells)
    return table


def strategies_parts(lines: Sequence[Line]) -> list[Any]:
    """The table and its notes."""
    return [strategies_table(lines), *(Text(note, style="dim") for note in notes(lines))]


def summary_parts(summary: Mapping[str, Any]) -> list[Any]:
    """What ``summary.json`` of several seeds tells: strategies, or what was gained."""
    if "strategies" in summary:
        return strategies_parts([Line(**line) for line in summary["strategies"]])
    return [gain_table(seeds_gains(summary))]


def notes(lines: Sequence[Line]) -> list[str]:
    """What a reader of the table must know."""
    out = ["* more accuracy than everything cheaper; calls and tokens are sampled ones, means a question"]
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
