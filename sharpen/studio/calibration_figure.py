"""The reliability diagram and the risk-coverage curve of a run as one SVG file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.studio.figures import INK, check_svg, svg, write_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "stated": "#d1495b",
    "vote share": "#2f83c6",
    "strategy": "#c2629b",
    "self-certainty": "#2a9d6e",
    "log-probability": "#a8770f",
    "entropy": "#9a66c9",
}


def write_figure(found: Mapping[str, Any], path: Path) -> None:
    """Write what ``calibrate_run`` found as an SVG.

    Raises SharpenError where the name does not end in ``.svg``, or matplotlib is not installed.
    """
    write_svg(figure(found), check_svg(path))


def figure(found: Mapping[str, Any]) -> bytes:
    """The SVG; see ``write_figure``."""
    scaled = [s for s in found["signals"] if s["scale"] and s["n"]]

    def draw(drawn: Figure) -> None:
        axes = drawn.subplots(1, 2 if scaled else 1, squeeze=False)[0]
        if scaled:
            _reliability(axes[0], scaled)
        _risk(axes[-1], [s for s in found["signals"] if s["n"]])

    return svg(draw, 7.2 if scaled else 3.8, 3.9)


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
