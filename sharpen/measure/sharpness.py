"""How sharp a policy is: exact laws of best-of-N and of the tilted optimum, and what samples tell of them.

Everything after arXiv 2412.01951. A policy is *sharp* on a prompt where it gives the base's most likely
answer y* with probability at least 1 - delta; greedy decoding is then that answer once 1 - delta > 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.measure.separation import auroc

Floats = NDArray[np.float64]


# exact -----------------------------------------------------------------------------------------------
def coverage(best: ArrayLike) -> float:
    """C_cov, the mean over prompts of ``1 / pi_base(y* | x)``, from the log-probabilities of y* (nats, 0 at
    most); infinite where it is more than a number can hold."""
    logs = np.asarray(best, dtype=np.float64)
    if not len(logs) or not (logs <= 0).all() or not np.isfinite(logs).all():
        raise SharpenError("coverage: log-probabilities of the best answers are finite, and 0 at most")
    with np.errstate(over="ignore"):
        return float(np.exp(-logs).mean())


def enough(p: float, rho: float) -> int:
    """How many samples hold an answer of probability ``p`` but for a chance of ``rho``:
    ``ceil(log(1 / rho) / p)``."""
    return math.ceil(math.log(1 / rho) / p - 1e-12)


def found_by(p: float, n: int) -> float:
    """The chance that ``n`` samples hold an answer of probability ``p``."""
    return 1 - (1 - p) ** n


def tilted(p: ArrayLike, beta: float) -> Floats:
    """The optimum of ``E[log pi_base] - beta KL(pi, pi_base)``: in proportion to ``p^(1 + 1 / beta)``."""
    logs = np.log(np.asarray(p, dtype=np.float64)) * (1 + 1 / beta)
    grown = np.exp(logs - logs.max())
    return grown / grown.sum()


def best_of_n_law(p: ArrayLike, n: int) -> Floats:
    """The law of the likeliest of ``n`` samples of ``p``, ``(answers,)``; equally likely ones share it."""
    mass = np.asarray(p, dtype=np.float64)
    levels, of, counts = np.unique(mass, return_inverse=True, return_counts=True)
    upto = np.cumsum(levels * counts)
    upto /= upto[-1]
    reached = np.diff(upto**n, prepend=0.0)
    return (reached / counts)[of]


def margin(p: ArrayLike) -> float:
    """How much likelier the likeliest answer is than the next: ``p* / p' - 1``; 0 on a tie."""
    first, second = np.sort(np.asarray(p, dtype=np.float64))[::-1][:2]
    return float(first / second - 1)


# from samples ----------------------------------------------------------------------------------------
def picked(rewards: ArrayLike, fits: ArrayLike, values: ArrayLike, n: int) -> Floats:
    """``values`` of the best of the first ``n`` samples of each question, ``(questions,)``.

    Args:
        rewards: ``(questions, samples)``. fits: bool, which may be picked; where none of the n does, all may.
        values: what is asked of the pick, right or wrong for instance.
    """
    r = np.asarray(rewards, dtype=np.float64)[:, :n]
    ok = np.asarray(fits, dtype=np.bool_)[:, :n]
    held = np.where(ok | ~ok.any(1, keepdims=True), r, -np.inf)
    return np.asarray(values, dtype=np.float64)[np.arange(len(r)), held.argmax(1)]


def signal(rewards: Sequence[ArrayLike], correct: Sequence[ArrayLike]) -> float | None:
    """The mean over questions of the AUROC of the reward between their right and wrong samples; None where
    no question has both. It is what sharpening lives on: below a half, it makes things worse."""
    found = [auroc(r, c) for r, c in zip(rewards, correct, strict=True)]
    known = [a for a in found if a is not None]
    return float(np.mean(known)) if known else None
