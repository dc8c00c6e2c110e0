"""The tables of SPIRAL's page, from a result made by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import spiral_tables

RAE, SHUFFLED = spiral_tables.OURS, spiral_tables.SHUFFLED
WITHOUT = {"runs": [{"held_out": []}]}


def runs(changes):
    """Runs by seed that begin at 50 % and change by so many points greedily, by half of that at T=1."""
    ends = [((0, 0.5, 0.5), (400, 0.5 + c / 100, 0.5 + c / 200)) for c in changes]
    names = ("round", "accuracy_greedy", "accuracy_t1")
    return {
        "runs": [
            {"held_out": [{"n_questions": 200, **dict(zip(names, row, strict=True))} for row in rows]}
            for rows in ends
        ]
    }


def found(**arms):
    told = [
        {"arm": arm, "seed": i, "code": "c0de", **run}
        for arm, given in arms.items()
        for i, run in enumerate(given["runs"])
    ]
    return {"command": "python experiments/spiral.py", "date": "2026-01-02", "base": "nano", "runs": told}


def test_transfer_is_told_with_its_control_and_its_intervals():
    told = spiral_tables.transfer(
        found(**{RAE: runs([3, 5]), SHUFFLED: runs([1, 1]), "kuhn, no baseline": WITHOUT})
    )
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in told.splitlines() if line[:1] == "|"][2:]
    assert [row[0] for row in rows] == ["RAE", "returns shuffled"]
    assert rows[0][1:4] == ["50.0 (50.0 to 50.0)", "54.0 (53.0 to 55.0)", "+4.0 (+3.0 to +5.0)"]
    assert rows[0][6] == "+2.0 (+1.5 to +2.5)"
    assert rows[1][3] == "+1.0 (+1.0 to +1.0)"
    apart = "shuffled returns: +3.0 (+2.0 to +4.0) points greedy, +1.5 (+1.0 to +2.0) points at T=1. "
    assert apart in told
    assert "200 held-out questions" in told


@pytest.mark.parametrize("arms", [{}, {RAE: WITHOUT}, {"tictactoe, RAE": WITHOUT}])
def test_without_its_arms_it_says_how_they_are_run(arms):
    assert spiral_tables.transfer(found(**arms)) == spiral_tables.UNMEASURED


def test_without_its_control_no_difference_is_told():
    assert "shuffled" not in spiral_tables.transfer(found(**{RAE: runs([1, 2])}))
