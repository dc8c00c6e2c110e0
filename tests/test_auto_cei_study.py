"""The tables of Auto-CEI's page, from a result made by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import auto_cei
import auto_cei_tables as tables
import regions
import tables as pages
from launch import heading

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.measure.reliability import f_score
from sharpen.runs.streams import stream
from tests import tiny

DEPTH = [1, 1, 2, 2, 3, 3, 4, 4]


def run(arm, seed, correct, refused, certainty=None):
    reliability = {"name": "reliability", "would_be_wrong": 0.75, "laziness": None}
    scale = {"name": "scale", "mu": 3, "sigma": 1, "d": 0.2, "c2": 0.5, "c1": 4.0, "tau": 0.5}
    climb = [
        {"name": "climb", "offset": k, "f": f, "c1": 4 + k / 5} for k, f in ((0, 0.5), (1, 0.6), (2, 0.55))
    ]
    rounds = [{"name": "attempts"}] * 3
    answers = {"correct": correct, "refused": refused, "depth": DEPTH, "certainty": certainty or [1.0] * 8}
    rows = [scale, *climb, *rounds, reliability]
    about = {"arm": arm, "seed": seed, "base": "0123456789ab", "code": "c0de", "seconds": 120}
    return {**about, "rows": rows, "answers": answers}


OURS = [1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
PLAIN = [1, 1, 1, 1, 0, 0, 0, 0], [0] * 8


def found(**others):
    runs = [run(auto_cei.OURS, seed, *OURS) for seed in range(2)]
    runs += [run(arm.replace("_", " "), seed, *row) for arm, row in others.items() for seed in range(2)]
    return {
        "command": "python experiments/auto_cei.py",
        "date": "2026-01-02",
        "base": "nano",
        "lambda": 0.2,
        "runs": runs,
    }


def body(text):
    lines = [line for line in text.splitlines() if line[:1] == "|"]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in lines][2:]


def test_f_is_that_of_each_seed_and_paired_with_ours():
    told = tables.overview(found(c1_fixed=PLAIN, EI=(*PLAIN, [9, 8, 7, 1, 6, 5, 4, 3])))
    rows = {row[0]: row[1:] for row in body(told)}
    assert rows[auto_cei.OURS][:3] == ["50.0", "100.0", "50.0"]
    assert rows[auto_cei.OURS][3].startswith("90.0 (")
    assert rows["c1 fixed"][:3] == ["50.0", "50.0", "0.0"]
    assert rows["c1 fixed"][4].startswith("+30.0 (")
    # of what cannot refuse, four are withheld as Auto-CEI refuses four: of the surest four, three are right
    assert rows[tables.WITHHELD][:3] == ["37.5", "75.0", "50.0"]
    assert rows["EI"][5:] == ["75.0", "-", "3.0"]
    assert "f is above that of c1 fixed, so the climb pays" in told
    assert "rank correlation 0.89): **met**" in told
    assert "`python experiments/auto_cei.py`, 2 seeds, 8 held-out questions, base nano (01234567)" in told


def test_frontiers_are_compared_at_equal_refusals():
    rows = {r[0]: r[1:] for r in body(tables.frontier(found(EI=(*PLAIN, [9, 8, 7, 1, 6, 5, 4, 3]))))}
    # of eight, five, four, three, two and two are answered: Auto-CEI answers four at most
    assert [c.partition(";")[0] for c in rows[auto_cei.OURS]] == ["-", "100.0", "100.0", "100.0", "100.0"]
    assert [c.partition(";")[0] for c in rows["EI"]] == ["60.0", "75.0", "100.0", "100.0", "100.0"]
    assert rows["EI"][1].partition("; ")[2].startswith("+25.0 (")
    assert ";" not in rows["EI"][0]


def test_the_bootstrap_is_the_house_s_where_f_is_a_mean():
    rng = np.random.default_rng(0)
    given = (rng.random((3, 40)) < 0.6).astype(float)
    a = tables.Answers(given * 0, given)
    drawn = tables.replicates(a, 1.0)
    mean, low, high = hierarchical_bootstrap(given, n=2000, stream=stream("auto_cei"))
    assert np.mean(tables.scores(a, 1.0)) == pytest.approx(mean)
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([low, high], abs=0.02)
    none = tables.Answers(given * 0, given * 0)
    assert tables.scores(none, 0.2) == [f_score(None, 1.0)] * 3
    assert tables.replicates(none, 0.2).tolist() == [0] * 2000
    assert tables.difference(a, a, 0.2) == (0, 0, 0)


def test_errors_and_refusals_by_depth():
    rows = body(tables.by_depth(found(EI=PLAIN)))
    assert rows == [
        [auto_cei.OURS, "0 / 0", "0 / 0", "- / 100", "- / 100"],
        ["EI", "0 / 0", "0 / 0", "100 / 0", "100 / 0"],
    ]


def test_where_the_climb_went():
    (row, _) = body(tables.climbs(found()))
    assert row[-2:] == ["+0: 50.0, +1: 60.0, +2: 55.0", "4.20"]


def test_without_a_result_the_page_says_how_it_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(regions, "RESULTS", tmp_path)
    for kind in tables.KINDS:
        told = pages.region(f"{kind}-nano-x")
        assert told == "Not measured yet: run `python experiments/auto_cei.py --base nano-x`."


def test_a_run_is_collected_and_told(monkeypatch):
    folder = tiny.finished("auto_cei", pinned=False)
    arms = auto_cei.arms("nano")
    assert auto_cei.as_many_rounds(folder, 0) == ("rounds=2",)
    got = auto_cei.collect(folder)
    head = heading(folder, 0)
    runs = [{**head, "arm": arm.name, "seed": seed, **got} for arm in arms for seed in range(2)]
    assert [len(v) for v in runs[0]["answers"].values()] == [12] * 7
    held = {"command": "x", "date": "2026-01-02", "base": "nano", "lambda": 0.2, "runs": runs}
    for write in tables.KINDS.values():
        assert write(held)
    assert [row[0] for row in body(tables.overview(held))] == [*(a.name for a in arms), tables.WITHHELD]
    assert len({arm.settings for arm in arms}) == len(arms)
