"""Measures of a judge, against the specification's numbers and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.likert import comparisons, consistency, kendall, likert, pearson

GOLD, SAID = [1, 2, 3, 4, 5], [2, 2, 3, 5, 4]


def test_the_numbers_of_the_specification():
    found = likert(GOLD, SAID)
    assert found.pearson == pytest.approx(0.848875, abs=1e-6)
    assert found.spearman == pytest.approx(0.872082, abs=1e-6)
    assert found.kendall == pytest.approx(0.737865, abs=1e-6)
    assert (found.exact, found.within_one, found.error) == (0.4, 1.0, pytest.approx(0.6))
    assert found.bias == pytest.approx(0.2)
    assert found.unread == 0
    pairs = comparisons([4, 3, 1], [2, 3, 5])
    assert (pairs.accuracy, pairs.ties) == (pytest.approx(0.5), pytest.approx(1 / 3))


def test_unread_scores_count_as_wrong_and_stay_out_of_the_rest():
    found = likert([1, 2, 3, 4, 5, 5, 5], [*SAID, None, None])
    assert found.pearson == pytest.approx(0.848875, abs=1e-6)
    assert found.exact == pytest.approx(2 / 7)
    assert found.within_one == pytest.approx(5 / 7)
    assert found.unread == pytest.approx(2 / 7)
    nothing = likert([1, 2], [None, None])
    assert (nothing.exact, nothing.unread, nothing.pearson, nothing.error) == (0, 1, None, None)
    assert comparisons([None, 5], [1, 1]).accuracy == pytest.approx(0.75)
    assert comparisons([None, 5], [1, 1]).unread == 0.5


def test_a_judge_that_always_says_the_same_is_seen():
    found = likert(GOLD, [3] * 5)
    assert found.same
    assert (found.pearson, found.spearman, found.kendall) == (None, None, None)
    assert found.exact == pytest.approx(0.2)
    assert found.distance == pytest.approx(0.8)
    assert not likert(GOLD, SAID).same
    assert not likert([3], [3]).same  # one item tells nothing


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=12))
def test_correlations_are_those_of_loops(pairs):
    a, b = (np.array(side, float) for side in zip(*pairs, strict=True))
    concordant = sum(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i in range(len(a)) for j in range(i))
    free = [sum(x[i] != x[j] for i in range(len(x)) for j in range(i)) for x in (a, b)]
    if 0 in free:
        assert kendall(a, b) is None
        assert pearson(a, b) is None
    else:
        assert kendall(a, b) == pytest.approx(concordant / math.sqrt(free[0] * free[1]))
        assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_agreement_with_oneself():
    assert consistency([[4, 4, 4], [1, 1]]) == 1
    assert consistency([[4, 4, 2]]) == pytest.approx(1 / 3)
    assert consistency([[4, None, 4], [None, 1]]) == 1
    assert consistency([[1], [None, None]]) is None


def test_what_does_not_fit_is_refused():
    for call in (lambda: likert([1], []), lambda: likert([], []), lambda: comparisons([], [])):
        with pytest.raises(SharpenError):
            call()
    with pytest.raises(SharpenError, match="shapes"):
        pearson([1, 2], [1])
