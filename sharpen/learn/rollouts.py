"""Scored attempts as rows for a policy gradient: rewards, penalties, advantages, a ledger that adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.learn.advantages import RULES, STD_FLOOR, Advantage, dead, gae
from sharpen.learn.divergence import Estimator, estimate
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of
from sharpen.score.group import Groups

Ledger = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Rows to learn from, and where the other attempts went.

    Attributes:
        rows: with the array ``reward``, ``(T,)``, whose sum is the attempt's reward, and the scalars
            ``group`` (its place in the table) and ``sampled_at`` (updates behind the policy that sampled it).
        ledger: attempts: ``sampled`` is the sum of the others, ``kept`` is ``len(rows)``.
    """

    rows: tuple[Row, ...]
    ledger: Ledger

    def __post_init__(self) -> None:
        gone = sum(n for name, n in self.ledger.items() if name != "sampled")
        if self.ledger["sampled"] != gone or self.ledger["kept"] != len(self.rows):
            raise AssertionError(f"ledger of rollouts does not add up: {dict(self.ledger)}")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def with_rows(self, rows: Sequence[Row]) -> Rollouts:
        """The same attempts as other rows, one for one."""
        return Rollouts(tuple(rows), self.ledger)

    def only(self, stays: Sequence[bool], why: str) -> Rollouts:
        """The rows that stay; the others are booked under ``why``."""
        rows = tuple(row for row, here in zip(self.rows, stays, strict=True) if here)
        gone = self.ledger.get(why, 0) + len(self.rows) - len(rows)
        return Rollouts(rows, {**self.ledger, why: gone, "kept": len(rows)})


def rollouts(groups: Groups, updates: Mapping[str, int]) -> Rollouts:
    """The rows of scored groups.

    Attempts of unknown verdict are left out, and so are those without a trainable token.

    Args:
        updates: how many updates each policy version had seen.

    Raises:
        SharpenError: a version that ``updates`` does not name; a reward that is not finite.
    """
    rows: list[Row] = []
    unknown = empty = 0
    for g, group in enumerate(groups):
        for episode, verdict in group.scored:
            made = row_of(episode)
            targets = targets_of(made)
            unknown += verdict.status.unknown
            empty += not verdict.status.unknown and len(targets) == 0
            if verdict.status.unknown or len(targets) == 0:
                continue
            if not np.isfinite(verdict.score):
                raise SharpenError(f"attempt {episode.key!r} has reward {verdict.score}")
            reward = np.zeros(len(made.tokens), np.float32)
            reward[targets[-1]] = verdict.score
            versions = {s.version for s in episode.spans if s.trainable and s.sampled is not None}
            if not versions <= set(updates):
                raise SharpenError(f"attempt {episode.key!r} was sampled by a policy that this run never had")
            about = {"group": float(g), "sampled_at": float(min(updates[v] for v in versions))}
            rows.append(replace(made, arrays={**made.arrays, "reward": reward}, scalars=about))
    ledger = {"sampled": len(rows) + unknown + empty, "unknown": unknown, "empty": empty, "kept": len(rows)}
    return Rollouts(tuple(rows), ledger)


def targets_of(row: Row) -> NDArray[np.int64]:
    """Positions of a row's tokens that are learnt, ``(S,)``."""
    return np.flatnonzero(row.arrays["weight"][1:]) + 1


def fresh(of: Rollouts, *, now: int, updates: int, max_lag: int) -> Rollouts:
    """The rows that are fresh enough for ``updates`` further updates of a policy that has seen ``now``.

    The lag of an update is how many updates were made between the policy that sampled a row and the one that
    the update starts from; a row stays where no update would lag by more than ``max_lag``. The others are
    ``stale``.
    """
    last = now + updates - 1
    return of.only([last - row.scalars["sampled_at"] <= max_lag for row in of], "stale")


def with_penalty(of: Rollouts, coef: float, estimator: Estimator) -> Rollouts:
    """``coef`` times the divergence from the reference, estimated at each token, taken off its reward
    (arXiv 1909.08593). Rows need ``old_logprob`` and ``ref_logprob``."""

    def less(row: Row) -> Row:
        d = (_array(row, "old_logprob") - _array(row, "ref_logprob")).astype(np.float64)
        cost = np.where(row.arrays["weight"] != 0, coef * estimate(estimator, d), 0.0)
        return _with(row, reward=row.arrays["reward"].astype(np.float64) - cost)

    return of.with_rows([less(row) for row in of])


def with_advantages(of: Rollouts, kind: Advantage, *, keep_dead: bool = False) -> Rollouts:
    """Rows with one advantage at all their tokens, from their rewards summed over the tokens.

    Under a rule that compares a group's attempts, groups with nothing to compare are dropped (``dead``)
    unless ``keep_dead``: after a penalty, rewards that were equal differ by at least a rounding.
    """
    by_group, rule = RULES[kind]
    rewards = np.array([row.arrays["reward"].sum(dtype=np.float64) for row in of])
    names = np.array([row.scalars["group"] if by_group else 0.0 for row in of])
    found, lives = np.zeros(len(of)), np.ones(len(of), np.bool_)
    for name in np.unique(names):
        members = names == name
        found[members] = rule(rewards[members])
        lives[members] = keep_dead or not (by_group and dead(rewards[members]))
    rows = [
        _with(row, advantage=np.where(row.arrays["weight"] != 0, a, 0.0))
        for row, a in zip(of, found, strict=True)
    ]
    return of.with_rows(rows).only(lives.tolist(), "dead")


def with_gae(of: Rollouts, *, gamma: float, lam: float, whiten: bool) -> Rollouts:
    """Rows with ``advantage`` and ``return`` at each learnt token, from ``reward`` and ``value``.

    Tokens that are not learnt (prompts, what an environment said) are no steps. ``whiten`` takes advantages
    to mean 0 and standard deviation 1 over all learnt tokens.
    """
    at = [targets_of(row) for row in of]
    found = [
        gae(row.arrays["reward"][t], row.arrays["value"][t], gamma=gamma, lam=lam)
        for row, t in zip(of, at, strict=True)
    ]
    change = _whitening(np.concatenate([a for a, _ in found] or [np.zeros(0)])) if whiten else lambda a: a
    rows = []
    for row, t, (advantage, back) in zip(of, at, found, strict=True):
        arrays = np.zeros((2, len(row.tokens)))
        arrays[0, t], arrays[1, t] = change(advantage), back
        rows.append(_with(row, advantage=arrays[0], **{"return": arrays[1]}))
    return of.with_rows(rows)


def _whitening(values: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    if len(values) == 0 or (values == values[0]).all():
        return lambda a: a
    mean, spread = values.mean(), values.std() + STD_FLOOR
    return lambda a: (a - mean) / spread


def _array(row: Row, name: str) -> NDArray[np.float32]:
    if name not in row.arrays:
        raise SharpenError(f"row {row.key!r} has no {name!r}: the engine that sampled it did not tell it")
    return row.arrays[name]


def _with(row: Row, **arrays: NDArray[np.float64]) -> Row:
    return replace(row, arrays={**row.arrays, **{n: a.astype(np.float32) for n, a in arrays.items()}})
