"""Strategies that evolve programs."""

from __future__ import annotations

import math
import re
from functools import partial

import numpy as np
import pytest

from sharpen.score import packing
from sharpen.strategies.ask import Budget
from sharpen.strategies.evolution import FAILED, Program, reset, two
from tests.strategies.scripted import asked, play

TESTS = [{"function": "f", "arguments": [2], "returns": 4}, {"function": "f", "arguments": [3], "returns": 9}]


def _score(code: str) -> tuple[float, str]:
    """The number in a program; no sandbox is needed to read it."""
    if "crash" in code:
        return FAILED, "ZeroDivisionError: division by zero"
    if "raise" in code:
        raise RuntimeError("the scorer broke")
    return (math.nan if "nan" in code else float(code.rpartition("=")[2])), ""


def block(code: str) -> str:
    return f"```\n{code}\n```"


def worths(*scores: object) -> list[str]:
    return [block(f"x={s}") for s in scores]


SCORED = asked("Write a program.\n", score=_score)


def test_one_call_a_generation_and_only_better_ones_stay():
    played = play("llamea:generations=5", worths(1, 3, 2, 3, 5), question=SCORED)
    assert (played.calls, played.session.spent.tools) == (5, 5)
    assert played.final.notes == {"programs": 5.0, "failed": 0.0, "score": 5.0}
    assert [c.split("=")[1][0] for c in played.final.candidates] == ["1", "3", "5"]
    assert played.final.answer == "x=5\n"
    assert played.prompts[0] == "Write a program.\n"
    for prompt, best in zip(played.prompts[1:], (1, 3, 3, 3), strict=True):
        assert re.findall(r"Version \d+, (.*):", prompt) == [f"score {best}"]


def test_failed_changes_are_told_and_never_kept():
    said = [block("crash"), *worths(1), block("crash"), "no program", *worths("nan"), block("raise")]
    played = play("llamea:generations=7", [*said, *worths(2)], question=SCORED)
    assert played.final.notes == {"programs": 7.0, "failed": 5.0, "score": 2.0}
    assert len(played.final.candidates) == 2
    told = [re.findall(r"Version \d+, (.*):\n", p) for p in played.prompts]
    crash = "failed: ZeroDivisionError: division by zero"
    assert told[:5] == [[], [crash], ["score 1"], [crash, "score 1"], ["score 1"]]
    assert told[6] == ["failed: RuntimeError: the scorer broke", "score 1"]


@pytest.mark.parametrize("name", ["llamea:generations=3", "funsearch:calls=3"])
def test_nothing_that_fails_is_ever_the_result(name):
    played = play(name, [block("crash")], question=SCORED)
    assert (played.calls, played.final.answer, played.final.text) == (3, None, "")
    assert played.final.notes == {"programs": 3.0, "failed": 3.0}
    assert not played.final.confidence
    assert "scores programs" in play(name, worths(1)).final.stop
    cut = play(name, worths(1), question=SCORED, budget=Budget(calls=1))
    assert (cut.calls, cut.final.notes["score"], cut.final.stop) == (1, 1.0, "budget")


def test_without_a_score_public_tests_count():
    said = [block(f"def f(n):\n    return {body}") for body in ("1/0", "n + 2", "n * n")]
    played = play("llamea:generations=3", said, question=asked(tests=TESTS))
    assert played.final.notes == {"programs": 3.0, "failed": 1.0, "score": 1.0}
    assert "failed: test 1: " in played.prompts[1]


def test_islands_are_asked_in_turn_until_the_calls_are_used():
    first = iter(range(4))

    def script(prompt: str) -> str:
        shown = re.findall(r"score (.*):", prompt)
        return block(f"x={int(shown[-1]) + 10 if shown else next(first)}")

    played = play("funsearch:calls=12,islands=4", script, question=SCORED)
    assert (played.calls, played.final.notes["score"]) == (12, 23.0)
    # within a batch the engine has its own order
    versions = [[float(x) for x in re.findall(r"score (.*):", p)] for p in played.prompts]
    assert versions[:4] == [[]] * 4  # an empty island asks the question itself
    assert sorted(versions[4:8]) == [[0.0], [1.0], [2.0], [3.0]]
    # after two rounds the worse half, the islands that began with 0 and 1, starts anew
    assert sorted(versions[8:]) == [[2.0, 12.0], [3.0, 13.0], [12.0], [13.0]]
    assert play("funsearch:calls=6,islands=4", worths(1), question=SCORED).calls == 6


def test_a_budget_in_the_middle_of_a_round():
    scores = iter(range(100))
    played = play(
        "funsearch:islands=4", lambda p: block(f"x={next(scores)}"), question=SCORED, budget=Budget(calls=6)
    )
    assert (played.calls, played.final.stop) == (6, "budget")
    assert played.final.notes == {"programs": 6.0, "failed": 0.0, "score": 5.0}


def test_the_same_seed_gives_the_same_trace():
    def script(prompt: str) -> str:
        return block(f"x={len(prompt) % 17}")

    one, other = (play("funsearch:calls=20,islands=3,reset=2", script, question=SCORED) for _ in range(2))
    assert one.prompts == other.prompts
    assert one.final == other.final


def test_better_programs_of_an_island_are_drawn_more_often_and_shown_last():
    island = [Program(str(s), float(s)) for s in (3, 1, 2)]
    rng = np.random.default_rng(0)
    drawn = [two(island, rng) for _ in range(200)]
    assert all(a.score < b.score for a, b in drawn)
    counts = [sum(p.score == s for pair in drawn for p in pair) for s in (1, 2, 3)]
    assert counts[0] < counts[1] < counts[2]
    assert two([], rng) == []
    assert len(two(island[:1], rng)) == 1


def test_the_worse_half_starts_anew_from_the_better():
    a, b, c = (Program(x, s) for x, s in (("a", 1.0), ("b", 5.0), ("c", 3.0)))
    assert reset([[a], [b, a], [], [c]]) == [[b], [b, a], [c], [c]]
    assert reset([[a], [], []]) == [[a], [], [a]]
    assert reset([[], []]) == [[], []]
    assert reset([[a]]) == [[a]]


def test_evolution_of_a_packing_rule():
    new_bin = "def priority(item, rooms):\n    return range(len(rooms))\n"
    task = packing.tasks(1)[0]
    question = asked("Pack.\n", score=partial(packing.score, instances=task.data["instances"]))
    said = [block(new_bin), block("def priority(item, rooms): pass"), block(packing.BEST_FIT)]
    final = play("llamea:generations=3", said, question=question).final
    assert final.notes["failed"] == 1.0
    assert len(final.candidates) == 2
    judged = [packing.beats_best_fit(task.prompt, c, task.answer, task.data) for c in final.candidates]
    assert judged == [0.0, 1.0]
    assert packing.beats_best_fit(task.prompt, task.answer, task.answer, task.data) == 1.0
    assert packing.beats_best_fit(task.prompt, "", task.answer, task.data) == 0.0
