"""The live display: step, speed, time left, accuracy so far, last rollout."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sharpen.score.verdict import Verdict
from sharpen.studio.plain import Plain
from sharpen.studio.words import HEADLINE, clean, clock_time, duration, label, points, spark

_ROUND = re.compile(r"\bround\D{0,2}(\d+)")
_SPARKS = 12


def watch(stream: TextIO, title: str, *, rounds: int | None = None, plain: bool = False) -> Live | Plain:
    """The progress display that suits ``stream``: live on a terminal, plain lines elsewhere, under
    ``NO_COLOR`` and where ``plain`` is asked for. Use it as a context manager."""
    if plain or not wants_colour(stream):
        return Plain(stream)
    return Live(Console(file=stream), title, rounds=rounds)


def wants_colour(stream: TextIO) -> bool:
    """Whether escape codes may be written to ``stream``."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Live:
    """Redraws a few lines in place; what is said and warned scrolls by above them.

    Args:
        console: where to draw.
        title: shown first, such as the recipe and the seed.
        rounds: how many rounds the run will take, for the time left.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        *,
        rounds: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._title, self._rounds, self._clock = console, title, rounds, clock
        self._live = RichLive(self, console=console, refresh_per_second=4, transient=True)
        self._began = clock()
        self._round: int | None = None
        self._rounds_seen: dict[int, float] = {}
        self._step = self._verb = ""
        self._total: int | None = None
        self._done = self._tokens = 0
        self._step_began = self._began
        self._curves: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._rollout: tuple[str, str, Verdict | None] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._live.stop()

    def begin(self, step: str, verb: str, total: int | None = None) -> None:
        """Shows the step's bar."""
        self._step, self._verb, self._total = step, verb, total
        self._done = self._tokens = 0
        self._step_began = self._clock()
        found = _ROUND.search(step)
        if found and int(found[1]) != self._round:
            self._round = int(found[1])
            self._rounds_seen.setdefault(self._round, self._step_began)

    def advance(self, done: int, tokens: int = 0) -> None:
        """Moves the bar."""
        self._done += done
        self._tokens += tokens

    def end(self) -> None:
        """Clears the bar."""
        self._step = self._verb = ""

    def say(self, text: str) -> None:
        """Scrolls by above the display."""
        self._console.print(Text(clean(text)))

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Adds a column to the accuracy table."""
        if any(name in row for name in HEADLINE):
            column = str(row.get("round", len(self._curves.get(str(row.get("name", "")), {}))))
            self._curves.setdefault(str(row.get("name", "")), {})[column] = row

    def warn(self, text: str) -> None:
        """Stays above the display, marked."""
        self._console.print(Text("warning: ", style="yellow").append(clean(text)))

    def rollout(self, prompt: str, text: str, verdict: Verdict | None) -> None:
        """Shows it in place of the one before."""
        self._rollout = prompt, text, verdict

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        parts = [self._head(width), self._bar(width)]
        for name, curve in self._curves.items():
            parts += [Text(), curve_table(name, curve, width)]
        if self._rollout:
            parts += [Text(), rollout_lines(*self._rollout, width=width)]
        yield Group(*parts)

    def _head(self, width: int) -> Table:
        now = self._clock()
        times = [clock_time(now - self._began)]
        left = self._run_left(now)
        if left is not None:
            times.append(f"about {clock_time(left)} left")
        line = Table.grid(expand=True)
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(no_wrap=True, justify="right")
        line.add_row(Text(clean(self._title, width), style="bold"), Text(" · ".join(times), style="dim"))
        return line

    def _run_left(self, now: float) -> float | None:
        """Seconds, from the mean length of the rounds that are over."""
        starts = sorted(self._rounds_seen.values())
        if not self._rounds or len(starts) < 2:
            return None
        mean = (starts[-1] - starts[0]) / (len(starts) - 1)
        return max((self._rounds - len(starts) + 1) * mean - (now - starts[-1]), 0.0)

    def _bar(self, width: int) -> Table:
        where = f"round {self._round}" + (f" of {self._rounds}" if self._rounds else "")
        line = Table.grid(padding=(0, 2), expand=True)
        cells: list[Text | ProgressBar] = [
            Text(where if self._round is not None else "start", style="cyan"),
            Text(self._verb),
        ]
        seconds = self._clock() - self._step_began
        if self._step and self._total:
            cells.append(ProgressBar(total=self._total, completed=self._done))
            cells.append(Text(f"{self._done:,}/{self._total:,}"))
        elif self._step:
            cells.append(Text(clean(self._step), style="dim"))
        if self._step and self._tokens and seconds > 0:
            cells.append(Text(f"{self._tokens / seconds:,.0f} tokens/s"))
        if self._step and self._total and 0 < self._done < self._total:
            cells.append(
                Text(f"{duration(seconds / self._done * (self._total - self._done))} left", style="dim")
            )
        for cell in cells:
            stretch = isinstance(cell, ProgressBar)
            line.add_column(
                no_wrap=True,
                overflow="ellipsis",
                ratio=1 if stretch else None,
                min_width=8 if stretch else None,
            )
        line.add_row(*cells)
        return line


def curve_table(name: str, curve: Mapping[str, Mapping[str, Any]], width: int) -> Table:
    """Accuracy by round in percent, a line a measure: the first round, the latest that fit, the change."""
    columns = list(curve)
    measures = [m for m in HEADLINE if any(m in row for row in curve.values())]
    fit = max((width - len(name) - _SPARKS - 25) // 7, 2)
    cut = columns if len(columns) <= fit else [columns[0], *columns[-(fit - 1) :]]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for _ in cut:
        table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="crop")
    table.add_column(justify="right", no_wrap=True)
    heads = [f"…{c}" if len(cut) < len(columns) and i == 1 else c for i, c in enumerate(cut)]
    table.add_row(*(Text(t, style="dim") for t in [f"{label(clean(name))} by round", *heads, "", ""]))
    for m in measures:
        values = [row.get(m) for row in curve.values()]
        shown = [curve[c].get(m) for c in cut]
        known = [v for v in values if v is not None]
        change = points(known[-1] - known[0]) if len(known) > 1 else ""
        style = "green" if change.startswith("+") else "red"
        table.add_row(
            Text(label(m)),
            *(Text("-" if v is None else f"{100 * v:.1f}") for v in shown),
            Text(spark(values[-_SPARKS:]), style="cyan"),
            Text(change, style=style),
        )
    return table


def rollout_lines(prompt: str, text: str, verdict: Verdict | None, *, width: int) -> Text:
    """A prompt's end and the answer's begin, one line each, with right or wrong. Both are untrusted."""
    lines = Text(no_wrap=True, overflow="ellipsis")
    room = max(width - 9, 10)
    tail = clean(prompt.strip()[-room:], room)
    lines.append("asked    ", style="dim").append(tail).append("\n")
    if verdict is None:
        mark, style = "answer", "dim"
    elif verdict.status.unknown:
        mark, style = str(verdict.status), "yellow"
    else:
        mark, style = ("right", "green") if verdict.correct else ("wrong", "red")
    lines.append(f"{mark:<9}", style=style).append(clean(text.strip(), room))
    return lines
