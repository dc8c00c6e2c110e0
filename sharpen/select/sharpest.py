"""The best of many answers by a number, and when to stop drawing them (arXiv 2412.01951)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError
from sharpen.score.group import Columns, Groups
from sharpen.score.verdict import Status
from sharpen.select.selection import Selected, Selection


def usable(columns: Columns, n: int) -> list[int]:
    """Which of the first ``n`` samples may be picked: those with status ``ok``; where there is none, the
    truncated ones."""
    for wanted in (Status.OK, Status.TRUNCATED):
        found = [k for k, status in enumerate(columns.status[:n]) if status is wanted]
        if found:
            return found
    return []


def best_of(groups: Groups, *, first: Sequence[int] | int | None = None) -> Selection:
    """Of each question the sample with the highest score, of equals the first.

    A question none of whose samples may be picked (``usable``) gives nothing.

    Args:
        first: only so many samples of each question are looked at, or so many of each (``adaptive``); the
            others are ``not_drawn``. None: all.
    """
    items: list[Selected] = []
    ledger: Counter[str] = Counter(dict.fromkeys(("sampled", "not_drawn", "not_best", "kept"), 0))
    for g, row in enumerate(groups.columns):
        n = len(row) if first is None else first if isinstance(first, int) else first[g]
        if not 1 <= n <= len(row):
            raise SharpenError(f"best of {n}: task {row.task.id!r} has {len(row)} samples")
        within = usable(row, n)
        ledger.update(sampled=len(row), not_drawn=len(row) - n, not_best=n - bool(within), kept=bool(within))
        if within:
            k = max(within, key=lambda k: row.judged[k].score)  # max keeps the first of equals
            verdict = row.judged[k]
            items.append(Selected(row.task, row.texts[k], verdict.score, verdict.correct, g, k, groups))
    drawn = first if first is None or isinstance(first, int) else [int(n) for n in first]
    return Selection(tuple(items), {"rule": "best_of", "first": drawn}, None, dict(ledger))


def stops_at(logliks: ArrayLike, mu: float) -> int | None:
    """After how many samples the adaptive rule stops: the first k with
    ``1 / max_{j <= k} pi(y_j | x) <= k / mu`` (arXiv 2412.01951, adaptive sampling).

    Args:
        logliks: ``(n,)``, of the samples in the order they were drawn, nats; ``-inf`` for what may not be
            picked.
        mu: ``log(2 / delta)``, > 0.

    Returns:
        k from 1, None where the samples do not suffice.
    """
    if not mu > 0:
        raise SharpenError(f"adaptive sampling: mu={mu} must be above 0")
    told = np.asarray(logliks, dtype=np.float64)
    if not len(told):
        return None
    best = np.maximum.accumulate(told)
    # in logarithms: a whole answer's probability may be too small for a float
    enough = np.log(np.arange(1, len(told) + 1)) + best >= math.log(mu) - 1e-12
    return int(enough.argmax()) + 1 if enough.any() else None
