"""Separation: oracles, ties, and what is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import NotFinite, SharpenError
from sharpen.measure.separation import (
    auroc,
    average_precision,
    question_aurocs,
    risk_coverage,
    separation,
    spearman,
)
from sharpen.runs.streams import stream

C, Y = np.array([0.9, 0.9, 0.8, 0.6, 0.95]), np.array([1, 0, 1, 0, 1], bool)
items = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=20).map(
    lambda rows: (np.array([s for s, _ in rows], float), np.array([y for _, y in rows]))
)


def test_oracles():
    assert auroc(C, Y) == 0.75
    assert average_precision(C, Y) == pytest.approx(0.805556, abs=1e-6)
    assert average_precision(-C, ~Y) == pytest.approx(0.75)
    assert average_precision(1 - C, ~Y) == pytest.approx(0.75)
    assert auroc([0.9] * 10, [1, 0] * 5) == 0.5
    assert average_precision([0.9] * 10, [1, 0] * 5) == 0.5
    assert auroc([1, 1, 0, 0.5], [1, 1, 0, 1]) == 1
    assert average_precision([1, 1, 0, 0.5], [1, 1, 0, 1]) == 1


def test_one_kind_only_is_undefined():
    for marks in ([True] * 5, [False] * 5):
        assert auroc(C, marks) is None
    assert average_precision(C, [False] * 5) is None
    assert auroc([], []) is None
    assert average_precision([], []) is None
    assert risk_coverage([], []).area is None


@given(items)
def test_auroc_is_the_share_of_pairs(drawn):
    scores, right = drawn
    pairs = [(s > w) + (s == w) / 2 for s in scores[right] for w in scores[~right]]
    found = auroc(scores, right)
    assert found is None if not pairs else found == pytest.approx(np.mean(pairs))
    mirrored = auroc(-scores, right)
    if found is not None and mirrored is not None:
        assert found + mirrored == pytest.approx(1)


@given(items, st.randoms(use_true_random=False))
def test_neither_order_nor_scale_matters(drawn, rng):
    scores, right = drawn
    order = list(range(len(scores)))
    rng.shuffle(order)
    for measure in (auroc, average_precision, lambda s, y: risk_coverage(s, y).area):
        plain = measure(scores, right)
        for other in (measure(scores[order], right[order]), measure(np.exp(scores), right)):
            assert other is None if plain is None else other == pytest.approx(plain)


@given(items)
def test_average_precision_by_its_definition(drawn):
    scores, right = drawn
    if right.any():
        total = last = 0.0
        for threshold in sorted(set(scores), reverse=True):
            chosen = scores >= threshold
            recall = right[chosen].sum() / right.sum()
            total, last = total + (recall - last) * right[chosen].mean(), recall
        assert average_precision(scores, right) == pytest.approx(total)


def test_risk_and_coverage():
    curve = risk_coverage([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx(1 / 3)
    # of a tie, the expected errors
    assert risk_coverage([2, 1, 1], [1, 1, 0]).risk == pytest.approx([0, 0.25, 1 / 3])
    assert risk_coverage([1, 1], [0, 1]).risk == pytest.approx([0.5, 0.5])


def test_coverage_at_a_risk():
    curve = risk_coverage([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert [curve.coverage_at(r) for r in (0, 0.2, 1 / 3, 0.4, 0.5, 1)] == [0.25, 0.25, 0.75, 0.75, 1, 1]
    assert risk_coverage([2, 1], [0, 0]).coverage_at(0.5) == 0
    assert risk_coverage([], []).coverage_at(0.5) is None
    # no threshold parts a tie: half of the four would have to be answered, and all of them are a third wrong
    assert risk_coverage([2, 1, 1], [1, 1, 0]).coverage_at(0.3) == pytest.approx(1 / 3)
    assert risk_coverage([1, 1, 1], [1, 1, 0]).coverage_at(0.3) == 0


@given(items, st.sampled_from([0.0, 0.1, 0.3, 0.5]))
def test_coverage_at_a_risk_by_thresholds(drawn, risk):
    scores, right = drawn
    told = [(scores >= t).mean() for t in set(scores) if 1 - right[scores >= t].mean() <= risk + 1e-12]
    assert risk_coverage(scores, right).coverage_at(risk) == pytest.approx(max(told, default=0.0))


@given(items)
def test_risk_bounds(drawn):
    scores, right = drawn
    curve = risk_coverage(scores, right)
    assert ((curve.risk >= 0) & (curve.risk <= 1)).all()
    assert curve.risk[-1] == pytest.approx(1 - right.mean())
    best, worst = risk_coverage(right, right).area, risk_coverage(~right, right).area
    assert best is not None
    assert worst is not None
    assert best - 1e-12 <= curve.area <= worst + 1e-12
    assert risk_coverage(np.zeros(len(right)), right).area == pytest.approx(1 - right.mean())


def test_within_a_question():
    # pooled, the easy question's high scores hide that the score is blind inside each
    scores, right = [9, 8, 2, 1], [1, 1, 1, 0]
    assert question_aurocs(scores, right, ["a", "a", "b", "b"]).tolist() == [1.0]
    assert question_aurocs(scores, right, ["a", "b", "a", "b"]).tolist() == [1.0]
    assert question_aurocs([1, 2, 2, 1], [1, 0, 1, 0], ["a", "a", "b", "b"]).tolist() == [0.0, 1.0]
    assert not len(question_aurocs([1, 2], [1, 1], ["a", "a"]))
    with pytest.raises(SharpenError, match="2 scores for 1"):
        question_aurocs([1, 2], [1, 1], ["a"])


def test_scores_without_a_number():
    assert auroc([-math.inf, 1.0], [0, 1]) == 1
    assert auroc([-math.inf, -math.inf], [0, 1]) == 0.5
    with pytest.raises(NotFinite):
        auroc([math.nan, 1.0], [0, 1])
    with pytest.raises(SharpenError, match="same items"):
        auroc([1.0], [0, 1])


def test_spearman():
    assert spearman([1, 2, 3], [1, 4, 9]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert spearman([1, 2, 2, 5], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert spearman([1, 1], [1, 2]) is None
    assert spearman([], []) is None


def test_report():
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(40), 4)
    right = rng.random(160) < 0.6
    report = separation(right + rng.normal(0, 1, 160), right, of, stream=stream("s"))
    assert report.n == 160
    assert report.mixed == len(question_aurocs(right, right, of))
    for estimate in (report.auroc, report.within, report.auprc_right, report.auprc_wrong, report.aurc):
        assert estimate.low < estimate.value < estimate.high
    shuffled = separation(rng.permutation(160), right, of, stream=stream("s"))
    assert shuffled.auroc.low < 0.5 < shuffled.auroc.high
    one_kind = separation([1, 2], [1, 1], ["a", "b"], stream=stream("s"))
    assert one_kind.auroc.value is one_kind.within.value is one_kind.auprc_wrong.value is None
    assert one_kind.aurc.value == 0
