"""The reliability diagram and the risk-coverage curve of a run as one SVG file.

The same numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#767676"
"""Of all lines and letters: its contrast is 4.5 on white, 4.6 on black, and nothing is painted behind it."""
COLOURS = {
    "stated": "#d1495b",
    "vote share": "#2f83c6",
    "self-certainty": "#2a9d6e",
    "log-probability": "#a8770f",
    "entropy": "#9a66c9",
}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "sharpen",  # else ids are drawn at random
    "svg.fonttype": "path",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def write_figure(found: Mapping[str, Any], path: Path) -> None:
    """Write what ``calibrate_run`` found as an SVG.

    Raises SharpenError where the name does not end in ``.svg``, or matplotlib is not installed.
    """
    if path.suffix != ".svg":
        raise SharpenError(f"--figure {path}: only .svg is written")
    data = figure(found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as e:
        raise SharpenError(f"cannot write {path}: {e.strerror or e}") from None


def figure(found: Mapping[str, Any]) -> bytes:
    """The SVG; see ``write_figure``."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("--figure", "matplotlib", "figures") from None
    scaled = [s for s in found["signals"] if s["scale"] and s["n"]]
    with rc_context(STYLE):
        # no pyplot: it keeps figures and a backend for the whole process
        drawn = Figure(figsize=(7.2 if scaled else 3.8, 3.9), layout="constrained")
        FigureCanvasSVG(drawn)
        drawn.patch.set_alpha(0)
        axes = drawn.subplots(1, 2 if scaled else 1, squeeze=False)[0]
        for ax in axes:
            ax.patch.set_alpha(0)
        if scaled:
            _reliability(axes[0], scaled)
        _risk(axes[-1], [s for s in found["signals"] if s["n"]])
        held = io.BytesIO()
        drawn.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return held.getvalue()


def _reliability(ax: Axes, signals: list[Mapping[str, Any]]) -> None:
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for k, s in enumerate(signals):
        rows = [b for b in s["table"] if b["n"]]
        x, y = [b["confidence"] for b in rows], [b["accuracy"] for b in rows]
        ends = [b["interval"] for b in rows]
        below = [max(v - low, 0.0) for v, (low, _) in zip(y, ends, strict=True)]
        above = [max(high - v, 0.0) for v, (_, high) in zip(y, ends, strict=True)]
        ece = f"{s['name']}, ECE {s['measures']['ece'][0]:.3f}"
        ax.errorbar(
            x, y, yerr=[below, above], color=_colour(s), label=ece, marker="os"[k % 2], markersize=4,
            linewidth=1.2, elinewidth=0.8,
        )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share right")
    ax.set_title("Reliability")
    _legend(ax)


def _risk(ax: Axes, signals: list[Mapping[str, Any]]) -> None:
    for s in signals:
        x, y = zip(*s["curve"], strict=True)
        label = f"{s['name']}, {s['measures']['aurc'][0]:.3f}"
        ax.plot(x, y, color=_colour(s), linewidth=1.4, label=label)
    ax.set(
        xlim=(0, 1.02), xlabel="coverage: share answered, surest first", ylabel="risk: share wrong of these"
    )
    ax.set_ylim(bottom=0)
    ax.set_title("Risk and coverage, with the area")
    if signals:
        _legend(ax)


def _legend(ax: Axes) -> None:
    # below, where no curve can run through it
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)


def _colour(signal: Mapping[str, Any]) -> str:
    return COLOURS.get(signal["name"], INK)
