"""How sure a number is: intervals for shares, differences, and means over seeds and items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import Stream

# replicates are drawn in blocks of about this many weights, which bounds memory and changes no number
_BLOCK = 4_000_000


class Estimate(NamedTuple):
    """A number with its interval; all None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def wilson(right: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share of ``right`` out of ``n``; (0, 1) where n is 0."""
    if not 0 <= right <= n:
        raise SharpenError(f"interval: {right} of {n} is no share")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = right / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    # at the ends the bound is exact; rounding must not push it past them
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)


def paired_bootstrap(
    before: ArrayLike, after: ArrayLike, *, n: int = 10_000, level: float = 0.95, stream: Stream
) -> tuple[float, float, float]:
    """Mean of ``after - before`` over the same items, with a percentile interval: (mean, low, high).

    Items are resampled as pairs. Both are ``(items,)``; SharpenError where their lengths differ.
    """
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise SharpenError(f"paired bootstrap: shapes {a.shape} and {b.shape} are not the same items")
    return hierarchical_bootstrap((b - a)[None, :], n=n, level=level, stream=stream)


def hierarchical_bootstrap(
    values: ArrayLike, *, n: int = 10_000, level: float = 0.95, stream: Stream
) -> tuple[float, float, float]:
    """Mean over seeds and items with a percentile bootstrap interval: (mean, low, high).

    A replicate draws seeds with replacement, and items with replacement. The items are the same
    questions in every seed, so they are drawn once a replicate and shared by its seeds (crossed, not
    nested): a hard set of questions is hard for all seeds at once, and drawing items anew for each seed
    would average that away and give too narrow an interval.

    Args:
        values: float64 ``(seeds, items)``; for a gain, pass differences.
        n: replicates.
        stream: names the draws.

    Raises:
        NotFinite: a value is NaN or infinite. SharpenError: no seed or no item.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise SharpenError(f"bootstrap: values of shape {table.shape} are not (seeds, items)")
    if not np.isfinite(table).all():
        raise NotFinite("bootstrap: a value is NaN or infinite")
    # two streams, so that cutting the replicates into blocks changes no draw
    rngs = stream.child("seeds").generator(), stream.child("items").generator()
    means = np.empty(n)
    block = max(1, _BLOCK // sum(table.shape))
    for start in range(0, n, block):
        size = min(block, n - start)
        means[start : start + size] = _replicates(table, size, *rngs)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(table.mean()), float(low), float(high)


def _replicates(
    table: NDArray[np.float64], size: int, of_seeds: np.random.Generator, of_items: np.random.Generator
) -> NDArray[np.float64]:
    """Means of ``size`` replicates. How often each seed or item is drawn is a multinomial count.

    Items with equal values in every seed are drawn as one bin: the same distribution, and few bins."""
    seeds, items = table.shape
    columns, copies = np.unique(table, axis=1, return_counts=True)
    seed_counts = of_seeds.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)
    item_counts = of_items.multinomial(items, copies / items, size=size).astype(np.float64)
    return np.einsum("rs,rs->r", seed_counts, item_counts @ columns.T) / (seeds * items)


Statistic = Callable[[NDArray[np.int64]], float | None]
"""A number of the items at these indices (ascending; an item may stand in it more than once); None where it
is undefined for them."""


def question_bootstrap(
    statistic: Statistic,
    questions: Sequence[str] | Sequence[int] | NDArray,
    *,
    n: int = 1_000,
    level: float = 0.95,
    stream: Stream,
) -> Estimate:
    """Any statistic of all items, with a percentile bootstrap interval over questions.

    A replicate draws questions with replacement, and every item of a drawn question with it: repeats of one
    question stay together. A difference between two models on the same items is a statistic, too. Replicates
    for which the statistic is undefined (say, none is wrong) are left out.

    Args:
        questions: the question of each item, ``(items,)``.
        n: replicates.
        stream: names the draws; they depend on the set of questions, not on the order of items.
    """
    names, of = np.unique(np.asarray(questions), return_inverse=True)
    items = np.arange(len(of))
    value = statistic(items) if len(items) else None
    if value is None:
        return Estimate(None, None, None)
    rng = stream.generator()
    share = np.full(len(names), 1 / len(names))
    drawn = (statistic(np.repeat(items, rng.multinomial(len(names), share)[of])) for _ in range(n))
    known = [v for v in drawn if v is not None]
    if not known:
        return Estimate(value, None, None)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))
