"""Metrics rows as curves."""

from sharpen.studio.curves import MOST_UPDATES, apart, charts, searches, statuses

HELD_OUT = {
    "name": "held_out",
    "accuracy_greedy": 0.5,
    "accuracy_greedy_low": 0.4,
    "accuracy_greedy_high": 0.6,
    "pass_at_1": 0.4,
    "pass_at_4": 0.7,
    "pass_at_4_4": 0.1,
}


def of(rows, name):
    return next(c for c in charts(rows) if c["id"] == name)


def test_a_measure_is_a_curve_with_its_interval():
    chart = of([{**HELD_OUT, "round": r} for r in (0, 1)], "held_out/accuracy_greedy")
    assert chart["section"] == "accuracy"
    assert chart["unit"] == "percent"
    assert chart["series"] == [{"label": "", "points": [[0, 0.5, 0.4, 0.6], [1, 0.5, 0.4, 0.6]]}]
    assert "greedy" in chart["about"]


def test_the_largest_k_is_what_is_shown_at_once():
    found = {c["id"]: c["main"] for c in charts([{**HELD_OUT, "round": 0}])}
    assert found["held_out/pass_at_4"]
    assert found["held_out/pass_at_4_4"]
    assert not found["held_out/pass_at_1"]


def test_a_recipe_of_ones_own_is_shown_too():
    rows = [
        {"name": "mine", "round": r, "wonder": r / 2, "note": "no number", "flag": True} for r in (1, 2, 3)
    ]
    chart = of(rows, "mine/wonder")
    assert chart["section"] == "other"
    assert [p[:2] for p in chart["series"][0]["points"]] == [[1, 0.5], [2, 1.0], [3, 1.5]]
    assert [c["id"] for c in charts(rows)] == ["mine/wonder"]
    assert charts([{"name": "once", "x": 1.0}]) == []


def test_rows_of_one_round_are_told_apart_by_what_returns():
    rows = [{"name": "judge", "round": r, "on": on, "stage": f"stage {r}", "exact": 0.1}
            for r in (0, 1) for on in ("seen", "unseen")]  # fmt: skip
    assert apart(rows) == ["on"]
    assert [s["label"] for s in of(rows, "judge/exact")["series"]] == ["seen", "unseen"]


def test_monitors_of_a_policy_gradient_and_the_loss_of_every_update():
    rows = [{"name": "learn", "round": r, "loss": 1.0, "grad_norm": 2.0, "ess": 0.9, "entropy": 1.0,
             "losses": [float(i) for i in range(400)]} for r in (1, 2)]  # fmt: skip
    assert {of(rows, f"learn/{m}")["section"] for m in ("ess", "entropy")} == {"policy_gradient"}
    points = of(rows, "learn/losses")["series"][0]["points"]
    assert len(points) <= MOST_UPDATES
    assert points[-1][0] == 800
    assert points[0][1] == sum(range(3)) / 3


def test_contests_are_shares():
    rows = [{"name": "contest", "round": r, "random/won": 0.5, "nash_conv": 1.0, "nash_conv_low": 0.8,
             "nash_conv_high": 1.2} for r in (0, 1)]  # fmt: skip
    assert of(rows, "contest/random/won")["share"]
    assert of(rows, "contest/nash_conv")["series"][0]["points"][1] == [1, 1.0, 0.8, 1.2]


def test_statuses_and_searches():
    assert statuses(
        [{"name": "score", "round": 1, "status_ok": 0.9, "status_crash": 0.1, "status_refused": 0.0}]
    ) == [{"name": "score", "round": 1, "shares": {"ok": 0.9, "crash": 0.1}}]
    row = {
        "name": "balance",
        "round": 2,
        "temperature": 0.5,
        "threshold": 0.1,
        "table": [[0.5, 0.1, 0.3, 7, 8]],
    }
    assert searches([row]) == [{"round": 2, "cells": [[0.5, 0.1, 0.3]], "temperature": 0.5, "threshold": 0.1}]
