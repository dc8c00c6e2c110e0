"""Efficiency steering from its first line to its last on the shipped base, and how it chooses."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes import efficiency_steering as recipe
from sharpen.recipes.execute import execute
from sharpen.runs.config import load
from sharpen.runs.store import compare_exact, read_manifest
from sharpen.sample.policy import load_policy
from sharpen.sample.steering import load_steering
from tests.tiny import Told, finished, rounds, settings, steps, stored

NAME = "efficiency_steering"


@pytest.fixture(scope="module")
def folder():
    return finished(NAME, pinned=False)


def tiny(*changes):
    return settings(NAME, *changes, pinned=False)


def test_every_split_is_asked_for_its_own_purpose_and_test_once(folder):
    asked = {key: set(stored(folder, key)["task_id"].to_pylist()) for key in steps(folder, "sample")}
    splits = {"collect/": "train", "dev/": "dev", "controls/": "dev", "test/": "test"}
    for key, ids in asked.items():
        split = splits[key.split("/")[0] + "/"]
        assert all(f"-{split}-" in i for i in ids), key
    lines = list(read_manifest(folder).steps)
    at_test = [i for i, key in enumerate(lines) if key.startswith("test/")]
    chosen = max(i for i, key in enumerate(lines) if key.startswith(("dev/", "controls/", "log:")))
    assert min(at_test) > chosen  # what is chosen has been chosen
    tried = [key for key in steps(folder, "efficiency") if key.startswith("test/")]
    assert len(tried) == 4  # unsteered, steered, random, shuffled


def test_directions_come_from_train_pairs_of_right_answers(folder):
    (line,) = steps(folder, "states").values()
    assert line["inputs"]["groups"]["step"].startswith("collect/")
    assert all("-train-" in task for task, *_ in line["inputs"]["pairs"])
    table = stored(folder, "states:0")
    n = len(line["inputs"]["pairs"])
    assert table.num_rows == n * 2 * 3 * 4  # sides, pools, layers
    assert {len(s) for s in table["state"].to_pylist()} == {128}


def test_the_curve_holds_every_point_its_form_and_the_controls(folder):
    config = tiny()
    rows = rounds(folder, "efficiency")
    points = {(r["direction"], r.get("pool"), r["strength"]) for r in rows}
    (chosen,) = rounds(folder, "chosen")
    assert chosen["found"]
    for strength in config.strengths:
        assert all(("steering", pool, strength) in points for pool in config.pools)
        assert {("random", chosen["pool"], strength), ("shuffled", chosen["pool"], strength)} <= points
    for row in rows:
        assert 0 <= row["accuracy"] <= 1 - row["degenerate"]
        assert row["length"] > 0
        assert row["reflection_rate"] >= 0
    for row in rounds(folder, "direction"):
        assert row["size"] > 0
        assert all(-1.001 <= row[k] <= 1.001 for k in row if k.startswith("cosine"))


def test_controls_have_the_norm_of_the_direction(folder):
    """Their versions differ from the steered policy's and from each other."""
    rows = [r for r in rounds(folder, "efficiency") if r["key"].startswith("test/")]
    assert len({r["policy"] for r in rows}) == 4
    draw = np.random.default_rng(0)
    pairs = [tuple(draw.standard_normal((2, 4, 8)).astype(np.float32)) for _ in range(6)]

    class States:
        def of(self, pool, chosen):
            return iter(pairs)

    class Named:
        def stream(self, *names):
            from sharpen.runs.streams import stream

            return stream(*names)

    direction = draw.standard_normal((4, 8)).astype(np.float32)
    for control in recipe.controls(Named(), States(), range(6), direction, "last").values():
        norms = (np.linalg.norm(x, axis=-1) for x in (control, direction))
        assert np.allclose(*norms, rtol=1e-5)


def test_what_was_chosen_is_kept_and_loads_as_a_policy(folder):
    (line,) = steps(folder, "steering").values()
    kept = folder / "checkpoints" / "steering-0" / "final"
    policy = load_policy(kept)
    assert policy.version == line["result"]["version"]
    tested = {r["direction"]: r for r in rounds(folder, "efficiency") if r["key"].startswith("test/")}
    assert policy.version == tested["steering"]["policy"]
    (chosen,) = rounds(folder, "chosen")
    steering = load_steering(kept)
    assert (steering.layers, steering.strength) == ((chosen["layer"],), chosen["strength"])
    told = (kept / "README.md").read_text()
    assert f"| pool | {chosen['pool']} |" in told
    assert "| test reduction |" in told


def test_a_stopped_run_goes_on_to_the_same_bytes(folder, tmp_path):
    class Stop(Exception):
        pass

    class Stopping(Told):
        def metrics(self, row):
            if row["name"] == "efficiency":  # after the states, inside the sweep
                raise Stop

    with pytest.raises(Stop):
        execute(NAME, tiny(), tmp_path / "run", progress=Stopping())
    execute(NAME, tiny(), tmp_path / "run", resume=True)
    assert compare_exact(tmp_path / "run", folder) == []


def row(strength, accuracy, length):
    return {"strength": strength, "accuracy": accuracy, "length": length}


def test_the_choice_is_the_shortest_within_the_tolerance():
    plain = row(0.0, 0.80, 100.0)
    rows = [row(0.5, 0.81, 90.0), row(1.0, 0.79, 70.0), row(2.0, 0.78, 50.0), row(-1.0, 0.9, 10.0)]
    assert recipe.choose(rows, plain, 0.01) is rows[1]  # 0.79 is within a point, rounding aside
    assert recipe.choose(rows, plain, 0.0) is rows[0]
    assert recipe.choose(rows, plain, 0.05) is rows[2]
    assert recipe.choose([row(1.0, 0.9, 100.0)], plain, 0.01) is None
    assert recipe.choose([], plain, 0.01) is None
    ties = [row(2.0, 0.8, 60.0), row(1.0, 0.8, 60.0)]
    assert recipe.choose(ties, plain, 0.01) is ties[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("engine=vllm", "engine=native"),
        ("layers=[4]", "layers 0 to 3"),
        ("strengths=[-1.0]", "above 0"),
        ("strengths=[0.0,1.0]", "0 is always measured"),
        ('pools=["first"]', "mean_reasoning"),
        ("tasks=countdwn", "countdown"),
    ],
)
def test_wrong_settings_are_one_line_and_write_nothing(change, told, tmp_path):
    with pytest.raises(SharpenError, match=told) as problem:
        execute(NAME, tiny(change), tmp_path / "run")
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "run").exists()


def test_too_few_pairs_say_what_to_raise(tmp_path):
    with pytest.raises(SharpenError, match="raise problems, samples or max_ratio"):
        execute(NAME, tiny("problems=4", "max_ratio=0.01"), tmp_path / "run")


def test_the_plan_counts_what_is_sampled(folder):
    plan = load(recipe.Settings, None, tiny=True).plan()
    sampled = sum(line["result"]["samples"] for line in steps(folder, "sample").values())
    assert sampled == plan["samples"]
