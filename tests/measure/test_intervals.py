"""Intervals: known values, coverage, and draws that belong to the stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import NotFinite, SharpenError
from sharpen.measure import intervals
from sharpen.measure.intervals import (
    Estimate,
    hierarchical_bootstrap,
    paired_bootstrap,
    question_bootstrap,
    wilson,
)
from sharpen.runs.streams import stream


def test_wilson_known_values():
    # Newcombe 1998, table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(SharpenError):
        wilson(3, 2)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_share(pair):
    right, n = pair
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    mirrored = wilson(n - right, n)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_named_draws():
    values = np.random.default_rng(0).random((3, 50))
    one = hierarchical_bootstrap(values, n=500, stream=stream("a"))
    assert one == hierarchical_bootstrap(values, n=500, stream=stream("a"))
    assert one != hierarchical_bootstrap(values, n=500, stream=stream("b"))
    assert one[0] == values.mean()


def test_blocks_change_no_draw(monkeypatch):
    values = np.random.default_rng(0).random((3, 50))
    whole = hierarchical_bootstrap(values, n=500, stream=stream("a"))
    monkeypatch.setattr(intervals, "_BLOCK", 53 * 7)
    assert hierarchical_bootstrap(values, n=500, stream=stream("a")) == pytest.approx(whole, abs=1e-12)


def test_constant_values_have_no_width():
    assert hierarchical_bootstrap(np.full((3, 5), 0.25), stream=stream("a")) == pytest.approx((0.25,) * 3)


def test_items_are_shared_between_seeds():
    # all seeds agree on every item, so more seeds bring nothing: the interval is that of one seed
    item = (np.arange(40) % 2).astype(float)
    one = hierarchical_bootstrap(item[None], stream=stream("a"))
    many = hierarchical_bootstrap(np.tile(item, (50, 1)), stream=stream("a"))
    assert (many[2] - many[1]) == pytest.approx(one[2] - one[1], rel=0.05)
    # standard error of a mean of 40 fair coins
    assert (one[2] - one[1]) / 2 == pytest.approx(1.96 * 0.5 / np.sqrt(40), rel=0.06)


def test_seeds_are_a_level_of_their_own():
    # every item agrees within a seed: only the seeds vary
    values = np.tile(np.array([[0.0], [1.0], [0.0], [1.0]]), (1, 200))
    _, low, high = hierarchical_bootstrap(values, stream=stream("a"))
    assert (low, high) == (0.0, 1.0)


def test_coverage_is_close_to_the_level():
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(200):
        values = 0.3 + 0.05 * rng.standard_normal((8, 1)) + 0.4 * rng.standard_normal((1, 60))
        _, low, high = hierarchical_bootstrap(values, n=400, stream=stream("cover", i))
        hits += low <= 0.3 <= high
    assert 176 <= hits <= 199  # the percentile bootstrap is a little narrow with few seeds


def test_paired():
    before, after = np.zeros(100), np.r_[np.ones(60), np.zeros(40)]
    mean, low, high = paired_bootstrap(before, after, stream=stream("p"))
    assert mean == 0.6
    assert 0.49 < low < 0.53
    assert 0.67 < high < 0.71
    with pytest.raises(SharpenError, match="same items"):
        paired_bootstrap(before, after[:-1], stream=stream("p"))


def test_bad_values():
    with pytest.raises(NotFinite):
        hierarchical_bootstrap([[0.0, np.nan]], stream=stream("a"))
    with pytest.raises(SharpenError, match="shape"):
        hierarchical_bootstrap(np.zeros((0, 3)), stream=stream("a"))
    with pytest.raises(SharpenError, match="shape"):
        hierarchical_bootstrap(np.zeros(3), stream=stream("a"))


def test_questions_are_drawn_whole():
    # ten questions, ten equal items each: ten items carry as much as all hundred
    item = np.arange(10) % 2
    few = question_bootstrap(lambda i: float(item[i].mean()), range(10), stream=stream("q"))
    values, of = np.repeat(item, 10), np.repeat(np.arange(10), 10)
    many = question_bootstrap(lambda i: float(values[i].mean()), of, stream=stream("q"))
    assert many == few
    assert few.value == 0.5
    assert few.low is not None
    assert few.low <= 0.2


def test_the_bootstrap_of_a_mean_agrees_with_the_one_over_items():
    values = np.random.default_rng(2).random(60)
    one = question_bootstrap(lambda i: float(values[i].mean()), range(60), n=4000, stream=stream("q"))
    other = hierarchical_bootstrap(values[None], stream=stream("q"))
    assert one == pytest.approx(other, abs=0.01)


def test_the_order_of_items_changes_no_draw():
    values, of = np.arange(12.0), np.repeat(["c", "a", "b"], 4)
    moved = np.random.default_rng(0).permutation(12)
    one = question_bootstrap(lambda i: float(values[i].sum()), of, stream=stream("q"))
    assert one == question_bootstrap(lambda i: float(values[moved][i].sum()), of[moved], stream=stream("q"))


def test_undefined_statistics():
    assert question_bootstrap(lambda i: 1.0, [], stream=stream("q")) == Estimate(None, None, None)
    assert question_bootstrap(lambda i: None, ["a"], stream=stream("q")) == Estimate(None, None, None)
    # undefined unless both questions are drawn
    both = question_bootstrap(lambda i: 2.0 if len(set(i)) == 2 else None, ["a", "b"], stream=stream("q"))
    assert both == Estimate(2.0, 2.0, 2.0)
