"""The attempt that overthinks least."""

import math

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.select.thinking import least_overthinking, lowest


def test_the_lowest_score():
    assert least_overthinking([4, 1, 7], stream=stream("a")) == 1
    assert least_overthinking([None, 9, None], stream=stream("a")) == 1
    assert least_overthinking([math.nan, 9], stream=stream("a")) == 1
    assert lowest([3, 3, 9]) == [0, 1]
    assert lowest([None, None]) == [0, 1]


def test_ties_are_drawn_by_name():
    picks = [least_overthinking([3, 9, 3], stream=stream("tie", i)) for i in range(200)]
    assert set(picks) == {0, 2}
    assert 70 < picks.count(0) < 130
    assert picks == [least_overthinking([3, 9, 3], stream=stream("tie", i)) for i in range(200)]


def test_no_attempt():
    with pytest.raises(SharpenError, match="no attempt"):
        least_overthinking([], stream=stream("a"))
