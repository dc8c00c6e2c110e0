"""Strategies in which the model checks, criticises or repeats its own answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sharpen.errors import SharpenError
from sharpen.score.answers import parse_number
from sharpen.strategies import strategy
from sharpen.strategies.ask import Ask, Final, OverBudget, Reply
from sharpen.strategies.programs import LETTERS, computed, run
from sharpen.strategies.selection import chosen, majority, plain, texts

_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")
_GOOD = re.compile(r"\W*good[^\w\n]*(?:\n|$)", re.IGNORECASE)
TRIALS = 5
"""Random value sets on which an expression and a program must agree."""


@dataclass(frozen=True)
class ProgressiveHint:
    """``most``: rounds at most, the first included; ``base``: the strategy of the first; ``samples`` of each
    later one, whose majority counts (1 is greedy)."""

    most: int = 10
    base: str = "greedy"
    samples: int = 1


@dataclass(frozen=True)
class SelfVerification:
    """``samples`` are drawn; each number (or the answer, without numbers) is asked for ``checks`` times."""

    samples: int = 5
    checks: int = 10


@dataclass(frozen=True)
class MathPrompter:
    """``rounds``: pairs of an expression and a program."""

    rounds: int = 5


@dataclass(frozen=True)
class SelfRefine:
    """``rounds``: of feedback and revision, at most."""

    rounds: int = 4


async def progressive_hint(ask: Ask, settings: ProgressiveHint) -> Final:
    """PHP (arXiv 2304.09797): earlier answers are hints; ends when two consecutive answers are equal."""
    name = ask.question.name
    base = strategy(settings.base)
    last = await base.flow(ask, base.settings)
    found, hints = [last.text], [last.answer] if last.answer is not None else []
    for _ in range(settings.most - 1):
        last = ask.keep(replace(last, candidates=tuple(found)))
        now = await _round(ask, ask.put("hint", answers=hints) if hints else None, settings.samples)
        found.append(now.text)
        hints += [now.answer] if now.answer is not None else []
        same = now.answer is not None and name(now.answer) == name(last.answer)
        last = now
        if same:
            return ask.keep(replace(last, candidates=tuple(found)))
    return ask.keep(replace(last, candidates=tuple(found), stop="max"))


async def _round(ask: Ask, prompt: Any, samples: int) -> Final:
    if samples == 1:
        return plain(ask, await ask(prompt, temperature=0.0))
    return majority(ask, await ask.many(samples, prompt))


async def self_verification(ask: Ask, settings: SelfVerification) -> Final:
    """The answer from which the question's own numbers are found again most often (arXiv 2212.09561).

    Of equally good answers the more frequent one, then the first. A comparison that the budget cuts short
    is none: the majority stands.
    """
    replies = await ask.many(settings.samples)
    voted = majority(ask, replies)
    names = ask.question.names(texts(replies))
    first = [i for i, n in enumerate(names) if n is not None and names.index(n) == i]
    if not first:
        return voted
    scores = await ask.gather(*(_matches(ask, replies[i], settings.checks) for i in first))
    best = max(range(len(first)), key=lambda k: (scores[k], names.count(names[first[k]]), -k))
    share = names.count(names[first[best]]) / len(names)
    notes = {"matches": float(scores[best]), "distinct": float(len(first))}
    return chosen(ask, replies, first[best], confidence=share, notes=notes)


async def _matches(ask: Ask, reply: Reply, checks: int) -> int:
    """How often a masked number is found from an answer; without numbers, how often it is called right."""
    answer = ask.question.read(reply.whole) or ""
    numbers = _NUMBER.findall(ask.question.text)
    if not numbers:
        said = await _all(ask, checks, ask.put("verify", answer=answer))
        return sum(word(r.whole) in ("yes", "true", "right") for r in said)
    statement = await ask(ask.put("statement", answer=answer), temperature=0.0)
    asked = masked(statement.whole.strip(), numbers)
    found = await ask.gather(*(_all(ask, checks, ask.put("mask", statement=m)) for m, _ in asked))
    return sum(
        ask.question.names(texts(said)).count(ask.question.name(number))
        for said, (_, number) in zip(found, asked, strict=True)
    )


async def _all(ask: Ask, n: int, prompt: str) -> list[Reply]:
    replies = await ask.many(n, prompt)
    if len(replies) < n:
        raise OverBudget
    return replies


def masked(statement: str, numbers: Sequence[str]) -> list[tuple[str, str]]:
    """The statement with X for one of the question's numbers, and that number; one entry for each of them
    that stands in it. The numbers that the answer adds stay."""
    places = list(_NUMBER.finditer(statement))
    found = []
    for number in numbers:
        place = next((p for p in places if p[0] == number), None)
        if place is not None:
            places.remove(place)
            found.append((f"{statement[: place.start()]}X{statement[place.end() :]}", number))
    return found


async def math_prompter(ask: Ask, settings: MathPrompter) -> Final:
    """An expression and a program for the question with letters for its numbers (arXiv 2303.05398).

    A round counts where both agree on ``TRIALS`` random value sets; its vote is their value on the true
    numbers, and its share of the rounds the confidence.
    """
    template, values = lettered(ask.question.text)
    trials = ask.stream("math_prompter").generator().integers(2, 30, (TRIALS, len(values)))
    sets = [*([int(x) for x in row] for row in trials), values]
    replies: list[Reply] = []
    found: list[str | None] = []
    final = Final()
    for _ in range(settings.rounds):
        expression, program = await ask.gather(
            ask(ask.put("expression", question=template)), ask(ask.put("function", question=template))
        )
        replies.append(expression)
        found.append(await _agreed(ask, expression, program, sets))
        final = computed(ask, replies, found)
    return final


async def _agreed(ask: Ask, expression: Reply, program: Reply, sets: Sequence[Sequence[Any]]) -> str | None:
    """The value on the last set where expression and program have equal values on all; else None."""
    written = ask.question.read(expression.whole)
    if written is None:
        return None
    names = ", ".join(LETTERS[: len(sets[0])])
    as_function = f"def solution({names}):\n    return {written}"
    one = await run(ask, as_function, function="solution", calls=sets, fenced=False)
    if None in one.values:
        return None
    other = await run(ask, program.whole, function="solution", calls=sets)
    agree = all(map(_equal, one.values, other.values))
    return one.values[-1] if agree else None


def _equal(one: str | None, other: str | None) -> bool:
    """Whether two numbers are equal but for a program's rounding."""
    a, b = parse_number(one or ""), parse_number(other or "")
    return a is not None and b is not None and abs(a - b) <= abs(a) / 10**9


def lettered(question: str) -> tuple[str, list[int | float]]:
    """A question with A, B, C, ... for its numbers, in their order, and what they stand for."""
    found = [m[0].replace(",", "") for m in _NUMBER.finditer(question)]
    if len(found) > len(LETTERS):
        raise SharpenError(f"a question with {len(found)} numbers has more than there are letters")
    letters = iter(LETTERS)
    values = [float(n) if "." in n else int(n) for n in found]
    return _NUMBER.sub(lambda m: next(letters), question), values


async def self_refine(ask: Ask, settings: SelfRefine) -> Final:
    """Feedback by the model itself, and revision, until it calls the solution good (arXiv 2303.17651)."""
    reply = await ask(temperature=0.0)
    found, said = [reply.whole], []
    for _ in range(settings.rounds):
        last = ask.keep(replace(plain(ask, reply), candidates=tuple(found)))
        feedback = await ask(ask.put("critique", solution=reply.whole), temperature=0.0)
        if _GOOD.match(feedback.whole):
            return last
        said.append(feedback.whole.strip())
        revise = ask.put("revise", solution=reply.whole, feedback="\n".join(said))
        reply = await ask(revise, temperature=0.0)
        found.append(reply.whole)
    return ask.keep(replace(plain(ask, reply), candidates=tuple(found), stop="max"))


def word(text: str) -> str:
    """The first word of a reply, in small letters and without marks."""
    found = re.search(r"[^\W_]+", text)
    return found[0].lower() if found else ""
