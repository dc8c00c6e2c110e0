"""Accuracy against sampled tokens, one point a strategy, as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.studio.figures import INK, check_svg, svg, write_svg
from sharpen.studio.strategies import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONT, BEHIND, ORACLE = "#2f83c6", INK, "#a8770f"


def write_figure(lines: Sequence[Line], path: Path) -> None:
    """Write the figure of ``read_strategies``' lines.

    Raises SharpenError where the name does not end in ``.svg``, or matplotlib is not installed.
    """
    write_svg(figure(lines), check_svg(path))


def figure(lines: Sequence[Line]) -> bytes:
    """The SVG; see ``write_figure``."""
    return svg(lambda drawn: _draw(drawn, lines), 7.2, 4.2 + 0.12 * max(0, len(lines) - 12))


def _draw(drawn: Figure, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    ax = drawn.subplots()
    # numbers in the figure and names beside it: names at the points would lie over each other
    ordered = sorted(lines, key=lambda line: (line.tokens, line.accuracy))
    front = [line for line in ordered if line.best]
    places = _side_by_side([line.tokens for line in ordered])
    ax.step([f.tokens for f in front], [100 * f.accuracy for f in front], where="post", color=FRONT, lw=1.2)
    for k, (line, x) in enumerate(zip(ordered, places, strict=True), 1):
        colour = ORACLE if line.oracle else FRONT if line.best else BEHIND
        ends = [[100 * max(line.accuracy - line.low, 0.0)], [100 * max(line.high - line.accuracy, 0.0)]]
        told = f"{k}  {line.strategy}{' (oracle)' if line.oracle else ''}"
        ax.errorbar(
            [x], [100 * line.accuracy], yerr=ends, color=colour, marker="s" if line.oracle else "o",
            markersize=4, elinewidth=0.8, linestyle="none", label=told,
        )  # fmt: skip
        ax.annotate(
            str(k), (x, 100 * line.accuracy), xytext=(4, 3), textcoords="offset points",
            color=colour, fontsize=8,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="sampled tokens a question", ylabel="accuracy, %")
    ax.set_title("Accuracy against tokens; the line joins what nothing cheaper beats")
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0), handlelength=1.0)


def _side_by_side(tokens: Sequence[float]) -> list[float]:
    """Where points go, ascending ``tokens`` given: those of (nearly) equal cost a little apart, around it."""
    groups: list[list[float]] = []
    for t in tokens:
        if groups and t <= groups[-1][0] * 1.02:
            groups[-1].append(t)
        else:
            groups.append([t])
    return [t * 1.03 ** (j - (len(g) - 1) / 2) for g in groups for j, t in enumerate(g)]
