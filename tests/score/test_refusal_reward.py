"""What a refusal is worth: the paper's numbers, and its controls."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.refusal import Refusals, replies
from sharpen.score.refusal_reward import LARGEST_SLOPE, refusal_reward, rewarded, rewards, scale
from sharpen.score.verdict import Status
from tests.scored import group, table, verdict

C2 = math.log(10) / 10


def test_the_constants_of_a_deviation():
    steps = np.array([3.5, 8.5])  # mean 6, deviation 2.5
    found = scale(steps, [False, False])
    assert found.slope == pytest.approx(0.2302585, abs=1e-7)
    assert (found.mean, found.deviation, found.move, found.start) == (6, 2.5, 0.5, 6)
    assert found.offsets == (-10, 10)
    assert found.c1(3) == 7.5
    assert scale([5, 6, 7], [0, 0, 0]).move == pytest.approx(0.2 * math.sqrt(2 / 3))


def test_the_first_c1_is_above_the_mean_refusal_and_within_range():
    steps, refused = [2, 4, 6, 8], [False, False, True, False]
    assert scale(steps, refused).start == 6 + scale(steps, refused).move
    assert scale(steps, refused, start="mean").start == 5
    far = scale([1] * 50 + [20], [False] * 50 + [True])
    assert far.start == pytest.approx(far.mean + 2 * far.deviation)
    assert far.offsets[1] == 0
    for offset in far.offsets:
        assert abs(far.c1(offset) - far.mean) <= 2 * far.deviation + 1e-6


def test_equal_lengths_divide_by_nothing():
    found = scale([4, 4, 4], [True, False, False], start="mean")
    assert (found.slope, found.move, found.offsets) == (LARGEST_SLOPE, 0.5, (0, 0))
    assert np.isfinite(refusal_reward([1, 4, 400], 4, found.slope)).all()
    assert scale([4, 4], [True, True]).start == 4
    with pytest.raises(SharpenError, match="no response"):
        scale([], [])


def test_the_rewards_of_the_paper():
    found = refusal_reward([1, 6, 9, 11, 16], 6, C2)
    assert found == pytest.approx([-0.519494, 0, 0.332279, 0.519494, 0.818182], abs=1e-6)
    assert found[1] == 0


@given(st.floats(-20, 20), st.floats(0.05, LARGEST_SLOPE), st.integers(1, 50))
def test_more_work_is_worth_more_and_never_an_answer(c1, c2, steps):
    less, more = refusal_reward([steps, steps + 1], c1, c2)
    assert -1 < less <= more < 1
    if abs(c2 * (steps + 1 - c1)) < 30:  # beyond, tanh is 1 up to rounding
        assert less < more


def test_refusal_comes_first():
    args = ([True, True, False, False], [False, True, False, True], [1, 9, 9, 1], 6, C2)
    assert rewards(*args) == pytest.approx([1, 0.332279, -1, -0.519494], abs=1e-6)
    assert rewards(*args, rule="constant").tolist() == [1, 0, -1, 0]
    assert rewards(*args, rule="none").tolist() == [1, -1, -1, -1]


def held():
    no = verdict(0.0, False, Status.REFUSED)
    texts = ["x\n" * n + "sorry" for n in range(1, 9)]
    return table(
        group("q", [*((t, no) for t in texts), ("Answer: 1", verdict(1.0, True))]),
        group("r", [("", verdict(0.0, False, Status.UNPARSABLE)), ("y", verdict(0.0, status=Status.CRASH))]),
    )


def paid(rule):
    groups = held()
    return rewarded(groups, replies(groups, Refusals()), 4, 0.5, rule=rule, stream=stream("shuffled"))


def test_groups_get_their_rewards_and_keep_the_rest():
    found = paid("length").columns
    assert found[0].scores[:8] == pytest.approx(np.tanh(0.25 * (np.arange(1, 9) - 4)))
    assert found[0].scores[8] == 1
    assert found[0].correct.tolist() == [False] * 8 + [True]
    assert found[1].judged[0].score == -1  # unparsable, empty: wrong
    assert found[1].judged[1].status is Status.CRASH
    assert found[1].status == held().columns[1].status
    assert not any(c.correct[k] for c in found for k, v in enumerate(c.judged) if v.status is Status.REFUSED)


def test_shuffled_pays_the_same_to_other_refusals():
    plain, other = (paid(rule).columns[0].scores for rule in ("length", "shuffled"))
    assert sorted(plain) == pytest.approx(sorted(other))
    assert plain[:8].tolist() != other[:8].tolist()
    assert other[8] == 1
    assert paid("shuffled").columns[0].scores.tolist() == other.tolist()
    assert paid("constant").columns[0].scores.tolist() == [0] * 8 + [1]
