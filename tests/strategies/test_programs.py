"""Strategies that write programs; they run in the real sandbox."""

from __future__ import annotations

import pytest

from sharpen.strategies.ask import Budget
from sharpen.strategies.programs import number, refusal
from sharpen.strategies.words import NANO_2
from tests.strategies.scripted import asked, play

TESTS = [{"function": "f", "arguments": [2], "returns": 4}, {"function": "f", "arguments": [3], "returns": 9}]


def block(code: str) -> str:
    return f"```python\n{code}\n```"


def solves(text: str, name: str = "program_of_thoughts", **more):
    return play(name, [text], **more).final


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("ans = 3*6", "18"),
        ("ans = 36/2", "18"),
        ("ans = 0.1+0.2", "0.3"),
        ("from fractions import Fraction\nans = Fraction(1, 3)", "1/3"),
        ("from decimal import Decimal\nans = Decimal('2.50')", "2.50"),
        ("ans = 10.0**20", "100000000000000000000"),
    ],
)
def test_a_program_s_number_is_the_answer(code, answer):
    final = solves(block(code))
    assert (final.answer, final.text) == (answer, f"Answer: {answer}")


@pytest.mark.parametrize(
    "reply",
    [
        "no program",
        "```\nans = 1",
        block("print(18)"),
        block("ans = (3"),
        block("ans = 1/0"),
        block("ans = 'eighteen'"),
        block("ans = True"),
        block("ans = float('nan')"),
        block("ans = 2j"),
        block("import os\nans = os.getpid()"),
        block("from subprocess import run\nans = 1"),
        block("from . import jail\nans = 1"),
        block("raise SystemExit"),
        block("x = ' ' * 10**9\nans = 1"),
    ],
)
def test_what_gives_no_number_is_no_answer(reply):
    final = solves(reply)
    assert (final.answer, final.text, final.stop) == (None, "", "done")
    assert not final.confidence


def test_an_endless_loop_is_stopped(monkeypatch):
    monkeypatch.setattr("sharpen.strategies.programs.SECONDS", 1)
    assert solves(block("while True: pass")).answer is None


def test_what_is_refused_is_never_run():
    played = play("program_of_thoughts", [block("import socket\nans = 1")])
    assert (played.session.spent.tools, played.final.answer) == (0, None)
    assert refusal("import os.path") == "ImportError: os.path may not be imported here"
    assert refusal("ans=(3*7)+8)") == "SyntaxError: unmatched ')'"
    assert refusal("ans=((3*7)+8") == "SyntaxError: '(' was never closed"
    assert refusal("import math, statistics\nfrom fractions import Fraction") == ""
    assert refusal("-" * 100_000 + "1")
    assert refusal("a\0b")


def test_only_numbers_are_numbers():
    assert [number(x) for x in ("18.0", "1/3", "nan", "x", None, 3, "NaN", "Infinity")] == (
        ["18", "1/3", None, None, None, None, None, None]
    )


def test_calls_of_program_of_thoughts():
    assert play("program_of_thoughts", [block("ans=1")]).calls == 1
    tried = play("program_of_thoughts:tries=3", ["no", block("ans=1/0"), block("ans=18")])
    assert (tried.calls, tried.final.answer) == (3, "18")
    assert [r.law.greedy for r in tried.requests] == [True, False, False]
    assert play("program_of_thoughts:tries=3", ["no"]).calls == 3
    told = play("program_of_thoughts:finish=true", [block("ans=18"), "so it is.\nAnswer: 18 apples"])
    assert (told.calls, told.final.answer) == (2, "18 apples")
    assert "# ans = 18" in told.prompts[1]
    assert told.final.candidates == ("Answer: 18", "so it is.\nAnswer: 18 apples")
    # a last call that says nothing leaves no answer; one that the budget refuses leaves the program's
    cut = play("program_of_thoughts:finish=true", [block("ans=18")], budget=Budget(calls=1))
    assert (cut.final.answer, cut.final.stop) == ("18", "budget")


def test_functions_vote():
    said = [block(f"def solution():\n    # why\n    return {n}") for n in (7, 18, 18.0)]
    played = play("pal:samples=4", [*said, "no program"])
    assert (played.calls, played.final.answer, played.final.confidence) == (4, "18", 0.5)
    assert played.final.candidates == ("Answer: 7", "Answer: 18", "Answer: 18", "")
    assert played.session.spent.tools == 3
    assert play("pal", said[1:]).calls == 1
    assert play("pal:samples=3", said[1:2]).final.confidence == 1.0
    none = play("pal:samples=3", [block("def solution():\n    print(18)")]).final
    assert (none.answer, none.confidence) == (None, 0.0)
    assert play("pal", [block("def solution(n):\n    return n")]).final.answer is None


@pytest.mark.parametrize("name", ["program_of_thoughts:tries=2", "pal:samples=3", "self_debug", "pass_at_k"])
def test_a_budget_of_one_call(name):
    tests = TESTS if name == "pass_at_k" else ()
    for said in (
        "no program",
        block("def solution():\n    return 18\ndef f(n):\n    return n * n\nans = 18"),
    ):
        played = play(name, [said], budget=Budget(calls=1), question=asked(tests=tests))
        assert played.calls == 1
        assert (played.final.answer is None) == (said == "no program")
        wanted_more = played.final.answer is None or "samples" in name or name == "pass_at_k"
        assert played.final.stop == ("budget" if wanted_more else "done")


def test_debugging_until_the_tests_pass():
    said = [block(f"def f(n):\n    return {body}") for body in ("n + 2", "n * n * n", "n * n")]
    played = play("self_debug", said, question=asked("Write f.\n", tests=TESTS))
    assert (played.calls, played.final.stop) == (3, "done")  # 1 + turns
    assert played.final.text == said[2]
    assert played.final.candidates == tuple(said)
    assert "Write f." in played.prompts[0]
    assert "return n + 2" in played.prompts[1]
    assert "test 2: returned '5'" in played.prompts[1]
    assert "test 1: returned '8'" in played.prompts[2]
    told = play("self_debug:explain=true", [said[0], "it adds", said[2]], question=asked(tests=TESTS))
    assert (told.calls, told.final.text) == (3, said[2])  # one more for the explanation
    assert "it adds" in told.prompts[2]


def test_debugging_ends_with_the_program_that_passed_most():
    said = [block(f"def f(n):\n    return {body}") for body in ("1", "n + 2", "n * 2", "'x'")]
    played = play("self_debug:turns=3", said, question=asked(tests=TESTS))
    assert (played.calls, played.final.stop, played.final.text) == (4, "max", said[2])
    assert play("self_debug:turns=1,explain=true", ["none"], question=asked(tests=TESTS)).calls == 3


def test_without_tests_a_program_only_has_to_give_a_number():
    said = [block("ans=(7+5"), block("ans=(7+5)*3")]
    played = play("self_debug", said, question=asked("Compute 7 +5 *3\n"), words=NANO_2)
    assert (played.calls, played.final.answer, played.final.notes) == (2, "36", {"turns": 1.0})
    assert played.prompts == [
        "program Compute 7 +5 *3\n",
        "debug Compute 7 +5 *3\nans=(7+5\nSyntaxError: '(' was never closed\n",
    ]
    none = play("self_debug:turns=2", ["no program"])
    assert (none.calls, none.final.answer, none.final.stop) == (3, None, "max")


def test_the_likeliest_program_that_passes():
    # the scripted engine finds every token equally likely: means are equal, and the first wins
    said = [block(f"def f(n):\n    return {body}") for body in ("n", "n * n", "n ** 2")]
    played = play("pass_at_k:samples=3", said, question=asked(tests=TESTS))
    assert (played.calls, played.final.text, played.final.confidence) == (3, said[1], 2 / 3)
    assert len(played.final.candidates) == 3
    none = play("pass_at_k:samples=2", said[:1], question=asked(tests=TESTS)).final
    assert (none.answer, none.text, none.confidence) == (None, "", 0.0)
    assert "public tests" in play("pass_at_k:samples=1", said).final.stop
    assert "cannot be read" in play("pass_at_k:samples=1", said, question=asked(tests=[3])).final.stop
