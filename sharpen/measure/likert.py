"""How good a judge is that gives scores on a scale: correlation, accuracy, bias, consistency.

A predicted score may be None (unread): it is left out of correlations, counted as wrong in shares, and its
share is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.measure.separation import spearman

Floats = NDArray[np.float64]
Scores = Sequence[float | None]


def pearson(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's correlation; None for fewer than two items or a constant."""
    x, y = _paired(a, b)
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / scale) if scale else None


def kendall(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's tau-b, ties in either side taken off; None where one side is constant."""
    x, y = _paired(a, b)
    one, two = (np.sign(v[:, None] - v[None, :]) for v in (x, y))
    scale = float(np.sqrt(np.abs(one).sum() * np.abs(two).sum()))
    return float((one * two).sum() / scale) if scale else None


@dataclass(frozen=True, slots=True)
class Likert:
    """A judge's scores against gold ones.

    Attributes:
        n: items. unread: share without a readable score.
        pearson, spearman, kendall: over what was read; None where undefined.
        exact, within_one: shares of all items. error: mean absolute error of what was read.
        bias: mean of predicted minus gold. distance: total variation distance of the two distributions of
            scores, in [0, 1]. same: whether every score that was read is the same one, so that the judge
            judges nothing.
    """

    n: int
    unread: float
    pearson: float | None
    spearman: float | None
    kendall: float | None
    exact: float
    within_one: float
    error: float | None
    bias: float | None
    distance: float | None
    same: bool


def likert(gold: Sequence[float], predicted: Scores) -> Likert:
    """All measures of this file for one judge; SharpenError without an item."""
    if len(gold) != len(predicted):
        raise SharpenError(f"likert: {len(gold)} gold scores, {len(predicted)} predicted ones")
    if not gold:
        raise SharpenError("likert: no item was judged")
    pairs = [(g, p) for g, p in zip(gold, predicted, strict=True) if p is not None]
    g, p = (np.array(side, np.float64) for side in (list(zip(*pairs, strict=True)) or [(), ()]))
    away, n = np.abs(p - g), len(gold)
    return Likert(
        n=n,
        unread=1 - len(pairs) / n,
        pearson=pearson(g, p),
        spearman=spearman(g, p),
        kendall=kendall(g, p),
        exact=float((away == 0).sum() / n),
        within_one=float((away <= 1).sum() / n),
        error=float(away.mean()) if pairs else None,
        bias=float((p - g).mean()) if pairs else None,
        distance=_distance(g, p) if pairs else None,
        same=len(pairs) > 1 and len(set(p.tolist())) == 1,
    )


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs judged by a score for each side.

    Attributes:
        accuracy: 1 where the better one scores higher, a half where both score the same or one was not read.
        ties: share of equal scores. unread: share with a score that could not be read.
    """

    accuracy: float
    ties: float
    unread: float


def comparisons(chosen: Scores, rejected: Scores) -> Comparisons:
    """From scores of the better and the worse response of each pair; SharpenError without a pair."""
    pairs = list(zip(chosen, rejected, strict=True))
    if not pairs:
        raise SharpenError("comparisons: no pair was judged")
    read = [(c, r) for c, r in pairs if c is not None and r is not None]
    ties, unread = sum(c == r for c, r in read), len(pairs) - len(read)
    right = sum(c > r for c, r in read) + (ties + unread) / 2
    return Comparisons(right / len(pairs), ties / len(pairs), unread / len(pairs))


def consistency(judgments: Sequence[Scores]) -> float | None:
    """How much a judge agrees with itself: over items the chance that two of its readable judgments, drawn
    without replacement, are the same; None where no item has two."""
    found = []
    for told in judgments:
        counts = Counter(t for t in told if t is not None)
        n = sum(counts.values())
        if n > 1:
            found.append(sum(c * (c - 1) for c in counts.values()) / (n * (n - 1)))
    return float(np.mean(found)) if found else None


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise SharpenError(f"correlation: shapes {x.shape} and {y.shape} are not the same items")
    return x, y


def _distance(a: Floats, b: Floats) -> float:
    one, two = Counter(a.tolist()), Counter(b.tolist())
    return sum(abs(one[s] - two[s]) for s in {*one, *two}) / (2 * len(a))
