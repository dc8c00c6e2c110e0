"""Keep what scores above a threshold, with a cap a query (B-STaR, arXiv 2412.17256)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sharpen.errors import SharpenError
from sharpen.score.group import Groups
from sharpen.select.selection import Selected, Selection, Unique, label, name_of, same_text
from sharpen.tasks.task import Task

LARGEST_CAP = 64
"""The released code tries caps up to this one and takes the next if the total is still not reached."""


def above(
    groups: Groups,
    threshold: float,
    *,
    per_query: int | None = None,
    total: int | None = None,
    gold: float | None = None,
    has_answer: Callable[[str], bool] | None = None,
    unique: Unique = same_text,
) -> Selection:
    """The responses whose score is strictly above ``threshold``.

    For each query (task id): its samples, best score first, equal scores in the order of groups and
    samples; those above the threshold; the first m of them; of equal ones the first. Unknown verdicts
    never enter. Duplicates count towards m, as in the released code.

    Args:
        groups: scored groups; several groups of one task are one query. Tokens are not loaded.
        threshold: any real number; a score equal to it is left out.
        per_query: the cap m.
        total: instead, take the smallest m in 1..64 at which at least this many are kept (65 if none).
        gold: adds each task's worked solution to its query at this fixed score, after the samples
            (released code: 1.0); tasks without one get none.
        has_answer: tells of a text whether it carries an answer; samples without are dropped first.
        unique: identity for the removal of duplicates inside a query.

    Returns:
        The selection, queries in order of first appearance, best first; ledger entries ``sampled``,
        ``gold``, ``no_answer``, ``unknown``, ``not_above``, ``over_cap``, ``duplicate``, ``kept``.

    Raises:
        SharpenError: both caps given, a cap below 1, a threshold or gold score that is no number.
    """
    _check(threshold, per_query, total, gold)
    ledger: Counter[str] = Counter()
    queries = [_ranked(pool, threshold, unique) for pool in _pools(groups, gold, has_answer, ledger).values()]
    m = per_query
    if total is not None:
        m = _smallest_cap(queries, total)
    items: list[Selected] = []
    for query in queries:
        within = query.above if m is None else query.above[:m]
        kept = [item for item, fresh in zip(within, query.fresh, strict=False) if fresh]
        items.extend(kept)
        ledger["not_above"] += query.below
        ledger["over_cap"] += len(query.above) - len(within)
        ledger["duplicate"] += len(within) - len(kept)
    ledger["kept"] = len(items)
    spec: dict[str, Any] = {
        "rule": "above",
        "threshold": threshold,
        "per_query": per_query,
        "total": total,
        "gold": gold,
        "has_answer": label(has_answer),
        "unique": label(unique),
    }
    return Selection(tuple(items), spec, m, {name: ledger[name] for name in _LEDGER})


_LEDGER = ("sampled", "gold", "no_answer", "unknown", "not_above", "over_cap", "duplicate", "kept")


@dataclass(frozen=True, slots=True)
class _Query:
    """Items above the threshold, best first; whether each is the first of its equals; the count of others."""

    above: list[Selected]
    fresh: list[bool]
    below: int


def _check(threshold: float, per_query: int | None, total: int | None, gold: float | None) -> None:
    if per_query is not None and total is not None:
        raise SharpenError("selection: give per_query or total, not both")
    for name, cap in (("per_query", per_query), ("total", total)):
        if cap is not None and cap < 1:
            raise SharpenError(f"selection: {name}={cap} must be at least 1")
    for name, number in (("threshold", threshold), ("gold", gold)):
        if number is not None and math.isnan(number):
            raise SharpenError(f"selection: {name} is not a number")


def _pools(
    groups: Groups, gold: float | None, has_answer: Callable[[str], bool] | None, ledger: Counter[str]
) -> dict[str, list[Selected]]:
    """What may be chosen for each task id; what may not is booked in the ledger."""
    pools: dict[str, list[Selected]] = {}
    tasks: dict[str, Task] = {}
    for g, row in enumerate(groups.columns):
        tasks.setdefault(row.task.id, row.task)
        pool = pools.setdefault(row.task.id, [])
        for k, (text, verdict) in enumerate(zip(row.texts, row.judged, strict=True)):
            ledger["sampled"] += 1
            if has_answer is not None and not has_answer(text):
                ledger["no_answer"] += 1
            elif verdict.status.unknown:
                ledger["unknown"] += 1
            else:
                pool.append(Selected(row.task, text, verdict.score, verdict.correct, g, k, groups))
    if gold is not None:
        for task_id, task in tasks.items():
            if task.solution is not None:
                ledger["gold"] += 1
                pools[task_id].append(Selected(task, task.solution, gold, True))
    return pools


def _ranked(pool: list[Selected], threshold: float, unique: Unique) -> _Query:
    kept = sorted((i for i in pool if i.score > threshold), key=lambda i: -i.score)  # stable
    seen: set[str] = set()
    fresh = []
    for item in kept:
        name = name_of(unique, item.task, item.text)
        fresh.append(name not in seen)
        seen.add(name)
    return _Query(kept, fresh, len(pool) - len(kept))


def _smallest_cap(queries: list[_Query], total: int) -> int:
    for m in range(1, LARGEST_CAP + 1):
        if sum(sum(q.fresh[:m]) for q in queries) >= total:
            return m
    return LARGEST_CAP + 1
