"""What K samples together reach: pass@k, Pass@K-S, Reward@K-S and best-of-K, all without bias.

Each gives the exact expectation over a random K-subset of the n samples drawn for one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that k of n samples, c of them correct, hold a correct one (arXiv 2107.03374, eq. 1)."""
    return pass_at_k_s(n, c, k, 1)


def pass_at_k_s(n: int, c: int, k: int, s: int) -> float:
    """Pass@K-S (B-STaR, arXiv 2412.17256): probability that k of n samples hold s unique correct ones.

    ``1 - sum_{j<s} C(c, j) C(n - c, k - j) / C(n, k)``, in whole numbers until the last division.

    Args:
        n: samples drawn.
        c: unique correct ones among them; a further copy of a correct text counts as incorrect, so
            with copies this is a lower bound.
        k: samples looked at, at most n.
        s: unique correct ones wanted; more than k is undefined and counts as 0.
    """
    if not (0 <= c <= n and 1 <= k <= n and s >= 1):
        raise SharpenError(f"pass@k: n={n}, c={c}, k={k}, s={s} is out of range")
    if k < s:
        return 0.0
    fewer = sum(comb(c, j) * comb(n - c, k - j) for j in range(s))
    return (comb(n, k) - fewer) / comb(n, k)


def reward_at_k_s(scores: ArrayLike, correct: Sequence[bool] | ArrayLike, k: int, s: int) -> float:
    """Reward@K-S (B-STaR): probability that the s highest-scored of k samples are all correct.

    Equal scores rank in the order of the samples; NaN (unknown) ranks last. More than k wanted is
    undefined and counts as 0.

    Args:
        scores: float ``(n,)``.
        correct: bool ``(n,)``.
        k: samples looked at, at most n.
        s: top samples that must be correct.
    """
    values = np.asarray(scores, dtype=np.float64)
    right = np.asarray(correct, dtype=np.bool_)
    n = len(values)
    if not (len(right) == n and 1 <= k <= n and s >= 1):
        raise SharpenError(f"reward@k: {n} scores, {len(right)} marks, k={k}, s={s} is out of range")
    if k < s:
        return 0.0
    order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
    ways = before = 0
    # rank i is the lowest of the top s: s-1 correct ones come from before it, the k-s others from after
    for rank, index in enumerate(order):
        if right[index]:
            ways += comb(before, s - 1) * comb(n - 1 - rank, k - s)
            before += 1
    return ways / comb(n, k)


def best_of_k(scores: ArrayLike, correct: Sequence[bool] | ArrayLike, k: int) -> float:
    """Probability that the highest-scored of k samples is correct: Reward@K-1."""
    return reward_at_k_s(scores, correct, k, 1)
