"""The overlong penalty, and brevity among one's own right answers (arXiv 2506.15647, its RL half)."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.learn.advantages import dead, mean_centred, zscore
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.length import (
    Brevity,
    brief_rewards,
    overlong_penalty,
    shape,
    shortness,
    with_brevity,
)
from sharpen.score.verdict import Status
from tests.scored import episode, task, verdict


@pytest.mark.parametrize(("length", "penalty"), [(1000, 0), (1536, 0), (1792, -0.5), (2048, -1), (9999, -1)])
def test_oracle(length, penalty):
    assert overlong_penalty(length, limit=2048, buffer=512) == penalty


def test_bad_buffer():
    with pytest.raises(SharpenError, match="buffer=0"):
        overlong_penalty(1, limit=10, buffer=0)


# brevity ---------------------------------------------------------------------------------------------
LENGTHS, RIGHT = (120, 80, 200, 160, 90), (1, 1, 1, 0, 0)
FORMS = ("linear", "ratio", "zscore", "none", "penalty")


def test_brevity_oracle():
    assert shortness(LENGTHS, RIGHT) == pytest.approx((2 / 3, 1, 0, 0, 0))
    free = brief_rewards(LENGTHS, RIGHT, Brevity(gate=False))
    assert free == pytest.approx((4 / 3, 1.5, 1, 0, 0))
    gated = brief_rewards(LENGTHS, RIGHT, Brevity())
    assert gated == pytest.approx((1.2, 1.3, 1, 0, 0))
    assert mean_centred(gated) == pytest.approx((0.5, 0.6, 0.3, -0.7, -0.7))


def test_the_other_forms():
    ratio = brief_rewards(LENGTHS, RIGHT, Brevity("ratio", gate=False))
    assert ratio == pytest.approx([0.5 + 0.5 * x for x in (2 / 3, 1, 0.4)] + [0, 0])
    z = (np.array(LENGTHS[:3]) - 400 / 3) / np.std(LENGTHS[:3], ddof=1)
    zs = brief_rewards(LENGTHS, RIGHT, Brevity("zscore", gate=False))
    assert zs == pytest.approx([*(1 - 0.5 / (1 + np.exp(-z))), 0, 0])
    fixed = brief_rewards(LENGTHS, RIGHT, Brevity("penalty", per_token=0.001))
    assert fixed == pytest.approx((0.88, 0.92, 0.8, -0.16, -0.09))
    assert brief_rewards(LENGTHS, RIGHT, Brevity("none")).tolist() == [1, 1, 1, 0, 0]


def test_divided_by_their_spread_the_weight_cancels_where_all_are_right():
    lengths, right = (100, 200, 400), (1, 1, 1)
    assert shortness(lengths, right) == pytest.approx((1, 2 / 3, 0))
    for a, centred in ((0.1, (0.0444, 0.0111, -0.0556)), (0.5, (0.2222, 0.0556, -0.2778))):
        rewards = brief_rewards(lengths, right, Brevity(weight=a))
        assert zscore(rewards) == pytest.approx((0.8729, 0.2182, -1.0911), abs=1e-4)
        assert mean_centred(rewards) == pytest.approx(centred, abs=5e-5)


@pytest.mark.parametrize("form", FORMS[:4])
def test_no_brevity_without_two_right_answers_of_two_lengths(form):
    how = Brevity(form)
    assert brief_rewards((5, 9), (0, 0), how).tolist() == [0, 0]
    assert brief_rewards((5, 9), (0, 1), how).tolist() == [0, 1]
    equal = brief_rewards((7, 7, 7), (1, 1, 1), how)
    assert equal.tolist() == [1, 1, 1]
    assert dead(equal)
    assert mean_centred(equal).tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize("gate", [True, False])
def test_the_shortest_right_answer_has_the_most_and_any_right_one_more_than_any_wrong_one(form, gate):
    lengths, right = np.array([30, 5, 200, 4, 11, 90]), np.array([1, 1, 1, 0, 0, 1], bool)
    found = brief_rewards(lengths, right, Brevity(form, weight=1.0, gate=gate))
    assert found.argmax() == 1
    assert found[right].min() > found[~right].max() == 0
    assert (np.diff(found[[1, 0, 5, 2]]) < 0).all()


def brief_group(*samples):
    """Text, right, sampled tokens, why it ended, status."""
    episodes = tuple(
        episode(text, sample=k, length=n, finish=finish) for k, (text, _, n, finish, _) in enumerate(samples)
    )
    return Group(task(), episodes, tuple(verdict(float(r), status=s) for _, r, _, _, s in samples))


def test_cut_empty_and_unknown_answers_are_never_short_right_ones():
    ok, eos = Status.OK, Finish.EOS
    groups = Groups([brief_group(("a", 1, 8, eos, ok), ("b", 1, 4, eos, ok), ("c", 1, 2, Finish.LENGTH, ok),
                                 ("", 1, 1, eos, ok), ("d", 0, 1, eos, Status.TIMEOUT))])  # fmt: skip
    found = with_brevity(groups, Brevity())
    # two of four known answers are right: a_q = 0.25
    assert found.scores[0][:4].tolist() == [1, 1.25, 0, 0]
    assert np.isnan(found.scores[0][4])
    assert found.correct[0].tolist() == [True, True, False, False, False]
    seen = shape(groups.columns)
    assert (seen.accuracy, seen.length, seen.length_right) == (0.5, 15 / 4, 6)
    assert (seen.solved, seen.brevity) == (0.5, 0.5)
    assert shape([]) == (None,) * 5
