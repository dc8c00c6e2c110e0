"""Studies of arms and seeds: which runs are made, and how results made at different times become one."""

import json
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import launch
from launch import Arm, Study

ARMS = (
    Arm("first", "sft"),
    Arm("second, 5 %", "sft", ("steps=2",), ("first", lambda f, seed: (f"model={f}",))),
)


@pytest.mark.parametrize(
    ("text", "seeds"), [("5", [0, 1, 2, 3, 4]), ("3-4", [3, 4]), ("0-0", [0]), ("1", [0])]
)
def test_seeds_are_a_number_or_a_range(text, seeds):
    assert list(launch.seeds_of(text)) == seeds


@pytest.mark.parametrize("text", ["", "0", "4-3", "a", "1,2", "-1"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ArgumentTypeError, match="neither a number of seeds"):
        launch.seeds_of(text)


def test_an_arm_goes_on_from_the_run_before_it_seed_by_seed(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(launch, "perform", lambda words, folder: made.append((words, folder)))
    study = Study(tmp_path, range(2))
    study.perform(ARMS[:1], ARMS[1:])
    folders = ["first/seed-0", "first/seed-1", "second_5_/seed-0", "second_5_/seed-1"]
    assert [str(folder.relative_to(tmp_path)) for _, folder in made] == folders
    assert made[3][0][3:6] == ["steps=2", f"model={tmp_path / 'first/seed-1'}", "--seed"]


def result(*runs, base="nano", command="one"):
    told = [{"arm": arm, "seed": seed, "made": command} for arm, seed in runs]
    return {"base": base, "command": command, "runs": told}


def test_results_of_several_times_are_one_in_the_order_of_arms(tmp_path):
    path = tmp_path / "x.json"
    launch.add(path, result(("second, 5 %", 0), ("first", 1), ("gone", 0)), ARMS)
    launch.add(path, result(("first", 0), ("first", 1), command="two"), ARMS)
    found = json.loads(path.read_text())
    places = [(run["arm"], run["seed"], run["made"]) for run in found["runs"]]
    assert places == [("first", 0, "two"), ("first", 1, "two"), ("second, 5 %", 0, "one")]
    assert found["command"] == "one && two"
    launch.add(path, result(("first", 0), command="two"), ARMS)
    assert json.loads(path.read_text())["command"] == "one && two"


def test_results_on_another_base_are_not_mixed(tmp_path):
    path = tmp_path / "x.json"
    launch.add(path, result(("first", 0)), ARMS)
    launch.add(path, result(("first", 1), base="nano-b", command="two"), ARMS)
    found = json.loads(path.read_text())
    assert [run["seed"] for run in found["runs"]] == [1]
    assert found["command"] == "two"


def test_the_command_is_told_without_where_and_how_many_at_a_time():
    args = launch.arguments(None, base="nano", seeds=5).parse_args(
        ["--seeds", "3-4", "--jobs", "2", "--arms", "a;b"]
    )
    told = launch.typed("spiral", args)
    assert told == "python experiments/spiral.py --base=nano --seeds=3-4 '--arms=a;b'"
