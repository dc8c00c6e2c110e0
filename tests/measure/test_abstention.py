"""Rates of "I don't know"."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.abstention import abstention, attempts_compared
from sharpen.measure.calibration import ece

DECLINED, CORRECT = np.array([1, 1, 0, 0, 0], bool), np.array([0, 0, 1, 0, 1], bool)


def test_rates():
    rates = abstention(DECLINED, CORRECT, forced=[1, 0, 0, 0, 0])
    assert (rates.n, rates.declined, rates.rate) == (5, 2, 0.4)
    assert rates.interval[0] < 0.4 < rates.interval[1]
    assert rates.accuracy == 0.4
    assert rates.accuracy_attempted == pytest.approx(2 / 3)
    assert rates.precision == 0.5


def test_a_declined_item_is_not_right():
    assert abstention([True], [True]).accuracy == 0


def test_nothing_to_share():
    assert abstention([], []).rate is None
    assert abstention([True], [False]).accuracy_attempted is None
    assert abstention([False], [True], forced=[True]).precision is None
    assert abstention([True], [False]).precision is None
    with pytest.raises(SharpenError, match="1 and 2 items"):
        abstention([True], [True, False])


def test_changing_only_abstentions_leaves_ece():
    confidence, other = np.array([0.9, 0.2, 0.9, 0.6, 0.7]), np.array([0.1, 0.8, 0.9, 0.6, 0.7])
    held = [ece(c[~DECLINED], CORRECT[~DECLINED]) for c in (confidence, other)]
    assert held[0] == held[1]


def test_two_models_on_the_same_items():
    both, new = attempts_compared(DECLINED, [1, 0, 1, 0, 0])
    assert both.tolist() == [False, False, False, True, True]
    assert new.tolist() == [False, True, False, False, False]
