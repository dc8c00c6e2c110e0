"""GRPO, PPO, RLOO and REINFORCE on whole runs: who samples, what is compared, what the loss rests on."""

import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.config import load
from sharpen.runs.store import compare_exact
from sharpen.sample.fake import FakeEngine
from tests import tiny
from tests.tiny import rounds, steps, stored

settings = partial(tiny.settings, pinned=False)
finished = partial(tiny.finished, pinned=False)
RECIPES = ("grpo", "ppo", "rloo", "reinforce")
MONITORS = ("ratio_mean", "ratio_max", "ess", "approx_kl", "entropy")


def learnt(folder: Path) -> list[dict]:
    """The metrics of the learn steps."""
    return [line["metrics"][0] for line in steps(folder, "learn").values()]


@pytest.mark.parametrize("recipe", ["grpo", "rloo", "reinforce"])
def test_on_policy_every_ratio_is_one_although_the_engine_and_the_learner_are_two(recipe):
    for row in learnt(finished(recipe)):
        assert set(MONITORS) <= row.keys()
        assert abs(row["ratio_mean"] - 1) < 1e-5
        assert abs(row["ratio_max"] - 1) < 1e-4  # the engine multiplies adapters in, the learner does not
        assert row["ess"] == pytest.approx(1, abs=1e-6)
        assert row["approx_kl"] < 1e-6


def test_later_inner_updates_lag_and_say_so():
    for row in learnt(finished("ppo")):
        assert row["updates"] == 4
        assert row["ratio_max"] > 1.01
        assert row["ess"] < 1 - 1e-5
        assert row["approx_kl"] > 1e-6
        assert row["selection_stale"] == 0
        assert 0 <= row["clip_share"] < 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_attempt_is_learnt_from_or_accounted_for(recipe):
    for row in learnt(finished(recipe)):
        gone = [row.get(f"selection_{why}", 0) for why in ("unknown", "empty", "dead", "stale")]
        assert row["selection_sampled"] == 8 * 4 == row["selection_kept"] + sum(gone)
        assert row["rows"] == row["selection_kept"]


@pytest.mark.parametrize("recipe", ["grpo", "rloo"])
def test_dead_groups_are_those_of_equal_rewards(recipe):
    folder = finished(recipe)
    for r, row in enumerate(learnt(folder), 1):
        scores = np.array(stored(folder, f"round-{r:04d}/score:0")["score"].to_pylist()).reshape(8, 4)
        dead = (scores == scores[:, :1]).all(1).sum()
        alive = rounds(folder, "practice")[r - 1]["groups_alive"]
        assert alive == 8 - dead
        # where the reward has a penalty, it tells attempts of equal rewards apart
        assert row["selection_dead"] == (4 * dead if recipe == "grpo" else 0)


def test_the_reference_is_the_base_in_every_round():
    folder = finished("grpo")
    base = steps(folder, "policy")["policy:0"]["result"]["version"]
    assert [line["inputs"]["policy"] for line in steps(folder, "annotate").values()] == [base, base]
    first, second = learnt(folder)
    assert first["kl"] < 1e-6  # in the first round the policy is the base
    assert second["kl"] > 10 * first["kl"]


def test_the_critic_starts_blind_and_carries_on():
    folder = finished("ppo")
    first, second = (stored(folder, f"round-000{r}/value:0")["value"].to_pylist() for r in (1, 2))
    assert not any(x for row in first for x in row)
    assert any(x for row in second for x in row)
    told = [line["metrics"][0] for line in steps(folder, "critic").values()]
    assert len(told) == 2
    assert all(row["value_loss_after"] < row["value_loss"] for row in told)
    base = steps(folder, "policy")["policy:0"]["result"]["version"]
    assert {line["inputs"]["policy"] for line in steps(folder, "critic").values()} == {base}


def test_dead_groups_are_made_up_for_within_bounds(tmp_path):
    config = settings("grpo", "refill=2", "rounds=1", "tasks=order:level=2")
    summary = execute("grpo", config, tmp_path / "run")
    drawn = [key for key in steps(tmp_path / "run", "sample", "round-") if "held_out" not in key]
    asked = [stored(tmp_path / "run", key)["task_id"].to_pylist() for key in drawn]
    assert 2 <= len(asked) <= 3
    [practice] = rounds(tmp_path / "run", "practice")
    assert practice["refills"] == len(asked) - 1
    names = [set(tasks) for tasks in asked]
    assert sum(map(len, names)) == len(set().union(*names)) == practice["groups"]  # new questions each time
    scores = [
        np.array(stored(tmp_path / "run", key)["score"].to_pylist()).reshape(-1, 4)
        for key in steps(tmp_path / "run", "score", "round-")
        if "held_out" not in key
    ]
    alive = [int((s != s[:, :1]).any(1).sum()) for s in scores]
    assert len(names[1]) == 8 - alive[0]
    assert sum(alive) == practice["groups_alive"] <= 8
    assert summary["samples_refill"] == 4 * sum(map(len, names[1:])) <= config.plan()["samples_refill"]
    [row] = learnt(tmp_path / "run")
    assert row["rows"] == 4 * sum(alive)


def test_rounds_of_dead_groups_learn_nothing_and_go_on(tmp_path):
    config = settings("grpo", "held_out=2", "refill=1")
    base = steps(finished("grpo"), "policy")["policy:0"]["result"]["version"]
    execute("grpo", config, tmp_path / "run", engine=FakeEngine(lambda request: "no answer"))
    learnt_from = steps(tmp_path / "run", "learn")
    assert [line["result"] for line in learnt_from.values()] == [{"version": base, "rows": 0}] * 2
    # as many further questions as groups were dead, once a round
    assert [row["groups"] for row in rounds(tmp_path / "run", "practice")] == [16, 16]
    assert [row["groups_alive"] for row in rounds(tmp_path / "run", "practice")] == [0, 0]


def test_shuffled_rewards_are_the_same_rewards_elsewhere(tmp_path):
    folder = tmp_path / "run"
    execute("grpo", settings("grpo", "control=shuffled", "rounds=1"), folder)
    one, other = (stored(f, "round-0001/score:0") for f in (folder, finished("grpo")))
    assert one["score"] == other["score"]  # what is stored is what was said of each attempt
    real, control = (steps(f, "learn")["round-0001/learn:0"] for f in (finished("grpo"), folder))
    assert real["inputs"]["rows"] != control["inputs"]["rows"]
    assert control["metrics"][0]["selection_sampled"] == 32


def test_a_truncating_law_is_replayed_by_the_loss(tmp_path):
    execute("rloo", settings("rloo", "top_k=3", "temperature=0.8", "rounds=1"), tmp_path / "run")
    [row] = learnt(tmp_path / "run")
    assert abs(row["ratio_mean"] - 1) < 1e-5
    assert abs(row["ratio_max"] - 1) < 1e-4


def test_published_variants_are_settings_of_grpo(tmp_path):
    dapo = ("loss.clip_high=0.28", "loss.normaliser=tokens", "loss.kl_coef=0", "refill=1")
    dr_grpo = ("advantage=group_mean", "loss.normaliser=constant", "loss.kl_coef=0")
    for name, changes in (("dapo", dapo), ("dr_grpo", dr_grpo)):
        execute("grpo", settings("grpo", "rounds=1", "held_out=2", "queries=4", *changes), tmp_path / name)
        [row] = learnt(tmp_path / name)
        assert "loss/kl" not in row
        assert not steps(tmp_path / name, "annotate")


@pytest.mark.parametrize(
    ("recipe", "change", "told"),
    [
        ("grpo", "epochs=2", "max_lag=0 is less"),
        ("ppo", "max_lag=2", "lag up to 3 updates"),
        ("grpo", "samples=1", "samples=1 is one"),
        ("reinforce", "refill=1", "no dead groups"),
        ("grpo", "temperature=0", "temperature"),
        ("grpo", "loss.kl_in=reward", "blows a penalty up"),
        ("grpo", "advantage=group_zscor", "group_zscore"),
        ("grpo", "loss.clip_hihg=0.3", "loss.clip_high"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_before_anything_is_sampled(recipe, change, told):
    with pytest.raises(SharpenError, match=told) as problem:
        settings(recipe, change)
    assert "\n" not in str(problem.value)


def test_a_changed_setting_of_a_loss_leaves_the_others_as_the_recipe_has_them():
    plain, changed = settings("rloo"), settings("rloo", "loss.kl_coef=0.5", "optimizer.lr=1e-4")
    assert changed.loss == plain.loss.model_copy(update={"kl_coef": 0.5})
    assert changed.optimizer == plain.optimizer.model_copy(update={"lr": 1e-4})
    deeper = settings("ppo", "critic.optimizer.lr=0.5")
    expected = settings("ppo").critic
    assert deeper.critic == expected.model_copy(
        update={"optimizer": expected.optimizer.model_copy(update={"lr": 0.5})}
    )


def test_a_plan_counts_exams_and_updates():
    cls = type(settings("grpo"))
    plan = load(cls, overrides=("rounds=25", "measure_every=10", "queries=4", "samples=2", "held_out=10",
                                "held_out_sampled=5", "held_out_samples=4")).plan()  # fmt: skip
    assert plan["samples_held_out"] == 4 * (10 + 5 * 4)  # before, after 10, 20 and 25
    assert plan["optimizer_steps"] == 25
    assert plan["rows_learnt"] == 25 * 4 * 2


# killed ----------------------------------------------------------------------------------------------

SMALL = ("save_every=1", "queries=4", "held_out=4", "held_out_sampled=2")
REFILLED = ("refill=1", "tasks=order:level=2")
KILLS = (
    ("grpo", "unit.rename.before:8", REFILLED),  # samples, verdicts or a reference half stored
    ("grpo", "manifest.write.mid:14", REFILLED),
    ("ppo", "checkpoint.write.mid:2", ()),  # the critic
    ("ppo", "learn.microbatch:5", ()),  # between inner updates
)
SERVER = """
import os, sys
from functools import partial
from sharpen.recipes.execute import execute
from sharpen.runs import faults
from tests.tiny import settings
for spec in sys.argv[1:]:
    folder, recipe, fault, *changes = spec.split(";")
    pid = os.fork()
    if pid == 0:
        faults.arm(fault)
        execute(recipe, settings(recipe, *changes, pinned=False), folder)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@cache
def killed(root: Path) -> list[str]:
    """The exit statuses of tiny runs in ``root``, each killed at one of ``KILLS``."""
    argv = [";".join((str(root / str(i)), *kill[:2], *SMALL, *kill[2])) for i, kill in enumerate(KILLS)]
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SERVER, *argv], capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("i", range(len(KILLS)), ids=[f"{k[0]}-{k[1]}" for k in KILLS])
def test_killed_anywhere_it_ends_with_the_same_bytes(i, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "killed-gradients"
    root.mkdir(exist_ok=True)
    recipe, _, changes = KILLS[i]
    assert killed(root)[i] == "-9"
    execute(recipe, settings(recipe, *SMALL, *changes), root / str(i), resume=True)
    assert compare_exact(root / str(i), finished(recipe, *SMALL, *changes)) == []


def test_more_rounds_go_on_from_where_it_ended(tmp_path):
    execute("ppo", settings("ppo", "rounds=1", "measure_every=2"), tmp_path / "run")
    longer = settings("ppo", "rounds=2", "measure_every=1")
    execute("ppo", longer, tmp_path / "run", resume=True)
    for key, line in steps(finished("ppo"), "learn").items():
        assert steps(tmp_path / "run", "learn")[key]["result"] == line["result"]
