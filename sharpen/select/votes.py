"""One sample out of many: the first, the best by a number, the most frequent answer, votes weighted by rank.

Pure functions of answers and scores, in sample order. ``None`` (or an empty string) is no answer. All of them
settle ties by sample order: the lowest index, and of two answers the one that appeared first. They return
index 0 where no sample has an answer. Gold is never seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError, unknown

Array = NDArray[np.float64]
Answers = Sequence[Hashable | None]
Same = Callable[[Any, Any], bool]
"""Whether two answers are the same one. None of these: equality after ``normal``."""


@dataclass(frozen=True, slots=True)
class Vote:
    """How a vote went.

    Attributes:
        index: the first sample that gives the winning answer.
        members: the first sample of each class of equal answers, in order of appearance.
        totals: what each class was given, in the same order; larger wins.
    """

    index: int
    members: tuple[int, ...]
    totals: tuple[float, ...]


def normal(answer: Hashable | None) -> Hashable | None:
    """An answer as it is compared: strings with every run of white space as one space, None where empty."""
    if isinstance(answer, str):
        return " ".join(answer.split()) or None
    return answer


def classes(answers: Answers, same: Same | None = None) -> list[int | None]:
    """The class of each sample's answer, numbered in order of appearance; None without an answer.

    With ``same``, an answer joins the first class to whose first member it is the same, so the result is
    defined also where the relation is not transitive. Equal answers are never asked about.
    """
    found: dict[Hashable, int] = {}
    heads: list[Hashable] = []
    result: list[int | None] = []
    for answer in map(normal, answers):
        if answer is None:
            result.append(None)
            continue
        if answer not in found:
            alike = (i for i, head in enumerate(heads) if same is not None and same(head, answer))
            found[answer] = next(alike, len(heads))
            if found[answer] == len(heads):
                heads.append(answer)
        result.append(found[answer])
    return result


def first(answers: Answers) -> int:
    """Index of the first sample that has an answer."""
    _some(len(answers))
    return next((i for i, a in enumerate(answers) if normal(a) is not None), 0)


def best(scores: ArrayLike, answers: Answers | None = None) -> int:
    """Index of the largest score; NaN counts as ``-inf``.

    With ``answers``, for tasks that have a final answer, a sample without one is chosen only where none has.
    """
    values = ranked(scores)
    _some(len(values))
    if answers is None or all(normal(a) is None for a in answers):
        return int(values.argmax())
    _same_length(values, answers)
    held = [i for i, a in enumerate(answers) if normal(a) is not None]
    return held[int(values[held].argmax())]


def majority(answers: Answers, *, same: Same | None = None) -> Vote:
    """The most frequent answer (self-consistency, arXiv 2203.11171)."""
    return tally(answers, np.ones(len(answers)), same=same)


def weighted(
    answers: Answers, scores: ArrayLike, *, by: Literal["sum", "mean"] = "sum", same: Same | None = None
) -> Vote:
    """The answer whose samples' scores have the largest sum, or the largest mean.

    A sample whose score is NaN or ``-inf`` has no vote. A sum of negative scores falls with every vote:
    shift such scores first, or use ``borda``.
    """
    if by not in ("sum", "mean"):
        raise unknown("weighting", by, ("sum", "mean"))
    return tally(answers, ranked(scores), mean=by == "mean", same=same)


def borda(answers: Answers, scores: ArrayLike, p: float, *, same: Same | None = None) -> Vote:
    """Votes ``(N - rank + 1)^p`` by each sample's rank among all N (arXiv 2502.18581).

    Samples without an answer keep their rank and have no vote, as in the released code; equal scores rank
    in sample order. ``p = 0`` is the majority, ``p = inf`` the best-ranked sample that has an answer, and
    from p = 50 on it cannot be outvoted while N <= 64. Published: p = 0.3 for N <= 16, 1.2 for N >= 32.

    Raises:
        SharpenError: p is negative or NaN.
    """
    if not p >= 0:
        raise SharpenError(f"Borda vote: p={p} must be at least 0")
    values = ranked(scores)
    _same_length(values, answers)
    n = len(values)
    points = np.empty(n)
    points[np.argsort(-values, kind="stable")] = np.arange(n, 0, -1)
    return tally(answers, _power(points, p, [normal(a) is not None for a in answers]), same=same)


def _power(points: Array, p: float, answered: Sequence[bool]) -> Array:
    """``points ** p``; where that would overflow, divided by the largest that has a vote."""
    if p * math.log(max(len(points), 1)) < 700:
        return points**p
    top = max((x for x, a in zip(points, answered, strict=True) if a), default=1.0)
    below = np.minimum(np.log(points / top), 0.0)
    return np.exp(np.multiply(below, p, where=below < 0, out=np.zeros(len(points))))


def tally(answers: Answers, weights: ArrayLike, *, mean: bool = False, same: Same | None = None) -> Vote:
    """The vote in which sample k gives ``weights[k]`` to its answer; a weight of ``-inf`` is no vote."""
    given = np.asarray(weights, dtype=np.float64)
    _some(len(given))
    _same_length(given, answers)
    of = classes(answers, same)
    members: list[int] = []
    votes: list[list[float]] = []
    for k, c in enumerate(of):
        if c is None:
            continue
        if c == len(members):
            members.append(k)
            votes.append([])
        if given[k] != -math.inf:
            votes[c].append(float(given[k]))
    # fsum: a total must not depend on the order of its samples, or a tie would hang on rounding
    totals = [-math.inf if not v else math.fsum(v) / (len(v) if mean else 1) for v in votes]
    winner = members[totals.index(max(totals))] if members else 0
    return Vote(winner, tuple(members), tuple(totals))


def ranked(scores: ArrayLike) -> Array:
    """Scores as float64 ``(n,)`` in which NaN has become ``-inf``."""
    values = np.array(scores, dtype=np.float64).reshape(-1)
    values[np.isnan(values)] = -math.inf
    return values


def _some(n: int) -> None:
    if not n:
        raise SharpenError("selection: there is no sample to choose from")


def _same_length(values: Array, answers: Answers) -> None:
    if len(values) != len(answers):
        raise SharpenError(f"selection: {len(values)} scores for {len(answers)} answers")
