"""How far answers can be relied on where a model may decline: precision, refusals, and both by length.

The measures of Auto-CEI (arXiv 2410.07627), on the rates of ``sharpen.measure.abstention``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError
from sharpen.measure.abstention import abstention

Row = dict[str, float | int | None]


def f_score(precision: float | None, idk: float, lam: float = 0.2) -> float:
    """``(1 - lam) precision + lam (1 - idk)``; ``lam (1 - idk)`` where no answer has a precision."""
    if not 0 <= lam <= 1:
        raise SharpenError(f"reliability: lambda={lam} is not in 0..1")
    return (1 - lam) * (precision or 0.0) + lam * (1 - idk)


def reliability(
    correct: ArrayLike,
    refused: ArrayLike,
    steps: ArrayLike,
    *,
    lam: float = 0.2,
    forced: ArrayLike | None = None,
) -> Row:
    """A row over ``n`` responses, one a question.

    Args:
        correct: bool ``(n,)``; unknown is not right, and a refusal never is.
        refused: bool ``(n,)``.
        steps: of reasoning, ``(n,)``.
        lam: the weight of answering in ``f``.
        forced: bool ``(n,)``, whether a refused question is right when it must be answered.

    Returns:
        ``n``, ``accuracy``, ``precision`` (of those answered; None where none is), ``idk`` (share refused),
        ``f``, ``would_be_wrong`` (of those refused, by ``forced``), and mean ``steps``, also of the refusals.

    Raises:
        SharpenError: there is no response, or lengths differ.
    """
    no, s = np.asarray(refused, np.bool_), np.asarray(steps, np.float64)
    rates = abstention(no, correct, forced)
    if rates.rate is None or s.shape != no.shape:
        raise SharpenError(f"reliability: {len(no)} responses, {len(s)} numbers of steps")
    return {
        "n": rates.n,
        "accuracy": rates.accuracy,
        "precision": rates.accuracy_attempted,
        "idk": rates.rate,
        "f": f_score(rates.accuracy_attempted, rates.rate, lam),
        "would_be_wrong": rates.precision,
        "steps": float(s.mean()),
        "steps_refused": float(s[no].mean()) if no.any() else None,
    }


def laziness(refused: ArrayLike, pass_rate: ArrayLike, *, above: float = 0.5) -> float | None:
    """Of the questions that a policy gets right more often than ``above``, the share that it refuses; None
    without such a question.

    Args:
        refused: bool ``(n,)``.
        pass_rate: shares ``(n,)`` of samples that are right, forced where they refuse.
    """
    no, able = np.asarray(refused, np.bool_), np.asarray(pass_rate, np.float64) > above
    if no.shape != able.shape:
        raise SharpenError(f"laziness: {len(no)} and {len(able)} questions")
    return float(no[able].mean()) if able.any() else None


def by_length(length: ArrayLike, correct: ArrayLike, refused: ArrayLike, *, width: int = 2) -> list[Row]:
    """Rows of ``width`` lengths each, 1 to ``width`` the first, empty ones left out: ``low``, ``high``,
    ``n``, ``error`` (share wrong of those answered; None where none is) and ``idk``.

    Args:
        length: of each response ``(n,)``, whole numbers from 1: steps, or how many a question needs.
    """
    at, right, no = np.asarray(length, np.int64), np.asarray(correct, np.bool_), np.asarray(refused, np.bool_)
    if width < 1 or not at.shape == right.shape == no.shape:
        raise SharpenError(f"reliability by length: width={width}, {len(at)} lengths, {len(no)} responses")
    rows: list[Row] = []
    for k in np.unique((at - 1) // width):
        here = (at - 1) // width == k
        rates = abstention(no[here], right[here])
        error = None if rates.accuracy_attempted is None else 1 - rates.accuracy_attempted
        low = int(k) * width + 1
        rows.append({"low": low, "high": low + width - 1, "n": rates.n, "error": error, "idk": rates.rate})
    return rows
