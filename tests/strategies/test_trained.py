"""Strategies with a trained helper."""

from __future__ import annotations

import pytest

from sharpen.strategies import strategy
from sharpen.strategies.ask import Budget
from sharpen.strategies.words import ENGLISH
from tests.strategies.scripted import answers, play, policy

CRITIC = "Reply with the one word good"


def critic(*said: str, solutions: int = 99):
    """Solves with Answer: 1, 2, 3, ...; criticises with ``said`` in turn."""
    solved, told = iter(range(1, solutions)), iter(said)
    return lambda prompt: next(told) if CRITIC in prompt else f"Answer: {next(solved)}"


@pytest.mark.parametrize(
    ("said", "calls", "answer", "stop"),
    [(["good"], 2, "1", "done"), (["No hint."], 2, "1", "done"), ([""], 2, "1", "done"),
     (["step 1 is wrong", "good"], 4, "2", "done"), (["wrong"] * 9, 8, "4", "max")],
)  # fmt: skip
def test_a_round_is_a_solution_and_a_criticism(said, calls, answer, stop):
    played = play("refiner:rounds=4", critic(*said), helper=policy())
    assert (played.calls, played.final.answer, played.final.stop) == (calls, answer, stop)
    assert len(played.final.candidates) == calls // 2


def test_the_hint_reaches_the_policy_and_the_critic_is_the_helper():
    played = play("refiner", critic("step 1 is wrong", "good"), helper=policy())
    assert played.prompts[2] == ENGLISH.prompt(
        "revise", question="How much is 9+9?", solution="Answer: 1", feedback="step 1 is wrong"
    )
    for name in ("refiner", "self_correction"):
        assert "helper" in strategy(name).entry.needs
        assert "helper=MODEL" in play(name, critic("good")).final.stop


def test_the_corrector_rewrites_until_nothing_changes():
    played = play("self_correction:corrections=3", answers("1", "2", "3", "4"), helper=policy())
    assert (played.calls, played.final.answer, played.final.stop) == (4, "4", "max")
    played = play("self_correction:corrections=5", answers("1", "2", "2"), helper=policy())
    assert (played.calls, played.final.answer, played.final.stop) == (3, "2", "done")
    assert "if anything:\n\nWrite" in played.prompts[1]
    assert played.prompts[1].count("Answer: 1") == 1
    assert play("self_correction:corrections=0", answers("1"), helper=policy()).calls == 1


@pytest.mark.parametrize("name", ["refiner", "self_correction"])
def test_a_budget_of_one_call_still_gives_an_answer(name):
    played = play(name, answers("18"), helper=policy(), budget=Budget(calls=1))
    assert (played.calls, played.final.answer, played.final.stop) == (1, "18", "budget")
