"""Exact laws against the specification's numbers and against enumeration."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.sharpness import (
    best_of_n_law,
    coverage,
    enough,
    found_by,
    margin,
    picked,
    signal,
    tilted,
)

PI = (0.5, 0.3, 0.2)


def test_coverage_and_how_many_samples_are_enough():
    assert coverage(np.log([0.5, 0.1])) == pytest.approx(6.0)
    assert enough(0.1, 0.1) == 24
    assert found_by(0.1, 24) == pytest.approx(0.920234, abs=1e-6)
    for p in (0.01, 0.3, 0.9):
        for rho in (0.5, 0.1, 0.001):
            assert 1 - found_by(p, enough(p, rho)) <= rho
    assert coverage([-800.0, -1.0]) == np.inf  # no number holds it, and no run ends for it
    for bad in ([], [-np.inf], [0.2], [np.nan]):
        with pytest.raises(SharpenError, match="coverage"):
            coverage(bad)


def test_the_tilted_optimum():
    assert tilted(PI, 1.0) == pytest.approx([0.657895, 0.236842, 0.105263], abs=1e-6)
    assert tilted(PI, 0.25) == pytest.approx([0.919118, 0.071471, 0.009412], abs=1e-6)
    assert tilted(PI, 1e6) == pytest.approx(PI, abs=1e-5)  # a dear divergence keeps the base
    assert tilted(PI, 1e-3) == pytest.approx([1, 0, 0], abs=1e-12)


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=5), st.floats(0.1, 3))
def test_the_tilted_optimum_is_one(p, beta):
    base = np.array(p) / sum(p)
    best = tilted(base, beta)

    def value(q):
        return float((q * np.log(base)).sum() - beta * (q * np.log(q / base)).sum())

    draw = np.random.default_rng(0)
    for _ in range(20):
        other = best * np.exp(draw.normal(0, 0.3, len(best)))
        assert value(best) >= value(other / other.sum()) - 1e-12


def test_the_law_of_best_of_n():
    expected = {2: (0.75, 0.21, 0.04), 4: (0.9375, 0.0609, 0.0016), 8: (0.996094, 0.003904, 0.000003)}
    rewards = {1: -1.029653, 2: -0.837072, 4: -0.725723, 8: -0.695144}
    for n, law in expected.items():
        assert best_of_n_law(PI, n) == pytest.approx(law, abs=1e-6)
    for n, mean in rewards.items():
        assert float((best_of_n_law(PI, n) * np.log(PI)).sum()) == pytest.approx(mean, abs=1e-6)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_the_law_of_best_of_n_is_that_of_listing_all_draws(weights, n):
    p = np.array(weights) / sum(weights)
    law = np.zeros(len(p))
    for drawn in product(range(len(p)), repeat=n):
        best = max(drawn, key=lambda i: p[i])  # of equally likely ones the first that was drawn
        law[best] += math.prod(p[i] for i in drawn)
    assert best_of_n_law(p, n) == pytest.approx(law)


def test_greedy_is_not_the_likeliest_answer():
    first = {"a": 0.6, "b": 0.4}
    second = {"a": (0.5, 0.5), "b": (0.9, 0.1)}
    whole = {(a, i): first[a] * p for a in first for i, p in enumerate(second[a])}
    greedy = max(first, key=lambda a: first[a])
    assert max(whole[greedy, i] for i in range(2)) == pytest.approx(0.30)
    best = max(whole, key=lambda y: whole[y])
    assert (best, whole[best]) == (("b", 0), pytest.approx(0.36))
    # after best-of-N the likeliest has more than half, and greedy decoding takes it
    for n in (4, 16):
        law = dict(zip(whole, best_of_n_law(list(whole.values()), n), strict=True))
        assert law["b", 0] > 0.5
        assert law["b", 0] + law["b", 1] > 0.5
        assert law["b", 0] > law["b", 1]


def test_the_margin():
    assert margin(PI) == pytest.approx(0.666667, abs=1e-6)
    assert margin((0.4, 0.4, 0.2)) == 0


def test_picks_and_the_signal():
    rewards, right = [[-3, -1, -2], [-1, -5, -2]], [[0, 1, 0], [0, 1, 1]]
    fits = [[True, True, True], [False, True, True]]
    assert picked(rewards, fits, right, 1).tolist() == [0, 0]  # the only one may be picked
    assert picked(rewards, fits, right, 2).tolist() == [1, 1]
    assert picked(rewards, fits, rewards, 3).tolist() == [-1, -2]
    assert signal(rewards, np.array(right, bool)) == pytest.approx((1.0 + 0.0) / 2)
    assert signal([[-1, -2]], [[True, True]]) is None
