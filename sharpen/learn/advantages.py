"""Advantages: how much better than expected an attempt, a turn or a token was. Pure functions of numbers.

A reward whose verdict is unknown comes as NaN: it is left out of every mean, its own advantage is NaN, and no
row is made of it. Rewards that are all equal give advantages of exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError

Floats = NDArray[np.float64]
Advantage = Literal["reward", "batch_mean", "batch_zscore", "group_mean", "group_zscore", "leave_one_out"]
"""``reward``: itself. ``batch_*``: over a round's attempts. The others: over the attempts at one task."""

STD_FLOOR = 1e-6
"""Added to a standard deviation before dividing, as DeepSeek's GRPO, verl and AutoThink do."""


def dead(rewards: ArrayLike) -> bool:
    """Whether a group has nothing to compare: fewer than two known rewards, or all of them equal."""
    r = np.asarray(rewards, dtype=np.float64)
    known = r[~np.isnan(r)]
    return len(known) < 2 or bool((known == known[0]).all())


def mean_centred(rewards: ArrayLike) -> Floats:
    """``r - mean``, ``(n,)``: the group's advantage in Dr. GRPO (arXiv 2503.20783)."""
    return _compared(rewards, lambda r: r - r.mean())


def zscore(rewards: ArrayLike) -> Floats:
    """``(r - mean) / (std + 1e-6)``, ``(n,)``, std with n - 1: GRPO (arXiv 2402.03300, section 4.1.2)."""
    return _compared(rewards, lambda r: (r - r.mean()) / (r.std(ddof=1) + STD_FLOOR))


def leave_one_out(rewards: ArrayLike) -> Floats:
    """``r`` minus the mean of the others, ``(n,)``: RLOO (arXiv 2402.14740)."""
    return _compared(rewards, lambda r: (r - r.mean()) * (len(r) / (len(r) - 1)))


def itself(rewards: ArrayLike) -> Floats:
    """The rewards, float64 ``(n,)``: REINFORCE without a baseline."""
    return np.array(rewards, dtype=np.float64)


RULES: Mapping[Advantage, tuple[bool, Callable[[ArrayLike], Floats]]] = {
    "reward": (False, itself),
    "batch_mean": (False, mean_centred),
    "batch_zscore": (False, zscore),
    "group_mean": (True, mean_centred),
    "group_zscore": (True, zscore),
    "leave_one_out": (True, leave_one_out),
}
"""By name: whether it is taken over each group (else over all attempts), and the function."""

Role = tuple[str, str]
"""A game and a role in it."""


def role_advantages(
    returns: Sequence[tuple[Role, float]],
    baselines: Mapping[Role, float],
    *,
    decay: float = 0.95,
    update_first: bool = False,
) -> tuple[Floats, dict[Role, float]]:
    """Role-conditioned advantage estimation: a moving average a game and role (SPIRAL, arXiv 2506.24119).

    Args:
        returns: of each finished game and role, in the order in which games ended; NaN is unknown.
        baselines: so far; a role that is not in it starts at 0.
        decay: ``b <- decay * b + (1 - decay) * return``.
        update_first: subtract the baseline after this return entered it, as the paper's algorithm writes
            (every advantage is then ``decay`` times as large); its code subtracts the one before.

    Returns:
        One advantage a return, ``(n,)``, and the baselines afterwards; ``baselines`` is left as it is.
    """
    if not 0 <= decay < 1:
        raise SharpenError(f"decay of a role's baseline is in [0, 1), not {decay}")
    after = dict(baselines)
    found = np.full(len(returns), np.nan)
    for i, (role, r) in enumerate(returns):
        if np.isnan(r):
            continue
        before = after.get(role, 0.0)
        after[role] = decay * before + (1 - decay) * r
        found[i] = r - (after[role] if update_first else before)
    return found, after


def over_turns(advantage: float, turns: int, gamma: float = 1.0) -> Floats:
    """A game's advantage at each of a player's turns i, ``(turns,)``: times ``gamma ** (turns - 1 - i)``."""
    return advantage * gamma ** np.arange(turns - 1, -1, -1, dtype=np.float64)


def gae(
    rewards: ArrayLike, values: ArrayLike, *, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Floats, Floats]:
    """Generalized advantage estimation of one finished episode (arXiv 1506.02438, eq. 16).

    Args:
        rewards: that follow each step, ``(T,)``.
        values: V of the state before each step, ``(T,)``; after the last step it is 0.
        gamma: discount.
        lam: 1 is return minus value, 0 the one-step error.

    Returns:
        Advantages and returns (advantage plus value: what V is fitted to), ``(T,)`` each.
    """
    r, v = (np.asarray(x, dtype=np.float64) for x in (rewards, values))
    if r.shape != v.shape:
        raise SharpenError(f"gae: {len(r)} rewards for {len(v)} values")
    errors = r + gamma * np.append(v[1:], 0.0) - v
    found, after = np.zeros_like(r), 0.0
    for t in range(len(r) - 1, -1, -1):
        found[t] = after = errors[t] + gamma * lam * after
    return found, found + v


def _compared(rewards: ArrayLike, rule: Callable[[Floats], Floats]) -> Floats:
    """``rule`` on the known rewards; 0 where there is nothing to compare, since the mean of equal numbers may
    miss them by a rounding."""
    r = np.array(rewards, dtype=np.float64)
    known = ~np.isnan(r)
    r[known] = 0.0 if dead(r) else rule(r[known])
    return r
