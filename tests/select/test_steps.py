"""Self-PRM's selection: score first, then votes; fallbacks are told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.select.steps import accepted_vote, by_steps, first_accepted
from sharpen.select.universal import Pick
from sharpen.select.votes import majority

ANSWERS, ACCEPTED = [5, 7, 7, 5, 5, 9], [False, True, True, False, True, False]
lists = st.lists(
    st.tuples(st.none() | st.sampled_from("abc"), st.sampled_from([0, 0.5, 1])), min_size=1, max_size=9
)


def test_oracle():
    assert ANSWERS[majority(ANSWERS).index] == 5
    assert accepted_vote(ANSWERS, ACCEPTED) == Pick(1)
    assert by_steps(ANSWERS, [float(a) for a in ACCEPTED]) == Pick(1)
    assert first_accepted(ANSWERS, ACCEPTED) == Pick(1)


def test_the_highest_score_comes_before_votes():
    assert by_steps(["a", "b", "b"], [0.75, 0.5, 0.5]) == Pick(0)
    assert by_steps(["a", "b", "c", "c"], [0.5, 1, 1, 1]) == Pick(2)
    assert by_steps(["a", "b"], [1, 1]) == Pick(0)


def test_nothing_accepted():
    # the score still ranks
    assert by_steps(["a", "b", "b"], [0.25, 0, 0]) == Pick(0)
    for pick in (
        by_steps(["a", "b", "b"], [0, 0, 0]),
        accepted_vote(["a", "b", "b"], [False] * 3),
        first_accepted(["a", "b", "b"], [False] * 3),
    ):
        assert pick == Pick(1, True)


def test_an_answerless_sample_scores_nothing():
    assert by_steps([None, "a", "b"], [1, 0.25, 0.5]) == Pick(2)
    assert by_steps([None, "a"], [1, 0]) == Pick(1, True)
    assert accepted_vote([None, "a"], [True, False]) == Pick(1, True)
    assert first_accepted([None, "a", "b"], [True, False, True]) == Pick(2)
    assert by_steps([None, None], [1, 1]) == Pick(0, True)


def test_a_score_that_is_no_number_is_zero():
    assert by_steps(["a", "b"], [math.nan, 0.1]) == Pick(1)
    assert by_steps(["a", "b"], [math.nan, math.nan]) == Pick(0, True)


def test_lengths():
    with pytest.raises(SharpenError, match="2 answers, 1"):
        by_steps(["a", "b"], [1])
    with pytest.raises(SharpenError, match="0 answers"):
        accepted_vote([], [])


@given(lists)
def test_all_accepted_is_the_majority(rows):
    answers = [a for a, _ in rows]
    for pick in (by_steps(answers, [1.0] * len(rows)), accepted_vote(answers, [True] * len(rows))):
        assert pick.index == majority(answers).index


@given(lists)
def test_one_sample_and_any_samples(rows):
    answers, scores = [a for a, _ in rows], [float(s) for _, s in rows]
    accepted = [s == 1 for s in scores]
    for pick in (
        by_steps(answers, scores),
        accepted_vote(answers, accepted),
        first_accepted(answers, accepted),
    ):
        assert 0 <= pick.index < len(rows)
        if any(a is not None for a in answers):
            assert answers[pick.index] is not None
    assert by_steps(answers[:1], scores[:1]).index == 0


def test_equivalent_answers_vote_together():
    same = lambda a, b: a.lower() == b.lower()  # noqa: E731
    assert by_steps(["x", "a", "A"], [1, 1, 1], same=same) == Pick(1)
