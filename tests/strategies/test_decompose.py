"""Strategies that take a question apart."""

from __future__ import annotations

import pytest

from sharpen.strategies.ask import Budget
from sharpen.strategies.decompose import items
from sharpen.strategies.words import NANO_2
from tests.strategies.scripted import answers, asked, play

FOLLOW = ["Who wrote it?", "When was she born?", "Answer: 1797"]
PARTS = ["a=7+5\nb=a*3", "7+5=12\nAnswer: 12", "12*3=36\nAnswer: 36", "Answer: 36"]
QUESTION = "Compute 7 +5 *3\n"


def _found(query: str) -> str:
    return {"Who wrote it?": "Mary Shelley", "When was she born?": "30 August 1797"}[query]


def test_search_answers_follow_up_questions():
    played = play("self_ask", FOLLOW, question=asked(QUESTION, search=_found), words=NANO_2)
    assert (played.calls, played.session.spent.tools) == (3, 2)  # hops + 1
    assert (played.final.answer, played.final.stop, played.final.notes) == ("1797", "done", {"hops": 2.0})
    assert played.prompts[-1] == (
        "ask Compute 7 +5 *3\nWho wrote it? is Mary Shelley\nWhen was she born? is 30 August 1797\n"
    )


def test_without_search_the_model_answers_them():
    said = ["a=7+5", "7+5=12\nAnswer: 12", "Answer: 36"]
    played = play("self_ask", said, question=asked(QUESTION), words=NANO_2)
    assert (played.calls, played.session.spent.tools, played.final.answer) == (3, 0, "36")
    assert played.prompts[1:] == [
        "sub Compute 7 +5 *3\na=7+5\n",
        "ask Compute 7 +5 *3\na=7+5 is 12\n",
    ]


def test_a_failing_search_tells_why():
    def broken(query: str) -> str:
        raise TimeoutError(f"no reply to {query!r}")

    played = play("self_ask", FOLLOW[1:], question=asked(search=broken))
    assert "error: no reply to 'When was she born?'" in played.prompts[-1]
    assert (played.final.answer, played.session.spent.tools) == ("1797", 1)


def test_hops_have_an_end_and_an_empty_reply_too():
    endless = play("self_ask:hops=2", ["Why?"], question=asked(search=lambda q: "no"))
    assert (endless.calls, endless.final.answer, endless.final.stop) == (3, None, "max")
    assert endless.session.spent.tools == 2
    assert play("self_ask:hops=5", ["Why?"], question=asked(search=lambda q: "no")).calls == 6
    empty = play("self_ask", ["  "])
    assert (empty.calls, empty.final.answer, empty.final.stop) == (1, None, "done")
    assert play("self_ask", answers("18")).calls == 1


def test_sub_questions_are_answered_in_order_and_the_question_last():
    played = play("least_to_most", PARTS, question=asked(QUESTION), words=NANO_2)
    assert (played.calls, played.final.answer) == (4, "36")  # 1 + s
    assert played.prompts == [
        "decompose Compute 7 +5 *3\n",
        "sub Compute 7 +5 *3\na=7+5\n",
        "sub Compute 7 +5 *3\na=7+5 is 12\nb=a*3\n",
        "sub Compute 7 +5 *3\na=7+5 is 12\nb=a*3 is 36\nCompute 7 +5 *3\n",
    ]
    # a decomposition that ends with the question itself does not ask it twice
    said = ["a=7+5\nCompute 7 +5 *3", *PARTS[1:]]
    assert play("least_to_most", said, question=asked(QUESTION)).calls == 3
    assert play("least_to_most:most=1", PARTS, question=asked(QUESTION)).calls == 3


def test_no_sub_questions_is_chain_of_thought():
    played = play("least_to_most", [" \n", "Answer: 36"], question=asked(QUESTION), words=NANO_2)
    assert (played.calls, played.final.answer) == (2, "36")
    assert played.prompts[1] == QUESTION
    demos = [("Compute 1 +1", "1+1=2\nAnswer: 2")]
    question = asked(QUESTION, demos=demos)
    shown = play("least_to_most:shots=1", ["", "Answer: 36"], question=question, words=NANO_2)
    assert shown.prompts[1] == "Compute 1 +1\n1+1=2\nAnswer: 2\nCompute 7 +5 *3\n"


def test_plan_and_solution_take_one_call_or_two():
    one = play("plan_then_solve", ["Plan: add.\n9+9=18\nAnswer: 18"])
    assert (one.calls, one.final.answer) == (1, "18")
    two = play("plan_then_solve:apart=true", ["first add", "9+9=18\nAnswer: 18"])
    assert (two.calls, two.final.answer) == (2, "18")
    assert "first add" in two.prompts[1]
    assert "no role 'planned'" in play("plan_then_solve", answers("18"), words=NANO_2).final.stop


@pytest.mark.parametrize("name", ["self_ask", "least_to_most", "plan_then_solve:apart=true"])
def test_budget_and_no_answers(name):
    cut = play(name, ["What first?"], budget=Budget(calls=1))
    assert (cut.calls, cut.final.answer, cut.final.stop) == (1, None, "budget")
    none = play(name, ["no idea"]).final
    assert none.answer is None
    assert not none.confidence


def test_lists_lose_their_bullets_only():
    assert items("1. a=7+5\n- b\n\n* c \n2) d\nQ: e?\n-4 is f\n3.5 g") == (
        ["a=7+5", "b", "c", "d", "e?", "-4 is f", "3.5 g"]
    )
