"""One answer out of many: the first, the best by a number, the most frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def first(n: int) -> int | None:
    """Index of the first of ``n`` samples; None without one."""
    return 0 if n else None


def best(values: ArrayLike) -> int | None:
    """Index of the largest number, of equal ones the first; NaN never wins; None where all are NaN."""
    array = np.asarray(values, dtype=np.float64)
    if not array.size or np.isnan(array).all():
        return None
    return int(np.nanargmax(array))


def majority(answers: Sequence[Hashable | None]) -> int | None:
    """Index of the first sample that gives the most frequent answer.

    None is no answer and has no vote. Of equally frequent answers, the one that reached its count first.
    Returns None where no sample has an answer.
    """
    counts: Counter[Hashable] = Counter()
    winner: Hashable | None = None
    for answer in answers:
        if answer is None:
            continue
        counts[answer] += 1
        if winner is None or counts[answer] > counts[winner]:
            winner = answer
    return None if winner is None else answers.index(winner)
