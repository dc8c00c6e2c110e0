"""Every strategy of the survey's sections on prompting and checking, once on a real model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from sharpen.runs.streams import stream
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.strategies import STRATEGIES, strategy
from sharpen.strategies.ask import Ask, Budget, Final, Session, attempt
from sharpen.strategies.question import question_of
from sharpen.strategies.words import ENGLISH, NANO_2, Words
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Asking
from sharpen.verbs.desk import EngineDesk
from tests.strategies.scripted import policy

MODULES = ("onepass", "decompose", "checks", "programs", "evolution")
TINY = {
    "complexity": "samples=3,keep=2,shots=2",
    "self_verification": "samples=2,checks=1",
    "math_prompter": "rounds=1",
    "progressive_hint": "most=3",
    "self_refine": "rounds=1",
    "self_debug": "turns=1",
    "pass_at_k": "samples=2",
    "pal": "samples=2",
    "funsearch": "calls=4,islands=2",
    "llamea": "generations=2",
    "chain_of_thought": "shots=2",
    "few_shot": "shots=2",
    "auto_cot": "shots=2",
    "least_to_most": "most=2",
    "self_ask": "hops=1",
}
NAMES = [name for name, e in STRATEGIES.items() if e.module in MODULES]
TOOLS = ("code", "tests", "pool", "demos")
TESTS = [{"function": "f", "arguments": [2], "returns": 4}]


def run(text: str, words: Words, n: int = 2, longest: int = 20) -> list[tuple[Final, Session]]:
    """A strategy on the first questions of a family, all in one batch."""
    source = make("chain:level=1")
    demos = [(str(t.prompt), str(t.solution)) for t in source.take("train", 6)]
    desk = EngineDesk(
        NativeEngine(), policy(), Asking(max_new_tokens=longest), SamplingLaw(), stream(0, "ask"), "k"
    )
    chosen, sessions = strategy(text), [Session(Budget(calls=12)) for _ in range(n)]
    tools: dict[str, Any] = {"demos": demos, "pool": demos}
    if chosen.entry.name in ("pass_at_k", "funsearch", "llamea"):
        tools["tests"] = TESTS
    flows = [
        attempt(chosen.flow, Ask(desk, question_of(source, task, **tools), words, session), chosen.settings)
        for task, session in zip(source.take("test", n), sessions, strict=True)
    ]
    finals: Any = desk.run(flows)
    return list(zip(finals, sessions, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_repeats(name):
    words = NANO_2 if all(NANO_2.has(r) for r in STRATEGIES[name].needs if r not in TOOLS) else ENGLISH
    text = f"{name}:{TINY[name]}" if name in TINY else name
    first, again = run(text, words), run(text, words)
    for (final, session), (other, repeated) in zip(first, again, strict=True):
        assert isinstance(final, Final), final
        assert not final.stop.startswith(("error", "dropped")), final.stop
        assert 1 <= session.spent.calls <= 12
        assert final.confidence is None or 0 <= final.confidence <= 1
        assert final == other
        assert session.names == repeated.names
        assert [e.text for e in session.calls] == [e.text for e in repeated.calls]
        json.dumps(final.notes, allow_nan=False)
        json.dumps(asdict(session.spent))


def test_behind_the_working_stands_the_answer():
    kept, whole = (
        [f.answer for f, _ in run(text, NANO_2, n=3, longest=80)]
        for text in ("scratchpad:end=Answer:", "greedy")
    )
    assert kept == whole
    assert all(whole)
