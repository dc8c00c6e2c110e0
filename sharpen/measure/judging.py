"""How good a judge of steps is, and whether judging hangs on solving (arXiv 2505.11227, 2412.06559).

A label or prediction is the index of the first wrong step, -1 for none; a prediction may be None (unread).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError


@dataclass(frozen=True, slots=True)
class FirstError:
    """ProcessBench's measures, shares in [0, 1].

    Attributes:
        wrong: share of solutions with an error whose first error was named. right: share of solutions
            without one that were accepted. f1: their harmonic mean (not the binary F1). why: where ``f1`` is
            None, the reason.
    """

    wrong: float | None
    right: float | None
    f1: float | None
    why: str = ""


def first_error_f1(labels: Sequence[int], predictions: Sequence[int | None]) -> FirstError:
    """Measures of one part of the benchmark; a part without both kinds of items has no F1."""
    if len(labels) != len(predictions):
        raise SharpenError(f"first errors: {len(labels)} labels, {len(predictions)} predictions")
    hits = {True: [0, 0], False: [0, 0]}  # whether there is an error: [named, all]
    for label, prediction in zip(labels, predictions, strict=True):
        hits[label != -1][0] += prediction == label
        hits[label != -1][1] += 1
    wrong, right = (n[0] / n[1] if n[1] else None for n in (hits[True], hits[False]))
    if wrong is None or right is None:
        kind = "with" if wrong is None else "without"
        return FirstError(wrong, right, None, f"no solution {kind} an error")
    return FirstError(wrong, right, 2 * wrong * right / (wrong + right) if wrong + right else 0.0)


def mean_f1(parts: Sequence[FirstError]) -> float | None:
    """The plain mean over the parts; None where one of them has no F1."""
    found = [p.f1 for p in parts if p.f1 is not None]
    return sum(found) / len(found) if found and len(found) == len(parts) else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How far "this solution is right" can be believed.

    Attributes:
        n, accepted, correct, both: counts of solutions.
    """

    n: int
    accepted: int
    correct: int
    both: int

    @property
    def precision(self) -> float | None:
        """Correct ones among the accepted; None where none is."""
        return self.both / self.accepted if self.accepted else None

    @property
    def recall(self) -> float | None:
        """Accepted ones among the correct; None where none is."""
        return self.both / self.correct if self.correct else None


def acceptance(accepted: ArrayLike, correct: ArrayLike) -> Acceptance:
    """Counts over solutions; both are bool ``(n,)``."""
    a, c = np.asarray(accepted, dtype=np.bool_), np.asarray(correct, dtype=np.bool_)
    if a.shape != c.shape:
        raise SharpenError(f"acceptance: {len(a)} judgments of {len(c)} solutions")
    return Acceptance(len(a), int(a.sum()), int(c.sum()), int((a & c).sum()))


BANDS = (0.1, 0.5)
"""Upper ends of the hard and the middle band: share of right samples."""


def acceptance_by_difficulty(
    accepted: Sequence[ArrayLike], correct: Sequence[ArrayLike]
) -> dict[str, Acceptance]:
    """Acceptance in the bands ``hard`` (up to 10 % of samples right), ``middle`` (up to 50 %) and ``easy``,
    and ``none_right``: all solutions of questions that no sample solves, which no selection can win.

    The band of a solution comes from the other samples of its question, so that its own outcome does not
    choose it. One sample has no others and is in no band.

    Args:
        accepted, correct: one bool array a question, one entry a sample.
    """
    held: dict[str, list[tuple[bool, bool]]] = {"hard": [], "middle": [], "easy": [], "none_right": []}
    for judged, outcome in zip(accepted, correct, strict=True):
        a, c = np.asarray(judged, dtype=np.bool_), np.asarray(outcome, dtype=np.bool_)
        if a.shape != c.shape:
            raise SharpenError(f"acceptance: {len(a)} judgments of {len(c)} solutions")
        pairs = list(zip(a.tolist(), c.tolist(), strict=True))
        if not c.any():
            held["none_right"] += pairs
        for pair in pairs if len(pairs) > 1 else ():
            others = (int(c.sum()) - pair[1]) / (len(pairs) - 1)
            held["hard" if others <= BANDS[0] else "middle" if others <= BANDS[1] else "easy"].append(pair)
    return {band: acceptance([a for a, _ in rows], [c for _, c in rows]) for band, rows in held.items()}


@dataclass(frozen=True, slots=True)
class Dependence:
    """Whether two yes/no outcomes hang together, over the 2x2 table of their counts.

    Attributes:
        chi2: one degree of freedom, no continuity correction. p: two-sided; by Fisher's exact test where an
            expected count is below 5 (``exact``), else by chi2. phi: ``sqrt(chi2 / n)``.
        given_yes, given_no: share of "yes" in the second outcome where the first is yes, and no.
    """

    chi2: float
    p: float
    phi: float
    exact: bool
    given_yes: float
    given_no: float


def dependence(table: Sequence[Sequence[int]]) -> Dependence | None:
    """The test of independence of ``[[yes & yes, yes & no], [no & yes, no & no]]``, the first outcome (solves
    the problem) by row, the second (judges its solution rightly) by column. None where a row or column is
    empty."""
    counts = np.asarray(table, dtype=np.int64)
    if counts.shape != (2, 2) or (counts < 0).any():
        raise SharpenError(f"dependence: {table!r} is no table of 2 x 2 counts")
    rows, columns, n = counts.sum(1), counts.sum(0), int(counts.sum())
    if not rows.all() or not columns.all():
        return None
    expected = np.outer(rows, columns) / n
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    exact = bool((expected < 5).any())
    # with one degree of freedom chi2 is the square of a standard normal variable
    p = _fisher(counts) if exact else math.erfc(math.sqrt(chi2 / 2))
    given = counts[:, 0] / rows
    return Dependence(chi2, p, math.sqrt(chi2 / n), exact, float(given[0]), float(given[1]))


def _fisher(counts: NDArray[np.int64]) -> float:
    """Two-sided: all tables with these margins that are no more probable than the one seen, in whole
    numbers."""
    (a, b), (c, d) = counts.tolist()
    ways = [math.comb(a + b, k) * math.comb(c + d, a + c - k) for k in range(min(a + b, a + c) + 1)]
    return sum(w for w in ways if w <= ways[a]) / math.comb(a + b + c + d, a + c)
