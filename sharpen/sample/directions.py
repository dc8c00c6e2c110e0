"""Directions in hidden states: difference of means, and the controls that it must beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import Stream

States = NDArray[np.float32]


class Difference:
    """The mean of one class of states minus that of another, summed in float64 as they come; no state is
    kept.

    ``v = mean over efficient - mean over verbose`` (arXiv 2506.15647). States may have any shape, say
    ``(layers, H)``; all have the same.
    """

    def __init__(self) -> None:
        self._sums: list[NDArray[np.float64] | None] = [None, None]
        self._counts = [0, 0]

    def add(self, efficient: States, verbose: States) -> None:
        """Take one state of each class. NotFinite for one that is not a number."""
        for side, state in enumerate((efficient, verbose)):
            if not np.isfinite(state).all():
                raise NotFinite("direction: a hidden state is not finite")
            total = self._sums[side]
            self._sums[side] = state.astype(np.float64) + (0.0 if total is None else total)
            self._counts[side] += 1

    def value(self) -> States:
        """The direction, float32. SharpenError where nothing was added."""
        a, b = self._sums
        if a is None or b is None:
            raise SharpenError("direction: there is no pair to build it from")
        return (a / self._counts[0] - b / self._counts[1]).astype(np.float32)


def difference(pairs: Iterable[tuple[States, States]]) -> States:
    """The direction of ``(efficient, verbose)`` states."""
    found = Difference()
    for efficient, verbose in pairs:
        found.add(efficient, verbose)
    return found.value()


def shuffled(pairs: Iterable[tuple[States, States]], stream: Stream) -> States:
    """Control: the same with the two labels of each pair swapped by a coin. At least one pair is swapped and
    one is not, where there are two."""
    held = list(pairs)
    swap = stream.generator().random(len(held)) < 0.5
    if len(held) > 1 and swap.all() == swap.any():
        swap[0] = not swap[0]
    return difference((b, a) if s else (a, b) for (a, b), s in zip(held, swap, strict=True))


def with_norm(direction: States, like: States) -> States:
    """``direction`` ``(..., H)`` scaled, vector by vector, to the norms of ``like``.

    SharpenError where a vector has norm 0.
    """
    norms = [np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True) for x in (direction, like)]
    if not (norms[0] > 0).all():
        raise SharpenError("direction: a vector has norm 0, it cannot be scaled")
    return (direction * (norms[1] / norms[0])).astype(np.float32)


def random_like(like: States, stream: Stream) -> States:
    """Control: random vectors, uniform on the sphere, with the norms of ``like`` ``(..., H)``."""
    drawn = stream.generator().standard_normal(like.shape).astype(np.float32)
    return with_norm(drawn, like)
