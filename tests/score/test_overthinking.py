"""Overthinking by rules: the three patterns and the score."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.overthinking import (
    Kind,
    Turn,
    patterns,
    read_turn,
    reasoning_action_ratio,
    rule_score,
)

LOOK, CHANGE, CHECK, FINISH = Kind.LOOK, Kind.CHANGE, Kind.CHECK, Kind.FINISH
KINDS = {"read": LOOK, "set": CHANGE, "run": CHECK, "finish": FINISH}


def turns(*actions):
    return [Turn("", tuple(a) if isinstance(a, tuple) else (a,) if a else ()) for a in actions]


INTERACTIVE = (LOOK, CHANGE, LOOK, LOOK, CHECK, FINISH)


@pytest.mark.parametrize(
    ("actions", "score"),
    [
        (INTERACTIVE, 0),
        ((LOOK, CHANGE, LOOK, LOOK, LOOK, FINISH), 9),  # no check
        ((CHANGE, None, None, None, CHECK, FINISH), 9),  # half of the turns idle
        (((LOOK, CHANGE), LOOK, LOOK, LOOK, CHECK, FINISH), 4),  # one message of two actions
        (((LOOK, LOOK), (LOOK, LOOK), LOOK, LOOK, CHECK, FINISH), 9),  # two of them
        ((None, LOOK, LOOK, LOOK, CHECK, FINISH), 4),
        ((None, None, LOOK, CHECK, FINISH), 5),
        ((None, None, None, None), 10),
        ((), 9),
    ],
)
def test_oracles(actions, score):
    assert rule_score(turns(*actions)) == score


def test_a_loop_of_single_actions_with_feedback_is_not_overthinking():
    loop = [Turn("again", (CHANGE,), "error", ok=False, reasoning=5)] * 12
    assert rule_score(loop) <= 3


def test_long_reasoning_before_each_action_is_not_overthinking():
    long = [replace(t, reasoning=5000) for t in turns(*INTERACTIVE)]
    assert rule_score(long) <= 3
    assert reasoning_action_ratio(long) == pytest.approx(30_000 / 7)


def test_the_end_stands_alone():
    both = turns(CHANGE, CHECK, (LOOK, FINISH))
    assert rule_score(both) > 3
    # a check in the message that ends the attempt was not waited for
    assert patterns(turns(CHANGE, (CHECK, FINISH))).disengaged


def test_ending_right_after_an_error_without_a_new_check():
    failed = [*turns(CHANGE), Turn("", (CHECK,), "1 test failed", ok=False), *turns(FINISH)]
    assert rule_score(failed) >= 8
    assert rule_score([*failed[:2], *turns(CHANGE, CHECK, FINISH)]) == 0


def test_a_change_after_the_check_needs_another():
    assert patterns(turns(CHECK, CHANGE, FINISH)).disengaged
    assert patterns(turns((CHECK, CHANGE), FINISH)).disengaged
    assert not patterns(turns((CHANGE, CHECK), FINISH)).disengaged
    assert not patterns(turns(CHANGE, CHECK, LOOK, FINISH)).disengaged


def test_rogue_actions_after_a_setback_count_twice():
    calm = turns(LOOK, (LOOK, LOOK), LOOK, CHECK, FINISH)
    upset = [replace(calm[0], ok=False), *calm[1:]]
    assert patterns(calm).rogue == 0.2
    assert patterns(upset).rogue == 0.4
    assert patterns(upset).rogue_turns == 1


def test_an_attempt_that_never_ends_is_not_disengaged():
    assert not patterns(turns(CHANGE, LOOK)).disengaged


@given(st.lists(st.tuples(st.lists(st.sampled_from(list(Kind)), max_size=3), st.booleans()), max_size=8))
def test_bounds_and_bands(rows):
    attempt = [Turn("", tuple(a), ok=ok) for a, ok in rows]
    score, p = rule_score(attempt), patterns(attempt)
    assert score in {0, *range(4, 11)}
    assert (score == 0) == (not p.paralysis and not p.rogue and not p.disengaged)
    assert (score >= 8) >= p.disengaged
    assert rule_score([replace(t, text="x", observation="y", reasoning=9) for t in attempt]) == score


def test_a_turn_is_read_from_its_text():
    text = "<think><tool>finish</tool>?</think>I look: <tool>read 3</tool> then <tool>set(1, 2)</tool> ok"
    turn = read_turn(text, "5", ok=True, kinds=KINDS)
    assert turn.actions == (LOOK, CHANGE)
    assert turn.observation == "5"


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("no call\n\nbut three\n\nparagraphs", ()),
        ("<tool>run", ()),
        ("</tool><tool>run</tool>", (CHECK,)),
        ("<tool></tool>", (LOOK,)),
        ("<tool>dance</tool>", (LOOK,)),
        ("<tool>run</tool></think><tool>finish</tool>", (FINISH,)),
        ("<think>a</think><tool>run</tool><think>b</think><tool>set</tool>", (CHECK, CHANGE)),
        ("<think><tool>run</tool>", ()),
    ],
)
def test_calls(text, actions):
    assert read_turn(text, "", ok=True, kinds=KINDS).actions == actions
