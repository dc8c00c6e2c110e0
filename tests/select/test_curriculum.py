"""The hill climb, its oracles and its controls."""

from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.select.curriculum import Climb, hill_climb, offsets, walk


@pytest.mark.parametrize(
    ("scores", "best", "order"),
    [
        ({0: 0.50, 1: 0.55, 2: 0.60, 3: 0.58}, 2, [0, 1, 2, 3]),
        ({0: 0.50, 1: 0.48, -1: 0.52, -2: 0.51}, -1, [0, 1, -1, -2]),
        ({0: 0.50, 1: 0.48, -1: 0.49}, 0, [0, 1, -1]),
        ({0: 0.50, 1: 0.50, -1: 0.50}, 0, [0, 1, -1]),  # equal is not better
    ],
)
def test_the_order_of_evaluations(scores, best, order):
    climb = hill_climb(scores.__getitem__, -9, 9)
    assert climb.best == best
    assert list(climb.known) == order


def test_the_range_ends_it():
    assert list(hill_climb(float, -3, 2).known) == [0, 1, 2]
    assert list(hill_climb(lambda k: -k, -2, 2).known) == [0, 1, -1, -2]
    assert list(hill_climb(float, 0, 0).known) == [0]
    assert list(hill_climb(lambda k: -k, -2, 0).known) == [0, -1, -2]
    with pytest.raises(SharpenError, match=r"1\.\.2"):
        Climb(1, 2)
    with pytest.raises(SharpenError, match="-1"):
        Climb(0, 2).tell(-1, 0.5)
    with pytest.raises(SharpenError, match="no score"):
        _ = Climb(0, 2).best


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_once_each_inside_and_a_local_top(values, data):
    low = -data.draw(st.integers(0, len(values) - 1))
    high = low + len(values) - 1
    asked = []

    def score(k):
        asked.append(k)
        return float(values[k - low])

    climb = hill_climb(score, low, high)
    assert len(set(asked)) == len(asked)
    assert set(asked) <= set(range(low, high + 1))
    top = climb.known[climb.best]
    assert top == max(climb.known.values())
    for beside in (climb.best - 1, climb.best + 1):
        assert not low <= beside <= high or climb.known[beside] <= top


def test_a_walk_moves_by_one_inside_its_range():
    steps = list(islice(walk(-2, 3, stream("walk")), 300))
    assert steps[0] == 0
    assert all(abs(a - b) == 1 for a, b in pairwise(steps))
    assert set(steps) == set(range(-2, 4))
    assert steps == list(islice(walk(-2, 3, stream("walk")), 300))
    assert list(islice(walk(0, 0, stream("walk")), 3)) == [0, 0, 0]


def test_curricula_ask_only_after_they_were_told():
    scores, climb, asked = {0: 0.5, 1: 0.48, -1: 0.49}, Climb(-3, 3), []
    for k in offsets("auto", climb, stream("x")):
        asked.append(k)
        climb.tell(k, scores[k])
    assert asked == [0, 1, -1]
    assert list(islice(offsets("fixed", Climb(-3, 3), stream("x")), 4)) == [0] * 4
    assert list(islice(offsets("random_walk", Climb(-1, 1), stream("x")), 4)) == list(
        islice(walk(-1, 1, stream("x")), 4)
    )
    again = Climb(-1, 1)
    again.tell(0, 0.5)
    again.tell(0, 0.4)
    assert again.known == {0: 0.5}
