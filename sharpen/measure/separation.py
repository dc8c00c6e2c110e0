"""How well a score tells right from wrong, whatever its scale: AUROC, average precision, risk and coverage.

Scores are any numbers, larger is surer, ``-inf`` allowed; equal scores are ties and never settled by the
order of items. What is undefined (all right, all wrong, no item) is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import NotFinite, SharpenError
from sharpen.measure.intervals import Estimate, hierarchical_bootstrap, question_bootstrap
from sharpen.runs.streams import Stream

Array = NDArray[np.float64]
Questions = Sequence[str] | Sequence[int] | NDArray
_SLACK = 1e-12  # 0.1 is not exactly one in ten
_Measure = Callable[[Array, NDArray[np.bool_]], float | None]


def auroc(scores: ArrayLike, correct: ArrayLike) -> float | None:
    """Probability that a right item scores above a wrong one, ties counted half."""
    values, right = _pairs(scores, correct)
    ends, reached = _thresholds(values, right)
    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    if not n_right or not n_wrong:
        return None
    # of each distinct score: its right items, its wrong ones, and the wrong ones below it
    hits = np.diff(reached, prepend=0)
    misses = np.diff(ends - reached, prepend=0)
    below = n_wrong - (ends - reached)
    return float((hits * (below + misses / 2)).sum() / (n_right * n_wrong))


def question_aurocs(scores: ArrayLike, correct: ArrayLike, questions: Questions) -> Array:
    """The AUROC inside each question that has right and wrong items, by sorted question; float64 ``(q,)``."""
    values, right = _pairs(scores, correct)
    names, of = np.unique(np.asarray(questions), return_inverse=True)
    if len(of) != len(values):
        raise SharpenError(f"separation: {len(values)} scores for {len(of)} questions")
    order = np.argsort(of, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(of, minlength=len(names)))[:-1])
    found = [auroc(values[p], right[p]) for p in parts]
    return np.array([a for a in found if a is not None], dtype=np.float64)


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Area under the precision-recall curve, in steps over the distinct scores (no interpolation).

    For AUPRC-P pass which items are right; for AUPRC-N which are wrong, with the scores negated.
    """
    values, right = _pairs(scores, positive)
    if not right.any():
        return None
    ends, hits = _thresholds(values, right)
    recall = hits / hits[-1]
    return float((np.diff(recall, prepend=0.0) * hits / ends).sum())


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """The share of errors among the k surest items, for k = 1..n.

    Attributes:
        coverage: k / n, float64 ``(n,)``. risk: share of errors, float64 ``(n,)``; inside a tie, what is
            expected of items taken from it at random.
        thresholds: k where a tie ends, ascending: only these can be had by "answer from this score on".
    """

    coverage: Array
    risk: Array
    thresholds: NDArray[np.int64]

    @property
    def area(self) -> float | None:
        """The mean risk over all coverages (AURC), smaller is better; None without items."""
        return float(self.risk.mean()) if len(self.risk) else None

    def coverage_at(self, risk: float) -> float | None:
        """The largest share of items that a threshold on the score answers with at most this share of errors;
        0 where no threshold does, None without items."""
        if not len(self.risk):
            return None
        fine = self.thresholds[self.risk[self.thresholds - 1] <= risk + _SLACK]
        return float(self.coverage[fine[-1] - 1]) if len(fine) else 0.0


def risk_coverage(scores: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """What answering only where the score is high would cost in errors."""
    values, right = _pairs(scores, correct)
    k = np.arange(1, len(values) + 1)
    ends, errors = _thresholds(values, ~right)
    if len(ends) < len(k):  # within a tie errors are spread evenly
        errors = np.interp(k, np.append(0, ends), np.append(0, errors))
    return RiskCoverage(k / max(len(k), 1), errors / k, ends)


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Rank correlation with mid-ranks for ties, for length bias and agreement of judges; None for fewer than
    two items or a constant."""
    x, y = _midranks(a), _midranks(b)
    if len(x) != len(y):
        raise SharpenError(f"rank correlation: {len(x)} and {len(y)} items")
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / scale) if scale else None


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a score separates, with bootstrap intervals over questions.

    Attributes:
        n: items. auroc: pooled. within: mean AUROC over the questions that have right and wrong items;
        mixed: how many those are. auprc_right, auprc_wrong: average precision of finding right and wrong
        items. aurc: area under the risk-coverage curve.
    """

    n: int
    auroc: Estimate
    within: Estimate
    mixed: int
    auprc_right: Estimate
    auprc_wrong: Estimate
    aurc: Estimate


def separation(scores: ArrayLike, correct: ArrayLike, questions: Questions, *, stream: Stream) -> Separation:
    """All measures of this file for one score.

    Args:
        scores, correct, questions: one entry an item, ``(n,)``.
        stream: names the bootstrap's draws.
    """
    values, right = _pairs(scores, correct)
    inside = question_aurocs(values, right, questions)
    within = Estimate(None, None, None)
    if len(inside):
        within = Estimate(*hierarchical_bootstrap(inside[None], stream=stream.child("within")))
    order = np.argsort(values, kind="stable")  # each replicate then sorts what is sorted
    values, right, of = values[order], right[order], np.asarray(questions)[order]

    def over(name: str, statistic: _Measure) -> Estimate:
        return question_bootstrap(lambda i: statistic(values[i], right[i]), of, stream=stream.child(name))

    return Separation(
        n=len(values),
        auroc=over("auroc", auroc),
        within=within,
        mixed=len(inside),
        auprc_right=over("auprc_right", average_precision),
        auprc_wrong=over("auprc_wrong", lambda v, r: average_precision(-v, ~r)),
        aurc=over("aurc", lambda v, r: risk_coverage(v, r).area),
    )


def _pairs(scores: ArrayLike, marks: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(marks, dtype=np.bool_)
    if values.shape != right.shape or values.ndim != 1:
        raise SharpenError(f"separation: shapes {values.shape} and {right.shape} are not the same items")
    if np.isnan(values).any():
        raise NotFinite("separation: a score is NaN; leave the item out, or give it -inf")
    return values, right


def _thresholds(values: Array, marks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each distinct score, from the largest: how many items reach it, and how many marked ones."""
    order = np.argsort(values, kind="stable")[::-1]  # linear where the values come sorted
    ordered = values[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = ordered[1:] != ordered[:-1]
    ends = np.flatnonzero(last)
    return ends.astype(np.int64) + 1, np.cumsum(marks[order], dtype=np.int64)[ends]


def _midranks(values: ArrayLike) -> Array:
    _, of, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[of]
