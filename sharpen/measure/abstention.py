"""How often a model says that it does not know, and whether it is right to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.measure.intervals import wilson


@dataclass(frozen=True, slots=True)
class Abstention:
    """Rates over the items of a test; shares are None where nothing is there to share.

    Attributes:
        n: items. declined: not attempted. rate: their share, with Wilson's interval.
        accuracy: right among all items. accuracy_attempted: right among those attempted.
        precision: share of the declined items that the model gets wrong when forced to answer.
    """

    n: int
    declined: int
    rate: float | None
    interval: tuple[float, float]
    accuracy: float | None
    accuracy_attempted: float | None
    precision: float | None


def abstention(declined: ArrayLike, correct: ArrayLike, forced: ArrayLike | None = None) -> Abstention:
    """Rates of saying "I don't know".

    Args:
        declined: bool ``(n,)``. correct: bool ``(n,)``; a declined item is not right, whatever it says.
        forced: bool ``(n,)``, whether the model is right when it must answer; read where declined.
    """
    no, right = np.asarray(declined, dtype=np.bool_), np.asarray(correct, dtype=np.bool_)
    if no.shape != right.shape or (forced is not None and np.shape(forced) != no.shape):
        raise SharpenError(f"abstention: {len(no)} and {len(right)} items")
    hits, n, k = int((right & ~no).sum()), len(no), int(no.sum())
    precision = None
    if forced is not None and k:
        precision = float(1 - np.asarray(forced, dtype=np.bool_)[no].mean())
    return Abstention(
        n=n,
        declined=k,
        rate=k / n if n else None,
        interval=wilson(k, n),
        accuracy=hits / n if n else None,
        accuracy_attempted=hits / (n - k) if n > k else None,
        precision=precision,
    )


def attempts_compared(
    declined_a: ArrayLike, declined_b: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the same items under two models: which both attempted, and which only the second did. Accuracy and
    calibration on the two sets tell new knowledge from new boldness (arXiv 2504.06564)."""
    a, b = np.asarray(declined_a, dtype=np.bool_), np.asarray(declined_b, dtype=np.bool_)
    if a.shape != b.shape:
        raise SharpenError(f"abstention: {len(a)} and {len(b)} are not the same items")
    return ~a & ~b, a & ~b
