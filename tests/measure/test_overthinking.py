"""LO@k, regression and the t-test: oracles and exact enumeration."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.intervals import wilson
from sharpen.measure.overthinking import least_squares, lowest_at_k, relative_change, student_p, welch
from sharpen.measure.passk import pass_at_k
from sharpen.select.thinking import lowest

attempts = st.lists(st.tuples(st.none() | st.integers(0, 4), st.booleans()), min_size=1, max_size=6)


def test_oracles():
    assert [lowest_at_k([1, 4, 7], [1, 0, 1], k) for k in (1, 2, 3)] == pytest.approx([2 / 3, 2 / 3, 1])
    assert pass_at_k(3, 2, 2) == 1
    assert lowest_at_k([3, 3, 9], [1, 0, 1], 2) == 0.5


@given(attempts, st.data())
def test_lowest_is_the_mean_over_subsets(rows, data):
    scores, success = [s for s, _ in rows], [y for _, y in rows]
    n, k = len(rows), data.draw(st.integers(1, len(rows)))
    each = []
    for subset in combinations(range(n), k):
        tied = lowest([scores[i] for i in subset])
        each.append(np.mean([success[subset[j]] for j in tied]))
    found = lowest_at_k(scores, success, k)
    assert found == pytest.approx(np.mean(each))
    assert found <= pass_at_k(n, sum(success), k) + 1e-12
    assert lowest_at_k(scores, success, 1) == pytest.approx(np.mean(success))
    assert lowest_at_k([2] * n, success, k) == pytest.approx(np.mean(success))
    assert lowest_at_k(scores, [True] * n, k) == pytest.approx(1)
    assert lowest_at_k(scores, [False] * n, k) == 0


def test_unscored_rank_last():
    assert lowest_at_k([None, 9], [1, 0], 2) == 0
    assert lowest_at_k([math.nan, None], [1, 0], 2) == 0.5
    with pytest.raises(SharpenError, match="k=3"):
        lowest_at_k([1, 2], [1, 0], 3)


def test_costs():
    assert -relative_change(2 * 400, 1400) == pytest.approx(0.428571, abs=1e-6)
    assert relative_change(27.3, 21.0) == pytest.approx(0.30)
    assert -relative_change(3 * 400, 1400) == pytest.approx(0.142857, abs=1e-6)
    with pytest.raises(SharpenError, match="from 0"):
        relative_change(1, 0)


def test_line_oracle():
    line = least_squares([1, 2, 3, 4], [40, 30, 25, 10])
    assert (line.slope, line.intercept) == pytest.approx((-9.5, 50))
    assert line.r2 == pytest.approx(0.962667, abs=1e-6)
    assert line.p == pytest.approx(0.018844, abs=1e-6)


def test_lines_at_the_edge():
    exact = least_squares([1, 2, 4], [1, 2, 4])
    assert exact.r2 == pytest.approx(1)
    assert exact.p < 1e-6
    flat = least_squares([1, 2, 3], [5, 5, 5])
    assert (flat.slope, flat.r2, flat.p) == (0, None, 1)
    for x, y, why in (([1, 2], [1, 2], "3 points"), ([2, 2, 2], [1, 2, 3], "same x")):
        with pytest.raises(SharpenError, match=why):
            least_squares(x, y)
    with pytest.raises(SharpenError, match="infinite"):
        least_squares([1, 2, math.nan], [1, 2, 3])


def test_student():
    # tables of the t distribution
    for df, t in ((1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (30, 2.04227), (1e7, 1.95996)):
        assert student_p(t, df) == pytest.approx(0.05, abs=2e-6)
        assert student_p(-t, df) == student_p(t, df)
    assert student_p(0, 7) == 1
    # one degree of freedom is Cauchy's distribution
    assert student_p(3, 1) == pytest.approx(1 - 2 * math.atan(3) / math.pi)


def test_welch():
    # equal sizes and spreads: Student's own test, t = -1 / sqrt(2/3), 4 degrees of freedom
    difference, p = welch([1, 2, 3], [2, 3, 4])
    assert difference == -1
    assert p == pytest.approx(student_p(-math.sqrt(1.5), 4))
    assert welch([1, 2], [1, 2])[1] == 1
    for a, b in (([1], [1, 2]), ([1, 1], [2, 2])):
        with pytest.raises(SharpenError, match="t-test"):
            welch(a, b)


def test_wilson_oracles():
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson(10, 10)[1] == 1
