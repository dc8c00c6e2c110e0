"""The corpus of attempts in three styles: the world judges each, and prompts are what a strategy asks."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from sharpen.models.corpus import END
from sharpen.models.machines import KNOBS, STYLES, TASKS, Machines, play, style_of, worked
from sharpen.score.overthinking import Kind, patterns, read_turn, rule_score
from sharpen.strategies.words import MACHINES
from sharpen.tasks.environment import CALLS
from sharpen.tasks.machine import Machine, MachineWorld, compute, suspects
from sharpen.tasks.registry import make
from tests.strategies.scripted import asked, policy
from tests.strategies.scripted import play as scripted

LONGEST = 64
"""Tokens of a reply, its new line included: what the experiment allows."""


@cache
def corpus():
    return Machines(120)


def attempts(style, n=150):
    rng = np.random.default_rng(3)
    return [corpus().attempt(style, rng) for _ in range(n)]


def turns(attempt):
    """As the strategy reads them: a fresh world carries the replies out."""
    world = MachineWorld(attempt.task.data["setting"])
    kinds = {name: Kind(kind) for name, kind in world.kinds.items()}
    found = []
    for reply, observation in attempt.history:
        step = world.act(reply)
        assert step.observation == observation
        found.append(read_turn(reply, observation, ok=step.ok, kinds=kinds))
    return found


@pytest.mark.parametrize("style", STYLES)
def test_every_attempt_ends_by_itself_and_its_replies_are_short_lines(style):
    for a in attempts(style):
        assert a.world.done
        assert a.world.turn < a.world.limit
        assert all("\n" not in r and r == r.strip() for r, _ in a.history)
        assert all(len(policy().tokenizer.encode(r)) < LONGEST for r, _ in a.history)
        assert len(a.prompt(len(a.history))) < 800


def test_interactive_attempts_win_and_show_no_pattern():
    for a in attempts("interactive"):
        assert a.world.won()
        assert rule_score(turns(a)) == 0
        assert make(TASKS).verify(a.task, f"Answer: {'; '.join(a.world.log)}").correct


def test_some_interactive_attempts_are_wrong_first_and_mend_it_after_the_check():
    changes = [sum(t.actions == (Kind.CHANGE,) for t in turns(a)) for a in attempts("interactive")]
    assert 0.1 < np.mean([n > 1 for n in changes]) < 0.35
    assert max(changes) >= 3  # the wrong register is put back before the right one is set


def test_every_change_that_is_worked_out_is_one_that_explains_the_test():
    for a in attempts("interactive"):
        faulty = a.task.data["setting"]["faulty"]
        for at, value in suspects(a.ops, faulty, {1: a.wanted}):
            working, found = worked(a.ops, faulty, a.got, a.wanted, at)
            assert found == value
            for equation in working.split():
                parts = re.fullmatch(r"(-?\d+)([-+*/])(-?\d+)=(-?\d+)", equation)
                assert parts
                one, op, other, result = parts.groups()
                # an exact quotient is checked as a product
                one, op, result = (result, "*", one) if op == "/" else (one, op, result)
                assert compute(op, [int(other)], int(one)) == int(result)


def test_planners_plan_and_mostly_finish_unchecked():
    found = [patterns(turns(a)) for a in attempts("planner")]
    assert all(p.paralysis > 0 and not p.rogue_turns for p in found)
    assert 0.7 < np.mean([p.disengaged for p in found]) < 1
    assert all(CALLS.search(a.history[0][0]) is None for a in attempts("planner", 20))


def test_rogues_call_several_times_at_once():
    found = [patterns(turns(a)) for a in attempts("rogue")]
    assert all(p.rogue_turns and not p.paralysis for p in found)
    assert min(rule_score(turns(a)) for a in attempts("rogue")) >= 4


def test_styles_that_do_not_look_win_sometimes():
    for style in ("planner", "rogue"):
        assert 0.2 < np.mean([a.world.won() for a in attempts(style)]) < 0.8


@pytest.mark.parametrize("knob", [0, 3, 9])
def test_the_knob_is_the_share_of_interactive_attempts(knob):
    rng = np.random.default_rng(knob)
    drawn = [style_of(knob, rng) for _ in range(4000)]
    assert abs(drawn.count("interactive") / 4000 - knob / 10) < 0.03
    assert abs(drawn.count("planner") - drawn.count("rogue")) < 250


def test_a_text_is_one_attempt_under_its_knob():
    one, other = (corpus().sample(np.random.default_rng(5)) for _ in range(2))
    assert one == other
    knob, rest = one.prompt.split("\n\n")
    assert int(knob) in KNOBS
    assert rest.startswith("Machine x ")
    assert rest.endswith("registers 0 to 1\n")
    assert one.completion.endswith(f"\nfinished\n{END}")


@pytest.mark.parametrize("style", STYLES)
def test_prompts_and_replies_are_those_of_the_strategy(style):
    """A model that replies as the attempt does is asked exactly the attempt's prompts."""
    a = attempts(style, 5)[-1]
    replies = [reply for reply, _ in a.history]
    question = asked(str(a.task.prompt), environment=lambda: MachineWorld(a.task.data["setting"]))
    did = scripted("least_overthinking:attempts=1", replies, question=question, words=MACHINES)
    assert did.prompts == [a.prompt(i) for i in range(len(replies))]
    assert did.final.answer == "; ".join(a.world.log)
    # and a text's pieces are these prompts and replies: each prompt goes on where the reply before it ended
    whole = a.prompt(len(replies))
    assert all(whole.startswith(f"{p}{r}\n") for p, r in zip(did.prompts, replies, strict=True))
    assert len(policy().tokenizer.encode(whole)) < 512


def test_the_same_draws_give_the_same_attempt():
    task = attempts("rogue", 1)[0].task
    first, again = (
        play(task, Machine(level=1).environment(task), "rogue", np.random.default_rng(1)).history
        for _ in range(2)
    )
    assert first == again
