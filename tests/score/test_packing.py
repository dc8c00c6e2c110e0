"""Packing programs are run apart, and what they claim is checked here."""

from __future__ import annotations

import math

import pytest

from sharpen.score import packing

FIRST_FIT = "def priority(item, rooms):\n    return [-i for i in range(len(rooms))]\n"
NEW_BIN = "def priority(item, rooms):\n    return range(len(rooms))\n"


def test_packing_programs_are_scored():
    sizes = [[100, 60, 50, 90]]
    assert packing.score(packing.BEST_FIT, sizes) == (-1.0, "")  # 100+50, 60+90
    assert packing.score(NEW_BIN, sizes) == (-2.0, "")
    task = packing.tasks(3)[1]
    assert task == packing.tasks(3)[1]
    codes = (packing.BEST_FIT, FIRST_FIT, NEW_BIN)
    ranked = [packing.score(code, task.data["instances"])[0] for code in codes]
    assert -1 >= ranked[0] >= ranked[1] > ranked[2]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def priority(item, rooms):\n    return 1/0", "ZeroDivisionError"),
        ("def priority(item, rooms):\n    return []", "IndexError"),
        ("def best(item, rooms):\n    return rooms", "NameError"),
        ("def priority(item, rooms:", "SyntaxError"),
        ("priority = max\nmax = lambda *a, **k: 0\nrange = lambda n: []", ""),
        ("def priority(item, rooms):\n    import sys\n    sys.exit(0)", "ended"),
    ],
)
def test_packing_programs_that_fail_have_no_score(code, why):
    score, told = packing.score(code, [[100, 60, 50, 90]])
    assert score == -math.inf
    assert why in told


def test_a_packing_is_counted_here_and_not_by_the_program():
    assert packing.bins([0, 1, 0], [100, 60, 50]) == 2
    assert packing.bins([0, 0, 0], [100, 60, 50]) is None
    assert packing.bins([0, 0], [100, 50, 1]) is None
    assert packing.bins([0, "1"], [100, 50]) is None
    assert packing.bins("01", [100, 50]) is None
