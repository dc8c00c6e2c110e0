"""Strategies that draw N samples of the question and choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.score.signals import episode_scores
from sharpen.select import votes
from sharpen.select.universal import universal as read_pick
from sharpen.select.universal import universal_prompt
from sharpen.strategies.ask import Ask, Final, Reply

SIGNALS = ("certainty", "logprob", "entropy", "length")


@dataclass(frozen=True)
class Greedy:
    """No settings."""


@dataclass(frozen=True)
class Sample:
    """No settings."""


@dataclass(frozen=True)
class First:
    """``samples``: how many are drawn."""

    samples: int = 16


@dataclass(frozen=True)
class BestOfN:
    """``by``: ``certainty``, ``logprob``, ``entropy`` (negative) or ``length`` (a control: the longest)."""

    samples: int = 16
    by: str = "certainty"


@dataclass(frozen=True)
class Borda:
    """``power``: 0 is the majority, large is the best-ranked answer; ``by`` as in ``BestOfN``."""

    samples: int = 16
    power: float = 0.5
    by: str = "certainty"


@dataclass(frozen=True)
class Weighted:
    """``of``: the ``sum`` or the ``mean`` of an answer's scores; ``by`` as in ``BestOfN``."""

    samples: int = 16
    of: str = "sum"
    by: str = "certainty"


@dataclass(frozen=True)
class SelfConsistency:
    """``temperature``: -1 is the run's; ``shots``: worked examples shown before the question."""

    samples: int = 16
    temperature: float = -1.0
    shots: int = 0


@dataclass(frozen=True)
class Universal:
    """``samples``: how many are shown to the model."""

    samples: int = 8


@dataclass(frozen=True)
class Verified:
    """``samples``: at most so many."""

    samples: int = 16


async def greedy(ask: Ask, settings: Greedy) -> Final:
    """One greedy answer."""
    return plain(ask, await ask(temperature=0.0))


async def sample(ask: Ask, settings: Sample) -> Final:
    """One sample."""
    return plain(ask, await ask())


async def first(ask: Ask, settings: First) -> Final:
    """FirstAns of arXiv 2502.18581: the first sample that gives an answer. All N are drawn, as for its
    rivals."""
    replies = await ask.many(settings.samples)
    return chosen(ask, replies, votes.first(ask.question.names(texts(replies))))


async def best_of_n(ask: Ask, settings: BestOfN) -> Final:
    """The sample with the largest signal among those that give an answer."""
    replies = await ask.many(settings.samples)
    names = ask.question.names(texts(replies))
    return chosen(ask, replies, votes.best(signal(replies, settings.by), names))


async def borda(ask: Ask, settings: Borda) -> Final:
    """Votes of ``(N - rank + 1)^power``, see ``sharpen.select.votes.borda``."""
    replies = await ask.many(settings.samples)
    names = ask.question.names(texts(replies))
    return voted(ask, replies, votes.borda(names, signal(replies, settings.by), settings.power))


async def weighted(ask: Ask, settings: Weighted) -> Final:
    """The answer with the largest sum or mean of its samples' scores."""
    replies = await ask.many(settings.samples)
    names = ask.question.names(texts(replies))
    if settings.of not in ("sum", "mean"):
        raise unknown("weighting", settings.of, ("sum", "mean"))
    by = "mean" if settings.of == "mean" else "sum"
    return voted(ask, replies, votes.weighted(names, signal(replies, settings.by), by=by))


async def self_consistency(ask: Ask, settings: SelfConsistency) -> Final:
    """The majority answer of N samples (arXiv 2203.11171); of equally frequent ones that with the highest
    summed log-probability, then the first seen."""
    temperature = None if settings.temperature < 0 else settings.temperature
    prompt = shown(ask, worked(ask, settings.shots))
    return majority(ask, await ask.many(settings.samples, prompt, temperature=temperature))


async def universal(ask: Ask, settings: Universal) -> Final:
    """The model names the most consistent of N samples (arXiv 2311.17311)."""
    replies = await ask.many(settings.samples)
    ask.keep(chosen(ask, replies, votes.first(ask.question.names(texts(replies)))))
    asked = universal_prompt(ask.question.text, texts(replies))
    said = await ask(asked, temperature=0.0)
    pick = read_pick(said.text, len(replies), ask.question.names(texts(replies)))
    return chosen(ask, replies, pick.index, notes={"fallback": float(pick.fallback)})


async def verified(ask: Ask, settings: Verified) -> Final:
    """Best of N with the task's own verifier: an oracle, the ceiling of every selection."""
    replies = await ask.many(settings.samples)
    verify = ask.question.verifier
    right = [k for k, r in enumerate(replies) if verify(r.whole).correct]
    return chosen(ask, replies, right[0] if right else votes.first(ask.question.names(texts(replies))))


# worked examples ---------------------------------------------------------------------------------
Demo = tuple[str, str]


def worked(ask: Ask, k: int) -> list[Demo]:
    """The first ``k`` worked examples, the question itself left out. SharpenError where there are none."""
    found = [d for d in ask.question.demos if d[0].strip() != ask.question.text]
    if k and not found:
        raise SharpenError("there is no worked example to show: the tasks' training split has no solutions")
    return found[:k]


def shown(ask: Ask, demos: Sequence[Demo]) -> Any:
    """The prompt that shows examples before the question; the question as it is without any."""
    return ask.put("shots", demos=demos) if demos else ask.question.prompt


# what other strategies use ------------------------------------------------------------------------
def texts(replies: Sequence[Reply]) -> list[str]:
    """Prefill and text of each reply."""
    return [r.whole for r in replies]


def plain(ask: Ask, reply: Reply) -> Final:
    """One reply as the result."""
    return ask.keep(Final(reply.whole, ask.question.read(reply.whole), candidates=(reply.whole,)))


def chosen(ask: Ask, replies: Sequence[Reply], index: int, **more: object) -> Final:
    """One of the replies as the result; the others were candidates."""
    text = replies[index].whole
    final = Final(text, ask.question.read(text), candidates=tuple(texts(replies)), **more)  # type: ignore[arg-type]
    return ask.keep(final)


def voted(ask: Ask, replies: Sequence[Reply], vote: votes.Vote) -> Final:
    """The winner of a vote; its share of the samples is the confidence."""
    names = ask.question.names(texts(replies))
    won = names[vote.index] if vote.members else None
    share = 0.0 if won is None else names.count(won) / len(names)
    return chosen(ask, replies, vote.index, confidence=share)


def majority(ask: Ask, replies: Sequence[Reply]) -> Final:
    """Self-consistency's rule on any replies: frequency, then summed log-probability, then order."""
    return voted(ask, replies, elected(ask.question.names(texts(replies)), replies))


def elected(names: Sequence[str | None], replies: Sequence[Reply]) -> votes.Vote:
    """The most frequent name; of equally frequent ones that whose replies have the highest summed
    log-probability, then the first seen."""
    vote = votes.majority(names)
    most = max(vote.totals, default=0.0)
    tied = [m for m, total in zip(vote.members, vote.totals, strict=True) if total == most]

    def mass(member: int) -> float:
        total = sum(r.total() for r, n in zip(replies, names, strict=True) if n == names[member])
        # a sum of log-probabilities is an engine's to tell; where it does not, order decides
        return total if np.isfinite(total) else -np.inf

    return votes.Vote(max(tied, key=mass, default=vote.index), vote.members, vote.totals)


def signal(replies: Sequence[Reply], by: str) -> np.ndarray:
    """One number a reply, larger is better, float64 ``(n,)``; see ``sharpen.score.signals``."""
    if by not in SIGNALS:
        raise unknown("signal", by, SIGNALS)
    if by == "length":
        return np.array([float(r.tokens) for r in replies])
    return episode_scores([r.episode for r in replies], by).values  # type: ignore[arg-type]
