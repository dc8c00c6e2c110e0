"""Verdicts on pairs in both orders, by hand and by a judge that goes by the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.choices import preferred

letters = st.sampled_from("AB")


def test_by_hand():
    found = preferred("ABAB", ["A", "A", None, "B"], ["B", "B", "B", "B"])
    # right: A, then B is told of the exchanged ones as wrong unless it names the other letter
    assert found.accuracy == (2 + 2) / 8
    assert (found.consistent, found.contradictory) == (2 / 4, 1 / 4)
    assert found.first == 2 / 7
    assert found.unread == 1 / 8
    assert not found.same


@given(st.lists(letters, min_size=1, max_size=20), letters)
def test_a_judge_that_always_says_the_same_is_told_and_right_half_the_time(gold, letter):
    found = preferred(gold, [letter] * len(gold), [letter] * len(gold))
    assert found.accuracy == 0.5
    assert (found.consistent, found.contradictory, found.same) == (0, 1, True)
    assert found.first == float(letter == "A")


@given(st.lists(letters, min_size=2, max_size=20))
def test_a_good_judge_is_consistent(gold):
    found = preferred(gold, gold, ["B" if g == "A" else "A" for g in gold])
    assert (found.accuracy, found.consistent, found.contradictory, found.first) == (1, 1, 0, 0.5)
    assert not found.same


def test_nothing_read_and_nothing_judged():
    found = preferred("AB", [None, None], [None, None])
    assert (found.accuracy, found.unread, found.first, found.same) == (0, 1, None, False)
    with pytest.raises(SharpenError, match="no pair"):
        preferred("", [], [])
