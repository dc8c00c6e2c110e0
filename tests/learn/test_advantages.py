"""Advantages against the numbers of their papers, and what holds of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.learn.advantages import (
    RULES,
    dead,
    gae,
    leave_one_out,
    mean_centred,
    over_turns,
    role_advantages,
    zscore,
)

ZERO, ONE = ("kuhn", "0"), ("kuhn", "1")
NAN = float("nan")
some = st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=2, max_size=9)


def test_z_scores_have_the_unbiased_deviation():
    # AutoThink, section 6.4
    found = zscore([2, 2, 1, 0, -1, 0, 1, 1])
    expected = [1.2076, 1.2076, 0.2415, -0.7246, -1.6907, -0.7246, 0.2415, 0.2415]
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_factor_of_the_rewards_cancels_in_z_scores_and_not_in_centred_ones(share):
    # self-rewarded efficiency, oracles 2 and 3
    b = np.array([1, 2 / 3, 0])
    assert zscore(1 + share * b) == pytest.approx([0.8729, 0.2182, -1.0911], abs=1e-4)
    centred = {0.1: [0.0444, 0.0111, -0.0556], 0.5: [0.2222, 0.0556, -0.2778]}[share]
    assert mean_centred(1 + share * b) == pytest.approx(centred, abs=1e-4)
    assert mean_centred([1.2, 1.3, 1.0, 0, 0]) == pytest.approx([0.5, 0.6, 0.3, -0.7, -0.7])


def test_leave_one_out_is_the_mean_of_the_others():
    rewards = [3.0, 1.0, 0.0, 0.0]
    others = [np.mean(rewards[:i] + rewards[i + 1 :]) for i in range(4)]
    assert leave_one_out(rewards) == pytest.approx(np.array(rewards) - others)


def test_the_baseline_of_a_role_is_the_one_before_its_game():
    returns = [1, 1, -1, 0]
    found, after = role_advantages([(ZERO, r) for r in returns], {})
    assert found == pytest.approx([1, 0.95, -1.0975, -0.042625], abs=1e-12)
    assert after == {ZERO: pytest.approx(0.04049375)}
    negated, _ = role_advantages([(ONE, -r) for r in returns], {})
    assert negated.tolist() == (-found).tolist()
    first, same = role_advantages([(ZERO, r) for r in returns], {}, update_first=True)
    assert first == pytest.approx([0.95, 0.9025, -1.042625, -0.04049375], abs=1e-12)
    assert first == pytest.approx(0.95 * found)
    assert same == after


def test_an_invalid_move_moves_both_roles_apart():
    before = {ZERO: 0.2, ONE: -0.1}
    found, after = role_advantages([(ZERO, 0.5), (ONE, -1.5)], before)
    assert found == pytest.approx([0.3, -1.4])
    assert after == {ZERO: pytest.approx(0.215), ONE: pytest.approx(-0.17)}
    assert before == {ZERO: 0.2, ONE: -0.1}  # a value in, a value out


def test_roles_and_games_do_not_share_a_baseline():
    _, after = role_advantages([(ZERO, 1.0)], {ONE: 0.3, ("leduc", "0"): 0.4})
    assert after == {ONE: 0.3, ("leduc", "0"): 0.4, ZERO: pytest.approx(0.05)}
    found, after = role_advantages([(ZERO, NAN), (ZERO, 0.0)], {ZERO: 0.5})
    assert np.isnan(found[0])  # unknown: no advantage, and no game for the baseline
    assert found[1] == -0.5  # a draw with a baseline is not nothing
    assert after == {ZERO: pytest.approx(0.475)}
    with pytest.raises(SharpenError, match=r"\[0, 1\)"):
        role_advantages([], {}, decay=1.0)


def test_turns_are_discounted_towards_the_first():
    assert over_turns(0.95, 3, 0.9) == pytest.approx([0.7695, 0.855, 0.95])
    assert over_turns(0.95, 3).tolist() == [0.95] * 3


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 0.8), (1.0, 0.0), (0.7, 1.0)])
def test_gae_is_the_sum_it_is_defined_by(gamma, lam):
    rewards, values = np.array([0.0, 0.5, -1.0, 2.0]), np.array([0.3, 0.1, -0.4, 0.9])
    found, returns = gae(rewards, values, gamma=gamma, lam=lam)
    after = [*values[1:], 0.0]
    errors = [rewards[t] + gamma * after[t] - values[t] for t in range(4)]
    for t in range(4):
        expected = sum((gamma * lam) ** k * errors[t + k] for k in range(4 - t))
        assert found[t] == pytest.approx(expected)
    assert returns == pytest.approx(found + values)
    if lam == 1:  # the discounted return itself, whatever the values
        assert returns[1] == pytest.approx(0.5 - gamma + gamma**2 * 2)
    with pytest.raises(SharpenError, match="3 rewards for 4 values"):
        gae(rewards[:3], values)


@pytest.mark.parametrize("rule", [rule for _, rule in RULES.values()])
def test_unknown_rewards_are_left_out_and_never_count_as_zero(rule):
    found = rule([1.0, NAN, 0.0, 0.0])
    assert np.isnan(found).tolist() == [False, True, False, False]
    assert found[[0, 2, 3]].tolist() == rule([1.0, 0.0, 0.0]).tolist()
    assert np.isnan(rule([NAN, NAN])).all()


@pytest.mark.parametrize("rule", [mean_centred, zscore, leave_one_out])
@pytest.mark.parametrize("rewards", [[0.1] * 3, [1.0] * 8, [0.7], [NAN, 0.3], [0.1, NAN, 0.1]])
def test_equal_rewards_give_exactly_nothing(rule, rewards):
    found = rule(rewards)
    assert found[~np.isnan(rewards)].tolist() == [0.0] * int((~np.isnan(rewards)).sum())
    assert dead(rewards)


@given(some, st.floats(-3, 3), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_what_holds_of_every_group(rewards, shift, scale, shuffler):
    r = np.array(rewards)
    for rule in (mean_centred, zscore, leave_one_out):
        found = rule(r)
        assert abs(found.sum()) < 1e-8
        assert rule(r + shift) == pytest.approx(found, abs=1e-6)
        order = list(range(len(r)))
        shuffler.shuffle(order)
        assert rule(r[order]) == pytest.approx(found[order], abs=1e-9)
        better, worse = r.argmax(), r.argmin()
        assert found[better] >= 0 >= found[worse]
        assert (found == 0).all() == dead(r)
    n = len(r)
    assert leave_one_out(r) == pytest.approx(mean_centred(r) * n / (n - 1), abs=1e-9)
    assert mean_centred(r * scale) == pytest.approx(mean_centred(r) * scale, abs=1e-8)
