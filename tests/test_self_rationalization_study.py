"""The tables of self-rationalization's page, from a result made by hand and from a tiny run."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import regions
import self_rationalization as study
import self_rationalization_tables as tables
import tables as pages
from launch import heading

from sharpen.measure.likert import pearson
from tests import tiny

GOLD = [1, 2, 3, 4]


def run(arm, seed, by_round):
    """A run whose judge gave these scores in each round, on both sets."""
    items, rows = [], []
    for r, said in enumerate(by_round):
        for on in tables.SETS:
            items.append({"round": r, "on": on, "gold": GOLD, "greedy": said, "bare": said[::-1]})
            rows.append({"name": "judge", "round": r, "on": on, "pearson": 0.5 + r / 10, "unread": 0.0,
                         "defects_recall": 0.25, "defects_precision": None, "exact": 0.5,
                         "same": False})  # fmt: skip
        if r:
            rows.append({"name": "pairs", "round": r, "items": 8, "paired": 4, "all_right": 2, "tie": 1,
                         "too_few": 1, "unread_share": 0.25, "pairs": 12 * (r < 2),
                         "chosen_score": 3.0 if r < 2 else None,
                         "rejected_score": 2.5 if r < 2 else None})  # fmt: skip
    return {"arm": arm, "seed": seed, "code": "c0de", "rows": rows, "items": items}


def found():
    half, all_right, one = [1, 2, 5, 5], GOLD, [1, None, 5, 5]
    runs = [run(study.SEED, s, [half]) for s in range(2)]
    runs += [run(study.OURS, s, [half, half, all_right]) for s in range(2)]
    runs += [run("majority", s, [half, one]) for s in range(2)]
    return {
        "command": "python experiments/self_rationalization.py",
        "date": "2026-01-02",
        "base": "nano",
        "runs": runs,
    }


def body(text):
    table = text.split("\n\n")[0]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_every_arm_against_the_seed_judge():
    told = tables.arms(found())
    rows = body(told)
    assert [row[:2] for row in rows[2:4]] == [[study.OURS, "seen"], ["", "unseen"]]
    assert rows[0][2:4] == ["50.0", ""]
    assert rows[2][2] == "100.0"
    assert rows[2][3].startswith("+50.0 (")
    assert rows[4][3].startswith("-25.0 (")
    assert rows[2][4].startswith("1.000 (1.000 to ")  # every draw of right scores correlates in full
    assert rows[2][5].startswith("+0.")
    assert rows[0][5] == ""
    assert rows[2][6:10] == ["25.0", "-", "0.0", "0.0"]
    assert f"- {study.OURS} minus majority, unseen criteria: +75.0 (" in told
    assert "points exact (above 0)" in told


def test_round_by_round():
    rows = body(tables.rounds(found()))
    assert [row[:2] for row in rows] == [
        [study.SEED, "0"], [study.OURS, "0"], [study.OURS, "1"], [study.OURS, "2"], ["majority", "1"]
    ]  # fmt: skip
    assert rows[2][2:5] == ["50.0", "50.0", "+0.0 (+0.0 to +0.0)"]
    assert rows[2][5].startswith("0.9")
    paired, right, wrong, margin, tied, unread, same = rows[2][8:15]
    assert (paired, right, wrong, margin, tied, unread, same) == (
        "50.0", "25.0", "0.0", "0.0", "25.0", "0.0", "0.0"
    )  # fmt: skip
    assert rows[2][15:] == ["25.0", "-", "12", "3.00", "2.50"]
    given = found()
    for one in given["runs"]:
        for row in one["rows"]:
            if one["arm"] == "majority" and row["name"] == "pairs":
                row["unrated"] = 16
    assert body(tables.rounds(given))[4][16] == "25.0"  # of 8 items with 8 judgments each
    # a round without a pair has no mean score, and none is made up
    assert rows[3][15:] == ["25.0", "-", "0", "-", "-"]


def test_correlations_are_of_what_was_read_and_their_differences_paired():
    gold, said = np.array([[1, 2, 3, 4.0]] * 2), np.array([[2, 4, 6, 8.0], [4, 3, np.nan, 1]])
    assert tables.correlation(gold, said) == pytest.approx((1 + pearson([1, 2, 4], [4, 3, 1])) / 2)
    assert tables.correlation(gold, np.array([[3, 3, 3, 3.0]] * 2)) is None
    half, end = [1, 2, 5, 5], GOLD
    runs = [run(study.OURS, seed, [half, end]) for seed in range(2)]
    told = tables.pearsons({"runs": runs}, study.OURS, "seen", minus=(study.OURS, 0))
    assert told.startswith(f"{1 - pearson(GOLD, half):+.3f} (")
    assert tables.pearsons({"runs": runs}, study.OURS, "seen", 1, minus=(study.OURS, 1)).startswith(
        "+0.000 (+0.000 to +0.0"
    )


def test_judges_that_learnt_scores_alone_are_asked_for_them_alone():
    runs = [run(arm, 0, [[1, 2, 5, 5], GOLD]) for arm in (study.OURS, study.ALONE)]
    reasoned, bare = (tables.exact({"runs": runs}, arm, "seen").tolist() for arm in (study.OURS, study.ALONE))
    assert reasoned == [[1, 1, 1, 1]]
    assert bare == [[0, 0, 0, 0]]  # what is stored under bare is turned round


def test_without_a_result_the_page_says_how_it_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(regions, "RESULTS", tmp_path)
    for kind in tables.KINDS:
        told = pages.region(f"{kind}-none")
        assert told == "Not measured yet: run `python experiments/self_rationalization.py --base none`."


def test_a_run_is_collected_item_by_item():
    folder = tiny.finished("self_rationalization", pinned=False)
    got = {"arm": study.OURS, **heading(folder, 0), **study.collect(folder)}
    assert [(x["round"], x["on"]) for x in got["items"]] == [(r, on) for r in range(3) for on in tables.SETS]
    for item in got["items"]:
        row = next(
            x
            for x in got["rows"]
            if x["name"] == "judge" and (x["round"], x["on"]) == (item["round"], item["on"])
        )
        right = [g == s for g, s in zip(item["gold"], item["greedy"], strict=True)]
        assert sum(right) / len(right) == pytest.approx(row["exact"])
    for kind in tables.KINDS:
        assert "| " in tables.KINDS[kind]({**found(), "runs": [got]})


def test_arms_are_settings_of_the_recipe_and_start_from_the_seed_judge(tmp_path):
    for arm in study.arms("nano"):
        assert tiny.settings("self_rationalization", *arm.settings, pinned=False)
    assert next(arm.name for arm in study.arms("nano") if not arm.after) == study.SEED
    assert set(tables.RIVALS) <= {arm.name for arm in study.arms("nano")}
    learnt = tmp_path / "checkpoints" / "seed.learn-0" / "final" / "policy"
    learnt.mkdir(parents=True)
    assert study.judge_of(tmp_path, 0) == (f"model={learnt}", "seed_judge.steps=0")
    merged = tmp_path / "checkpoints" / "seed.policy-1" / "base"
    merged.mkdir(parents=True)
    assert study.judge_of(tmp_path, 0)[0] == f"model={merged}"
