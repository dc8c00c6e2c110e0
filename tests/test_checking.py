"""The verb ``check-task``, in-process; its workers are real."""

import json

import pytest

from sharpen.cli import main
from sharpen.cli.checking import every, verdict_of, why
from sharpen.tasks.reasoning_gym import QUARANTINE


def row(source: str, **changed) -> dict:
    return {"source": source, "items": 8, "judged": 100, "failures": [], "refused": "", **changed}


def test_sound_sources_are_fine_and_the_exit_code_says_so(capsys):
    assert main(["check-task", "order:level=1", "reasoning_gym:game_of_life_halting", "--items", "1"]) == 0
    out = capsys.readouterr().out
    assert "order:level=1" in out
    assert "quarantined" in out
    assert "its scorer accepts almost any text" in out


def test_a_source_that_cannot_be_used_is_told_with_its_reason(capsys):
    assert main(["check-task", "reasoning_gym:word_ladder", "--items", "1", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert verdict_of(found) == "cannot be used"
    assert "cannot be repeated" in why(found)


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
