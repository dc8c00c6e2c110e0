"""Strategies with a second, trained model: a critic that gives hints, or a corrector that rewrites."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.selection import plain

NO_HINT = ("good", "no hint")
"""What a critic says that has nothing to say."""


@dataclass(frozen=True)
class Refiner:
    """``rounds`` of a solution and a criticism, at most."""

    rounds: int = 4


@dataclass(frozen=True)
class SelfCorrection:
    """``corrections`` at most. ``temperature`` of the corrector: -1 is the run's."""

    corrections: int = 3
    temperature: float = 0.0


async def refiner(ask: Ask, settings: Refiner) -> Final:
    """The policy solves, a trained critic (the helper) gives a hint, the policy revises; until the critic has
    none (REFINER, arXiv 2304.01904). The last criticism only tells whether there was one."""
    found: list[str] = []
    reply = await ask(temperature=0.0)
    final = plain(ask, reply)
    for left in reversed(range(settings.rounds)):
        found.append(reply.whole)
        final = ask.keep(replace(plain(ask, reply), candidates=tuple(found)))
        asked = ask.put("critique", solution=reply.whole)
        hint = (await ask(asked, temperature=0.0, by="helper")).text.strip()
        if no_hint(hint):
            return final
        if left:
            revised = ask.put("revise", solution=reply.whole, feedback=hint)
            reply = await ask(revised, temperature=0.0)
    return replace(final, stop="max")


def no_hint(said: str) -> bool:
    """Whether a critic has nothing to say; a reply that is empty says nothing either."""
    return said.lower().strip(" .!") in (*NO_HINT, "")


async def self_correction(ask: Ask, settings: SelfCorrection) -> Final:
    """A trained corrector (the helper) rewrites the policy's answer, and then its own, until nothing changes
    (arXiv 2211.00053)."""
    law = {} if settings.temperature < 0 else {"temperature": settings.temperature}
    reply = await ask(temperature=0.0)
    found = [reply.whole]
    final = plain(ask, reply)
    for _ in range(settings.corrections):
        asked = ask.put("revise", solution=found[-1], feedback="")
        reply = await ask(asked, by="helper", **law)
        changed = reply.whole.split() != found[-1].split()
        found.append(reply.whole)
        final = ask.keep(replace(plain(ask, reply), candidates=tuple(found)))
        if not changed:
            return final
    return replace(final, stop="max")
