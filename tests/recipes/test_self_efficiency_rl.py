"""Self-rewarded efficiency RL from its first line to its last, and its checklist on whole runs."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.recipes.self_efficiency_rl import Settings, extremes, shortest
from sharpen.runs.store import compare_exact
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.length import Brevity, brief_rewards, shortness
from tests import tiny
from tests.scored import episode, task, verdict
from tests.tiny import Told, cut_before, rounds, steps, stored

NAME = "self_efficiency_rl"
SMALL = ("rounds=1", "held_out=2", "tried=0", "queries=4")


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


@pytest.fixture(scope="module")
def folder():
    return tiny.finished(NAME, pinned=False)


def attempts(folder, r, n=4):
    """Right (and ended) or not, and sampled tokens of a round's attempts, ``(questions, samples)``."""
    said = stored(folder, f"round-{r:04d}/sample:0").to_pylist()
    right = stored(folder, f"round-{r:04d}/score:0")["correct"].to_pylist()
    whole = [ok and s["finish"] != "length" for ok, s in zip(right, said, strict=True)]
    return np.array(whole).reshape(-1, n), np.array([s["n_sampled"] for s in said]).reshape(-1, n)


def test_advantages_are_centred_and_not_divided():
    config = Settings()
    assert config.advantage == "group_mean"
    loss = config.loss
    assert (loss.surrogate, loss.clip_low, loss.clip_high, loss.normaliser) == ("ppo", 0.2, 0.2, "tokens")
    assert loss.kl_coef == 0
    assert config.brevity == Brevity("linear", 0.5, True, 0.001)


def test_what_a_round_tells_follows_from_what_it_stored(folder):
    for r, row in enumerate(rounds(folder, "practice"), 1):
        right, lengths = attempts(folder, r)
        assert row["accuracy"] == right.mean() == row["solved"]
        assert row["length"] == lengths.mean()
        assert row["length_right"] == (lengths[right].mean() if right.any() else None)
        several = [shortness(n, c)[c] for n, c in zip(lengths, right, strict=True) if c.sum() > 1]
        assert row["questions"] == len(several)
        assert row["brevity"] == (np.concatenate(several).mean() if several else None)


def test_groups_of_equal_rewards_are_dropped_and_no_others(folder):
    for r, line in enumerate(steps(folder, "learn").values(), 1):
        right, lengths = attempts(folder, r)
        rewards = [brief_rewards(n, c, Brevity()) for n, c in zip(lengths, right, strict=True)]
        dead = sum(bool((x == x[0]).all()) for x in rewards)
        assert line["metrics"][0]["selection_dead"] == 4 * dead
        assert line["metrics"][0]["rows"] == 32 - 4 * dead


def test_accuracy_and_tokens_are_weighed_before_and_after(folder):
    rows = rounds(folder, "efficiency")
    assert [row["policy_is"] for row in rows] == ["base", "final"]
    assert rows[0]["policy"] == steps(folder, "policy")["policy:0"]["result"]["version"]
    assert rows[1]["policy"] == list(steps(folder, "learn").values())[-1]["result"]["version"]
    asked = [key for key in steps(folder, "sample") if "weighed-" in key]
    first, last = (set(stored(folder, key)["task_id"].to_pylist()) for key in asked)
    assert first == last
    assert all("-test-" in task_id for task_id in first)


@pytest.mark.parametrize(
    "changes",
    [
        ("form=ratio", "gate=false"),
        ("form=zscore",),
        ("form=none",),
        ("form=penalty",),
        ("control=shuffled",),
    ],
    ids=" ".join,
)
def test_forms_and_controls_are_settings(changes, tmp_path):
    execute(NAME, settings(*SMALL, *changes), tmp_path / "run")
    assert len(steps(tmp_path / "run", "learn")) == 1


def test_learning_the_shortest_is_supervised(tmp_path):
    execute(NAME, settings(*SMALL, "learn=shortest"), tmp_path / "run")
    (line,) = steps(tmp_path / "run", "learn").values()
    right, _ = attempts(tmp_path / "run", 1)
    assert line["inputs"]["objective"]["name"] == "sft"
    assert line["result"]["rows"] == right.any(1).sum()


def test_the_shortest_is_right_ended_and_the_first_of_equals():
    said = [
        (1, 8, Finish.EOS),
        (0, 2, Finish.EOS),
        (1, 4, Finish.EOS),
        (1, 3, Finish.LENGTH),
        (1, 4, Finish.EOS),
    ]
    episodes = tuple(episode(f"t{k}", sample=k, length=n, finish=f) for k, (_, n, f) in enumerate(said))
    group = Group(task(), episodes, tuple(verdict(float(right)) for right, _, _ in said))
    none = Group(task(), episodes[1:2], (verdict(0.0),))
    (row,) = shortest(Groups([group, none]))
    assert row.key == episodes[2].key
    first, second = extremes(Groups([group, none]))
    assert (first.key, second.key) == (episodes[2].key, episodes[0].key)
    assert first.unit == second.unit
    assert (first.scalars["preferred"], second.scalars["preferred"]) == (1, 0)
    alike = Group(task(), (episodes[2], episodes[4]), (verdict(1.0), verdict(1.0)))
    assert extremes(Groups([alike])) == []


def test_the_shortest_is_preferred_to_the_longest_under_the_base(tmp_path):
    few = ("queries=16", "samples=8", "max_new_tokens=64", "tasks=chain:level=1,min_ops=2,max_ops=3")
    execute(NAME, settings(*SMALL, "learn=pairs", *few), tmp_path / "run")
    (line,) = steps(tmp_path / "run", "learn").values()
    right, lengths = attempts(tmp_path / "run", 1, 8)
    pairs = sum(len(set(n[ok])) > 1 for ok, n in zip(right, lengths, strict=True))
    assert line["inputs"]["objective"]["name"] == "preference"
    assert line["result"]["rows"] == 2 * pairs > 0
    assert line["metrics"][0]["losses"][0] == pytest.approx(np.log(2), abs=1e-4)


def test_a_divided_advantage_is_warned_of(tmp_path):
    told = Told()
    execute(NAME, settings(*SMALL, "advantage=group_zscore"), tmp_path / "run", progress=told)
    assert sum("cancels where all answers are right" in text for text in told.warnings) == 1


def test_it_stops_where_accuracy_falls_below_the_floor(tmp_path):
    told = Told()
    execute(NAME, settings("rounds=3", "held_out=4", "tried=2", "floor=1"), tmp_path / "run", progress=told)
    assert [row["round"] for row in rounds(tmp_path / "run", "held_out")] == [0, 1]
    assert any("floor=1" in text for text in told.warnings)
    assert [row["policy_is"] for row in rounds(tmp_path / "run", "efficiency")] == ["base", "final"]


@pytest.mark.parametrize("before", ['"round-0002/learn:0"', '"weighed-final/held_out'])
def test_killed_between_steps_it_ends_the_same(folder, tmp_path, before):
    cut_before(folder, tmp_path / "run", before)
    execute(NAME, settings(), tmp_path / "run", resume=True)
    assert compare_exact(folder, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("change", "told"), [("refill=1", "refill"), ("samples=1", "samples"), ("form=linar", "linear")]
)
def test_wrong_settings_are_refused(change, told):
    with pytest.raises(SharpenError, match=told):
        settings(change)


def test_it_stops_two_points_below_the_floor_and_not_before(tmp_path):
    changes = ("rounds=2", "held_out=4", "tried=2")
    execute(NAME, settings(*changes), tmp_path / "free")
    reached = rounds(tmp_path / "free", "held_out")[1]["accuracy_t1"]
    for name, above, examined in (("near", 0.019, 3), ("far", 0.021, 2)):
        execute(NAME, settings(*changes, f"floor={reached + above}"), tmp_path / name)
        assert len(rounds(tmp_path / name, "held_out")) == examined
