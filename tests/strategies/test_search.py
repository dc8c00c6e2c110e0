"""Strategies that search, against a scripted model."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

from sharpen.runs.streams import stream
from sharpen.score.verdict import Verdict
from sharpen.strategies import strategy
from sharpen.strategies.ask import Budget
from sharpen.strategies.search import LOG_FLOOR, drawn, learnt, step_log, stored
from sharpen.strategies.words import ENGLISH, NANO_2
from tests.strategies.scripted import asked, play

VALUE, PROPOSE, VOTE = "sure, likely or impossible", "different next steps", "most promising"


def tree(value="likely", answer_at=99, n=6):
    """Proposes ``n`` new steps at a time, or answers from depth ``answer_at`` on; ``value`` judges."""
    fresh = itertools.count()

    def script(prompt: str) -> str:
        if VALUE in prompt:
            return value(prompt) if callable(value) else value
        if VOTE in prompt:
            return "Answer: 2"
        depth = len(re.findall(r"^step", prompt, re.MULTILINE))
        if depth + 1 >= answer_at:
            return "\n".join(f"Answer: {next(fresh)}" for _ in range(n))
        return "\n".join(f"step {next(fresh)}" for _ in range(n))

    return script


@pytest.mark.parametrize(("beam", "calls"), [(5, 209), (1, 57)])
def test_breadth_first_makes_the_stated_calls(beam, calls):
    played = play(f"tree_of_thoughts:depth=3,beam={beam},thoughts=6,votes=3", tree())
    assert played.calls == calls == sum(s + s * 18 for s in (1, beam, beam))
    assert (played.final.stop, played.final.answer) == ("max", None)
    assert played.final.notes["states"] == 6 + 12 * beam


def test_a_sample_a_thought_where_nothing_can_be_proposed():
    fresh = itertools.count()
    said = lambda p: "likely" if p.startswith("value") else f"step {next(fresh)}"  # noqa: E731
    played = play("tree_of_thoughts:depth=2,beam=2,thoughts=3,votes=2", said, words=NANO_2)
    assert played.calls == (3 + 3 * 2) + 2 * (3 + 3 * 2)


@pytest.mark.parametrize(
    ("words", "worth"), [(("sure", "likely", "likely"), 22), (("likely", "impossible", "likely"), 2.001)]
)
def test_values_are_summed(words, worth):
    # through the strategy: one state, three valuations; the threshold tells the sum from both sides
    turns = iter(words)
    said = lambda p: next(turns) if VALUE in p else "Answer: 1"  # noqa: E731
    spec = "tree_of_thoughts:search=dfs,depth=1,thoughts=1,votes=3,threshold="
    assert play(f"{spec}{worth - 1e-6:.6f}", said).final.answer == "1"
    turns = iter(words)
    assert play(f"{spec}{worth + 1e-3:.6f}", said).final.answer is None


def test_one_thought_no_beam_and_no_value_is_the_chain_itself():
    said = ["7+5=12", "12*3=36", "Answer: 36"]
    played = play("tree_of_thoughts:depth=9,beam=1,thoughts=1,votes=0", said)
    assert (played.calls, played.final.text, played.final.answer) == (3, "\n".join(said), "36")
    steps = ["\n".join(said[:k]) for k in (0, 1, 2)]
    assert played.prompts == [ENGLISH.prompt("step", question="How much is 9+9?", steps=s) for s in steps]


def test_duplicates_are_merged_and_states_valued_once():
    said = lambda p: "likely" if VALUE in p else "1. same\n2. same\n- other"  # noqa: E731
    played = play("tree_of_thoughts:depth=1,thoughts=3,votes=3", said)
    assert played.calls == 1 + 2 * 3
    assert played.final.notes["states"] == 2
    # an answer that is kept in the beam while others go on is not valued again
    grown = lambda p: "step 2" if "\nstep 1" in p else "Answer: 3\nstep 1"  # noqa: E731
    said = lambda p: "likely" if VALUE in p else grown(p)  # noqa: E731
    played = play("tree_of_thoughts:depth=2,thoughts=2,votes=1,beam=5", said)
    assert (played.calls, played.final.answer) == (1 + 2 + 1 + 1, "3")


def test_all_impossible_breadth_first_gives_none_and_depth_first_turns_back():
    played = play("tree_of_thoughts:depth=3,votes=2,thoughts=2", tree("impossible"))
    assert (played.final.answer, played.final.stop, played.calls) == (None, "hopeless", 1 + 2 * 2)

    def script(prompt: str) -> str:
        if VALUE in prompt:
            return "impossible" if "dead" in prompt else "likely" if "way" in prompt else "sure"
        if "trap" in prompt:
            return "dead end\ndead too"
        return "Answer: 8" if "way out" in prompt else "trap\nway out"

    # the trap is worth more, is entered first, and left again
    played = play("tree_of_thoughts:search=dfs,depth=3,votes=1,thoughts=2", script)
    assert (played.final.answer, played.final.text) == ("8", "way out\nAnswer: 8")
    assert played.calls == (1 + 2) + (1 + 2) + (1 + 1)


def test_depth_first_expands_no_more_nodes_than_it_may():
    played = play("tree_of_thoughts:search=dfs,depth=50,nodes=7,votes=1,thoughts=2", tree("sure", n=2))
    assert (played.calls, played.final.stop) == (7 * 3, "max")


def test_nonsense_of_the_judge_is_counted_and_the_search_goes_on():
    played = play("tree_of_thoughts:depth=2,votes=2,thoughts=2", tree("who knows", answer_at=2, n=2))
    assert played.final.notes["unread"] == 2 * (2 + 4)
    assert played.final.answer is not None


def test_votes_name_the_best_of_a_level():
    script = tree(answer_at=2, n=3)
    played = play("tree_of_thoughts:by=vote,depth=1,thoughts=3,votes=4", script)
    assert played.calls == 1 + 4
    ends = play("tree_of_thoughts:by=vote,depth=2,thoughts=3,votes=4,beam=1", script).final
    assert ends.answer == ends.candidates[0].split(": ")[1]
    bad = play("tree_of_thoughts:by=vote,depth=1,thoughts=3,votes=1", ["a\nb\nc", "Answer: 99"]).final
    assert bad.notes["unread"] == 1


def test_random_values_ask_nothing_and_repeat():
    one, other = (play("tree_of_thoughts:by=random,depth=2,thoughts=4,beam=2", tree(n=4)) for _ in "ab")
    assert one.calls == 1 + 2
    assert one.final == other.final
    worst = play("tree_of_thoughts:depth=2,thoughts=4,beam=2,votes=0", tree(n=4))
    assert worst.final.text != one.final.text  # in order, where nothing is drawn


@pytest.mark.parametrize("wrong", ["search=depth", "by=votes"])
def test_unknown_ways_are_named(wrong):
    assert "unknown" in play(f"tree_of_thoughts:{wrong}", tree()).final.stop


# beams ----------------------------------------------------------------------------------------
def test_the_score_of_a_chain():
    both = math.exp(step_log(math.log(0.5), math.log(0.9), 0.5) + step_log(math.log(0.8), math.log(0.4), 0.5))
    assert both == pytest.approx(0.3794733, abs=1e-7)
    low = 2 * step_log(math.log(0.9), math.log(0.3), 0.5)
    assert math.exp(low) == pytest.approx(0.27)
    assert step_log(-math.inf, -math.inf, 0.5) == LOG_FLOOR
    assert step_log(math.nan, 0.0, 0.5) == LOG_FLOOR / 2


def test_chains_are_drawn_in_proportion_without_replacement():
    scores, n = [0.3794733, 0.27], 4000
    first = [drawn(scores, 1, 0.5, stream("t", i))[0] for i in range(n)]
    assert abs(first.count(0) / n - 0.5545190) < 3 * math.sqrt(0.25 / n)
    assert drawn(scores, 2, 0.5, stream("t")) == [0, 1]
    assert drawn([0.1, 0.9, 0.2], 1, 1e-9, stream("t")) == [1]
    assert drawn([0.0, 0.0, 0.0], 5, 0.5, stream("t")) == [0, 1, 2]
    # of three, two drawn one after the other: P({0, 1}) by hand
    w = np.exp(np.array([0.2, 0.1, 0.6]) / 0.5)
    w /= w.sum()
    pair = w[0] * w[1] / (1 - w[0]) + w[1] * w[0] / (1 - w[1])
    got = [drawn([0.2, 0.1, 0.6], 2, 0.5, stream("u", i)) for i in range(n)].count([0, 1]) / n
    assert abs(got - pair) < 3 * math.sqrt(pair / n)


def test_beam_search_makes_the_stated_calls_and_evals():
    fresh = itertools.count()
    played = play("guided_beam:samples=16,levels=3,beam=5", lambda p: f"step {next(fresh)}")
    assert (played.calls, played.session.spent.evals) == (48, 48)
    assert (played.final.stop, played.final.answer, played.final.confidence) == ("max", None, 0.0)


def test_finished_chains_vote():
    turns = iter(["Answer: 4", "Answer: 5", "Answer: 4", "step"] * 10)
    played = play("guided_beam:samples=4,levels=1,beam=4", lambda p: next(turns))
    assert (played.final.answer, played.final.confidence) == ("4", 2 / 3)
    played = play("guided_beam:samples=4,levels=5,beam=4", lambda p: "Answer: 4")
    assert (played.calls, played.final.answer, played.final.confidence, played.final.stop) == (
        4,
        "4",
        1,
        "done",
    )


def test_the_same_seed_gives_the_same_beam():
    def said():
        fresh = itertools.count()
        return lambda p: f"step {next(fresh)}"

    one, other = (play("guided_beam:samples=8,levels=3,beam=2", said()) for _ in "ab")
    assert one.prompts == other.prompts
    assert one.final == other.final


# buffer of thoughts ---------------------------------------------------------------------------
MEMORY = [("asked: a sum; given: a=1, b=2", "add the parts"), ("find the longest river", "look it up")]


def test_the_nearest_way_is_adapted_or_a_generic_one():
    question = asked(memory=MEMORY)
    played = play("buffer_of_thoughts", ["asked: a sum; given: a=9, b=9", "Answer: 18"], question=question)
    assert (played.calls, played.final.answer, played.final.notes["generic"]) == (2, "18", 0)
    assert "add the parts" in played.prompts[1]
    assert "look it up" not in played.prompts[1]
    for other in (question, asked()):
        played = play("buffer_of_thoughts", ["colours of flags", "Answer: 18"], question=other)
        assert (played.calls, played.final.notes["generic"]) == (2, 1)
        assert ENGLISH.prompt("generic").strip() in played.prompts[1]


def test_only_what_the_verifier_accepts_is_learnt():
    right = asked(verify=lambda text: Verdict(float(text.endswith("18"))))
    said = ["a sum", "Answer: 18", "add them"]
    played = play("distil_thoughts", said, question=right)
    assert (played.calls, played.final.answer, played.final.notes["learnt"]) == (3, "18", 1)
    assert learnt([e.text for e in played.session.calls]) == ("a sum", "add them")
    wrong = play("distil_thoughts", ["a sum", "Answer: 19"], question=right)
    assert wrong.calls == 2
    assert learnt([e.text for e in wrong.session.calls]) is None
    assert strategy("distil_thoughts").entry.oracle
    assert not strategy("buffer_of_thoughts").entry.oracle


def test_the_buffer_refuses_what_is_like_something_it_holds():
    found = [("add 3 and 4", "one"), None, ("add 5 and 6", "two"), ("name a river", "three"), ("x", "")]
    assert stored(found, 0.6) == [("add 3 and 4", "one"), ("name a river", "three")]
    assert stored(found[2:], 0.6, found[:1]) == stored(found, 0.6)
    assert len(stored(found, 1.1)) == 3


@pytest.mark.parametrize(
    "name", ["tree_of_thoughts", "tree_of_thoughts:search=dfs", "guided_beam", "buffer_of_thoughts"]
)
def test_a_budget_of_one_call_ends_cleanly(name):
    played = play(name, tree(), budget=Budget(calls=1))
    assert (played.calls, played.final.answer, played.final.stop) == (1, None, "budget")


def test_a_search_that_is_cut_keeps_its_best():
    script = tree("likely", answer_at=2, n=2)
    played = play("tree_of_thoughts:depth=3,thoughts=2,votes=1,beam=2", script, budget=Budget(calls=9))
    assert played.final.stop == "done"
    cut = play("tree_of_thoughts:depth=9,thoughts=2,votes=1,beam=2", tree(n=2), budget=Budget(calls=10))
    assert cut.final.stop == "budget"
    assert cut.final.text.count("step") == 2
