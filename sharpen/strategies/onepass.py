"""Strategies that ask once, and differ in what stands before the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sharpen.errors import SharpenError
from sharpen.score.answers import final_place
from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.memory import clusters, embed
from sharpen.strategies.selection import Demo, majority, plain, shown, texts, worked

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Direct:
    """No settings."""


@dataclass(frozen=True)
class FewShot:
    """``shots``: how many examples, without their working."""

    shots: int = 8


@dataclass(frozen=True)
class Scratchpad:
    """``end``: closes the scratch work; the answer stands behind its last occurrence."""

    end: str = "</scratch>"


@dataclass(frozen=True)
class ChainOfThought:
    """``shots``: how many worked examples; 0 asks the question as it is."""

    shots: int = 8


@dataclass(frozen=True)
class ZeroShotCot:
    """No settings."""


@dataclass(frozen=True)
class AutoCot:
    """``shots``: clusters, and so examples; an example's question has at most ``words`` words and marks and
    its working ``steps`` lines."""

    shots: int = 8
    words: int = 60
    steps: int = 5


@dataclass(frozen=True)
class Complexity:
    """``samples`` are drawn, the ``keep`` with most steps vote; ``shots``: worked examples, those with most
    steps."""

    samples: int = 16
    keep: int = 10
    shots: int = 8


async def direct(ask: Ask, settings: Direct) -> Final:
    """The answer at once, without working."""
    return plain(ask, await ask(ask.put("direct"), temperature=0.0))


async def few_shot(ask: Ask, settings: FewShot) -> Final:
    """Examples as question and answer (arXiv 2005.14165)."""
    read, write = ask.question.read, ask.question.write
    answered = [(q, write(a)) for q, solution in worked(ask, settings.shots) if (a := read(solution))]
    return plain(ask, await ask(shown(ask, answered), temperature=0.0))


async def scratchpad(ask: Ask, settings: Scratchpad) -> Final:
    """A model that was trained to write scratch work first (arXiv 2112.00114): what follows its end counts,
    and without an end there is no answer."""
    reply = await ask(temperature=0.0)
    _, closed, after = reply.whole.rpartition(settings.end)
    answer = (ask.question.read(after) or " ".join(after.split()) or None) if closed else None
    text = "" if answer is None else ask.question.write(answer)
    return ask.keep(Final(text, answer, candidates=(text,)))


async def chain_of_thought(ask: Ask, settings: ChainOfThought) -> Final:
    """Worked examples before the question, greedily (arXiv 2201.11903)."""
    return plain(ask, await ask(shown(ask, worked(ask, settings.shots)), temperature=0.0))


async def zero_shot_cot(ask: Ask, settings: ZeroShotCot) -> Final:
    """First a rationale, then the answer that it arrives at (arXiv 2205.11916)."""
    thought = await ask(ask.put("think"), temperature=0.0)
    plain(ask, thought)
    said = await ask(ask.put("answer", rationale=thought.whole), temperature=0.0)
    answer = ask.question.read(said.whole)
    place = final_place(thought.whole)
    rationale = thought.whole[: place.start] if place is not None and place.kind == "line" else thought.whole
    text = said.whole if answer is None else f"{rationale.rstrip()}\n{ask.question.write(answer)}".strip()
    return ask.keep(Final(text, answer, candidates=(text,)))


async def auto_cot(ask: Ask, settings: AutoCot) -> Final:
    """The model's own rationales as worked examples, one of each cluster of questions (arXiv 2210.03493).

    The pool has been worked by ``zero_shot_cot`` once, for all questions of a run: two calls for each of its
    questions, gold unseen. The paper works only as many as its walk through the clusters meets.
    """
    examples = exemplars(ask, settings)
    if not examples:
        raise SharpenError("no question of the pool was worked in few enough steps to be an example")
    return plain(ask, await ask(shown(ask, examples), temperature=0.0))


def exemplars(ask: Ask, settings: AutoCot) -> list[Demo]:
    """Of each cluster, from its centre outward, the first question that is short and shortly worked."""
    pool = [d for d in ask.question.pool if d[0].strip() != ask.question.text]

    def simple(demo: Demo) -> bool:
        asked, solution = demo
        within = len(_TOKEN.findall(asked)) <= settings.words and steps(solution) <= settings.steps
        return within and ask.question.read(solution) is not None

    walks = clusters(embed([q for q, _ in pool]), settings.shots)
    found = (next((pool[i] for i in walk if simple(pool[i])), None) for walk in walks)
    return [demo for demo in found if demo is not None]


async def complexity(ask: Ask, settings: Complexity) -> Final:
    """Complexity-based prompting (arXiv 2210.00720): hard examples, and long chains have the vote."""
    known = worked(ask, len(ask.question.demos) if settings.shots else 0)
    hardest = sorted(known, key=lambda d: -steps(d[1]))[: settings.shots]
    replies = await ask.many(settings.samples, shown(ask, hardest))
    kept = longest([steps(r.whole) for r in replies], settings.keep)
    final = majority(ask, [replies[i] for i in kept])
    return ask.keep(replace(final, candidates=tuple(texts(replies))))


def longest(lengths: Sequence[int], keep: int) -> list[int]:
    """Indices of the ``keep`` largest, in order; of equal ones the first."""
    return sorted(sorted(range(len(lengths)), key=lambda i: -lengths[i])[:keep])


def steps(solution: str) -> int:
    """Lines of working, the answer's line not counted."""
    place = final_place(solution)
    working = solution if place is None or place.kind != "line" else solution[: place.start]
    return sum(1 for line in working.splitlines() if line.strip())
