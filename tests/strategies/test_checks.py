"""Strategies in which the model checks, criticises or repeats its own answers."""

from __future__ import annotations

import pytest

from sharpen.score.verdict import Verdict
from sharpen.strategies.ask import Budget
from sharpen.strategies.checks import lettered, masked
from sharpen.strategies.words import NANO_2
from tests.strategies.scripted import answers, asked, play

CHAIN = asked("Compute 7 +5 *3\n")


# progressive hints --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "name", "answer", "calls", "stop"),
    [
        (["40", "45", "45"], "progressive_hint", "45", 3, "done"),
        (["7", "7"], "progressive_hint", "7", 2, "done"),
        (["1", "2", "1", "2"], "progressive_hint:most=4", "2", 4, "max"),
        (["7", "", "7", "7"], "progressive_hint", "7", 4, "done"),
        (["", "", "", "4", "4"], "progressive_hint", "4", 5, "done"),
        (["18", "18.0"], "progressive_hint", "18.0", 2, "done"),
    ],
)
def test_hints_end_when_two_in_a_row_agree(said, name, answer, calls, stop):
    played = play(name, answers(*said))
    assert (played.final.answer, played.calls, played.final.stop) == (answer, calls, stop)
    assert [c.rpartition("Answer: ")[2] if "Answer" in c else "" for c in played.final.candidates] == said


def test_each_answer_becomes_a_hint():
    played = play("progressive_hint", answers("40", "45", "45"), question=CHAIN, words=NANO_2)
    assert played.prompts == [
        "Compute 7 +5 *3\n",
        "Compute 7 +5 *3 hint 40\n",
        "Compute 7 +5 *3 hint 40, 45\n",
    ]
    # with nothing to hint at, the question is asked again
    assert play("progressive_hint:most=2", answers("", "3"), question=CHAIN).prompts[1] == "Compute 7 +5 *3\n"


def test_hints_with_one_round_are_the_base():
    for base in ("greedy", "direct", "zero_shot_cot", "self_consistency"):
        said = answers("1", "2", "2", "3")
        once, alone = play(f"progressive_hint:most=1,base={base}", said), play(base, said)
        assert once.final.text == alone.final.text
        assert once.calls == alone.calls
        assert once.final.stop == "max"
    assert "did you mean 'greedy'" in play("progressive_hint:base=gredy", answers("1")).final.stop
    oracle = play("progressive_hint:base=verified", answers("1"), question=asked()).final
    assert oracle.stop.startswith("error: NoVerifier")


def test_a_round_of_hints_may_be_a_vote():
    said = answers("1", "2", "2", "3", "5", "5", "2")
    played = play("progressive_hint:samples=3", said)
    # 1, then three a round: 2, 5, 2, 2
    assert (played.calls, played.final.answer) == (13, "2")
    assert [c[-1] for c in played.final.candidates] == ["1", "2", "5", "2", "2"]


# self-verification --------------------------------------------------------------------------------
def _chain_model(prompt: str) -> str:
    """36 is found back, 35 is not."""
    if prompt.startswith("statement"):
        return "Compute 7 +5 *3 is " + prompt.strip().rpartition("Answer: ")[2]
    if prompt.startswith("mask"):
        wanted = {"X +5 *3": 7, "7 +X *3": 5, "7 +5 *X": 3}
        number = next(n for masked_, n in wanted.items() if masked_ in prompt)
        return f"Answer: {number}" if prompt.strip().endswith("36") else "Answer: none"
    raise AssertionError(prompt)


def _then(said: list[str], model):
    left = list(said)
    return lambda prompt: left.pop(0) if left else model(prompt)


def test_the_answer_from_which_the_numbers_are_found_again():
    script = _then(answers("35", "36", "35", "35", ""), _chain_model)
    played = play("self_verification:checks=4", script, question=CHAIN, words=NANO_2)
    # K + D (1 + P #numbers)
    assert played.calls == 5 + 2 * (1 + 4 * 3)
    assert (played.final.answer, played.final.confidence) == ("36", 0.2)
    assert played.final.notes == {"matches": 12.0, "distinct": 2.0}
    assert len(played.final.candidates) == 5
    assert "mask Compute 7 +X *3 is 35\n" in played.prompts


def test_equal_scores_go_to_the_more_frequent_then_to_the_first():
    def model(prompt: str) -> str:
        return "Compute 7 +5 *3 is 1" if prompt.startswith("statement") else "Answer: none"

    for said, won in ((["1", "2", "2"], "2"), (["2", "1", "1", "2"], "2"), (["1", "2"], "1")):
        name = f"self_verification:samples={len(said)},checks=1"
        assert play(name, _then(answers(*said), model), question=CHAIN, words=NANO_2).final.answer == won


def test_without_numbers_the_answer_is_called_true_or_false():
    def model(prompt: str) -> str:
        assert prompt.startswith("verify")
        return "Yes." if prompt.strip().endswith("red") else "no"

    question = asked("Which colour?\n")
    script = _then(answers("blue", "red", "blue"), model)
    played = play("self_verification:samples=3,checks=2", script, question=question, words=NANO_2)
    assert (played.calls, played.final.answer) == (3 + 2 * 2, "red")


def test_self_verification_without_answers_or_with_one():
    none = play("self_verification", ["no idea"], question=CHAIN)
    assert (none.calls, none.final.answer, none.final.confidence) == (5, None, 0.0)
    same = play(
        "self_verification:checks=1", _then(answers("36") * 5, _chain_model), question=CHAIN, words=NANO_2
    )
    assert (same.calls, same.final.answer, same.final.confidence) == (5 + 1 + 3, "36", 1.0)
    # a comparison that is cut short is none
    for calls in (1, 6, 8, 20):
        script = _then(answers("35", "36", "35", "35", ""), _chain_model)
        cut = play("self_verification:checks=4", script, question=CHAIN, words=NANO_2, budget=Budget(calls))
        assert (cut.calls, cut.final.answer, cut.final.stop) == (calls, "35", "budget")


def test_numbers_are_masked_one_at_a_time_and_the_answer_stays():
    assert masked("With 3 bags of 1,200 and 3 more it is 3603.", ["3", "1,200", "3", "9"]) == [
        ("With X bags of 1,200 and 3 more it is 3603.", "3"),
        ("With 3 bags of X and 3 more it is 3603.", "1,200"),
        ("With 3 bags of 1,200 and X more it is 3603.", "3"),
    ]
    assert masked("Compute 7 -4 is 3", ["7", "4"])[1][0] == "Compute 7 -X is 3"


# expression and program ---------------------------------------------------------------------------
def _maths(expressions: list[str], functions: list[str]):
    left, right = list(expressions), list(functions)

    def script(prompt: str) -> str:
        said = left if prompt.startswith("expression") else right
        text = said.pop(0) if len(said) > 1 else said[0]
        return f"Answer: {text}" if said is left else f"```\n{text}\n```"

    return script


RIGHT = "def solution(A,B,C):\n a=A\n # +B\n a=a+B\n return a*C"


def test_an_expression_and_a_program_that_agree():
    # the second program takes its arguments in another order, the third is wrong, the fourth does not run
    programs = [RIGHT, "def solution(C,B,A):\n return C*(A+B)", "def solution(A,B,C): return A+B+C", "x ="]
    script = _maths([*["(A+B)*C"] * 4, "D"], [*programs, RIGHT])
    played = play("math_prompter:rounds=5", script, question=CHAIN, words=NANO_2)
    assert played.calls == 10  # 2 a round
    assert (played.final.answer, played.final.confidence) == ("36", 0.4)
    assert played.prompts[:2] == ["expression Compute A +B *C\n", "function Compute A +B *C\n"]
    assert played.final.candidates == ("Answer: 36", "Answer: 36", "", "", "")


def test_math_prompter_needs_no_agreement_by_chance():
    # equal on the true numbers, different in general
    played = play("math_prompter:rounds=1", _maths(["A*C+15"], [RIGHT]), question=CHAIN, words=NANO_2)
    assert (played.final.answer, played.final.confidence) == (None, 0.0)
    assert play("math_prompter:rounds=1", ["no idea"], question=CHAIN).final.answer is None
    script = _maths(["A/B*C"], ["def solution(A,B,C): return A*C/B"])  # equal but for rounding
    third = play("math_prompter:rounds=1", script, question=CHAIN, words=NANO_2)
    assert (third.final.answer, third.final.confidence) == ("4.2", 1.0)
    cut = play("math_prompter", _maths(["(A+B)*C"], [RIGHT]), question=CHAIN, words=NANO_2, budget=Budget(1))
    assert (cut.calls, cut.final.answer, cut.final.stop) == (1, None, "budget")
    cut = play("math_prompter", _maths(["(A+B)*C"], [RIGHT]), question=CHAIN, words=NANO_2, budget=Budget(3))
    assert (cut.final.answer, cut.final.stop) == ("36", "budget")


def test_letters_stand_for_numbers_in_order():
    assert lettered("7 bags of 1,200 at 2.5, and 7 more") == (
        "A bags of B at C, and D more",
        [7, 1200, 2.5, 7],
    )
    assert "more than there are letters" in play("math_prompter", ["x"], question=asked("1 " * 27)).final.stop


# feedback and revision ----------------------------------------------------------------------------
def test_refining_ends_when_the_model_calls_it_good():
    said = [*answers("1"), "wrong: 1", *answers("2"), "Good.", *answers("9")]
    played = play("self_refine", said, question=CHAIN, words=NANO_2)
    assert (played.calls, played.final.answer, played.final.stop) == (4, "2", "done")
    assert [c[-1] for c in played.final.candidates] == ["1", "2"]
    assert played.prompts[1] == "critique Compute 7 +5 *3\nso it is.\nAnswer: 1\n"
    assert played.prompts[2] == "revise Compute 7 +5 *3\nso it is.\nAnswer: 1\nwrong: 1\n"
    assert play("self_refine", [*answers("1"), "good"]).calls == 2


def test_refining_has_an_end_and_keeps_all_feedback():
    said = [*answers("1"), "first", *answers("2"), "second", *answers("3")]
    played = play("self_refine:rounds=2", said, question=CHAIN, words=NANO_2)
    assert (played.calls, played.final.answer, played.final.stop) == (5, "3", "max")  # 1 + 2 rounds
    assert played.prompts[-1].endswith("Answer: 2\nfirst\nsecond\n")
    assert play("self_refine:rounds=4", ["no idea"]).calls == 9
    # praise that goes on is no verdict
    assert play("self_refine:rounds=1", [*answers("1"), "Good start, but 7+5 is wrong."]).calls == 3


def test_refining_sees_no_gold_and_keeps_its_best():
    verify = lambda text: Verdict(1 / 0)  # noqa: E731
    question = asked(verify=verify)
    assert play("self_refine", [*answers("1"), "good"], question=question).final.answer == "1"
    for calls, answer in ((1, "1"), (2, "1"), (3, "2")):
        said = [*answers("1"), "bad", *answers("2"), "bad", *answers("3")]
        cut = play("self_refine", said, budget=Budget(calls))
        assert (cut.calls, cut.final.answer, cut.final.stop) == (calls, answer, "budget")


@pytest.mark.parametrize("name", ["progressive_hint:most=4", "self_refine:rounds=2"])
def test_no_answers_at_all(name):
    final = play(name, ["no idea"]).final
    assert (final.answer, final.stop) == (None, "max")
    assert not final.confidence
