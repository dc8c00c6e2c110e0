"""How good a model's verdicts on its own answers are, what refining does, and what follows from both.

The formulas are those of a filter and of one refinement (SELF, arXiv 2310.00533): with accuracy ``a`` of
first answers, ``tpr`` the share of right ones found qualified, ``fpr`` that of wrong ones, ``fix`` the share
of refined wrong ones that come out right, ``spoil`` the share of refined right ones that come out wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError
from sharpen.score.feedback import Judgment


def filter_yield(a: float, tpr: float, fpr: float) -> float:
    """Share of answers that a filter keeps."""
    return a * tpr + (1 - a) * fpr


def filter_purity(a: float, tpr: float, fpr: float) -> float | None:
    """Share of right ones among the kept; None where nothing is kept."""
    kept = filter_yield(a, tpr, fpr)
    return a * tpr / kept if kept else None


def refined_accuracy(a: float, tpr: float, fpr: float, fix: float, spoil: float) -> float:
    """Accuracy where each answer that is not found qualified is refined once."""
    return a * tpr + a * (1 - tpr) * (1 - spoil) + (1 - a) * (1 - fpr) * fix


def implied_rates(a: float, kept: float, purity: float) -> tuple[float, float]:
    """The rates ``(tpr, fpr)`` of a filter that keeps the share ``kept``, ``purity`` of it right."""
    if not 0 < a < 1:
        raise SharpenError(f"rates of a filter need right and wrong answers, accuracy is {a}")
    return kept * purity / a, kept * (1 - purity) / (1 - a)


def verdict_quality(judgments: Sequence[Judgment], right: ArrayLike) -> dict[str, float | None]:
    """``accuracy``, ``tpr`` and ``fpr`` of verdicts, ``unparsable`` among them counted as not qualified and
    told as a share; None for a rate of nothing.

    Args:
        right: whether each judged answer is right, bool ``(n,)``.
    """
    truth = np.asarray(right, dtype=np.bool_)
    if len(judgments) != len(truth):
        raise SharpenError(f"verdicts: {len(judgments)} judgments of {len(truth)} answers")
    said = np.array([j is Judgment.QUALIFIED for j in judgments], dtype=np.bool_)
    unread = np.array([j is Judgment.UNPARSABLE for j in judgments], dtype=np.bool_)
    return {
        "accuracy": _mean(said == truth),
        "tpr": _mean(said[truth]),
        "fpr": _mean(said[~truth]),
        "unparsable": _mean(unread),
    }


def refinement_rates(before: ArrayLike, after: ArrayLike) -> dict[str, float | None]:
    """``fix`` and ``spoil`` over answers that were refined; None where none was wrong, or right, before.

    Args:
        before, after: whether each was right before and after, bool ``(n,)``.
    """
    first, last = np.asarray(before, dtype=np.bool_), np.asarray(after, dtype=np.bool_)
    if first.shape != last.shape:
        raise SharpenError(f"refinement: {len(first)} answers before, {len(last)} after")
    return {"fix": _mean(last[~first]), "spoil": _mean(~last[first])}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
