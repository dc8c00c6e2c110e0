"""Strategies that choose among samples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.score.verdict import Verdict
from sharpen.select import votes
from sharpen.strategies import STRATEGIES, strategy
from sharpen.strategies.ask import Budget
from tests.strategies.scripted import answers, asked, play

MANY = ["first", "best_of_n", "borda", "weighted", "self_consistency"]


@pytest.mark.parametrize("name", MANY)
def test_calls_are_the_samples(name):
    assert play(f"{name}:samples=5", answers("18")).calls == 5
    assert play(f"{name}:samples=1", answers("18")).calls == 1


def test_one_call():
    for name in ("greedy", "sample"):
        played = play(name, answers("18"))
        assert (played.calls, played.final.answer, played.final.stop) == (1, "18", "done")
    assert play("greedy", answers("18")).requests[0].law.greedy
    assert not play("sample", answers("18")).requests[0].law.greedy


def test_the_majority_and_its_share():
    played = play("self_consistency:samples=5", answers("18", "18", "20", "18", "25"))
    assert (played.final.answer, played.final.confidence) == ("18", 0.6)
    assert len(played.final.candidates) == 5
    # numbers are equal by value
    assert play("self_consistency:samples=3", answers("25", "18", "18.0")).final.answer == "18"


@pytest.mark.parametrize("name", MANY)
def test_all_without_answer_is_no_answer(name):
    final = play(f"{name}:samples=3", answers("")).final
    assert final.answer is None
    assert not final.confidence
    assert final.stop == "done"


@pytest.mark.parametrize(("p", "right", "covered"), [(0.6, 0.68256, 0.98976), (0.4, 0.31744, 0.92224)])
def test_votes_help_above_one_half_and_hurt_below(p, right, covered):
    # five independent votes between two answers: exact, by every pattern of right and wrong
    won = seen = 0.0
    for pattern in product((True, False), repeat=5):
        chance = p ** sum(pattern) * (1 - p) ** (5 - sum(pattern))
        names = ["1" if good else "2" for good in pattern]
        won += chance * (names[votes.majority(names).index] == "1")
        seen += chance * ("1" in names)
    assert (won, seen) == pytest.approx((right, covered))


def test_all_equal_is_certain():
    assert play("self_consistency:samples=4", answers("7")).final.confidence == 1.0


def test_ties_go_to_the_likelier_then_to_the_first():
    # the scripted engine finds every token equally likely: the shorter reply is likelier
    said = ["a longer way round.\nAnswer: 1", "Answer: 2"]
    assert play("self_consistency:samples=2", said).final.answer == "2"
    assert play("self_consistency:samples=2", answers("1", "2")).final.answer == "1"


def test_one_sample_at_temperature_0_is_greedy():
    one, other = (play(s, answers("18")) for s in ("self_consistency:samples=1,temperature=0", "greedy"))
    assert one.final.text == other.final.text
    assert np.array_equal(one.requests[0].tokens, other.requests[0].tokens)
    assert (one.requests[0].law, one.requests[0].stream) == (other.requests[0].law, other.requests[0].stream)


def test_the_longest_is_a_control():
    said = ["Answer: 1", "very much longer\nAnswer: 2", "long\nAnswer: 3"]
    assert play("best_of_n:samples=3,by=length", said).final.answer == "2"
    with pytest.raises(SharpenError, match="unknown signal 'lenght': did you mean 'length'"):
        raise SharpenError(play("best_of_n:samples=1,by=lenght", said).final.stop.removeprefix("error: "))


def test_the_model_names_one():
    said = [*answers("1", "2", "2"), "The most consistent response is Response 1"]
    played = play("universal:samples=3", said)
    assert (played.calls, played.final.answer, played.final.notes) == (4, "2", {"fallback": 0.0})
    played = play("universal:samples=3", [*answers("1", "2", "2"), "Response 9"])
    assert (played.final.answer, played.final.notes) == ("1", {"fallback": 1.0})
    cut = play("universal:samples=3", answers("", "2", "3"), budget=Budget(calls=3))
    assert (cut.final.answer, cut.final.stop) == ("2", "budget")


def test_the_verifier_is_for_oracles_only():
    question = asked(verify=lambda text: Verdict(float(text.endswith("3"))))
    assert play("verified:samples=4", answers("1", "2", "3", "3"), question=question).final.answer == "3"
    assert play("verified:samples=2", answers("1"), question=asked()).final.stop.startswith(
        "error: NoVerifier"
    )
    assert [name for name, e in STRATEGIES.items() if e.oracle] == [
        "verified",
        "distil_thoughts",
        "reflexion_verified",
    ]


@pytest.mark.parametrize("name", [*MANY, "universal", "progressive_hint"])
def test_a_budget_of_one_call_still_gives_an_answer(name):
    played = play(name, answers("18"), budget=Budget(calls=1))
    assert (played.calls, played.final.answer, played.final.stop) == (1, "18", "budget")


def test_a_token_budget_is_never_passed_and_used_up_in_waves():
    # a reply has 20 tokens and may have 64
    played = play("self_consistency:samples=40", answers("7"), budget=Budget(tokens=400), max_new_tokens=64)
    assert 400 - 64 < played.session.spent.tokens <= 400
    assert played.final.stop == "budget"
    none = play("self_consistency:samples=4", answers("7"), budget=Budget(tokens=60), max_new_tokens=64)
    assert (none.calls, none.final.answer, none.final.stop) == (0, None, "budget")


def test_names():
    assert strategy("borda:power=1.2,samples=32").name == "borda:samples=32,power=1.2"
    assert strategy("borda").name == "borda"
    assert strategy("borda:power=2").settings.power == 2.0
    with pytest.raises(SharpenError, match="unknown strategy 'bordo': did you mean 'borda'"):
        strategy("bordo")
    with pytest.raises(SharpenError, match="unknown setting of borda 'sample': did you mean 'samples'"):
        strategy("borda:sample=3")
    with pytest.raises(SharpenError, match="samples='x' should be of type int"):
        strategy("borda:samples=x")
