"""Judges of steps: ProcessBench's F1, acceptance, and the test of independence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.judging import (
    acceptance,
    acceptance_by_difficulty,
    dependence,
    first_error_f1,
    mean_f1,
)

cells = st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=2), min_size=2, max_size=2)


def test_f1_oracles():
    found = first_error_f1((2, 0, -1, -1, 3, -1), (2, 1, -1, None, 3, -1))
    assert (found.wrong, found.right, found.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    found = first_error_f1((2, 0, -1, -1), (-1, -1, -1, -1))
    assert (found.wrong, found.right, found.f1) == (0, 1, 0)
    assert first_error_f1((2, 0, -1), (0, 0, 0)).f1 == 0  # "the first step" for all
    assert first_error_f1((0, -1), (9, 9)).f1 == 0  # beyond the last step is only wrong


def test_f1_needs_both_kinds():
    for labels, why in (((-1, -1), "no solution with an error"), ((0, 1), "no solution without an error")):
        found = first_error_f1(labels, (-1, 0))
        assert (found.f1, found.why) == (None, why)
    whole = first_error_f1((0, -1), (0, -1))
    assert mean_f1([whole, first_error_f1((0, -1), (1, -1))]) == 0.5
    assert mean_f1([whole, first_error_f1((-1,), (-1,))]) is None
    assert mean_f1([]) is None
    with pytest.raises(SharpenError, match="1 labels"):
        first_error_f1((0,), ())


@given(st.lists(st.tuples(st.integers(-1, 3), st.none() | st.integers(-1, 5)), min_size=1))
def test_f1_is_the_harmonic_mean(rows):
    found = first_error_f1([a for a, _ in rows], [b for _, b in rows])
    if found.f1:
        assert 2 / found.f1 == pytest.approx(1 / found.wrong + 1 / found.right, abs=1e-9)


def test_acceptance_oracle():
    found = acceptance([1] * 8 + [0] * 2, [1] + [0] * 9)
    assert (found.precision, found.recall) == (0.125, 1)
    assert acceptance([0], [1]).precision is None
    assert acceptance([1], [0]).recall is None


def test_difficulty_comes_from_the_other_samples():
    # one of two right: the right one's other sample is wrong, the wrong one's is right
    bands = acceptance_by_difficulty([[1, 0]], [[1, 0]])
    assert (bands["hard"].n, bands["hard"].correct) == (1, 1)
    assert (bands["easy"].n, bands["easy"].correct) == (1, 0)
    bands = acceptance_by_difficulty([[1] * 4, [1, 0, 1, 0], [1]], [[0] * 4, [1, 1, 0, 0], [1]])
    assert bands["none_right"].n == 4
    assert bands["hard"].n == 4
    # two of four right: 1/3 of the others for the right ones, 2/3 for the wrong ones
    assert (bands["middle"].n, bands["middle"].correct) == (2, 2)
    assert (bands["easy"].n, bands["easy"].correct) == (2, 0)


def test_independence_oracle():
    found = dependence([[60, 20], [15, 25]])
    assert found.chi2 == pytest.approx(16)
    assert found.p == pytest.approx(6.334e-5, rel=1e-4)
    assert found.phi == pytest.approx(0.36515, abs=1e-5)
    assert not found.exact
    assert (found.given_yes, found.given_no) == (0.75, 0.375)


def test_few_counts_are_tested_exactly():
    found = dependence([[3, 1], [1, 3]])  # Fisher's tea
    assert found.exact
    assert found.p == pytest.approx(34 / 70)
    assert dependence([[0, 5], [5, 0]]).p == pytest.approx(2 / math.comb(10, 5))


def test_independence_undefined():
    assert dependence([[0, 0], [3, 4]]) is None
    assert dependence([[3, 0], [4, 0]]) is None
    with pytest.raises(SharpenError, match="2 x 2"):
        dependence([[1, 2, 3]])


@given(cells)
def test_independence_is_symmetric(table):
    found, turned = dependence(table), dependence(np.transpose(table).tolist())
    if found is None:
        assert turned is None
        return
    assert found.p == pytest.approx(turned.p)
    assert 0 <= found.p <= 1
    assert 0 <= found.phi <= 1 + 1e-9
