"""B-STaR's balance score and the search that maximises it (arXiv 2412.17256, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.score.group import Groups
from sharpen.select.above import above
from sharpen.select.selection import Selection, Unique, name_of, stripped


def n_star(selected: int, queries: int) -> int:
    """How many responses a query should give: ``ceil(N / M)`` for N selected of M queries an iteration."""
    if selected < 1 or queries < 1:
        raise SharpenError(f"balance: N={selected} and M={queries} must be at least 1")
    return -(-selected // queries)


def query_scores(n: ArrayLike, n_correct: ArrayLike, target: int) -> NDArray[np.float64]:
    """The balance score of each query, float64: ``min(n' / n*, 1) * n' / n``, and 0 where n is 0.

    Args:
        n: responses selected, ``(queries,)``.
        n_correct: unique correct ones among them, n'.
        target: n*.
    """
    chosen = np.asarray(n, dtype=np.float64)
    right = np.asarray(n_correct, dtype=np.float64)
    share = np.divide(right, chosen, out=np.zeros_like(chosen), where=chosen > 0)
    return np.minimum(right / target, 1.0) * share


def balance_score(n: ArrayLike, n_correct: ArrayLike, target: int) -> float:
    """Mean of ``query_scores`` over all monitored queries, those without a selected response included."""
    scores = query_scores(n, n_correct, target)
    return float(scores.mean()) if scores.size else 0.0


def selection_balance(
    selection: Selection, queries: Sequence[str], target: int, *, unique: Unique = stripped
) -> float:
    """The balance score of a selection over the task ids ``queries``, other tasks aside; gold items count
    where selected."""
    n = dict.fromkeys(queries, 0)
    right: dict[str, set[str]] = {q: set() for q in queries}
    for item in selection.items:
        if item.task.id not in n:
            continue
        n[item.task.id] += 1
        if item.correct:
            right[item.task.id].add(name_of(unique, item.task, item.text))
    return balance_score([n[q] for q in n], [len(right[q]) for q in n], target)


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One cell of the search: its settings, balance score, and what it would select."""

    temperature: float
    threshold: float
    score: float
    selected: int
    correct: int


@dataclass(frozen=True, slots=True)
class BalanceResult:
    """The best cell, and the whole grid in the order searched."""

    temperature: float
    threshold: float
    score: float
    table: tuple[GridPoint, ...]


def search(
    by_temperature: Mapping[float, Groups],
    thresholds: Sequence[float],
    target: int,
    *,
    select: Callable[[Groups, float], Selection] = above,
    unique: Unique = stripped,
) -> BalanceResult:
    """The (temperature, threshold) with the highest balance score; of equal ones the first in grid order.

    Samples are drawn by the caller once a temperature and shared by all thresholds. A pure function: no
    weights, no draws. With one temperature it re-optimises the threshold on a full generated set.

    Args:
        by_temperature: scored samples of the monitored queries, in grid order.
        thresholds: in grid order.
        target: n*, see ``n_star``.
        select: the selection rule that training will use.
        unique: identity by which correct responses are counted once.

    Raises:
        SharpenError: an empty grid.
    """
    table = []
    for temperature, groups in by_temperature.items():
        queries = [c.task.id for c in groups.columns]
        for threshold in thresholds:
            chosen = select(groups, threshold)
            score = selection_balance(chosen, queries, target, unique=unique)
            right = sum(item.correct for item in chosen.items)
            table.append(GridPoint(temperature, threshold, score, len(chosen), right))
    if not table:
        raise SharpenError("balance: the grid of temperatures and thresholds is empty")
    best = max(table, key=lambda cell: cell.score)  # max keeps the first of equals
    return BalanceResult(best.temperature, best.threshold, best.score, tuple(table))
