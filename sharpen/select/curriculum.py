"""Curricula over one number: a hill climb over integer offsets, and what it is compared with.

Offsets are integers: rounding cannot make two of one value. What an offset means is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream

Curriculum = Literal["auto", "fixed", "random_walk"]


@dataclass
class Climb:
    """A hill climb over the offsets ``low .. high``, from 0: ask ``next``, ``tell`` what came of it, repeat.

    Up while it pays; down where the first step up does not; until both neighbours of the best are known or
    out of range. No offset is asked for twice. Equal is not better.

    Attributes:
        known: scores by offset, in the order told.
    """

    low: int
    high: int
    known: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.low <= 0 <= self.high:
            raise SharpenError(f"hill climb: 0 is not in {self.low}..{self.high}")

    @property
    def best(self) -> int:
        """The offset of the highest score told, of equal ones the first; SharpenError before any."""
        if not self.known:
            raise SharpenError("hill climb: no score was told")
        return max(self.known, key=lambda k: self.known[k])  # max keeps the first of equals

    def next(self) -> int | None:
        """What to evaluate next; None at the top."""
        if not self.known:
            return 0
        beside = (self.best + 1, self.best - 1)
        return next((k for k in beside if k not in self.known and self.low <= k <= self.high), None)

    def tell(self, offset: int, score: float) -> None:
        """The score at an offset. One that is told of again keeps its highest."""
        if not self.low <= offset <= self.high:
            raise SharpenError(f"hill climb: {offset} is not in {self.low}..{self.high}")
        self.known[offset] = max(score, self.known.get(offset, score))


def hill_climb(score: Callable[[int], float], low: int, high: int) -> Climb:
    """The finished climb of a function; ``best`` is where it ended, ``known`` whatever was evaluated."""
    climb = Climb(low, high)
    while (offset := climb.next()) is not None:
        climb.tell(offset, score(offset))
    return climb


def walk(low: int, high: int, stream: Stream) -> Iterator[int]:
    """A random walk that begins at 0, endless: one up or one down with equal chance, back from the ends."""
    rng, at = stream.generator(), 0
    while True:
        yield at
        beside = [k for k in (at - 1, at + 1) if low <= k <= high] or [at]
        at = beside[int(rng.integers(len(beside)))]


def offsets(curriculum: Curriculum, climb: Climb, stream: Stream) -> Iterator[int]:
    """What a curriculum evaluates, one after the other: the climb's offsets, which it asks for only after it
    was told of the last one; 0 for ever; or a walk over the climb's range."""
    if curriculum == "fixed":
        yield from repeat(0)
    if curriculum == "random_walk":
        yield from walk(climb.low, climb.high, stream)
    while (offset := climb.next()) is not None:
        yield offset
