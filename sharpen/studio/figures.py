"""Figures as SVG files: the same numbers give the same bytes, readable on light and on dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#767676"
"""Of all lines and letters: its contrast is 4.5 on white, 4.6 on black, and nothing is painted behind it."""
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


def svg(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """What ``draw`` puts on an empty transparent figure of this size (inches).

    Raises SharpenError where matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("--figure", "matplotlib", "figures") from None
    with rc_context(STYLE):
        # no pyplot: it keeps figures and a backend for the whole process
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawn)
        drawn.patch.set_alpha(0)
        draw(drawn)
        for ax in drawn.axes:
            ax.patch.set_alpha(0)
        held = io.BytesIO()
        drawn.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return held.getvalue()


def write_svg(data: bytes, path: Path) -> None:
    """Write a figure. Raises SharpenError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as e:
        raise SharpenError(f"cannot write {path}: {e.strerror or e}") from None


def check_svg(path: Path) -> Path:
    """``path``, which has to end in ``.svg``; SharpenError where it does not."""
    if path.suffix != ".svg":
        raise SharpenError(f"--figure {path}: only .svg is written")
    return path
