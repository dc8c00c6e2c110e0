"""Metric rows: right numbers, unknown shown at both ends, every name explained."""

import json

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.diversity import (
    distinct_equations,
    distinct_texts,
    group_shares,
    logprob_gap,
    mean_certainty,
    mean_entropy,
    mean_length,
    status_shares,
    truncated_share,
    written_equations,
)
from sharpen.measure.report import METRICS, explain, held_out_metrics, rollout_metrics
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status
from sharpen.select.above import above
from tests.scored import episode, group, scored, table, task, verdict

CRASH = verdict(0.0, status=Status.CRASH)


def test_written_equations():
    assert written_equations("3*7 = 21, then 21+8=29.\nAnswer: 29") == ["3*7=21", "21+8=29"]
    assert written_equations("x = 3") == []
    assert written_equations("(1+2)*3=9") == ["(1+2)*3=9"]


def test_distinct_equations():
    # per query over right answers only; queries without an equation do not count
    groups = table(
        group("a", [("1+1=2 2+2=4", verdict(1.0)), ("1+1=2", verdict(1.0)), ("9+9=1", verdict(0.0))]),
        group("b", [("1+1=2", verdict(1.0)), ("1+1=2", verdict(1.0))]),
        group("c", [("no", verdict(1.0))]),
    )
    assert distinct_equations(groups) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert distinct_equations(groups, lambda text: [text]) == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert distinct_equations(table(group("c", [("no", verdict(1.0))]))) is None


def test_shares():
    groups = table(
        group("a", [("x", verdict(1.0)), ("x ", verdict(1.0))]),
        group("b", [("x", verdict(0.0)), ("y", CRASH)]),
        group("c", [("x", verdict(0.0)), ("y", verdict(1.0))]),
        group("d", [("x", CRASH), ("y", CRASH)]),
    )
    assert group_shares(groups) == {"all_right": 0.25, "all_wrong": 0.25, "mixed": 0.25, "unjudged": 0.25}
    shares = status_shares(groups)
    assert (shares["ok"], shares["crash"]) == (5 / 8, 3 / 8)
    assert set(shares) == set(Status)
    assert distinct_texts(groups) == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert group_shares(Groups()) == {"all_right": 0, "all_wrong": 0, "mixed": 0, "unjudged": 0}


def test_lengths_and_signals():
    cut = episode("x", finish=Finish.LENGTH, length=9)
    groups = Groups([Group(task(), (cut, episode("y", sample=1, length=0), episode("z", sample=2)))])
    assert mean_length(groups) == 4.0
    assert truncated_share(groups) == pytest.approx(1 / 3)
    assert mean_entropy(groups) == 0.5
    assert mean_certainty(groups) == 1.0
    empty = Groups()
    assert [
        f(empty) for f in (mean_length, truncated_share, mean_entropy, mean_certainty, distinct_texts)
    ] == [None] * 5


def test_logprob_gap():
    assert logprob_gap([-1.0, -2.0], [-1.5, -2.0]) == (0.25, 0.5)
    assert logprob_gap([], []) == (0.0, 0.0)
    assert all(np.isnan(logprob_gap([float("nan")], [0.0])))
    with pytest.raises(SharpenError, match="shapes"):
        logprob_gap([0.0], [0.0, 0.0])


def greedy_and_sampled():
    greedy = table(scored("a", [1.0]), scored("b", [0.0]), group("c", [("x", CRASH)]), scored("d", [0.0]))
    sampled = table(
        group("a", [("u", verdict(1.0)), ("u ", verdict(1.0)), ("v", verdict(1.0)), ("w", verdict(0.0))]),
        group("b", [("u", verdict(1.0)), ("v", CRASH), ("w", verdict(0.0)), ("x", verdict(0.0))]),
    )
    return greedy, sampled


def test_held_out_row():
    row = held_out_metrics(*greedy_and_sampled(), s=2)
    assert row["accuracy_greedy"] == 0.25
    assert row["accuracy_greedy_upper"] == 0.5
    assert row["accuracy_greedy_low"] < 0.25 < row["accuracy_greedy_high"]
    assert row["accuracy_t1"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert row["accuracy_t1_upper"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert row["pass_at_1"] == pytest.approx(row["accuracy_t1"])
    assert row["pass_at_4"] == 1.0
    assert row["pass_at_2"] == pytest.approx((1 + 1 / 2) / 2)
    # a has two different right texts ("u " is "u"), b has one
    assert row["unique_correct"] == 1.5
    assert row["pass_at_4_2"] == 0.5
    assert row["reward_at_4_2"] == 0.5
    assert row["best_of_4"] == 1.0
    assert row["unknown_share"] == 1 / 8
    assert row["mixed_share"] == 1.0
    assert row["n_questions"] == 4
    assert "pass_at_8" not in row
    json.dumps(row)


def test_canonical_form_and_small_k():
    groups = table(group("a", [("1+2", verdict(1.0)), ("2+1", verdict(1.0)), ("3", verdict(1.0))]))
    row = held_out_metrics(Groups(), groups, canonical=lambda task, text: "".join(sorted(text)), s=4)
    assert row["unique_correct"] == 2.0
    assert row["pass_at_3_4"] == 0.0  # fewer samples than wanted: undefined, counted 0
    assert "pass_at_3" not in row
    assert "accuracy_greedy" not in row


def test_markerless_counts_as_a_failure_in_pass_at_k():
    groups = table(group("a", [("", verdict(0.0, status=Status.UNPARSABLE)), ("x", verdict(1.0))]))
    assert held_out_metrics(Groups(), groups)["pass_at_1"] == 0.5


def test_bad_tables():
    with pytest.raises(SharpenError, match="greedy"):
        held_out_metrics(table(scored("a", [1.0, 0.0])), Groups())
    with pytest.raises(SharpenError, match="no samples"):
        held_out_metrics(Groups(), table(group("a", [])))
    with pytest.raises(SharpenError, match="score the groups first"):
        held_out_metrics(Groups([Group(task(), (episode("x"),))]), Groups())


def test_rollout_row():
    groups = table(group("a", [("u", verdict(1.5)), ("v", CRASH), ("w", verdict(0.5))], solution="g"))
    row = rollout_metrics(groups, above(groups, 0.6, gold=1.0, per_query=5))
    assert row["reward_mean"] == 1.0
    assert row["correct_share"] == pytest.approx(1 / 3)
    assert (row["selected"], row["selected_gold"], row["selected_accuracy"], row["selected_cap"]) == (
        2,
        1,
        1.0,
        5,
    )
    assert rollout_metrics(Groups())["reward_mean"] is None


def test_every_name_is_explained():
    groups = table(group("a", [("u", verdict(1.5)), ("v", verdict(0.0))]))
    rows = held_out_metrics(*greedy_and_sampled()), rollout_metrics(groups, above(groups, 0.0))
    for name in {name for row in rows for name in row}:
        assert explain(name)
    assert explain("pass_at_8") == METRICS["pass_at_{k}"]
    assert explain("pass_at_8_4") == METRICS["pass_at_{K}_{S}"]
    assert explain("status_timeout") == METRICS["status_{status}"]
    with pytest.raises(SharpenError, match="accuracy_greedy"):
        explain("acuracy_greedy")
    with pytest.raises(SharpenError):
        explain("status_tired")
