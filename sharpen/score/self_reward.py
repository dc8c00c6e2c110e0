"""Rewards that a model gives its own answers, without any label (arXiv 2412.01951).

The self-reward is a number of the *frozen base model*: how likely it finds an answer. Whoever wrote the
answer, and whatever is trained, changes nothing about it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample.episode import Episode, Finish
from sharpen.score.group import Groups
from sharpen.score.verdict import Status, Verdict

Floats = NDArray[np.float64]
SelfReward = Literal["loglik", "lennorm", "majority"]
KINDS: tuple[SelfReward, ...] = ("loglik", "lennorm", "majority")

BY = "self"


def loglik(episode: Episode) -> float:
    """The log-probability of what was sampled, the end token included, under the policy that sampled it at
    temperature 1 with nothing cut; float64 sum, nats. 0 without a token.

    Raises:
        SharpenError: the engine did not tell it.
    """
    parts = [s.sampled.raw_logprobs for s in episode.spans if s.sampled is not None]
    total = float(np.concatenate(parts).sum(dtype=np.float64)) if parts else 0.0
    if math.isnan(total):
        raise SharpenError(f"attempt {episode.key!r}: the engine did not tell its log-probabilities")
    return total


def rewards_of(
    kind: SelfReward, logliks: ArrayLike, lengths: ArrayLike, answers: Sequence[str | None]
) -> Floats:
    """The self-rewards of one question's answers, ``(n,)``.

    - ``loglik``: ``log pi(y | x)``;
    - ``lennorm``: that over the answer's tokens, the end token included, one at least;
    - ``majority``: the log of how many give the same final answer, ``-inf`` for what gives none; where none
      does, as ``loglik``.

    Args:
        logliks: ``(n,)``, nats, under the base. lengths: ``(n,)``, tokens. answers: final answers, equal
            ones being the same; None for none.

    Raises:
        NotFinite: a log-probability is not finite.
    """
    told = np.asarray(logliks, dtype=np.float64)
    if not np.isfinite(told).all():
        raise NotFinite(f"self-reward: a log-probability is {told[~np.isfinite(told)][0]}")
    if kind == "lennorm":
        return told / np.maximum(np.asarray(lengths, dtype=np.float64), 1.0)
    if kind == "majority" and any(a is not None for a in answers):
        counts = Counter(a for a in answers if a is not None)
        return np.array([-math.inf if a is None else math.log(counts[a]) for a in answers])
    return told


def self_rewarded(
    groups: Groups,
    kind: SelfReward,
    read: Callable[[str], str | None],
    *,
    logliks: Sequence[ArrayLike] | None = None,
) -> Groups:
    """The same groups, scored by self-reward. Gold is never looked at.

    An answer that was cut at its limit has the status ``truncated``, one without a final answer under
    ``majority`` is ``unparsable``; selections pass over both where there are others.

    Args:
        read: a completion's final answer, for ``majority``.
        logliks: under the base, a group's ``(n,)`` each; None where the base itself sampled.
    """
    found = []
    for g, row in enumerate(groups.columns):
        told = [loglik(e) for e in groups[g].episodes] if logliks is None else logliks[g]
        names = [read(text) for text in row.texts] if kind == "majority" else [None] * len(row)
        values = rewards_of(kind, told, row.lengths, names)
        verdicts = []
        for value, finish in zip(values, row.finish, strict=True):
            status = Status.TRUNCATED if finish is Finish.LENGTH else Status.OK
            status = status if value > -math.inf else Status.UNPARSABLE
            score = float(value) if value > -math.inf else 0.0
            verdicts.append(Verdict(score, status, by=f"{BY}:{kind}", parts={"correct": 0.0}))
        found.append(verdicts)
    return groups.with_verdicts(found)
