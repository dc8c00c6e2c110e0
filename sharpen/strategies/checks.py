"""Strategies in which the model checks, criticises or repeats its own answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sharpen.strategies.ask import Ask, Final
from sharpen.strategies.selection import plain


@dataclass(frozen=True)
class ProgressiveHint:
    """``most``: rounds at most, the first included."""

    most: int = 10


async def progressive_hint(ask: Ask, settings: ProgressiveHint) -> Final:
    """PHP (arXiv 2304.09797): earlier answers are hints; ends when two consecutive answers are equal."""
    question, earlier, found = ask.question, [], []
    reply = await ask(temperature=0.0)
    for _ in range(settings.most - 1):
        found.append(reply.whole)
        last = ask.keep(replace(plain(ask, reply), candidates=tuple(found)))
        if last.answer is not None:
            earlier.append(last.answer)
        hinted = ask.put("hint", answers=earlier) if earlier else question.prompt
        reply = await ask(hinted, temperature=0.0)
        now = question.name(question.read(reply.whole))
        if now is not None and now == question.name(last.answer):
            return replace(plain(ask, reply), candidates=(*found, reply.whole))
    return replace(plain(ask, reply), candidates=(*found, reply.whole), stop="max")
