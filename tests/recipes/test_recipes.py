"""Every recipe from its first line to its last, tiny but real: a shipped model, real files."""

import json
from functools import partial

import pytest
import torch

from sharpen import recipes
from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.recipes.settings import Training
from sharpen.runs.store import compare_exact, read_manifest
from tests import tiny
from tests.tiny import rounds, steps, stored

settings = partial(tiny.settings, pinned=False)  # what `--tiny` gives
finished = partial(tiny.finished, pinned=False)
NAMES = sorted(name for name, e in recipes.RECIPES.items() if issubclass(e.load()[1], Training))
CHECKLIST = (
    "accuracy_greedy",
    "accuracy_greedy_low",
    "accuracy_t1",
    "pass_at_4",  # Pass@K
    "pass_at_4_4",  # Pass@K-S
    "reward_at_4_4",  # Reward@K-S
    "distinct_equations",  # diversity
    "unique_correct",
    "entropy",
    "length",
    "truncated_share",
    "all_wrong_share",
    "unknown_share",
)


ABLE = {"autothink": ("warmup.steps=0", "optimizer.lr=0.000001", "max_new_tokens=48")}
"""With these a tiny run gets some answers right: without any there is no diversity to tell."""


@pytest.mark.parametrize("recipe", NAMES)
def test_every_round_is_measured_alike(recipe):
    folder = finished(recipe, *ABLE.get(recipe, ()))
    rows = rounds(folder, "held_out")
    expected = settings(recipe).rounds
    if recipe == "star":  # may stop at its plateau
        assert 2 <= len(rows) <= expected + 1
    elif recipe == "auto_cei":  # whose search has questions of its own
        assert [row["round"] for row in rows] == [0, expected]
    else:
        assert [row["round"] for row in rows] == list(range(expected + 1))
    for row in rows:
        for name in CHECKLIST:  # a score alone has no steps
            assert row[name] is not None or (recipe, name) == ("self_rationalization", "distinct_equations")
        assert row["n_questions"] == 12
        assert row["n_samples"] == 8 * 4
        assert 0 <= row["pass_at_4_4"] <= row["pass_at_4"] <= 1
    # the exam is the same every time, and never among what is trained on
    exams = [stored(folder, key)["task_id"].to_pylist() for key in steps(folder, "measure") if "held" in key]
    assert all(exam == exams[0] for exam in exams)
    asked = {
        t for key in steps(folder, "sample", "round-") for t in stored(folder, key)["task_id"].to_pylist()
    }
    trained = {t for t in asked if "-train-" in t}
    assert trained.isdisjoint(exams[0])
    assert trained or recipe in ("sft", "self_evolution")  # the latter asks by a strategy


@pytest.mark.parametrize("recipe", NAMES)
def test_every_learn_step_moves_the_weights_and_its_policy_samples_next(recipe):
    folder = finished(recipe)
    learnt = steps(folder, "learn")
    assert learnt
    versions = [line["result"]["version"] for line in learnt.values()]
    assert len(set(versions)) == len(versions)
    for line in learnt.values():
        assert line["result"]["version"] != line["inputs"]["policy"]
        # a surrogate's value says nothing: with ratios of 1 and centred advantages it is 0
        assert line["metrics"][0]["losses"][0] > 0 or "ratio_mean" in line["metrics"][0]
        assert line["metrics"][0]["grad_norm"] > 0
    if recipe == "auto_cei":  # the last policy need not be the final one: see its own tests
        return
    last = steps(folder, "sample", f"round-{len(rounds(folder, 'held_out')) - 1:04d}/held_out")
    assert {line["inputs"]["policy"] for line in last.values()} == {versions[-1]}


@pytest.mark.parametrize("recipe", NAMES)
def test_show_and_list_read_it(recipe, capsys):
    folder = finished(recipe)
    assert main(["show", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "greedy" in told
    assert "pass@4" in told
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["list", "recipes"]) == 0
    assert recipe in capsys.readouterr().out
    key = next(reversed(steps(folder, "sample")))
    assert main(["show", str(folder), key]) == 0
    assert ("[RESULT]" if recipe == "self_rationalization" else "Answer") in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["b_star", "star"])
def test_the_same_run_twice_gives_the_same_bytes(recipe, tmp_path):
    # whoever drew from a global generator in between must not matter
    torch.manual_seed(12345)
    execute(recipe, settings(recipe), tmp_path / "again")
    assert compare_exact(finished(recipe), tmp_path / "again") == []


def test_another_seed_gives_another_run(tmp_path):
    execute("online_rft", settings("online_rft"), tmp_path / "run", seed=1)
    first = "round-0001/sample:0"
    assert stored(tmp_path / "run", first)["text"] != stored(finished("online_rft"), first)["text"]
    # the exam's questions are not drawn by the seed, so seeds can be compared
    exam = "held_out/measure:0"
    one, other = (stored(f, exam)["task_id"] for f in (tmp_path / "run", finished("online_rft")))
    assert one == other


@pytest.mark.parametrize("recipe", NAMES)
def test_the_plan_tells_what_the_run_then_costs(recipe, tmp_path):
    folder = finished(recipe)
    summary = execute(recipe, settings(recipe), folder, resume=True)  # finished: only counted
    plan = settings(recipe).plan()
    if recipe != "star":  # which stops early and rationalizes only what failed
        assert summary["samples"] == plan["samples_training"]
        if recipe == "auto_cei":  # which makes only those answer again who refuse
            assert summary["samples_held_out"] <= plan["samples_held_out"]
        else:
            assert summary["samples_held_out"] == plan["samples_held_out"]
        assert summary["updates"] == plan["optimizer_steps"]
        assert summary["samples_search"] == plan.get("samples_search", 0)
    assert 0 < summary["tokens"] <= plan["tokens"]


@pytest.mark.parametrize("control", ["shuffled", "random"])
def test_controls_learn_from_as_many_rows(control, tmp_path):
    execute("online_rft", settings("online_rft", f"control={control}", "rounds=1"), tmp_path / "run")
    real = steps(finished("online_rft"), "learn", "round-0001")["round-0001/learn:0"]
    line = steps(tmp_path / "run", "learn")["round-0001/learn:0"]
    assert line["inputs"]["rows"] != real["inputs"]["rows"]
    kept = line["result"]["rows"]
    assert kept == real["result"]["rows"] if control == "random" else 0 < kept <= real["result"]["rows"]


def test_low_rank_adapters_carry_a_whole_run_and_its_replay(tmp_path):
    config = settings("online_rft", "method=lora", "keep=last")
    summary = execute("online_rft", config, tmp_path / "run")
    # round 1's adapter was given up; replaying needs only its name
    assert execute("online_rft", config, tmp_path / "run", resume=True) == summary
    longer = settings("online_rft", "method=lora", "keep=last", "rounds=3")
    execute("online_rft", longer, tmp_path / "run", resume=True)
    execute("online_rft", longer, tmp_path / "straight")
    one, other = (list(read_manifest(tmp_path / f).steps.values()) for f in ("run", "straight"))
    assert one == other


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("tasks=countdwn", "countdown"),
        ("model=nanno", "nano"),
        ("queries=64", "raise pool"),
        ("verifier=numbr", "number"),
        ("tasks=jsonl:{questions}", "cannot check steps"),
    ],
)
def test_wrong_settings_are_one_line_and_write_nothing(change, told, tmp_path):
    questions = tmp_path / "questions.jsonl"
    rows = [{"prompt": f"{i} + {i}?", "answer": str(2 * i)} for i in range(400)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SharpenError, match=told) as problem:
        execute("b_star", settings("b_star", change.format(questions=questions)), tmp_path / "run")
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "run").exists()
