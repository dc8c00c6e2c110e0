"""The shortest and the longest right answer to a question: what efficiency steering learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Columns, Groups


@dataclass(frozen=True, slots=True)
class Pair:
    """Two right answers to one question, by their sample indices; ``short`` has fewer tokens.

    Attributes:
        group: position of the question's group in its table.
        task_id: the question.
        lengths: sampled tokens of the short and the long one, the end token included.
    """

    group: int
    task_id: str
    short: int
    long: int
    lengths: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Shortest over longest, in (0, 1)."""
        return self.lengths[0] / self.lengths[1]


def usable(columns: Columns) -> NDArray[np.bool_]:
    """Which answers of a group count as right here, bool ``(n,)``: an empty or truncated one never does,
    whatever its verdict, and unknown is not right."""
    ended = np.array([f is not Finish.LENGTH for f in columns.finish], dtype=np.bool_)
    said = np.array([bool(text.strip()) for text in columns.texts], dtype=np.bool_)
    return columns.correct & ended & said


def shortest_longest(
    lengths: Sequence[int] | NDArray[np.int64], correct: Sequence[bool] | NDArray[np.bool_]
) -> tuple[int, int] | None:
    """Indices of the shortest and the longest right answer, of equally long ones the first; None where fewer
    than two are right or all right ones are equally long (then one could stand for both)."""
    if len(lengths) != len(correct):
        raise SharpenError(f"pairs: {len(lengths)} lengths, {len(correct)} outcomes")
    right = [i for i, c in enumerate(correct) if c]
    if not right:
        return None
    short = min(right, key=lambda i: lengths[i])  # min and max keep the first of equals
    long = max(right, key=lambda i: lengths[i])
    return (short, long) if lengths[short] < lengths[long] else None


Right = Callable[[Columns], NDArray[np.bool_]]


def efficiency_pairs(
    groups: Groups, *, max_ratio: float = 1.0, n: int | None = None, right: Right = usable
) -> list[Pair]:
    """One pair a question that has one, in the order of the questions.

    Args:
        groups: scored; tokens are not loaded.
        max_ratio: only pairs whose shortest / longest is at most this.
        n: the first so many; None: all.
        right: which answers of a group count as right, bool ``(n,)``.
    """
    found = []
    for g, row in enumerate(groups.columns):
        chosen = shortest_longest(row.lengths, right(row))
        if chosen is None:
            continue
        short, long = chosen
        pair = Pair(g, row.task.id, short, long, (int(row.lengths[short]), int(row.lengths[long])))
        if pair.ratio <= max_ratio:
            found.append(pair)
    return found if n is None else found[:n]
