"""Strategies that ask once."""

from __future__ import annotations

import numpy as np
import pytest

from sharpen.strategies import strategy
from sharpen.strategies.ask import Ask, Budget, Session
from sharpen.strategies.onepass import AutoCot, exemplars, longest, steps
from sharpen.strategies.question import Question, question_of
from sharpen.strategies.words import ENGLISH, NANO_2
from sharpen.tasks.registry import make
from tests.strategies.scripted import answers, asked, play

DEMOS = [
    (f"Compute {i} +1 *2", f"{i}+1={i + 1}\n{i + 1}*2={2 * i + 2}\nAnswer: {2 * i + 2}") for i in range(9)
]
SHOWN = asked("Compute 7 +5\n", demos=DEMOS, pool=DEMOS)
CALLS = {
    "direct": 1,
    "few_shot": 1,
    "scratchpad": 1,
    "chain_of_thought": 1,
    "zero_shot_cot": 2,
    "auto_cot": 1,
    "complexity:samples=5,keep=3": 5,
    "self_consistency:samples=4,shots=2": 4,
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_as_stated(name):
    played = play(name, ["7+5=12</scratch>\nAnswer: 12"], question=SHOWN)
    assert (played.calls, played.final.answer, played.final.stop) == (CALLS[name], "12", "done")


@pytest.mark.parametrize("name", CALLS)
def test_one_call_is_enough_for_an_answer(name):
    played = play(name, ["</scratch>\nAnswer: 12"], question=SHOWN, budget=Budget(calls=1))
    assert (played.calls, played.final.answer) == (1, "12")
    assert played.final.stop == ("done" if CALLS[name] == 1 else "budget")


@pytest.mark.parametrize("name", CALLS)
def test_no_answer_is_none(name):
    final = play(name, ["no idea"], question=SHOWN).final
    assert (final.answer, final.stop) == (None, "done")
    assert not final.confidence


def test_only_samples_are_not_greedy():
    for name in CALLS:
        law = play(name, answers("12"), question=SHOWN).requests[0].law
        assert law.greedy != ("samples" in name)


def test_one_sample_at_temperature_0_is_chain_of_thought():
    for shots in (0, 3):
        cot = play(f"chain_of_thought:shots={shots}", answers("12"), question=SHOWN)
        vote = play(f"self_consistency:samples=1,temperature=0,shots={shots}", answers("12"), question=SHOWN)
        assert cot.final.text == vote.final.text
        assert np.array_equal(cot.requests[0].tokens, vote.requests[0].tokens)
        assert cot.requests[0].stream == vote.requests[0].stream


def test_examples_come_before_the_question_and_never_hold_it():
    own = (" Compute 7 +5 ", "7+5=12\nAnswer: 12")
    question = asked("Compute 7 +5\n", demos=[own, *DEMOS])
    seen = play("chain_of_thought:shots=2", answers("12"), question=question, words=NANO_2).prompts[0]
    assert seen == f"{DEMOS[0][0]}\n{DEMOS[0][1]}\n{DEMOS[1][0]}\n{DEMOS[1][1]}\nCompute 7 +5\n"
    seen = play("few_shot:shots=2", answers("12"), question=question, words=NANO_2).prompts[0]
    assert seen == "Compute 0 +1 *2\nAnswer: 2\nCompute 1 +1 *2\nAnswer: 4\nCompute 7 +5\n"
    assert "no worked example" in play("few_shot", answers("12")).final.stop


def test_scratch_work_counts_for_nothing_and_must_be_closed():
    played = play("scratchpad", ["Answer: 3\n</scratch>\n 12 \n"])
    assert (played.final.answer, played.final.text) == ("12", "Answer: 12")
    assert played.prompts == ["How much is 9+9?\n"]
    assert play("scratchpad", ["Answer: 3"]).final.answer is None
    assert play("scratchpad", ["Answer: 3</scratch>"]).final.answer is None
    assert play("scratchpad:end=Answer:", ["7+5=12\nAnswer: 12"]).final.answer == "12"


def test_the_rationale_is_given_back_and_makes_a_worked_solution():
    source = make("chain:level=1")
    task = source.take("train", 1)[0]
    lines = str(task.solution).split("\n")
    played = play(
        "zero_shot_cot", ["\n".join(lines[:-1]), lines[-1]], question=question_of(source, task), words=NANO_2
    )
    assert played.prompts[0] == f"think {task.prompt}"
    assert played.prompts[1] == f"answer {task.prompt}" + "\n".join(lines[:-1]) + "\n"
    assert played.final.text == task.solution
    assert source.verify(task, played.final.text).correct
    # an answer that the rationale gave itself is not said twice
    final = play("zero_shot_cot", [str(task.solution), lines[-1]], question=question_of(source, task)).final
    assert final.text == task.solution


def _exemplars(pool, **settings):
    question = Question("q", "Compute 7 +5\n", pool=pool)
    return exemplars(Ask(None, question, ENGLISH, Session()), AutoCot(**settings))  # type: ignore[arg-type]


def test_auto_cot_takes_one_short_worked_question_of_each_cluster():
    sums = [(f"add {i} and {i + 1}", f"{i}\nAnswer: {i}") for i in range(5)]
    sorts = [(f"sort the letters of word {'abcde'[i]}", f"{i}\nAnswer: {i}") for i in range(5)]
    found = _exemplars([*sums, *sorts], shots=2)
    assert [q.split()[0] for q, _ in found] == ["add", "sort"]
    # too long a working, too long a question and no answer are passed over; a cluster may give none
    bad = [(q, "1\n2\n3\nAnswer: 1") for q, _ in sums]
    assert [q.split()[0] for q, _ in _exemplars([*bad, *sorts], shots=2, steps=2)] == ["sort"]
    last = [*sums[:4], ("add 4 and 5", "no idea")]
    assert ("add 4 and 5", "no idea") not in _exemplars(last, shots=5)
    assert _exemplars([("Compute 7 +5", "Answer: 12")]) == []
    assert _exemplars(sums, words=3) == []
    question = asked(pool=[("q", "no idea")])
    assert "no question of the pool" in play("auto_cot", answers("1"), question=question).final.stop


def test_the_most_steps_vote():
    # the survey's example: (steps, answer); a plain vote gives 5
    chains = [(3, 5), (7, 9), (6, 9), (2, 5), (2, 5), (5, 5)]
    said = ["a step\n" * n + f"Answer: {a}" for n, a in chains]
    assert [steps(text) for text in said] == [n for n, _ in chains]
    played = play("complexity:samples=6,keep=3,shots=0", said)
    assert (played.final.answer, played.final.confidence) == ("9", 2 / 3)
    assert len(played.final.candidates) == 6
    assert play("self_consistency:samples=6", said).final.answer == "5"
    assert longest([2, 5, 5, 1], 2) == [1, 2]
    assert longest([5, 5, 5], 2) == [0, 1]


def test_the_hardest_examples_are_shown():
    demos = [("a", "Answer: 1"), ("b", "x\ny\nz\nAnswer: 2"), ("c", "x\nAnswer: 3")]
    played = play(
        "complexity:shots=2,samples=1", answers("1"), question=asked("q\n", demos=demos), words=NANO_2
    )
    assert played.prompts[0] == "b\nx\ny\nz\nAnswer: 2\nc\nx\nAnswer: 3\nq\n"


def test_the_same_seed_gives_the_same_trace():
    one, other = (play("complexity:samples=4", answers("1", "2"), question=SHOWN) for _ in range(2))
    assert [r.stream for r in one.requests] == [r.stream for r in other.requests]
    assert one.session.names == other.session.names
    assert strategy("complexity:samples=4").name == "complexity:samples=4"
