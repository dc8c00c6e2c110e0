"""Rewards for length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Columns, Groups

Floats = NDArray[np.float64]
Form = Literal["linear", "ratio", "zscore", "penalty", "none"]


def overlong_penalty(length: int, *, limit: int, buffer: int, factor: float = 1.0) -> float:
    """What a response close to the length limit loses (DAPO, arXiv 2503.14476): 0 up to
    ``limit - buffer`` tokens, then falling in a straight line to ``-factor`` at ``limit``; never below.

    Added to the reward. All lengths in sampled tokens.
    """
    if not 0 < buffer <= limit:
        raise SharpenError(f"overlong penalty: buffer={buffer} must be in 1..{limit}")
    over = max(length - (limit - buffer), 0)
    return -factor * min(over / buffer, 1.0) + 0.0


# brevity among one's own right answers ----------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Brevity:
    """A reward for being right and short; the yardstick is the policy's own right answers to the question.

    Attributes:
        form: ``linear`` pays ``1 + a b``, b falling from 1 for the shortest right answer to 0 for the
            longest; ``ratio`` pays ``1 - a + a Lmin / L``; ``zscore`` pays ``1 - a sigmoid(z)``, z among the
            right ones; ``penalty`` pays right minus ``per_token`` times L, to wrong ones as well; ``none``
            pays 1.
        weight: a, in 0..1.
        gate: multiply a by the share of right answers, so that brevity counts where a question is solved.
        per_token: what a token costs under ``penalty``.
    """

    form: Form = "linear"
    weight: float = 0.5
    gate: bool = True
    per_token: float = 0.0


def shortness(lengths: ArrayLike, right: ArrayLike) -> Floats:
    """b, ``(n,)``: ``(Lmax - L) / (Lmax - Lmin)`` over the right answers; 0 for wrong ones, and where fewer
    than two are right or all are equally long."""
    length, good = np.asarray(lengths, np.float64), np.asarray(right, np.bool_)
    found = np.zeros(len(length))
    some = length[good]
    if len(some) > 1 and some.max() > some.min():
        found[good] = (some.max() - some) / (some.max() - some.min())
    return found


def brief_rewards(lengths: ArrayLike, right: ArrayLike, how: Brevity) -> Floats:
    """The rewards of the answers to one question, ``(n,)``. But for ``penalty`` a wrong one has 0, a lone
    right one 1, and any right one more than any wrong one."""
    length, good = np.asarray(lengths, np.float64), np.asarray(right, np.bool_)
    if how.form == "penalty":
        return good - how.per_token * length
    reward = good.astype(np.float64)
    some = length[good]
    if how.form == "none" or len(some) < 2 or some.max() == some.min():
        return reward
    a = how.weight * (good.mean() if how.gate else 1.0)
    if how.form == "linear":
        reward[good] += a * shortness(some, np.ones(len(some)))
    elif how.form == "ratio":
        reward[good] += a * (some.min() / some - 1)
    else:
        z = (some - some.mean()) / some.std(ddof=1)
        reward[good] -= a / (1 + np.exp(-z))
    return reward


def whole(c: Columns) -> NDArray[np.bool_]:
    """Which answers of a group are right, ended by themselves and not empty, bool ``(n,)``."""
    ended = np.array([f is not Finish.LENGTH for f in c.finish], dtype=np.bool_)
    said = np.array([bool(t.strip()) for t in c.texts], dtype=np.bool_)
    return c.correct & ended & said


def with_brevity(groups: Groups, how: Brevity) -> Groups:
    """The same groups under these rewards; unknown verdicts stay, and count neither as right nor in the
    group's size."""
    verdicts = []
    for c in groups.columns:
        given, known, right = list(c.judged), np.flatnonzero(~c.unknown), whole(c)
        rewards = brief_rewards(c.lengths[known], right[known], how)
        for k, reward in zip(known.tolist(), rewards.tolist(), strict=True):
            parts = {**given[k].parts, "correct": float(right[k])}
            given[k] = replace(given[k], score=reward, parts=parts)
        verdicts.append(given)
    return groups.with_verdicts(verdicts)


class Shape(NamedTuple):
    """A round's attempts: how many are right and how long they are. None where a number is undefined.

    ``solved``: |C| / G, mean over questions. ``brevity``: mean b over right answers to questions that have
    two or more.
    """

    accuracy: float | None
    length: float | None
    length_right: float | None
    solved: float | None
    brevity: float | None


def shape(columns: Sequence[Columns]) -> Shape:
    """``Shape`` of scored groups; unknown verdicts are left out."""
    right = [whole(c)[~c.unknown] for c in columns]
    lengths = [c.lengths[~c.unknown] for c in columns]
    flat, marks = np.concatenate([np.zeros(0), *lengths]), np.concatenate([np.zeros(0, np.bool_), *right])
    several = [shortness(n, r)[r] for n, r in zip(lengths, right, strict=True) if r.sum() > 1]
    return Shape(
        _mean(marks), _mean(flat), _mean(flat[marks]),
        _mean([r.mean() for r in right if len(r)]), _mean(np.concatenate([np.zeros(0), *several])),
    )  # fmt: skip


def _mean(values: ArrayLike) -> float | None:
    held = np.asarray(values, dtype=np.float64)
    return float(held.mean()) if len(held) else None
