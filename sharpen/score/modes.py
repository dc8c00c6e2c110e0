"""Thinking or not: which of two ways an attempt took, and rewards that teach when to think.

A prompt device (AutoThink, arXiv 2505.10832) opens the model's thinking and leaves it to the model whether
to think or to close it at once. Everything here is a pure function of decoded texts, lengths and verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.sample.episode import Finish
from sharpen.score.group import Columns, Groups
from sharpen.score.thought import behind
from sharpen.score.verdict import Verdict

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SPREAD_FLOOR = 1e-6
_WORST = -2.0


@dataclass(frozen=True, slots=True)
class Device:
    """A prompt device.

    Attributes:
        opening: text that every reply is given as its start, which opens the thinking.
        closing: what a reply goes on with that does not think, to the letter.
    """

    opening: str = "<think>\n"
    closing: str = "\n</think>"

    def reply(self, text: str) -> str:
        """What of a text (assistant prefill included) the model said after ``opening``."""
        before, found, after = text.partition(self.opening)
        return after if found else before

    def thinks(self, text: str) -> bool:
        """Whether an attempt thought; anything before ``closing``, a space even, is a thought."""
        return not self.reply(text).startswith(self.closing)


def answered(text: str) -> bool:
    """Whether a final answer stands behind the first ``</think>``."""
    return behind(text) is not None


_WORDS = re.compile(r"\S+")


def loops(text: str, *, times: int = 10, most: int = 30, longest: int = 120) -> bool:
    """Whether some run of up to ``most`` words is said ``times`` times back to back, or a word has
    ``longest`` characters or more."""
    words = _WORDS.findall(text)
    if any(len(w) >= longest for w in words):
        return True
    _, ids = np.unique(words, return_inverse=True) if words else ((), np.zeros(0, np.int64))
    for n in range(1, min(most, len(ids) // times) + 1):
        # said ``times`` times: so many words in a row equal the ones n before
        edges = np.flatnonzero(np.diff(np.concatenate([[0], ids[n:] == ids[:-n], [0]])))
        if len(edges) and (edges[1::2] - edges[::2]).max() >= n * (times - 1):
            return True
    return False


class Batch(NamedTuple):
    """All attempts of a round, in the table's order; every column ``(n,)``.

    ``group`` is an attempt's place in the table. ``right``: right, closed, answered and not cut at the limit.
    ``loops`` is looked for where it can count: in wrong attempts without thinking. ``known``: the verifier
    did not fail. ``lengths``: sampled tokens.
    """

    group: NDArray[np.int64]
    thinks: Flags
    right: Flags
    answered: Flags
    loops: Flags
    known: Flags
    lengths: Floats

    def where(self, chosen: Flags) -> Batch:
        """The chosen attempts."""
        return self._replace(**{name: column[chosen] for name, column in self._asdict().items()})


def batch(groups: Groups | Sequence[Columns], device: Device) -> Batch:
    """The columns of scored groups."""
    rows = groups.columns if isinstance(groups, Groups) else groups
    found = []
    for g, c in enumerate(rows):
        for text, finish, verdict, length in zip(c.texts, c.finish, c.judged, c.lengths, strict=True):
            said, thinks = answered(text), device.thinks(text)
            right = verdict.correct and said and finish is not Finish.LENGTH
            looped = not thinks and not right and loops(device.reply(text))
            found.append((g, thinks, right, said, looped, not verdict.status.unknown, length))
    columns = list(zip(*found, strict=True)) if found else [()] * len(Batch._fields)
    flags = [np.array(column, dtype=np.bool_) for column in columns[1:-1]]
    return Batch(np.array(columns[0], np.int64), *flags, lengths=np.array(columns[-1], np.float64))


# rewards ---------------------------------------------------------------------------------------------
def naive(b: Batch, *, strict_format: bool = False) -> Floats:
    """``(n,)``: thinking +1 right, 0 wrong; without thinking +2 right, -1 wrong.

    Without thinking and without an answer it is 0, as in the authors' code, or -1 where ``strict_format``.
    What is below 0 and loops is -2.
    """
    reward = np.select([b.thinks & b.right, b.right, b.thinks], [1.0, 2.0, 0.0], -1.0)
    if not strict_format:
        reward[~b.answered & ~b.right] = 0.0
    reward[(reward < 0) & b.loops] = _WORST
    return reward


def balance(thinks: Flags, *, gamma: float, slope: float) -> tuple[float, float]:
    """What is taken off every attempt that thinks, and off every one that does not.

    ``clip(slope (share - gamma), 0, 1)`` of each mode's share of the whole batch, so at most one is above
    0 where ``gamma`` is a half or more. ``gamma=1`` is off.
    """
    share = float(np.mean(thinks)) if len(thinks) else gamma
    thinking, direct = (min(1.0, max(0.0, slope * (s - gamma))) for s in (share, 1 - share))
    return thinking, direct


def length_terms(lengths: ArrayLike, right: ArrayLike, *, alpha: float, beta: float) -> Floats:
    """What lengths add to the rewards of the attempts at one question, ``(n,)``.

    ``exp(-alpha y) - 1`` to right ones and ``1 - exp(-beta y)`` to wrong ones, y being the z-score (std with
    n - 1) among the right or the wrong; 0 for one that is alone.
    """
    length, good = np.asarray(lengths, np.float64), np.asarray(right, np.bool_)
    found = np.zeros(len(length))
    for members, weight, sign in ((good, alpha, 1.0), (~good, beta, -1.0)):
        some = length[members]
        if len(some) > 1:
            y = (some - some.mean()) / max(some.std(ddof=1), _SPREAD_FLOOR)
            found[members] = sign * (np.exp(-weight * y) - 1)
    return found


@dataclass(frozen=True, slots=True)
class ModeReward:
    """How a stage rewards: see ``naive``, ``balance`` and ``length_terms``."""

    gamma: float = 1.0
    slope: float = 2.0
    alpha: float = 0.0
    beta: float = 0.0
    strict_format: bool = False


class Rewarded(NamedTuple):
    """Rewards ``(n,)``, and what the balance took off each attempt of a mode."""

    rewards: Floats
    off_thinking: float
    off_direct: float


def mode_rewards(b: Batch, how: ModeReward) -> Rewarded:
    """The rewards of a whole batch. Lengths shape first, then the balance; it takes nothing off a -2."""
    reward = naive(b, strict_format=how.strict_format)
    worst = reward == _WORST
    for g in np.unique(b.group):
        # an unknown verdict is neither right nor wrong
        mine = (b.group == g) & b.known
        reward[mine] += length_terms(b.lengths[mine], b.right[mine], alpha=how.alpha, beta=how.beta)
    thinking, direct = balance(b.thinks, gamma=how.gamma, slope=how.slope)
    reward -= np.where(worst, 0.0, np.where(b.thinks, thinking, direct))
    return Rewarded(reward, thinking, direct)


def with_rewards(groups: Groups, rewards: ArrayLike, b: Batch) -> Groups:
    """The same groups with these rewards ``(n,)`` as scores, what counts as right, and the part ``thinks``.

    Unknown verdicts stay as they are: nothing is learnt from them.
    """
    values = iter(zip(np.asarray(rewards, np.float64).tolist(), b.right, b.thinks, strict=True))

    def one(verdict: Verdict) -> Verdict:
        score, right, thinks = next(values)
        if verdict.status.unknown:
            return verdict
        parts = {**verdict.parts, "correct": float(right), "thinks": float(thinks)}
        return replace(verdict, score=score, parts=parts)

    return groups.with_verdicts([[one(v) for v in row.judged] for row in groups.columns])
