"""The study of sharpening where everything can be counted, and how its pages are written."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

import sharpening_exact as exact
import sharpening_tables as tables

from sharpen.measure.sharpness import found_by, margin
from sharpen.runs.streams import stream


@pytest.mark.parametrize("best", [0.01, 0.05, 1 / 3, 0.5, 0.8])
@pytest.mark.parametrize("gap", [0.02, 1.0])
def test_laws_have_the_margin_that_was_asked_for(best, gap):
    law = exact.policy(best, gap, stream("law").generator())
    assert law.shape == (8**4,)
    assert law.sum() == pytest.approx(1)
    assert law.min() >= 0
    assert law.max() == pytest.approx(best)
    assert margin(law) == pytest.approx(max(gap, best / (1 - best) - 1))


@pytest.mark.parametrize("coverage", [3, 30])
def test_errors_of_labels_hang_on_n_over_coverage(coverage):
    for ratio in (1, 3):
        n = ratio * coverage
        error = np.mean([exact.labels(1 / coverage, n, stream("e", s).generator()) for s in range(3)])
        assert error == pytest.approx(1 - found_by(1 / coverage, n), abs=0.04)
        assert error == pytest.approx(math.exp(-ratio), abs=0.12)


def test_exploration_finds_what_the_base_hardly_says():
    law, first = exact.rare()
    assert law.sum() == pytest.approx(1)
    assert (law.argmax(), law.max()) == (0, pytest.approx(1e-3))
    assert law[first == 0].sum() == pytest.approx(1e-3)
    for seed in range(3):
        assert exact.explored(0.01, seed, online=True) <= 100
    assert np.median([exact.explored(0.0, s, online=False, most=300) for s in range(3)]) >= 300


# the pages of the models -----------------------------------------------------------------------------
def run(arm, seed, before, after, best):
    """A run with these shares of right answers: two questions each."""
    where = [("base", before), ("sharpened", after)]
    rows = [
        {"name": "sharpness", "policy_is": who, "on": on, "accuracy_t1": a, "loglik": -2.0 + (who != "base"),
         "loglik_greedy": -1.5, "sharp": a, "kl": 0.1, "entropy": 0.2}
        for who, a in where for on in ("held_out", "trained")
    ]  # fmt: skip
    rows += [
        {"name": "best_of", "on": "held_out", "by": by, "n": n, "accuracy": best, "loglik": -1.0,
         "signal": 0.9}
        for by in ("loglik", "lennorm", "majority") for n in (1, 2)
    ]  # fmt: skip
    rows += [{"name": "cooled", "on": "held_out", "temperature": 0.5, "accuracy_t1": before, "loglik": -1.8,
              "entropy": 0.1}, {"name": "labels", "accuracy": best}]  # fmt: skip
    counts = {
        "base": {"greedy": [before] * 2, "sampled": [before] * 2, "best_loglik": [best] * 2,
                 "best_lennorm": [best] * 2, "best_majority": [best] * 2},
        "sharpened": {"greedy": [after] * 2, "sampled": [after] * 2},
    }  # fmt: skip
    return {"arm": arm, "seed": seed, "code": "c0de", "rows": rows, "counts": counts}


def found(after, anti=0.3):
    arms = [("SFT", 0.5, after, 0.9), ("anti-aligned: SFT", 0.6, anti, 0.2)]
    return {
        "base": "nano", "command": "python experiments/sharpening.py", "date": "today",
        "runs": [run(name, s, *shares) for name, *shares in arms for s in range(3)],
    }  # fmt: skip


def test_the_page_says_how_much_of_the_gain_is_kept():
    kept = tables.aligned(found(0.8))
    assert "75 % of best-of-N's gain" in kept
    assert "| best of 2 by loglik | 90.0 | +40.0 (+40.0 to +40.0) |" in kept
    assert kept.count("**met**") == 2
    lost = tables.aligned(found(0.6))
    assert "25 % of best-of-N's gain" in lost
    assert lost.count("**not met**") == 2


def test_the_page_says_whether_the_control_falls():
    assert "shows what it should" in tables.anti(found(0.8, anti=0.3))
    assert "does not show what it should" in tables.anti(found(0.8, anti=0.7))
    for text in (tables.curve(found(0.8)), tables.transductive(found(0.8))):
        assert "nan" not in text
