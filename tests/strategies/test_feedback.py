"""An answer, feedback with a verdict, a refinement: one dialogue, token by token."""

from itertools import pairwise

import numpy as np
import pytest

from sharpen.strategies.ask import Budget
from sharpen.strategies.words import ENGLISH, NANO_SELF
from tests.strategies.scripted import answers, asked, play

RIGHT, WRONG = "1 yes\nVerdict: right", "1 no\nVerdict: wrong"


def played(name, *said, **options):
    return play(name, list(said), question=asked("Make 3 from 1 2\n"), words=NANO_SELF, **options)


# the traces of the method: R = 1, with the last refinement judged again ------------------------------
@pytest.mark.parametrize(
    ("said", "calls", "answer", "stop"),
    [
        ((*answers("1"), RIGHT), 2, "1", "done"),
        ((*answers("1"), WRONG, *answers("2"), RIGHT), 4, "2", "done"),
        ((*answers("1"), WRONG, *answers("2"), WRONG), 4, "2", "max"),
        ((*answers("1"), "", *answers("2"), RIGHT), 4, "2", "done"),
        ((*answers("1"), "no idea", *answers("2"), ""), 4, "2", "max"),
    ],
    ids=["qualified at once", "refined", "given up", "empty feedback", "unparsable"],
)
def test_traces_of_one_refinement(said, calls, answer, stop):
    found = played("self_feedback:rounds=1,recheck=true", *said)
    assert (found.calls, found.final.answer, found.final.stop) == (calls, answer, stop)
    assert found.final.candidates == said[::2]
    assert found.final.notes["unparsable"] == sum("Verdict" not in x for x in said[1::2])


def test_at_inference_a_refinement_costs_three_generations_and_counts_at_once():
    found = played("self_feedback", *answers("1"), WRONG, *answers("2"), RIGHT)
    assert (found.calls, found.final.answer) == (3, "2")
    assert played("self_feedback", *answers("1"), RIGHT).calls == 2
    assert all(r.law.temperature == 0 for r in found.requests)
    # an unparsable verdict asks for a refinement
    assert played("self_feedback", *answers("1"), "perhaps", *answers("2")).final.answer == "2"


def test_an_empty_answer_is_never_qualified():
    found = played("self_feedback", "", RIGHT, *answers("2"))
    assert (found.calls, found.final.answer, found.final.notes["qualified"]) == (3, "2", 0)


def test_refinements_have_an_end():
    said = (*answers("1"), WRONG, *answers("2"), WRONG, *answers("3"), WRONG, *answers("4"))
    assert played("self_feedback:rounds=3", *said).calls == 7
    assert played("self_feedback:rounds=0,recheck=true", *answers("1"), WRONG).calls == 2
    assert played("self_feedback:rounds=0", *answers("1")).calls == 1


def test_every_turn_continues_the_tokens_before_it():
    found = played("self_feedback", *answers("1"), WRONG, *answers("2"))
    assert found.prompts[2] == (
        "Make 3 from 1 2\nso it is.\nAnswer: 1<|end|>\nassess\n1 no\nVerdict: wrong<|end|>\nrefine\n"
    )
    calls = found.session.calls
    for before, after in pairwise(calls):
        assert np.array_equal(after.tokens[: len(before.tokens)], before.tokens)


def test_a_refinement_is_judged_as_an_answer_of_its_own():
    said = (*answers("1"), WRONG, *answers("2"), WRONG, *answers("3"), RIGHT)
    found = played("self_feedback:rounds=2,recheck=true", *said)
    start = "Make 3 from 1 2\n"
    assert found.prompts[3] == f"{start}so it is.\nAnswer: 2<|end|>\nassess\n"
    assert found.prompts[4] == f"{start}so it is.\nAnswer: 2<|end|>\nassess\n{WRONG}<|end|>\nrefine\n"
    assert (found.calls, found.final.answer, found.final.stop) == (6, "3", "done")


def test_each_sample_is_refined_and_then_they_vote():
    def script(prompt):
        if prompt.endswith("assess\n"):
            return RIGHT if "Answer: 7" in prompt else WRONG
        if prompt.endswith("refine\n"):
            return "Answer: 7"
        return next(first)

    first = iter(answers("7", "1", "1", "2", "1"))
    found = play("self_feedback:samples=5", script, question=asked("Make 3 from 1 2\n"), words=NANO_SELF)
    assert (found.final.answer, found.final.confidence) == ("7", 1.0)
    assert found.calls == 2 + 4 * 3 <= 15
    assert found.final.notes["refined"] == 4


def test_a_budget_leaves_the_first_answer():
    said = (*answers("1"), WRONG, *answers("2"))
    for calls in (1, 2):
        cut = played("self_feedback", *said, budget=Budget(calls))
        assert (cut.calls, cut.final.answer, cut.final.stop) == (calls, "1", "budget")


def test_words_of_language_models_ask_for_what_is_read():
    asked_for = ENGLISH.prompt("assess")
    assert "Verdict: right" in asked_for
    assert "Answer: X" in ENGLISH.prompt("refine")
