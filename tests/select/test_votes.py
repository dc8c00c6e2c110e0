"""Votes: ties are settled by who came first."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sharpen.select.votes import best, first, majority


def test_first():
    assert first(3) == 0
    assert first(0) is None


def test_best():
    assert best([0.1, 0.5, 0.5]) == 1
    assert best([math.nan, -1.0]) == 1
    assert best([math.nan]) is None
    assert best([]) is None


def test_majority():
    assert majority(["a", "b", "b"]) == 1
    assert majority([None, None, "a"]) == 2
    assert majority([None]) is None
    assert majority([]) is None
    # both have two; b had two first
    assert majority(["a", "b", "b", "a"]) == 1
    assert majority(["a", "b", "a", "b"]) == 0


@given(st.lists(st.none() | st.sampled_from("abc")))
def test_majority_wins_by_count(answers):
    index = majority(answers)
    votes = [a for a in answers if a is not None]
    if index is None:
        assert not votes
    else:
        assert votes.count(answers[index]) == max(votes.count(v) for v in votes)
        assert answers.index(answers[index]) == index
