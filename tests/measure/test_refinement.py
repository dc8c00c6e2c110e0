"""Verdicts, refinements, and what follows from their rates: the method's own numbers."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.refinement import (
    filter_purity,
    filter_yield,
    implied_rates,
    refined_accuracy,
    refinement_rates,
    verdict_quality,
)
from sharpen.score.feedback import Judgment

Q, N, U = Judgment.QUALIFIED, Judgment.NOT, Judgment.UNPARSABLE


def test_yield_and_purity():
    assert filter_yield(0.30, 0.8, 0.25) == pytest.approx(0.415)
    assert filter_purity(0.30, 0.8, 0.25) == pytest.approx(0.578313, abs=1e-6)
    # a critic that knows nothing purifies nothing
    assert filter_yield(0.30, 0.5, 0.5) == pytest.approx(0.5)
    assert filter_purity(0.30, 0.5, 0.5) == pytest.approx(0.30)
    assert filter_purity(0.30, 0, 0) is None


def test_accuracy_after_one_refinement():
    assert refined_accuracy(0.30, 0.8, 0.25, 0.2, 0.3) == pytest.approx(0.387)


def test_the_published_filter_implies_its_rates():
    right, kept = 0.2989, 1800 / 4000
    assert round(4000 * right) == 1196
    assert round(1800 * 0.4410) == 794
    tpr, fpr = implied_rates(right, kept, 0.4410)
    assert (tpr, fpr) == (pytest.approx(0.664, abs=1e-3), pytest.approx(0.359, abs=1e-3))
    assert filter_yield(right, tpr, fpr) == pytest.approx(0.45)
    with pytest.raises(SharpenError):
        implied_rates(0, 0.5, 0.5)


def test_formulas_agree_with_counting():
    rng = np.random.default_rng(0)
    right = rng.random(4000) < 0.3
    said = [Q if rng.random() < (0.8 if r else 0.25) else N for r in right]
    quality = verdict_quality(said, right)
    kept = np.array([j is Q for j in said])
    a, tpr, fpr = right.mean(), quality["tpr"], quality["fpr"]
    assert filter_yield(a, tpr, fpr) == pytest.approx(kept.mean())
    assert filter_purity(a, tpr, fpr) == pytest.approx(right[kept].mean())
    after = np.where(kept, right, rng.random(4000) < np.where(right, 0.7, 0.2))
    rates = refinement_rates(right[~kept], after[~kept])
    assert refined_accuracy(a, tpr, fpr, rates["fix"], rates["spoil"]) == pytest.approx(after.mean())


def test_unparsable_counts_as_not_qualified_and_is_told():
    found = verdict_quality([Q, N, U, U], [True, False, True, False])
    assert found == {"accuracy": 0.75, "tpr": 0.5, "fpr": 0.0, "unparsable": 0.5}
    assert verdict_quality([Q], [True])["fpr"] is None
    assert verdict_quality([], []) == dict.fromkeys(("accuracy", "tpr", "fpr", "unparsable"))
    with pytest.raises(SharpenError):
        verdict_quality([Q], [])


def test_rates_of_nothing_are_none():
    assert refinement_rates([], []) == {"fix": None, "spoil": None}
    assert refinement_rates([True, True], [True, False]) == {"fix": None, "spoil": 0.5}
    with pytest.raises(SharpenError):
        refinement_rates([True], [])
