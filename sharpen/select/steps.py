"""Selection by step scores: the policy has judged its own samples (Self-PRM, arXiv 2505.11227)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError
from sharpen.select.universal import Pick
from sharpen.select.votes import Answers, Same, majority, normal, ranked


def by_steps(answers: Answers, scores: ArrayLike, *, same: Same | None = None) -> Pick:
    """Among the samples with the highest score the majority answer, then the lowest index.

    Args:
        scores: step scores in [0, 1], ``(n,)``, see ``sharpen.score.first_error.step_score``; NaN counts as
            0, and so does every sample without an answer.

    Where all scores are 0 the majority over all samples is taken, as a fallback. If all samples are accepted
    it is exactly the majority.
    """
    values = ranked(scores)
    _check(answers, len(values))
    values[~np.isfinite(values) | [normal(a) is None for a in answers]] = 0.0
    top = values.max()
    if top <= 0:
        return Pick(majority(answers, same=same).index, True)
    return Pick(majority(_only(answers, values == top), same=same).index)


def accepted_vote(answers: Answers, accepted: Sequence[bool], *, same: Same | None = None) -> Pick:
    """The majority over the accepted samples; over all, as a fallback, where none with an answer is."""
    _check(answers, len(accepted))
    among = _only(answers, accepted)
    if all(a is None for a in among):
        return Pick(majority(answers, same=same).index, True)
    return Pick(majority(among, same=same).index)


def first_accepted(answers: Answers, accepted: Sequence[bool], *, same: Same | None = None) -> Pick:
    """The first accepted sample that has an answer; the majority over all, as a fallback, without one."""
    _check(answers, len(accepted))
    for index, answer in enumerate(_only(answers, accepted)):
        if answer is not None:
            return Pick(index)
    return Pick(majority(answers, same=same).index, True)


def _only(answers: Answers, chosen: ArrayLike) -> Answers:
    """The answers where ``chosen``, None elsewhere: indices stay."""
    kept = np.asarray(chosen, dtype=np.bool_)
    return [normal(a) if k else None for a, k in zip(answers, kept, strict=True)]


def _check(answers: Answers, n: int) -> None:
    if not n or len(answers) != n:
        raise SharpenError(f"step selection: {len(answers)} answers, {n} judgments")
