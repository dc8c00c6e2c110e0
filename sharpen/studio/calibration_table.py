"""The calibration of a run for a terminal: a table, what is undefined and why, and bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sharpen.studio.calibrate import RISKS
from sharpen.studio.table import listing, settings_lines
from sharpen.studio.words import clean, interval, percent

UNDEFINED = "–"
BAR = 20
"""Width of a bar."""
MEASURES = {
    "accuracy": "accuracy of these, %",
    "confidence": "mean confidence, %",
    "overconfidence": "over-confidence, points",
    "ece": "ECE",
    "ace": "ACE",
    "ace_over_ties": "ACE, over tie orders",
    "brier": "Brier",
    "auroc": "AUROC",
    "within": "AUROC inside a question",
    "auprc_right": "AUPRC-P (right)",
    "auprc_wrong": "AUPRC-N (wrong)",
    "aurc": "area under risk-coverage",
    **{f"coverage_at_{risk:g}": f"coverage at {100 * risk:g} % risk, %" for risk in RISKS},
}
"""Measure -> how it is called."""
_PERCENT = ("accuracy", "confidence", "overconfidence")
_SCALED = ("confidence", "overconfidence", "ece", "ace", "ace_over_ties", "brier")
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
_EIGHTHS = " ▏▎▍▌▋▊▉"


def calibration_parts(found: Mapping[str, Any]) -> list[RenderableType]:
    """What ``calibrate_run`` found."""
    parts: list[RenderableType] = [settings_lines(_head(found)), ""]
    signals = found["signals"]
    if signals:
        parts += [_table(signals), Text("in brackets: 95 % interval, questions drawn anew", style="dim"), ""]
    parts += [Text(line, style="yellow") for line in _warnings(signals)]
    parts += [Text(line, style="dim") for line in _reasons(found)]
    held = [s for s in signals if s["n"]]
    for signal in [s for s in held if s["scale"]]:
        parts += ["", _reliability(signal)]
    return [*parts, "", _risk(held)] if held else parts


def _head(found: Mapping[str, Any]) -> dict[str, str]:
    rates = found["abstention"]
    seeds = f", {found['seeds']} seeds" if found["seeds"] > 1 else ""
    head = {
        "run": found["run"],
        "step": found["step"],
        "answers": f"{found['episodes']:,} to {found['questions']:,} questions{seeds}",
        "truncated": _share(found["truncated"]),
        "right": f"{_share(rates['accuracy'])}, of those attempted {_share(rates['accuracy_attempted'])}",
        "I don't know": f"{_share(rates['rate'])} {interval(*rates['interval'])}".strip(),
        "wrong when forced": _share(rates["precision"]),
    }
    if found["unknown"]:
        head["not judged"] = f"{found['unknown']:,}, left out"
    return head


def _share(value: float | None) -> str:
    return UNDEFINED if value is None else percent(value)


def _table(signals: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for signal in signals:
        table.add_column(Text(signal["name"]), justify="right")
    table.add_row("valid", *(f"{s['n']:,}" for s in signals))
    table.add_row("invalid", *(_share(s["invalid_share"]) for s in signals))
    for name, label in MEASURES.items():
        if any(name in s["measures"] for s in signals):
            table.add_row(label, *(Text(_cell(name, s["measures"].get(name))) for s in signals))
    return table


def _cell(name: str, values: list[float | None] | None) -> str:
    value, low, high = values or (None, None, None)
    if value is None:
        return UNDEFINED
    share = name in _PERCENT or name.startswith("coverage")
    form = "+.1f" if name == "overconfidence" else ".1f" if share else ".3f"
    value, low, high = (x if x is None or not share else 100 * x for x in (value, low, high))
    ends = "" if low is None or high is None else f"\n({low:{form}} to {high:{form}})"
    return f"{value:{form}}{ends}"


def _warnings(signals: list[dict[str, Any]]) -> list[str]:
    lines = [s["warning"] for s in signals if s["warning"]]
    return lines + [f"{s['name']}: {k}: {n:,}" for s in signals for k, n in s["about"].items()]


def _reasons(found: Mapping[str, Any]) -> list[str]:
    """Why a place in the table holds a dash, or a signal has no column."""
    lines = [f"{name}: {why}" for name, why in found["absent"].items()]
    for s in found["signals"]:
        for why in dict.fromkeys(s["undefined"].values()):
            names = [MEASURES[n] for n, w in s["undefined"].items() if w == why]
            lines.append(f"{s['name']}: {', '.join(names)} {UNDEFINED}: {why}")
    plain = [s["name"] for s in found["signals"] if not s["scale"]]
    if plain and len(plain) < len(found["signals"]):
        lines.append(f"{', '.join(plain)}: no probability, so nothing to be calibrated")
    if found["abstention"]["precision"] is None:
        none = not found["abstention"]["declined"]
        why = "nothing was declined" if none else "--forced names a step in which it had to answer"
        lines.append(f"wrong when forced {UNDEFINED}: {why}")
    return [clean(line) for line in lines]


def _reliability(signal: Mapping[str, Any]) -> Table:
    """Bars of accuracy by confidence."""
    rows = [
        [
            f"{100 * b['low']:.0f}-{100 * b['high']:.0f} %",
            f"{b['n']:,}",
            percent(b["confidence"]),
            percent(b["accuracy"]),
            bar(b["accuracy"], b["confidence"]),
        ]
        for b in signal["table"]
        if b["n"]
    ]
    return listing([signal["name"], "answers", "said", "right", "right, and | what was said"], rows)


def _risk(signals: list[dict[str, Any]]) -> Table:
    """Bars of the share wrong among the surest answers."""
    rows = []
    for at in SHARES:
        risks = [min(s["curve"], key=lambda point: abs(point[0] - at))[1] for s in signals]
        rows.append([f"surest {100 * at:.0f} %", *(f"{percent(r):>7} {bar(r, width=8)}" for r in risks)])
    return listing(["wrong of the", *(s["name"] for s in signals)], rows)


def bar(share: float, mark: float | None = None, *, width: int = BAR) -> str:
    """A bar of ``width`` characters for a share of 1, with ``|`` where ``mark`` lies."""
    whole, rest = divmod(round(share * width * 8), 8)
    drawn = list(("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width))
    if mark is not None:
        drawn[min(int(mark * width), width - 1)] = "|"
    return "".join(drawn).rstrip()
