"""The tables of SELF's page: from a result made by hand, and from real runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import regions
import self_evolution as study
import self_evolution_tables as tables
import tables as pages
from launch import heading

from tests import tiny
from tests.tiny import rounds

GOOD, BAD = [1, 1, 1, 0], [1, 0, 0, 0]


def run(arm, seed, end, refined):
    rates = {"verdict_accuracy": 0.8, "verdict_tpr": 0.8, "verdict_fpr": 0.25, "verdict_unparsable": 0.0,
             "fix": 0.2, "spoil": 0.3}  # fmt: skip
    kept = {
        "prompts": 100,
        "no_answer": 2,
        "unparsable": 5,
        "yield": 0.4,
        "purity": 0.6,
        "first_accuracy": 0.3,
    }
    rows = [
        *({"name": "critic", "round": 0, "stage": s, **rates} for s in ("start", "meta")),
        {"name": "evolution", "round": 1, **kept, "verdict_tpr": 0.8, "verdict_fpr": 0.25},
        {"name": "critic", "round": 1, "stage": "round 1", **rates},
    ]
    answered = [("start", BAD, [0, 0, 0, 0]), ("meta", BAD, BAD), ("round 1", end, refined)]
    right = [
        {"stage": s, "strategy": w, "right": r}
        for s, direct, better in answered
        for w, r in ((tables.DIRECT, direct), (tables.REFINED, better))
    ]
    rows += [
        {"name": "inference", "round": i, "stage": s, "strategy": w, "calls": n + i, "tokens": 20 * n}
        for i, s in enumerate(("meta", "round 1"))
        for w, n in ((tables.DIRECT, 1), (tables.REFINED, 2.5))
    ]
    about = {"arm": arm, "seed": seed, "base": "0123456789ab", "code": "c0de", "seconds": 600}
    return about | {"rows": rows, "right": right}


def found(**others):
    runs = [run(study.OURS, seed, GOOD, [1, 1, 1, 1]) for seed in range(2)]
    runs += [run(arm, seed, *ends) for arm, ends in others.items() for seed in range(2)]
    return {
        "command": "python experiments/self_evolution.py",
        "date": "2026-01-02",
        "base": "nano",
        "runs": runs,
    }


def body(text):
    lines = [line for line in text.splitlines() if line[:1] == "|"]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in lines][2:]


def test_arms_are_paired_with_the_start_and_with_the_pairs_alone():
    told = tables.arms(found(D_QA=(BAD, BAD), **{"verdicts shuffled": (GOOD, GOOD)}))
    rows = {row[0]: row[1:] for row in body(told)}
    assert rows["the start model"][0] == "25.0"
    assert rows[study.OURS][:1] + rows[study.OURS][3:4] == ["75.0", "100.0"]
    assert rows[study.OURS][1].startswith("+50.0 (")
    assert rows[study.OURS][2].startswith("+50.0 (")
    assert rows[study.META][:1] + rows[study.META][3:4] == ["25.0", "25.0"]
    assert rows["D_QA"][2] == ""
    assert rows[study.OURS][5:] == ["40.0", "60.0", "10"]
    assert "on the same pairs: +50.0" in told
    assert "meta-skills alone: +50.0" in told
    assert "shuffled verdicts: +0.0 (+0.0 to +0.0) points, **not met**" in told
    # the lessons alone refine nothing here: what the last round adds does not stand for them
    assert "after the lessons, +0.0 (+0.0 to +0.0) points" in told
    assert "not before them, -25.0 (" in told
    assert "): **not met**. After" in told
    assert "it adds +25.0" in told
    assert "0.55, **met**" in told


def test_stages_stand_beside_what_their_rates_imply():
    rows = body(tables.rounds(found()))
    assert [row[0] for row in rows] == ["start", "meta", "round 1"]
    # direct 75 %: .75 * .8 + .75 * .2 * .7 + .25 * .75 * .2 = 74.25
    assert rows[2][1:5] == ["75.0", "", "100.0", "74.2"]
    assert rows[2][-7:] == ["100", "2.0", "0.0", "5.0", "40.0", "60.0", "57.8"]
    assert rows[0][-7:] == [""] * 7
    beside = body(tables.rounds(found(D_QA=(BAD, BAD))))
    assert [row[2].split(" ")[0] for row in beside] == ["+0.0", "+0.0", "+50.0"]


def test_ways_of_inference_tell_their_cost():
    rows = body(tables.inference(found()))
    assert [row[:3] + row[4:] for row in rows] == [
        [study.META, "`greedy`", "25.0", "1.0", "20"], [study.META, "`self_feedback`", "25.0", "2.5", "50"],
        [study.OURS, "`greedy`", "75.0", "2.0", "20"], [study.OURS, "`self_feedback`", "100.0", "3.5", "50"],
    ]  # fmt: skip


def test_a_run_is_collected_question_by_question():
    folder = tiny.finished("self_evolution", pinned=False)
    got = {"arm": study.OURS, **heading(folder, 0), **study.collect(folder)}
    told = rounds(folder, "inference")
    assert [(r["stage"], r["strategy"]) for r in got["right"]] == [(r["stage"], r["strategy"]) for r in told]
    for row, whole in zip(got["right"], told, strict=True):
        assert len(row["right"]) == whole["questions"]
        assert sum(row["right"]) / len(row["right"]) == whole["accuracy"]
    result = {**found(), "runs": [got]}
    for kind in tables.KINDS:
        assert "| " in tables.KINDS[kind](result)


def test_unmeasured_regions_name_their_command(monkeypatch, tmp_path):
    monkeypatch.setattr(regions, "RESULTS", tmp_path)
    for kind in tables.KINDS:
        assert "python experiments/self_evolution.py --base none" in pages.region(f"{kind}-none")


def test_arms_are_settings_of_the_recipe():
    for arm in study.arms("nano"):
        assert tiny.settings("self_evolution", *arm.settings, pinned=False)
    names = [arm.name for arm in study.arms("nano")]
    assert {study.OURS, study.PAIRS, study.SHUFFLED, study.BLIND, study.GOLD} <= set(names)
    big = next(a for a in study.arms("nano") if a.name == "one big round")
    assert "rounds=1" in big.settings
