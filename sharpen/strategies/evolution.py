"""Strategies that evolve a program towards a score; the question brings the score, or public tests.

With tests, the score is the share passed, and a program that passes none has failed. Failed programs never
enter. The result is the best program; the candidates are those that were the best when they came.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sharpen.errors import SharpenError
from sharpen.score.sandbox import last_block
from sharpen.strategies.ask import Ask, Final, OverBudget, Reply
from sharpen.strategies.programs import check

FAILED = -math.inf


@dataclass(frozen=True)
class Funsearch:
    """``calls`` in all, one on each of the ``islands`` in turn; the worse half of them starts anew every
    ``reset`` rounds."""

    calls: int = 40
    islands: int = 10
    reset: int = 2


@dataclass(frozen=True)
class Llamea:
    """``generations``: one call each."""

    generations: int = 40


@dataclass(frozen=True, slots=True)
class Program:
    """A program, what it is worth, and what went wrong where that is ``-inf``."""

    code: str
    score: float = FAILED
    error: str = ""

    @property
    def shown(self) -> tuple[str, str]:
        """As an item of the role ``improve``."""
        return self.code, f"failed: {self.error}" if self.score == FAILED else f"score {self.score:.6g}"


@dataclass
class Record:
    """The best programs one after the other, and how many there were."""

    bests: list[Program] = field(default_factory=list)
    made: int = 0
    failed: int = 0

    def add(self, ask: Ask, program: Program) -> bool:
        """Whether it is the best so far; the strategy's result is kept up to date."""
        self.made += 1
        self.failed += program.score == FAILED
        better = program.score > (self.bests[-1].score if self.bests else FAILED)
        self.bests += [program] if better else []
        ask.keep(self.final)
        return better

    @property
    def final(self) -> Final:
        """The best program."""
        notes = {"programs": float(self.made), "failed": float(self.failed)}
        if not self.bests:
            return Final(notes=notes)
        texts = tuple(f"```python\n{p.code.strip()}\n```" for p in self.bests)
        best = self.bests[-1]
        return Final(texts[-1], best.code, candidates=texts, notes={**notes, "score": best.score})


async def funsearch(ask: Ask, settings: Funsearch) -> Final:
    """FunSearch: two programs of an island, in ascending order, and a better one is asked for
    (doi 10.1038/s41586-023-06924-6).

    An island without programs asks the question itself. Of an island's programs better ones are drawn more
    often: each rank half as often as the one above it (ours).
    """
    islands: list[list[Program]] = [[] for _ in range(settings.islands)]
    rng, record, rounds = ask.stream("funsearch").generator(), Record(), 0
    while record.made < settings.calls:
        turn = islands[: settings.calls - record.made]
        replies = await _each(ask, [_improve(ask, two(island, rng)) for island in turn])
        found = await asyncio.gather(*(worth(ask, r) for r in replies.values()))
        for i, program in zip(replies, found, strict=True):
            island = turn[i]
            record.add(ask, program)
            if program.score > FAILED and all(program.code != p.code for p in island):
                island.append(program)
        rounds += 1
        if rounds % settings.reset == 0:
            islands = reset(islands)
    return record.final


async def llamea(ask: Ask, settings: Llamea) -> Final:
    """LLaMEA: one program is changed, and the change is kept if it is better (arXiv 2405.20132).

    The prompt shows the best program with its score, and before it what the last change failed with.
    """
    record, failed = Record(), None
    for _ in range(settings.generations):
        shown = [p for p in (failed, *record.bests[-1:]) if p is not None]
        program = await worth(ask, await ask(_improve(ask, shown)))
        record.add(ask, program)
        failed = program if program.score == FAILED and program.code else None
    return record.final


def two(island: Sequence[Program], rng: np.random.Generator) -> list[Program]:
    """Two programs of an island (all, where it has fewer), the worse one first."""
    ranked = sorted(island, key=lambda p: -p.score)
    weights = 0.5 ** np.arange(len(ranked))
    n = min(2, len(ranked))
    drawn = rng.choice(len(ranked), n, replace=False, p=weights / weights.sum()) if n else []
    return sorted((ranked[int(i)] for i in drawn), key=lambda p: p.score)


def reset(islands: Sequence[Sequence[Program]]) -> list[list[Program]]:
    """The better half of the islands; each of the others starts anew from the best program of one of them,
    in turn. Islands keep their places; of equally good ones the first are the better half."""
    best = [max((p.score for p in island), default=FAILED) for island in islands]
    ranked = sorted(range(len(islands)), key=lambda i: -best[i])
    kept = ranked[: (len(islands) + 1) // 2]
    fresh = [list(island) for island in islands]
    for k, i in enumerate(ranked[len(kept) :]):
        founder = islands[kept[k % len(kept)]]
        fresh[i] = [max(founder, key=lambda p: p.score)] if founder else []
    return fresh


def _improve(ask: Ask, programs: Sequence[Program]) -> str | None:
    return ask.put("improve", programs=[p.shown for p in programs]) if programs else None


async def _each(ask: Ask, prompts: Sequence[str | None]) -> dict[int, Reply]:
    """A reply to each prompt, by its index; those are missing to which the budget does not reach."""

    async def one(prompt: str | None) -> Reply | None:
        try:
            return await ask(prompt)
        except OverBudget:
            return None

    found = await ask.gather(*map(one, prompts))
    replies = {i: r for i, r in enumerate(found) if r is not None}
    if not replies:
        raise OverBudget
    return replies


async def worth(ask: Ask, reply: Reply) -> Program:
    """The program of a reply with its score. SharpenError where the question scores no programs."""
    question, code = ask.question, last_block(reply.whole)
    if question.score is None and not question.tests:
        raise SharpenError("this strategy needs a question that scores programs, or has public tests")
    if code is None:
        return Program("", error="no complete block of code")
    if question.score is None:
        verdict = await check(ask, reply)
        return Program(code, verdict.parts.get("passed", 0.0) or FAILED, verdict.detail)
    ask.tool()
    try:
        score, error = await asyncio.to_thread(question.score, code)
    except SharpenError:
        raise
    except Exception as problem:
        return Program(code, error=f"{type(problem).__name__}: {problem}")
    return Program(code, FAILED if math.isnan(score) else score, error)
