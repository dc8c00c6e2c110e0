"""From scored attempts to rows with advantages; every attempt is accounted for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.learn.advantages import RULES, dead, leave_one_out, zscore
from sharpen.learn.policy_gradient import LossConfig, PolicyGradient
from sharpen.learn.rollouts import Rollouts, fresh, rollouts, with_advantages, with_gae, with_penalty
from sharpen.score.verdict import Status
from tests.scored import group, table, verdict

MADE = {"v0": 5}
UNKNOWN = verdict(0.0, status=Status.CRASH)


def advantages(of: Rollouts) -> list[float]:
    """The advantage of each row, the same at all its tokens."""
    found = []
    for row in of:
        learnt = row.arrays["advantage"][row.arrays["weight"] != 0]
        assert (learnt == learnt[0]).all()
        assert (row.arrays["advantage"][row.arrays["weight"] == 0] == 0).all()
        found.append(float(learnt[0]))
    return found


def scored(*rewards: list[float]) -> Rollouts:
    return rollouts(
        table(
            *(group(f"q{g}", [(f"{k}", verdict(x)) for k, x in enumerate(r)]) for g, r in enumerate(rewards))
        ),
        MADE,
    )


def test_a_row_has_its_reward_on_its_last_token():
    made = rollouts(table(group("a", [("x", verdict(0.5), 4)]), group("b", [("y", verdict(-1.0), 2)])), MADE)
    assert [r.arrays["reward"].tolist() for r in made] == [[0, 0, 0, 0, 0, 0.5], [0, 0, 0, -1]]
    assert [r.arrays["weight"].tolist() for r in made] == [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1]]
    assert [dict(r.scalars) for r in made] == [
        {"group": 0, "sampled_at": 5},
        {"group": 1, "sampled_at": 5},
    ]
    assert [r.key for r in made] == ["round/sample:0/a/0", "round/sample:0/b/0"]


def test_unknown_verdicts_and_empty_attempts_are_left_out_and_counted():
    samples = [("a", verdict(1.0)), ("b", UNKNOWN), ("c", verdict(0.0)), ("", verdict(0.0), 0)]
    made = rollouts(table(group("q", samples)), MADE)
    assert made.ledger == {"sampled": 4, "unknown": 1, "empty": 1, "kept": 2}
    # the others are compared among themselves: an unknown verdict is no zero
    assert advantages(with_advantages(made, "leave_one_out")) == leave_one_out([1.0, 0.0]).tolist()
    # truncated and unparsable answers are the model's doing, and stay
    own = [("a", verdict(0.0, status=s)) for s in (Status.TRUNCATED, Status.UNPARSABLE)]
    assert len(rollouts(table(group("q", own)), MADE)) == 2


def test_a_policy_of_another_run_and_a_reward_that_is_no_number_are_errors():
    with pytest.raises(SharpenError, match="'round/sample:0/q0/0' was sampled by a policy"):
        rollouts(table(group("q0", [("a", verdict(1.0))])), {"other": 0})
    with pytest.raises(SharpenError, match="has reward nan"):
        scored([float("nan")])


def test_dead_groups_are_dropped_and_counted_where_groups_are_compared():
    of = scored([1, 0, 0], [1, 1, 1], [0, 0, 0])
    alive = with_advantages(of, "group_zscore")
    assert alive.ledger == {"sampled": 9, "unknown": 0, "empty": 0, "dead": 6, "kept": 3}
    assert advantages(alive) == pytest.approx(zscore([1, 0, 0]).tolist(), rel=1e-6)
    # so they dilute no denominator
    for normaliser in ("tokens", "sequences", "constant"):
        objective = PolicyGradient(LossConfig(normaliser=normaliser, length=10))
        only = with_advantages(scored([1, 0, 0]), "group_zscore")
        assert objective.denominators(alive.rows) == objective.denominators(only.rows)
    # over the whole batch they are something to compare with
    assert with_advantages(of, "batch_mean").ledger["kept"] == 9
    assert advantages(with_advantages(of, "batch_mean")) == pytest.approx(
        [5 / 9, *[-4 / 9] * 2, *[5 / 9] * 3, *[-4 / 9] * 3]
    )
    assert advantages(with_advantages(of, "reward")) == [1, 0, 0, 1, 1, 1, 0, 0, 0]


def test_a_batch_of_dead_groups_leaves_nothing_and_no_nan():
    for kind in ("group_mean", "group_zscore", "leave_one_out"):
        assert len(with_advantages(scored([1, 1], [0, 0]), kind)) == 0
    assert len(with_advantages(scored(), "batch_zscore")) == 0
    assert len(with_gae(scored(), gamma=1, lam=1, whiten=True)) == 0


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from(sorted(RULES)),
)
def test_every_attempt_is_kept_or_accounted_for(rewards, kind):
    of = with_advantages(scored(*rewards), kind)
    assert of.ledger["sampled"] == sum(map(len, rewards)) == len(of) + of.ledger["dead"]
    by_group, rule = RULES[kind]
    if by_group:
        expected = [a for r in rewards if not dead(r) for a in rule(r)]
    else:
        expected = rule([x for r in rewards for x in r]).tolist()
    assert advantages(of) == pytest.approx(expected, abs=1e-6)


def test_what_lags_too_far_is_stale():
    of = scored([1, 0], [1, 0])
    older = Rollouts(
        (*of.rows[:2], *(replace(r, scalars={**r.scalars, "sampled_at": 3}) for r in of.rows[2:])), of.ledger
    )
    # sampled after 5 and after 3 updates; the last of k updates starts from the policy after 5 + k - 1
    for updates, max_lag, kept in (
        (1, 0, 2),
        (1, 1, 2),
        (1, 2, 4),
        (2, 0, 0),
        (2, 1, 2),
        (4, 3, 2),
        (4, 5, 4),
    ):
        left = fresh(older, now=5, updates=updates, max_lag=max_lag)
        assert (len(left), left.ledger["stale"]) == (kept, 4 - kept), (updates, max_lag)


def referred(of: Rollouts, gaps: list[list[float]]) -> Rollouts:
    """Rows whose reference says so much less of each learnt token."""
    rows = []
    for row, gap in zip(of, gaps, strict=True):
        ref = row.arrays["old_logprob"].copy()
        ref[2:] -= gap
        rows.append(replace(row, arrays={**row.arrays, "ref_logprob": ref}))
    return of.with_rows(rows)


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_a_penalty_comes_off_each_tokens_reward(name):
    gaps = [[0.1, -0.2, 0.0], [1.0, 0.5, -0.5]]
    found = with_penalty(referred(scored([1.0, 1.0]), gaps), 0.1, name)
    for row, gap in zip(found, gaps, strict=True):
        d = np.array(gap)
        cost = 0.1 * {"k1": d, "k2": d**2 / 2, "k3": np.exp(-d) - 1 + d}[name]
        assert row.arrays["reward"] == pytest.approx([0, 0, *([0, 0, 1] - cost)], abs=1e-6)
    # a group of equal rewards is not dead when its attempts strayed differently
    assert len(with_advantages(found, "leave_one_out")) == 2
    alike = with_penalty(referred(scored([1.0, 1.0]), [[0.0] * 3] * 2), 0.1, name)
    assert len(with_advantages(alike, "leave_one_out")) == 0
    assert advantages(with_advantages(alike, "leave_one_out", keep_dead=True)) == [0, 0]


def test_gae_skips_what_is_not_learnt_and_whitening_is_over_all_tokens():
    of = scored([1.0, 0.0])
    rows = []
    for row, values in zip(of, ([0.2, 0.4, 0.6], [0.5, 0.1, 0.0]), strict=True):
        rows.append(replace(row, arrays={**row.arrays, "value": np.array([9, 9, *values], "f4")}))
    plain = with_gae(of.with_rows(rows), gamma=1.0, lam=1.0, whiten=False)
    assert plain.rows[0].arrays["advantage"] == pytest.approx([0, 0, 0.8, 0.6, 0.4])
    assert plain.rows[0].arrays["return"] == pytest.approx([0, 0, 1, 1, 1])
    assert plain.rows[1].arrays["advantage"] == pytest.approx([0, 0, -0.5, -0.1, 0])
    white = with_gae(of.with_rows(rows), gamma=1.0, lam=1.0, whiten=True)
    learnt = np.concatenate([r.arrays["advantage"][2:] for r in white])
    assert learnt.mean() == pytest.approx(0, abs=1e-6)
    assert learnt.std() == pytest.approx(1, abs=1e-4)
    assert all((r.arrays["advantage"][:2] == 0).all() for r in white)
    assert [r.arrays["return"].tolist() for r in white] == [r.arrays["return"].tolist() for r in plain]


def test_a_ledger_that_does_not_add_up_is_a_bug():
    of = scored([1, 0])
    with pytest.raises(AssertionError, match="does not add up"):
        Rollouts(of.rows[:1], of.ledger)
