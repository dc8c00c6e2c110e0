"""Whether a confidence in [0, 1] means what it says: ECE, ACE, Brier, and the table behind the diagram.

Definitions follow the study of verbalised confidence (arXiv 2504.06564). Items whose confidence is unknown
(NaN) belong in no measure; ``calibrate`` leaves them out and counts them. Without items a measure is None.

ECE and ACE are sums of absolute gaps, so chance alone makes them positive, and a bootstrap replicate more so:
with few items their intervals lie high. To compare two models, bootstrap the difference on the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.measure.intervals import Estimate, question_bootstrap, wilson
from sharpen.measure.separation import Questions, Separation, separation
from sharpen.runs.streams import Stream

Array = NDArray[np.float64]
BINS = 10
_SLACK = 1e-9  # 10 * (0.1 + 0.2) is a little more than 3


def bin_index(confidence: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each confidence, from 0: equal widths, closed on the right, 0 in the first one."""
    c = np.asarray(confidence, dtype=np.float64)
    return np.clip(np.ceil(c * bins - _SLACK), 1, bins).astype(np.int64) - 1


def ece(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> float | None:
    """Expected calibration error: ``sum_m |B_m| / n * |accuracy(B_m) - mean confidence(B_m)|``."""
    c, y = _pairs(confidence, correct)
    gaps = np.bincount(bin_index(c, bins), y - c, minlength=bins)
    return float(np.abs(gaps).sum() / len(c)) if len(c) else None


def ace(
    confidence: ArrayLike, correct: ArrayLike, *, ids: ArrayLike | None = None, bins: int = BINS
) -> float | None:
    """Adaptive calibration error: the mean gap over groups of equal size (they differ by at most one item).

    Args:
        ids: settle ties between equal confidences; without them the order of items does, and changes the
            result. See ``ace_over_ties``.
        bins: groups, or one an item where there are fewer items.
    """
    c, y = _pairs(confidence, correct)
    if not len(c):
        return None
    # the plain sort is linear where the confidences come sorted
    order = np.argsort(c, kind="stable") if ids is None else np.lexsort((np.asarray(ids), c))
    parts = min(bins, len(c))
    sizes = np.full(parts, len(c) // parts)
    sizes[: len(c) % parts] += 1
    gaps = np.add.reduceat((y - c)[order], np.cumsum(sizes) - sizes)
    return float((np.abs(gaps) / sizes).mean())


def ace_over_ties(
    confidence: ArrayLike, correct: ArrayLike, *, stream: Stream, orders: int = 20, bins: int = BINS
) -> float | None:
    """The mean ACE over random orders of tied items; equals ``ace`` where there is no tie."""
    n = len(np.asarray(confidence))
    rng = stream.generator()
    found = [ace(confidence, correct, ids=rng.permutation(n), bins=bins) for _ in range(orders)]
    known = [a for a in found if a is not None]
    return float(np.mean(known)) if known else None


def brier(confidence: ArrayLike, correct: ArrayLike) -> float | None:
    """``mean (c - y)^2``."""
    c, y = _pairs(confidence, correct)
    return float(((c - y) ** 2).mean()) if len(c) else None


def overconfidence(confidence: ArrayLike, correct: ArrayLike) -> float | None:
    """``mean(c) - mean(y)``; negative where too modest."""
    c, y = _pairs(confidence, correct)
    return float((c - y).mean()) if len(c) else None


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of the reliability table: ``(low, high]``, its items, their mean confidence and accuracy (None
    where empty), and Wilson's interval of the accuracy (items taken as independent)."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None
    interval: tuple[float, float]


def reliability(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> list[Bin]:
    """The table behind a reliability diagram, one row a bin of equal width, empty ones included."""
    c, y = _pairs(confidence, correct)
    of = bin_index(c, bins)
    n, right = np.bincount(of, minlength=bins), np.bincount(of, y, minlength=bins)
    sums = np.bincount(of, c, minlength=bins)
    return [
        Bin(
            low=m / bins,
            high=(m + 1) / bins,
            n=int(n[m]),
            confidence=float(sums[m] / n[m]) if n[m] else None,
            accuracy=float(right[m] / n[m]) if n[m] else None,
            interval=wilson(int(right[m]), int(n[m])),
        )
        for m in range(bins)
    ]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a confidence is calibrated and how it separates, over the valid items.

    Attributes:
        n: valid items. invalid: items without a confidence, left out of everything else.
        accuracy, confidence: their means. The other measures as in this file, each with a bootstrap interval
        over questions; ``ace_over_ties`` is a point, beside ``ace`` with ties by item.
        table: see ``reliability``. separation: see ``sharpen.measure.separation``.
    """

    n: int
    invalid: int
    accuracy: Estimate
    confidence: Estimate
    ece: Estimate
    ace: Estimate
    ace_over_ties: float | None
    brier: Estimate
    overconfidence: Estimate
    table: list[Bin]
    separation: Separation


def calibrate(
    confidence: ArrayLike,
    correct: ArrayLike,
    questions: Questions,
    *,
    stream: Stream,
    ids: Sequence[str] | NDArray | None = None,
    bins: int = BINS,
) -> Calibration:
    """All measures of one confidence.

    Args:
        confidence: in [0, 1], NaN where invalid, ``(n,)``. For questions of fact pass attempted items only.
        correct: bool ``(n,)``.
        questions: the question of each item; its repeats stay together in the bootstrap.
        stream: names the draws.
        ids: settle ties in ACE; the order of items where None.
    """
    c, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    of = np.asarray(questions)
    keys = np.arange(len(c)) if ids is None else np.asarray(ids)
    if not c.shape == right.shape == of.shape == keys.shape:
        raise SharpenError(f"calibration: {len(c)} confidences, {len(right)} marks, {len(of)} questions")
    valid = ~np.isnan(c)
    order = np.flatnonzero(valid)[np.lexsort((keys[valid], c[valid]))]
    c, right, of, keys = c[order], right[order], of[order], np.arange(len(order))

    def over(name: str, measure: Callable[[Array, NDArray[np.bool_]], float | None]) -> Estimate:
        return question_bootstrap(lambda i: measure(c[i], right[i]), of, stream=stream.child(name))

    return Calibration(
        n=len(c),
        invalid=int((~valid).sum()),
        accuracy=over("accuracy", lambda c, y: float(y.mean())),
        confidence=over("confidence", lambda c, y: float(c.mean())),
        ece=over("ece", lambda c, y: ece(c, y, bins=bins)),
        ace=over("ace", lambda c, y: ace(c, y, bins=bins)),
        ace_over_ties=ace_over_ties(c, right, stream=stream.child("ties"), bins=bins),
        brier=over("brier", brier),
        overconfidence=over("overconfidence", overconfidence),
        table=reliability(c, right, bins=bins),
        separation=separation(c, right, of, stream=stream.child("separation")),
    )


def difference(
    measure: Callable[[Array, NDArray[np.bool_]], float | None],
    one: tuple[ArrayLike, ArrayLike],
    other: tuple[ArrayLike, ArrayLike],
    questions: Questions,
    *,
    stream: Stream,
) -> tuple[int, Estimate]:
    """A measure of one model minus that of another on identical items, with a bootstrap over questions.

    Args:
        measure: such as ``ece`` or ``separation.auroc``.
        one, other: confidence (NaN where invalid) and correctness, ``(n,)`` each, of the same items. Only
            those count that are valid for both.

    Returns:
        How many items count, and the difference.
    """
    (c, y), (d, z) = ((np.asarray(a, np.float64), np.asarray(b, np.bool_)) for a, b in (one, other))
    of = np.asarray(questions)
    if not c.shape == y.shape == d.shape == z.shape == of.shape:
        raise SharpenError(f"calibration: {len(c)} and {len(d)} are not the same items")
    both = ~(np.isnan(c) | np.isnan(d))
    c, y, d, z = c[both], y[both], d[both], z[both]

    def gap(i: NDArray[np.int64]) -> float | None:
        left, right = measure(c[i], y[i]), measure(d[i], z[i])
        return None if left is None or right is None else left - right

    return len(c), question_bootstrap(gap, of[both], stream=stream)


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Items whose length is in ``[low, high)``; measures are None where there are none."""

    low: float
    high: float
    n: int
    accuracy: float | None
    confidence: float | None
    ece: float | None


def by_length(
    lengths: ArrayLike, confidence: ArrayLike, correct: ArrayLike, edges: Sequence[float]
) -> list[LengthBin]:
    """Accuracy, mean confidence and ECE by length of the chain (tokens), one row between two edges."""
    c, y = _pairs(confidence, correct)
    n = np.asarray(lengths, dtype=np.float64)
    if n.shape != c.shape:
        raise SharpenError(f"calibration: {len(n)} lengths for {len(c)} items")
    rows = []
    for low, high in pairwise(edges):
        chosen = (n >= low) & (n < high)
        some = bool(chosen.any())
        accuracy = float(y[chosen].mean()) if some else None
        mean = float(c[chosen].mean()) if some else None
        rows.append(LengthBin(low, high, int(chosen.sum()), accuracy, mean, ece(c[chosen], y[chosen] > 0)))
    return rows


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[Array, Array]:
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if c.shape != y.shape or c.ndim != 1:
        raise SharpenError(f"calibration: shapes {c.shape} and {y.shape} are not the same items")
    if not ((c >= 0) & (c <= 1)).all():
        raise SharpenError("calibration: a confidence is not in [0, 1]")
    return c, y.astype(np.float64)
