"""Strategies that take a question apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.onepass import ChainOfThought, chain_of_thought
from sharpen.strategies.selection import plain

LONGEST_FOUND = 1000
"""Characters of a search result that enter the context."""
_LEAD = re.compile(r"(?:[-*•]|\d{1,2}[.):]|Q\d*:|Follow[ -]?up(?: question)?:)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class SelfAsk:
    """``hops``: follow-up questions at most."""

    hops: int = 5


@dataclass(frozen=True)
class LeastToMost:
    """``most``: sub-questions at most, the question itself not counted; ``shots``: examples of the fallback,
    chain of thought."""

    most: int = 12
    shots: int = 0


@dataclass(frozen=True)
class PlanThenSolve:
    """``apart``: plan and solution in two calls."""

    apart: bool = False


async def self_ask(ask: Ask, settings: SelfAsk) -> Final:
    """Follow-up questions one by one, until the model can answer (arXiv 2210.03350).

    The question's search tool answers them, or the model where there is none. A reply without a final
    answer is a follow-up question; an empty one ends it.
    """
    known: list[tuple[str, str]] = []
    final = Final()
    for hop in range(settings.hops + 1):
        reply = await ask(ask.put("followup", known=known), temperature=0.0)
        final = replace(plain(ask, reply), notes={"hops": float(hop)})
        asked = items(reply.text)
        if final.answer is not None or not asked:
            return final
        if hop < settings.hops:
            known.append((asked[0], await settled(ask, asked[0], known)))
    return replace(final, stop="max")


async def settled(ask: Ask, sub: str, known: list[tuple[str, str]]) -> str:
    """A sub-question's answer by search, else by the model."""
    if ask.question.search is not None:
        ask.tool()
        try:
            return ask.question.search(sub).strip()[:LONGEST_FOUND]
        except Exception as problem:  # a tool's failure is what it found
            return f"error: {problem}"[:LONGEST_FOUND]
    return await answered(ask, sub, known)


async def answered(ask: Ask, sub: str, known: list[tuple[str, str]]) -> str:
    """The model's answer to a sub-question; its last line where it gives none."""
    reply = await ask(ask.put("subquestion", known=known, sub=sub), temperature=0.0)
    return ask.question.read(reply.whole) or last_line(reply.whole)


async def least_to_most(ask: Ask, settings: LeastToMost) -> Final:
    """Sub-questions in order, each answered from those before; the question itself comes last
    (arXiv 2205.10625)."""
    subs = items((await ask(ask.put("decompose"), temperature=0.0)).text)[: settings.most]
    if not subs:
        final = await chain_of_thought(ask, ChainOfThought(settings.shots))
        return replace(final, notes={"subquestions": 0.0})
    *before, last = subs if subs[-1] == ask.question.text else [*subs, ask.question.text]
    known: list[tuple[str, str]] = []
    for sub in before:
        known.append((sub, await answered(ask, sub, known)))
    reply = await ask(ask.put("subquestion", known=known, sub=last), temperature=0.0)
    return replace(plain(ask, reply), notes={"subquestions": len(before) + 1.0})


async def plan_then_solve(ask: Ask, settings: PlanThenSolve) -> Final:
    """A plan, then its execution (arXiv 2305.04091), in one call or in two."""
    if not settings.apart:
        return plain(ask, await ask(ask.put("planned"), temperature=0.0))
    plan = await ask(ask.put("plan"), temperature=0.0)
    return plain(ask, await ask(ask.put("execute", plan=plan.whole), temperature=0.0))


def items(text: str) -> list[str]:
    """The lines of a list, without bullets and numbers; empty ones are none."""
    return [line for given in text.splitlines() if (line := _LEAD.sub("", given.strip(), count=1).strip())]


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
