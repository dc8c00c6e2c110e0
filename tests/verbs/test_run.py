"""What a run promises whoever resumes it: refusals by name, the same bytes, checkpoints only where needed."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpen.errors import NotFinite, Refused, SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.config import change
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact, read_manifest, unit_files
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import GREEDY
from sharpen.sample.policy import load_policy, shipped
from sharpen.score.verify import from_function
from sharpen.verbs import learning
from sharpen.verbs.asking import Asking
from sharpen.verbs.run import Run, Stopped
from tests.tiny import Told, finished, rounds, settings, steps

RECIPE = "online_rft"


def copied(tmp_path: Path, *changes: str) -> Path:
    """A finished tiny run of one's own."""
    shutil.copytree(finished(RECIPE, *changes), tmp_path / "run")
    return tmp_path / "run"


def content(folder: Path) -> dict[str, bytes]:
    """Every file that is compared, by name."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in ("lock", "timing.jsonl"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def loads(monkeypatch):
    """The checkpoints that are read during the test."""
    seen = []
    real = learning.load_state

    def load(folder, base):
        seen.append(Path(folder).parent.name)
        return real(folder, base)

    monkeypatch.setattr(learning, "load_state", load)
    return seen


# refusal and more rounds -----------------------------------------------------------------------------


def test_a_changed_threshold_is_refused_at_the_first_step_it_touches(tmp_path):
    folder = copied(tmp_path)
    before = content(folder)
    with pytest.raises(Refused) as problem:
        execute(RECIPE, settings(RECIPE, "threshold=0.5"), folder, resume=True)
    told = str(problem.value)
    assert told.startswith("round-0001/learn:0 is finished and selection.threshold was 0.0, now 0.5")
    assert f"sharpen fork {folder} --at round-0001/learn:0" in told
    # it may be set back
    execute(RECIPE, settings(RECIPE), folder, resume=True)
    assert {n: b for n, b in content(folder).items() if n != "manifest.jsonl"} == {
        n: b for n, b in before.items() if n != "manifest.jsonl"
    }
    assert read_manifest(folder).steps == read_manifest(finished(RECIPE)).steps


@pytest.mark.parametrize(
    ("changed", "step", "field"),
    [
        ("temperature=0.7", "round-0001/sample:0", "law.temperature"),
        ("samples=3", "round-0001/sample:0", "n"),
        ("optimizer.lr=0.01", "round-0001/learn:0", "optimizer.lr"),
        ("held_out=8", "held_out/sample:0", "tasks"),
        ("max_new_tokens=40", "held_out/sample:0", "asking.max_new_tokens"),
    ],
)
def test_other_changes_are_refused_by_their_own_names(changed, step, field, tmp_path):
    with pytest.raises(Refused, match=f"^{step} is finished and {field} was "):
        execute(RECIPE, settings(RECIPE, changed), copied(tmp_path), resume=True)


def test_speed_settings_may_change(tmp_path):
    folder = copied(tmp_path)
    execute(RECIPE, settings(RECIPE, "save_every=1"), folder, resume=True)
    assert read_manifest(folder).steps == read_manifest(finished(RECIPE)).steps


def test_more_rounds_continue_to_the_straight_run(tmp_path):
    folder = copied(tmp_path)
    longer = settings(RECIPE, "rounds=3")
    execute(RECIPE, longer, folder, resume=True)
    straight = finished(RECIPE, "rounds=3")
    # that the settings were changed on the way stays on record; everything else is the same
    assert [d.split(":")[0] for d in compare_exact(folder, straight)] == ["manifest.jsonl"]
    one, other = read_manifest(folder), read_manifest(straight)
    assert list(one.steps.items()) == list(other.steps.items())
    assert [line for line in one.lines if "config" in line][-1]["config"] == longer.to_toml()


def test_resuming_a_finished_run_does_nothing(tmp_path, loads):
    folder = copied(tmp_path)
    before = content(folder)
    summary = execute(RECIPE, settings(RECIPE), folder, resume=True)
    assert content(folder) == before
    assert summary["updates"] == 6
    assert loads == []  # nothing had to be read from a checkpoint


def test_a_replay_loads_the_last_checkpoint_only(tmp_path, loads):
    folder = copied(tmp_path)
    execute(RECIPE, settings(RECIPE, "rounds=3"), folder, resume=True)
    assert loads == ["round-0002.learn-0"]


def test_other_code_is_refused_until_it_is_accepted(tmp_path, monkeypatch):
    folder = copied(tmp_path)
    monkeypatch.setattr("sharpen.recipes.execute.code_digest", lambda: "0" * 16)
    with pytest.raises(Refused, match="--accept-code"):
        execute(RECIPE, settings(RECIPE), folder, resume=True)
    execute(RECIPE, settings(RECIPE), folder, resume=True, accept_code=True)
    assert read_manifest(folder).accepted[0]["code"] == "0" * 16


# checkpoints -----------------------------------------------------------------------------------------


def test_keep_last_gives_up_what_is_not_needed_any_more(tmp_path):
    folder = tmp_path / "run"
    config = settings(RECIPE, "keep=last", "rounds=3")
    execute(RECIPE, config, folder)
    assert [p.parent.name for p in folder.glob("checkpoints/*/final")] == ["round-0003.learn-0"]
    before = content(folder)
    execute(RECIPE, config, folder, resume=True)
    assert content(folder) == before
    execute(RECIPE, change(config, ["rounds=4"]), folder, resume=True)
    assert [p.parent.name for p in folder.glob("checkpoints/*/final")] == ["round-0004.learn-0"]


def test_rounds_without_an_exam_are_given_up_too_and_what_was_made_before_them_stays():
    folder = finished("spiral", pinned=False)  # no exams; the base that a frozen opponent plays is learnt
    kept = {p.parent.name for p in folder.glob("checkpoints/*/final")}
    assert kept == {"warmup.learn-0", "round-0002.learn-0"}


def test_keep_best_keeps_the_best_and_the_last(tmp_path):
    folder = tmp_path / "run"
    execute(RECIPE, settings(RECIPE, "keep=best", "rounds=3"), folder)
    accuracy = {row["round"]: row["accuracy_greedy"] for row in rounds(folder, "held_out") if row["round"]}
    best = max(accuracy, key=lambda r: accuracy[r])
    kept = {p.parent.name for p in folder.glob("checkpoints/*/final")}
    assert kept == {f"round-{best:04d}.learn-0", "round-0003.learn-0"}


def test_the_base_is_written_once_and_adapters_point_to_it():
    folder = finished(RECIPE) / "checkpoints"
    assert len(list(folder.rglob("model.safetensors"))) == 1
    base = load_policy(folder / "policy-0/base")
    assert base.version == load_policy("nano").version
    for checkpoint in folder.glob("*.learn-0/final"):
        trained = load_policy(checkpoint / "policy")
        assert trained.version != base.version == trained.base
        assert trained.version == json.loads((checkpoint / "state.json").read_text())["version"]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_checkpoint_is_made_again(damage, tmp_path):
    folder = copied(tmp_path)
    weights = folder / "checkpoints/round-0002.learn-0/final/policy/adapter_model.safetensors"
    whole = weights.read_bytes()
    if damage == "gone":
        shutil.rmtree(weights.parents[1])
    else:
        weights.write_bytes(whole[:-100] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    told = Told()
    longer = settings(RECIPE, "rounds=3")
    if damage == "flip":  # seen only when it is read, in the middle of the next step
        with pytest.raises(SharpenError, match="`sharpen resume` recomputes it"):
            execute(RECIPE, longer, folder, resume=True)
        assert not weights.exists()
    execute(RECIPE, longer, folder, resume=True, progress=told)
    assert weights.read_bytes() == whole
    assert list(read_manifest(folder).steps.items()) == list(
        read_manifest(finished(RECIPE, "rounds=3")).steps.items()
    )


def test_a_damaged_unit_is_made_again(tmp_path):
    folder = copied(tmp_path)
    unit = unit_files(folder)["round-0001/sample:0"][0]
    whole = unit.read_bytes()
    unit.write_bytes(whole[:-7])
    execute(RECIPE, settings(RECIPE), folder, resume=True)
    assert unit.read_bytes() == whole
    assert compare_exact(folder, finished(RECIPE)) == []


# stopping --------------------------------------------------------------------------------------------


def test_a_warning_may_stop_a_run_which_can_go_on(tmp_path):
    def go(config, **options):
        return execute(RECIPE, config, tmp_path / "run", engine=FakeEngine(lambda r: "Answer: 1"), **options)

    config = settings(RECIPE, "stop_on_warning=true")
    with pytest.raises(Stopped, match="stopped in round 1: every group is all wrong") as problem:
        go(config)
    assert f"sharpen resume {tmp_path / 'run'} stop_on_warning=false" in str(problem.value)
    assert "round-0001/score:0" in read_manifest(tmp_path / "run").steps
    before = content(tmp_path / "run")
    with pytest.raises(Stopped):  # as long as it is asked for, it stops at the same place
        go(config, resume=True)
    assert content(tmp_path / "run") == before
    told = Told()
    go(settings(RECIPE), resume=True, progress=told)
    assert len(rounds(tmp_path / "run", "held_out")) == 3
    assert any("all wrong" in w for w in told.warnings)


# the verbs -------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    with Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "") as journal:
        yield Run(journal, seed=0, engine=FakeEngine(lambda r: "1+1=2\nAnswer: 1+1"))


@pytest.fixture
def sampled(run):
    policy = run.policy("nano")
    tasks = run.source("countdown").take("train", 3)

    def draw(name="sample"):
        return run.sample(policy, tasks, n=2, law=GREEDY, asking=Asking(max_new_tokens=24), name=name)

    return draw


def test_two_samples_of_one_name_in_a_scope_are_refused(run, sampled):
    sampled()
    with pytest.raises(
        SharpenError, match=r"sample:1 is named 'sample' like another sample step.*pass name="
    ):
        sampled()
    sampled("other")
    with run.scope("inner"):
        sampled()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_names_verifier_and_task(run, sampled, value):
    def my_reward(completion):
        return value

    with pytest.raises(NotFinite, match=r"'my_reward' gave (nan|inf) on task 'countdown-train-0'"):
        run.score(sampled(), from_function(my_reward))
    assert list(read_manifest(run.journal.folder).steps) == ["policy:0", "sample:0"]


def test_a_reward_that_crashes_is_unknown_not_wrong(run, sampled):
    def fragile(completion):
        raise ValueError("no such thing")

    scored = run.score(sampled(), from_function(fragile))
    assert all(v.status == "crash" for row in scored.columns for v in row.judged)
    assert "ValueError: no such thing" in scored.columns[0].judged[0].detail


# models that will not do -----------------------------------------------------------------------------


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def small_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for i in range(8):
        vocabulary[f"word-{i}"] = len(vocabulary)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def nan_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[-1]
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def cut_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_tokenizer, "has no tokenizer"),
        (small_vocabulary, "its tokenizer has .* tokens, its embedding only"),
        (nan_weight, "weight .* is not finite"),
        (cut_weights, "cannot be loaded"),
    ],
)
def test_a_model_that_will_not_do_leaves_no_run_behind(spoil, told, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(shipped()["nano"], model)
    config = settings(RECIPE, f"model={model}")
    spoil(model)
    with pytest.raises(SharpenError, match=told) as problem:
        execute(RECIPE, config, tmp_path / "run")
    assert model.name in str(problem.value)
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "run").exists()


def test_a_model_that_was_changed_since_is_refused(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(shipped()["nano"], model)
    config = settings(RECIPE, f"model={model}", "rounds=1")
    execute(RECIPE, config, tmp_path / "run")
    weights = load_file(model / "model.safetensors")
    weights[sorted(weights)[0]].view(-1)[0] += 1
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refused, match=r"^policy:0 is finished and version was "):
        execute(RECIPE, config, tmp_path / "run", resume=True)


# killed ----------------------------------------------------------------------------------------------

KILLS = (
    "unit.rename.before:7",  # a round's samples, not yet in place
    "learn.microbatch:2",  # between saved partial states
    "checkpoint.write.mid:3",  # the second round's first one, half written
    "drop.rename.after:2",  # a partial state half removed
    "manifest.write.mid:20",  # a torn line
)

# forks once torch is imported: what a start costs is paid once
SERVER = """
import os, sys
from sharpen.recipes.execute import execute
from sharpen.runs import faults
from tests.tiny import settings
for folder, fault in zip(sys.argv[1::2], sys.argv[2::2]):
    pid = os.fork()
    if pid == 0:
        faults.arm(fault)
        execute("online_rft", settings("online_rft", "save_every=1"), folder)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@cache
def killed(root: Path) -> list[str]:
    """The exit statuses of tiny runs in ``root``, each killed at one of ``KILLS``."""
    argv = [a for kill in KILLS for a in (str(root / kill.replace(":", "-")), kill)]
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SERVER, *argv], capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("kill", KILLS)
def test_killed_anywhere_it_ends_with_the_same_bytes(kill, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "killed"
    root.mkdir(exist_ok=True)
    assert killed(root)[KILLS.index(kill)] == "-9"
    folder = root / kill.replace(":", "-")
    done = len(steps(folder, "sample"))
    execute("online_rft", settings("online_rft", "save_every=1"), folder, resume=True)
    assert len(steps(folder, "sample")) > done
    assert compare_exact(folder, finished(RECIPE, "save_every=1")) == []
