"""Strategies that write programs; the sandbox runs them, and what it finds is the answer or the feedback.

A program that does not parse, imports what is not on the list, runs into a limit, fails, or ends without a
number has no answer. Runs wait on a thread, so that those of one round share the machine's cores; a flow
never asks the model while it waits for one, so batches stay as they are.
"""

from __future__ import annotations

import ast
import asyncio
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sharpen.errors import SharpenError
from sharpen.score.answers import parse_number
from sharpen.score.code import CodeVerifier
from sharpen.score.sandbox import call_function, last_block
from sharpen.score.verdict import Status, Verdict
from sharpen.strategies.ask import Ask, Final, Reply
from sharpen.strategies.selection import elected, plain, texts
from sharpen.tasks.task import Task

SECONDS, WALL, MEMORY = 2, 30.0, 256
"""Limits of one run: CPU seconds, wall seconds (so many that a busy machine does not decide), MiB."""
MODULES = (
    "math", "cmath", "fractions", "decimal", "statistics", "numbers", "operator", "itertools", "functools",
    "collections", "heapq", "bisect", "string", "re", "datetime", "calendar", "copy", "typing", "dataclasses",
)  # fmt: skip
"""What programs may import: no chance and nothing of the machine, so that runs repeat (``datetime`` is there
for its arithmetic). It is no fence: that is the sandbox's work."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class SelfDebug:
    """``turns``: revisions at most; ``explain``: the model explains each failure first, one call more."""

    turns: int = 10
    explain: bool = False


@dataclass(frozen=True)
class PassAtK:
    """``samples``: programs written."""

    samples: int = 16


@dataclass(frozen=True)
class ProgramOfThoughts:
    """``tries``: programs at most, until one gives a number; ``finish``: one more call states the answer
    from the program's result."""

    tries: int = 1
    finish: bool = False


@dataclass(frozen=True)
class Pal:
    """``samples``: programs that vote; one is written greedily."""

    samples: int = 1


async def program_of_thoughts(ask: Ask, settings: ProgramOfThoughts) -> Final:
    """A program that assigns ``ans`` (arXiv 2211.12588)."""
    replies: list[Reply] = []
    values: list[str | None] = []
    final = Final()
    while not values or (values[-1] is None and len(values) < settings.tries):
        replies.append(await ask(ask.put("program"), temperature=None if values else 0.0))
        values.append((await run(ask, replies[-1].whole)).value)
        final = ask.keep(replace(computed(ask, replies, values), confidence=None))
    if values[-1] is None or not settings.finish:
        return final
    rationale = f"{last_block(replies[-1].whole)}\n# ans = {values[-1]}"
    said = plain(ask, await ask(ask.put("answer", rationale=rationale), temperature=0.0))
    return ask.keep(replace(said, candidates=(*final.candidates, said.text)))


async def pal(ask: Ask, settings: Pal) -> Final:
    """A function ``solution`` with its reasoning as comments (arXiv 2211.10435); several vote."""
    alone = settings.samples == 1
    replies = await ask.many(settings.samples, ask.put("function"), temperature=0.0 if alone else None)
    ran = await asyncio.gather(*(run(ask, r.whole, function="solution") for r in replies))
    return computed(ask, replies, [r.value for r in ran])


async def self_debug(ask: Ask, settings: SelfDebug) -> Final:
    """A program, revised with what its public tests told (arXiv 2304.05128).

    Where the question has no tests, it is only tested whether the program assigns a number to ``ans``.
    Ends with the program that passed most tests, of equal ones the last.
    """
    tested = bool(ask.question.tests)
    reply = await ask(None if tested else ask.put("program"), temperature=0.0)
    best, most, tried = Final(), -1.0, []
    for turn in range(settings.turns + 1):
        code = last_block(reply.whole) or ""
        passed, told, final = await (_tested if tested else _ran)(ask, reply)
        tried.append(final.text)
        if passed >= most:
            best, most = final, passed
        best = ask.keep(replace(best, candidates=tuple(tried), notes={"turns": float(turn)}))
        if passed == 1 or turn == settings.turns:
            break
        if settings.explain:
            explained = await ask(ask.put("explain", code=code, result=told), temperature=0.0)
            told = f"{told}\n{explained.text.strip()}"
        reply = await ask(ask.put("debug", code=code, error=told), temperature=0.0)
    return best if most == 1 else replace(best, stop="max")


async def pass_at_k(ask: Ask, settings: PassAtK) -> Final:
    """The likeliest by mean log-probability of the programs that pass the public tests (arXiv 2107.03374)."""
    replies = await ask.many(settings.samples)
    verdicts = await asyncio.gather(*(check(ask, r) for r in replies))
    good = [r for r, v in zip(replies, verdicts, strict=True) if v.correct]
    share = len(good) / len(replies)
    if not good:
        return ask.keep(Final(confidence=share, candidates=tuple(texts(replies))))
    best = max(good, key=lambda r: r.mean() if np.isfinite(r.mean()) else -np.inf)
    found = Final(best.whole, last_block(best.whole), share, tuple(texts(replies)))
    return ask.keep(found)


async def _tested(ask: Ask, reply: Reply) -> tuple[float, str, Final]:
    """Share of the tests passed, what the first failure was, and the program as a result."""
    verdict = await check(ask, reply)
    return verdict.parts.get("passed", 0.0), verdict.detail, Final(reply.whole, last_block(reply.whole))


async def _ran(ask: Ask, reply: Reply) -> tuple[float, str, Final]:
    """1 where the program gives a number, what went wrong, and the number as a result."""
    ran = await run(ask, reply.whole)
    text = "" if ran.value is None else ask.question.write(ran.value)
    return float(ran.value is not None), ran.error, Final(text, ran.value)


# running -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Ran:
    """What a program came to.

    Attributes:
        values: for each call a number as it is written, None where there was none.
        error: one line; empty where every call gave a number.
    """

    values: tuple[str | None, ...] = ()
    error: str = ""

    @property
    def value(self) -> str | None:
        """The first call's."""
        return self.values[0] if self.values else None


async def run(
    ask: Ask, reply: str, *, function: str = "", calls: Sequence[Sequence[int]] = ((),), fenced: bool = True
) -> Ran:
    """Run the program of a reply: its variable ``ans``, or its ``function`` on each of the argument lists.

    A function takes what it asks for of A, B, C, ... by name; ``calls`` holds their values in this order.
    """
    code = last_block(reply) if fenced else reply
    refused = "no complete block of code" if code is None else refusal(code)
    if code is None or refused:
        return Ran((None,) * len(calls), refused)
    reach = f"{function}(*[dict(zip({LETTERS!r}, given))[n] for n in signature({function}).parameters])"
    source = code + _NUMBER.format(reach=reach if function else "ans")
    ask.tool()
    ran, found = await asyncio.to_thread(
        call_function, source, "sharpen_asked", calls,
        cpu_seconds=SECONDS, wall_seconds=WALL, memory_mib=MEMORY, unsafe=ask.question.unsafe,
    )  # fmt: skip
    values = tuple(map(number, found)) + (None,) * (len(calls) - len(found))
    said = ran.stderr.strip().splitlines()
    if None not in values:
        return Ran(values)
    if ran.how != "ended":
        return Ran(
            values, "stopped: it took too long" if ran.how in ("cpu", "wall") else "stopped: " + ran.how
        )
    return Ran(values, said[-1][:200] if said and ran.code else "it gives no number")


_NUMBER = """

def sharpen_asked(*given):
    from decimal import Decimal
    from inspect import signature
    from numbers import Number
    value = {reach}
    if isinstance(value, bool) or not isinstance(value, Number):
        return None
    if isinstance(value, float):
        value = Decimal(format(value, ".15g"))
    return format(value, "f") if isinstance(value, Decimal) else str(value)
"""


def number(told: Any) -> str | None:
    """What a program told as a number's text, whole ones without a point; None where it is no number."""
    value = parse_number(told) if isinstance(told, str) else None
    return None if value is None else str(value) if value.denominator == 1 else told


def refusal(code: str) -> str:
    """Why a program is not run: it does not parse, or imports a module that is not in ``MODULES``."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code)
    except SyntaxError as problem:
        return f"{type(problem).__name__}: {problem.msg}"
    except (ValueError, RecursionError, MemoryError) as problem:
        return f"{type(problem).__name__}: {problem}"
    for node in ast.walk(tree):
        named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        for name in named:
            if name.partition(".")[0] not in MODULES:
                return f"ImportError: {name} may not be imported here"
    return ""


async def check(ask: Ask, reply: Reply) -> Verdict:
    """The verdict of the question's public tests."""
    question = ask.question
    if not question.tests:
        raise SharpenError("this strategy needs public tests, and the question has none")
    verifier = CodeVerifier(SECONDS, memory_mib=MEMORY, unsafe=question.unsafe)
    task = Task(question.id, question.prompt, "", {"tests": list(question.tests)})
    ask.tool()
    verdict = await asyncio.to_thread(verifier, task=task, episode=reply.episode)
    if verdict.status is Status.BAD_GOLD:
        raise SharpenError(f"the public tests cannot be read: {verdict.detail}")
    return verdict


def computed(ask: Ask, replies: Sequence[Reply], values: Sequence[str | None]) -> Final:
    """The majority of what programs gave; its share is the confidence."""
    names = [ask.question.name(v) for v in values]
    said = ["" if v is None else ask.question.write(v) for v in values]
    k = elected(names, replies).index
    share = 0.0 if names[k] is None else names.count(names[k]) / len(names)
    return ask.keep(Final(said[k], values[k], share, tuple(said)))
