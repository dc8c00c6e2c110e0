"""Plain words when a run is being fooled. The caller prints them, and stops if it was told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import Field

from sharpen.runs.config import Config

Row = Mapping[str, Any]


class Limits(Config):
    """When to warn. Shares are in 0..1."""

    truncated: float = Field(default=0.2, ge=0, le=1)
    """Largest share of samples cut at the length limit."""
    verifier_errors: float = Field(default=0.02, ge=0, le=1)
    """Largest share of samples on which the verifier timed out or crashed."""
    unknown: float = Field(default=0.05, ge=0, le=1)
    """Largest share of samples without a known verdict."""
    rounds: int = Field(default=2, ge=1)
    """Rounds in a row of reward up and held-out accuracy down."""
    length: float = Field(default=0.2, ge=0, le=1)
    """Smallest mean length of samples, as a share of the first round's."""
    entropy: float = Field(default=0.02, ge=0, le=1)
    """Smallest entropy of the next token, as a share of the first round's."""
    ess: float = Field(default=0.5, ge=0, le=1)
    """Smallest effective sample size of importance ratios, as a share of the tokens."""


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning: a stable name and a sentence."""

    name: str
    text: str


def watch(rounds: Sequence[Row], limits: Limits | None = None) -> list[Warned]:
    """The warnings that hold after the last of ``rounds``.

    Args:
        rounds: one flat row a round, oldest first: ``rollout_metrics`` of its training samples, with
            ``accuracy_greedy`` of the held-out evaluation that followed. Missing or None values are
            not judged.
        limits: thresholds; the defaults where None.
    """
    if not rounds:
        return []
    limits = limits or Limits()
    found = [*_shares(rounds[-1], limits), *_dead(rounds[-1]), *_collapsed(rounds, limits)]
    if rounds[-1].get("selected") == 0:
        found.append(Warned("nothing_selected", "no response was selected: this round learns nothing"))
    if _fooled(rounds, limits.rounds):
        since = rounds[-1 - limits.rounds]
        reward, accuracy = rounds[-1]["reward_mean"], rounds[-1]["accuracy_greedy"]
        found.append(
            Warned(
                "reward_up_held_out_down",
                f"over {limits.rounds} rounds the reward rose from {since['reward_mean']:.3f} to "
                f"{reward:.3f} while held-out accuracy fell from {since['accuracy_greedy']:.1%} to "
                f"{accuracy:.1%}: "
                "the model may be learning to please the verifier",
            )
        )
    return found


def _shares(row: Row, limits: Limits) -> list[Warned]:
    errors = None
    if row.get("status_timeout") is not None and row.get("status_crash") is not None:
        errors = row["status_timeout"] + row["status_crash"]
    checks = [
        (
            "truncated",
            row.get("truncated_share"),
            limits.truncated,
            "of the samples were cut at the length limit: raise max_new_tokens, or they count as wrong",
        ),
        (
            "verifier_errors",
            errors,
            limits.verifier_errors,
            "of the samples made the verifier time out or crash: read their details first",
        ),
        (
            "unknown",
            row.get("unknown_share"),
            limits.unknown,
            "of the samples have no known verdict: the accuracy is a lower bound",
        ),
    ]
    return [
        Warned(name, f"{share:.1%} {text} (limit {limit:.1%})")
        for name, share, limit, text in checks
        if share is not None and share > limit
    ]


def _dead(row: Row) -> list[Warned]:
    names = ("all_right_share", "all_wrong_share", "mixed_share")
    if any(row.get(name) is None for name in names) or row["mixed_share"] > 0:
        return []
    right, wrong = row["all_right_share"], row["all_wrong_share"]
    if right + wrong == 0:
        return []
    how = "right" if wrong == 0 else "wrong" if right == 0 else "right or all wrong"
    advice = "easier" if right == 0 else "harder" if wrong == 0 else "other"
    return [
        Warned(
            "all_groups_dead",
            f"every group is all {how}: its samples teach no difference; take {advice} tasks",
        )
    ]


_COLLAPSING = {
    "length": "samples are {:.3g} tokens long, and were {:.3g} in the first round",
    "entropy": "the next token has {:.3g} nats of entropy, and had {:.3g} in the first round",
}


def _collapsed(rounds: Sequence[Row], limits: Limits) -> list[Warned]:
    found = []
    for name, text in _COLLAPSING.items():
        limit: float = getattr(limits, name)
        told = [row[name] for row in rounds if row.get(name) is not None]
        if told and rounds[-1].get(name) is not None and told[-1] < limit * told[0]:
            found.append(Warned(f"{name}_collapse", f"{text.format(told[-1], told[0])}: a collapse?"))
    return found


def watch_ratios(row: Row, limits: Limits | None = None) -> list[Warned]:
    """The warnings that an update's monitors raise: ``ess`` of a policy gradient's ratios."""
    least, ess = (limits or Limits()).ess, row.get("ess")
    if ess is None or ess >= least:
        return []
    size = f"the ratios' effective sample size is {ess:.1%} of the tokens (limit {least:.1%})"
    return [Warned("ratios", f"{size}: what is learnt has left what was sampled")]


def _fooled(rounds: Sequence[Row], n: int) -> bool:
    """Whether the last n steps each raised the reward and lowered held-out accuracy."""
    last = rounds[-1 - n :]
    if len(last) <= n or any(
        r.get(name) is None for r in last for name in ("reward_mean", "accuracy_greedy")
    ):
        return False
    return all(
        new["reward_mean"] > old["reward_mean"] and new["accuracy_greedy"] < old["accuracy_greedy"]
        for old, new in pairwise(last)
    )


def _earliest(first: Row, second: Row) -> dict[str, Any]:
    """In place of two early rounds: of each number that may collapse, the first."""
    told = {name: first.get(name) for name in _COLLAPSING}
    return {name: second.get(name) if value is None else value for name, value in told.items()}


class Watch:
    """Collects a run's rows and gives each warning when its numbers arrive.

    A pure function of the rows given to it, so a resumed run that replays them warns alike. Of rounds long
    past it keeps the first numbers only, which is all that ``watch`` reads of them.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._rounds: list[dict[str, Any]] = []

    def training(self, row: Row) -> list[str]:
        """The warnings of a new round's ``rollout_metrics``."""
        self._rounds.append({k: v for k, v in row.items() if k != "accuracy_greedy"})
        if len(self._rounds) > self._limits.rounds + 2:
            first, second, *last = self._rounds
            self._rounds = [_earliest(first, second), *last]
        return [w.text for w in watch(self._rounds, self._limits)]

    def held_out(self, row: Row) -> list[str]:
        """The warnings that a held-out evaluation adds. A round's first evaluation counts."""
        if not self._rounds:
            self._rounds.append({})
        if "accuracy_greedy" in self._rounds[-1]:
            return []
        before = watch(self._rounds, self._limits)
        self._rounds[-1]["accuracy_greedy"] = row.get("accuracy_greedy")
        return [w.text for w in watch(self._rounds, self._limits) if w not in before]
