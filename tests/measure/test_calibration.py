"""Calibration: the oracles and the checklist of arXiv 2504.06564."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.measure.calibration import (
    ace,
    ace_over_ties,
    bin_index,
    brier,
    by_length,
    calibrate,
    difference,
    ece,
    overconfidence,
    reliability,
)
from sharpen.measure.separation import auroc
from sharpen.runs.streams import stream

C, Y = [0.9, 0.9, 0.8, 0.6, 0.95], [1, 0, 1, 0, 1]
ALTERNATING = [1, 0] * 5
items = st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=40).map(
    lambda rows: (np.array([c / 100 for c, _ in rows]), np.array([y for _, y in rows]))
)


def test_oracle_one():
    assert ece(C, Y) == pytest.approx(0.33)
    assert ace(C, Y, bins=5) == pytest.approx(0.37)
    assert ace(C, Y, bins=2) == pytest.approx(0.2625)


def test_oracle_two():
    same = [0.9] * 10
    assert ece(same, ALTERNATING) == pytest.approx(0.4)
    for order in (ALTERNATING, sorted(ALTERNATING)):
        assert ace(same, order) == pytest.approx(0.5)
    assert ace(same, ALTERNATING, bins=5) == pytest.approx(0.4)
    # the ties, not the confidence, make that number
    assert ace(same, sorted(ALTERNATING), bins=5) == pytest.approx((0.9 + 0.9 + 0.4 + 0.1 + 0.1) / 5)


def test_oracle_three():
    assert ece([1, 1, 0, 0.5], [1, 1, 0, 1]) == pytest.approx(0.125)


def test_oracle_of_the_bins():
    assert (bin_index([0, 0.1, 0.3, 0.8, 0.9, 0.95, 1.0]) + 1).tolist() == [1, 1, 3, 8, 9, 10, 10]
    assert bin_index([0.1 + 0.2]) == bin_index([0.3])
    assert bin_index([0.07], bins=100) == 6  # 0.07 * 100 is a little more than 7


@given(st.integers(0, 1000))
def test_bins_are_closed_on_the_right(n):
    assert bin_index([n / 1000])[0] == max(-(-n // 100), 1) - 1


def test_edges():
    assert ece([1, 0, 1], [1, 0, 1]) == 0
    assert ece([0.5] * 4, [1, 0, 1, 0]) == 0
    assert ece([1.0], [1]) == 0
    assert ece([1, 1], [0, 0]) == 1
    for measure in (ece, ace, brier, overconfidence):
        assert measure([], []) is None
    assert brier([0.5, 1], [1, 0]) == pytest.approx(0.625)
    assert overconfidence([0.5, 1], [1, 0]) == pytest.approx(0.25)


def test_bad_input():
    with pytest.raises(SharpenError, match="not in"):
        ece([1.5], [1])
    with pytest.raises(SharpenError, match="not in"):
        ece([math.nan], [1])
    with pytest.raises(SharpenError, match="same items"):
        ece([0.5, 0.5], [1])


@given(items)
def test_ace_of_few_items_is_the_mean_gap(drawn):
    c, y = drawn
    assert ace(c, y, bins=len(c)) == pytest.approx(np.abs(c - y).mean())
    assert ace(c, y, bins=len(c) + 7) == pytest.approx(np.abs(c - y).mean())
    assert ace(c, y, bins=1) == pytest.approx(abs(c.mean() - y.mean()))


@given(items)
def test_ece_by_its_definition(drawn):
    c, y = drawn
    total = 0.0
    for m in range(1, 11):
        inside = [
            i for i, x in enumerate(c) if (m - 1) * 10 < round(x * 100) <= m * 10 or (m == 1 and x == 0)
        ]
        if inside:
            total += len(inside) / len(c) * abs(y[inside].mean() - c[inside].mean())
    assert ece(c, y) == pytest.approx(total)
    gap = overconfidence(c, y)
    assert gap is not None
    assert abs(gap) - 1e-12 <= total <= np.abs(c - y).mean() + 1e-12


@given(items, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(drawn, rng):
    c, y = drawn
    order = list(range(len(c)))
    rng.shuffle(order)
    ids = np.array([f"item {i}" for i in range(len(c))])
    assert ece(c[order], y[order]) == pytest.approx(ece(c, y))
    assert ace(c[order], y[order], ids=ids[order]) == pytest.approx(ace(c, y, ids=ids))
    assert brier(c[order], y[order]) == pytest.approx(brier(c, y))


def test_ace_over_ties():
    same = [0.9] * 10
    mean = ace_over_ties(same, ALTERNATING, stream=stream("t"), bins=5)
    assert mean is not None
    assert 0.4 < mean < 0.5
    assert mean == ace_over_ties(same, ALTERNATING, stream=stream("t"), bins=5)
    assert ace_over_ties(C[1:], Y[1:], stream=stream("t")) == pytest.approx(ace(C[1:], Y[1:]))
    assert ace_over_ties([], [], stream=stream("t")) is None


def test_reliability_table():
    table = reliability(C, Y)
    assert [b.n for b in table] == [0, 0, 0, 0, 0, 1, 0, 1, 2, 1]
    row = table[8]
    assert (row.low, row.high, row.accuracy) == (0.8, 0.9, 0.5)
    assert row.confidence == pytest.approx(0.9)
    assert row.interval[0] < 0.5 < row.interval[1]
    assert (table[0].accuracy, table[0].confidence, table[0].interval) == (None, None, (0, 1))
    gaps = sum(b.n / 5 * abs(b.accuracy - b.confidence) for b in table if b.n)
    assert gaps == pytest.approx(ece(C, Y))


def test_by_length():
    short, long, none = by_length([5, 9, 10, 50, 99], C, Y, [0, 10, 100, math.inf])
    assert (short.n, long.n, none.n) == (2, 3, 0)
    assert short.accuracy == 0.5
    assert long.ece == pytest.approx(ece(C[2:], Y[2:]))
    assert none.ece is none.accuracy is none.confidence is None
    with pytest.raises(SharpenError, match="1 lengths"):
        by_length([5], C, Y, [0, 10])


def sample(n=60, repeats=3):
    rng = np.random.default_rng(4)
    c = rng.integers(0, 11, n * repeats) / 10
    return c, rng.random(n * repeats) < c, np.repeat([f"q{i}" for i in range(n)], repeats)


def test_report():
    c, y, of = sample()
    report = calibrate(c, y, of, stream=stream("c"))
    assert (report.n, report.invalid) == (180, 0)
    assert report.ece.value == pytest.approx(ece(c, y))
    assert report.ace.value == pytest.approx(ace(c, y, ids=np.arange(180)))
    assert report.brier.low < report.brier.value < report.brier.high
    assert report.accuracy.value == pytest.approx(y.mean())
    assert report.overconfidence.low < 0 < report.overconfidence.high  # this confidence is honest
    assert report.separation.auroc.low > 0.6
    assert sum(b.n for b in report.table) == 180


def test_invalid_items_enter_no_measure():
    c, y, of = sample()
    holed = np.where(np.arange(180) % 10 == 0, np.nan, c)
    kept = ~np.isnan(holed)
    report = calibrate(holed, y, of, stream=stream("c"))
    assert (report.n, report.invalid) == (162, 18)
    alone = calibrate(c[kept], y[kept], of[kept], stream=stream("c"))
    assert report.ece == alone.ece
    assert report.separation == alone.separation
    # whatever the invalid ones' outcomes are
    assert calibrate(holed, np.where(kept, y, ~y), of, stream=stream("c")).brier == report.brier


def test_no_valid_item():
    report = calibrate([math.nan], [1], ["q"], stream=stream("c"))
    assert (report.n, report.invalid) == (0, 1)
    for estimate in (report.ece, report.ace, report.brier, report.accuracy, report.separation.auroc):
        assert estimate.value is None
    assert report.ace_over_ties is None


def test_a_constant_confidence_and_shuffled_ones():
    _, y, of = sample()
    constant = calibrate(np.full(180, y.mean()), y, of, stream=stream("c"))
    assert constant.ece.value == pytest.approx(0)
    assert constant.separation.auroc.value == 0.5
    c = np.random.default_rng(9).permutation(sample()[0])
    assert calibrate(c, y, of, stream=stream("c")).separation.auroc.low < 0.5


def test_lengths_must_agree():
    with pytest.raises(SharpenError, match="1 questions"):
        calibrate([0.5, 0.5], [1, 0], ["q"], stream=stream("c"))


def test_two_models_are_compared_on_identical_items():
    c, y, of = sample()
    rng = np.random.default_rng(6)
    d, z = np.clip(c + 0.2, 0, 1), rng.random(180) < c
    n, change = difference(ece, (d, z), (c, y), of, stream=stream("d"))
    assert n == 180
    assert change.value == pytest.approx(ece(d, z) - ece(c, y))
    assert change.low < change.value < change.high
    # what either left out counts for neither
    holed = np.where(np.arange(180) % 4 == 0, np.nan, d)
    kept = ~np.isnan(holed)
    n, change = difference(ece, (holed, z), (c, y), of, stream=stream("d"))
    assert n == 135
    assert change.value == pytest.approx(ece(d[kept], z[kept]) - ece(c[kept], y[kept]))
    assert difference(ece, (c, y), (c, y), of, stream=stream("d"))[1] == (0, 0, 0)
    assert difference(auroc, (c, y), (d, np.ones(180)), of, stream=stream("d"))[1].value is None
    with pytest.raises(SharpenError, match="same items"):
        difference(ece, (c, y), (d[:-1], z[:-1]), of, stream=stream("d"))


def test_repeats_of_a_question_say_no_more_than_one():
    c, y, of = sample(repeats=1)
    one = difference(ece, (np.clip(c + 0.3, 0, 1), y), (c, y), of, stream=stream("d"))[1]
    again = [np.tile(x, 5) for x in (np.clip(c + 0.3, 0, 1), y, c, y, of)]
    five = difference(ece, (again[0], again[1]), (again[2], again[3]), again[4], stream=stream("d"))[1]
    assert five == pytest.approx(one)
