"""One line a seed, from what the seeds' own processes print."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sharpen.studio.live import wants_colour
from sharpen.studio.words import clean
from sharpen.verbs.seeds import Outcome


def watch_seeds(stream: TextIO, title: str, seeds: Sequence[int], *, plain: bool = False) -> SeedsWatch:
    """A display for several seeds: in place on a terminal, each line with its seed elsewhere."""
    console = None if plain or not wants_colour(stream) else Console(file=stream)
    return SeedsWatch(stream, title, seeds, console)


class SeedsWatch:
    """Gets every line of every seed. Without a console it writes plain lines to ``stream``."""

    def __init__(self, stream: TextIO, title: str, seeds: Sequence[int], console: Console | None) -> None:
        self._stream, self._title = stream, title
        self._state = dict.fromkeys(seeds, "waiting")
        self._last = dict.fromkeys(seeds, "")
        self._live = Live(self._table(), console=console, transient=True) if console else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def line(self, seed: int, text: str) -> None:
        """A seed wrote ``text``."""
        self._state[seed] = "running"
        self._last[seed] = text or self._last[seed]
        self._shown(seed, text)

    def ended(self, outcome: Outcome) -> None:
        """A seed's process ended."""
        self._state[outcome.seed] = "finished" if outcome.code == 0 else "failed"
        self._shown(outcome.seed, self._state[outcome.seed])

    def _shown(self, seed: int, text: str) -> None:
        if self._live:
            self._live.update(self._table())
        else:
            self._stream.write(f"seed {seed} | {clean(text)}\n")
            self._stream.flush()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, min_width=max(len(f"seed {s}") for s in self._state))
        table.add_column(no_wrap=True, min_width=len("finished"))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        styles = {"running": "cyan", "finished": "green", "failed": "red", "waiting": "dim"}
        for seed, state in self._state.items():
            last = "" if state == "finished" else clean(self._last[seed], 200)
            table.add_row(Text(f"seed {seed}"), Text(state, style=styles[state]), Text(last))
        outer = Table.grid(expand=True)
        outer.add_row(Text(clean(self._title), style="bold"))
        outer.add_row(table)
        return outer
