"""The table of efficiency RL's page, from a result made by hand."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import efficiency_rl as study
import efficiency_rl_tables as tables


def counts(right, tokens, bad=0):
    n = study.TRIED
    return {"samples": 8, "right": [8 * right] * n, "tokens": [8 * tokens] * n, "degenerate": [8 * bad] * n}


def run(arm, seed, right, tokens):
    told = {"base": counts(1, 100), "final": counts(right, tokens)}
    return {"arm": arm, "seed": seed, "base": "0123456789ab", "code": "c0de", "seconds": 60, "counts": told}


def found(ours, alone):
    runs = [run(study.OURS, s, *ours) for s in range(2)] + [run(study.ALONE, s, *alone) for s in range(2)]
    return {"command": "python experiments/efficiency_rl.py", "date": "2026-01-02", "base": "checks",
            "runs": runs}  # fmt: skip


def test_saved_tokens_and_accuracy_are_against_the_untouched_base():
    lines = tables.table(found((1, 40), (1, 90))).splitlines()
    assert "| all | untouched | 100.0 |  | 100.0 |  | 0.0 |" in lines
    assert "| all | efficiency | 40.0 | +60.0 (+60.0 to +60.0) | 100.0 | +0.0 (+0.0 to +0.0) | 0.0 |" in lines
    assert sum(line.startswith("| a check is needed |") for line in lines) == 3


def test_the_verdict_follows_the_numbers():
    good = tables.verdict(found((1, 40), (1, 90)))
    assert good.count("**met**") == 3
    worse = tables.verdict(found((0.5, 95), (1, 90)))
    assert worse.count("**not met**") == 3
    assert "no verdict" in tables.verdict({"runs": [run(study.OURS, 0, 1, 1)]})


def test_questions_that_need_a_check_are_some_of_them():
    where = tables.needed()
    assert where.shape == (study.TRIED,)
    assert 0.05 < np.mean(where) < 0.4
