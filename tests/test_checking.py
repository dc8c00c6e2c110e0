"""The verb ``check-task``, in-process; its workers are real."""

import json
import sys
from pathlib import Path

import pytest

from sharpen.cli import main
from sharpen.cli.checking import checked, every, verdict_of, why
from sharpen.tasks.reasoning_gym import QUARANTINE

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import check
import verifying


def row(source: str, **changed) -> dict:
    return {"source": source, "items": 8, "judged": 100, "failures": [], "refused": "", **changed}


def test_sound_sources_are_fine_and_the_exit_code_says_so(capsys):
    assert main(["check-task", "order:level=1", "reasoning_gym:game_of_life_halting", "--items", "1"]) == 0
    out = capsys.readouterr().out
    assert "order:level=1" in out
    assert "quarantined" in out
    assert "its scorer accepts almost any text" in out


def test_a_source_that_cannot_be_used_is_told_with_its_reason(capsys):
    assert main(["check-task", "reasoning_gym:rush_hour", "--items", "1", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert verdict_of(found) == "cannot be used"
    assert "0 distinct items" in why(found)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ((), "name sources, or give --all"),
        (("--all", "order"), "name sources, or give --all"),
        (("ordr",), "unknown task 'ordr': did you mean 'order'?"),
        (("reasoning_gym:leg_countin",), "did you mean 'leg_counting'?"),
        (("order", "--items", "0"), "'0' is not a whole number from 1"),
    ],
)
def test_bad_input_is_one_line(argv, line, capsys):
    assert main(["check-task", *argv]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


def test_a_source_that_takes_too_long_is_a_row_like_any_other(capsys):
    argv = [
        "check-task",
        "order:level=1",
        "reasoning_gym:knight_swap",
        "--items",
        "2",
        "--cpu",
        "1",
        "--json",
    ]
    assert main(argv) == 1
    fine, slow = json.loads(capsys.readouterr().out)
    assert verdict_of(fine) == "fine"
    assert verdict_of(slow) == "too slow"
    assert why(slow) == "too slow: more than 1 s of CPU time"


def test_each_source_is_told_of_when_it_is_done(capsys):
    rows = checked(["order:level=1", "ordr"], 1, told=True)
    assert [r["source"] for r in rows] == ["order:level=1", "ordr"]
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.partition("  ")[0] for line in lines) == ["1 of 2", "2 of 2"]
    assert sorted(line.partition("  ")[2] for line in lines) == [
        "order:level=1  fine",
        "ordr  cannot be used",
    ]


def test_every_source_is_listed():
    names = every()
    assert {"countdown:level=1", "order:level=4", "reasoning_gym:leg_counting"} <= set(names)
    assert len(names) == len(set(names)) > 100
    assert {f"reasoning_gym:{n}" for n in QUARANTINE} <= set(names)


def test_verdicts_and_reasons():
    assert verdict_of(row("order")) == "fine"
    assert why(row("order")) == ""
    assert verdict_of(row("order", items=0)) == "fails"
    attacks = [{"check": f"attack passes: {n}", "times": 2, "example": ""} for n in "abcde"]
    broken = row("order", failures=[{"check": "gold refused", "times": 3, "example": ""}, *attacks])
    assert verdict_of(broken) == "fails"
    assert why(broken) == "gold refused (3); accepts a, b, c and 2 more"
    assert verdict_of(row("reasoning_gym:survo")) == "quarantined"


def test_the_table_names_what_is_not_fine_and_why():
    found = {
        "command": "python experiments/check.py",
        "date": "2026-01-02",
        "version": "0.1",
        "sources": [
            row("order:level=1"),
            row("reasoning_gym:leg_counting"),
            row("reasoning_gym:survo"),
            row("reasoning_gym:word_ladder", refused="it | cannot"),
        ],
    }
    text = verifying.checks_of(found)
    assert "| `order:level=1` | 8 | 100 | fine |" in text
    assert "| `reasoning_gym:survo` | 8 | 100 | quarantined | its scorer accepts" in text
    assert "cannot be used | it \\| cannot |" in text
    assert "4 sources, 400 answers judged: 2 fine, 1 quarantined, 1 cannot be used." in text
    assert "Also fine, of reasoning-gym: `leg_counting`." in text


def test_the_experiment_keeps_its_command(tmp_path, capsys):
    check.main(["--only", "order:level=1", "--items", "1", "--out", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["command"] == "python experiments/check.py --items 1"
    assert [r["source"] for r in found["sources"]] == ["order:level=1"]
