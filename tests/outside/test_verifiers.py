"""Environments of the real verifiers library: asked, judged, checked, learnt from. `make test-outside`."""

import importlib.util
import json
import signal
from pathlib import Path

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.registry import make

if importlib.util.find_spec("verifiers") is None:
    pytest.skip("needs the verifiers library: make test-outside", allow_module_level=True)

HERE = Path(__file__).parent
SUMS = "verifiers:sums_environment:correct=right"


@pytest.fixture(autouse=True)
def _in_this_folder(monkeypatch):
    monkeypatch.chdir(HERE)


def test_rows_become_tasks_with_prompts_ids_and_splits():
    source = make(SUMS)
    by_split = {s: source.take(s, n) for s, n in (("train", 30), ("dev", 1), ("test", 8))}
    for tasks in by_split.values():
        for task in tasks:
            i = int(task.id)
            assert task.prompt == (
                {"role": "system", "content": "Answer in <answer> tags."},
                {"role": "user", "content": f"Add {i} and {i + 1}."},
            )
            assert task.answer == str(2 * i + 1)
            assert task.data["row"]["info"] == {"limit": 30}
    assert make(SUMS).spec == source.spec
    assert make(SUMS).take("train", 30) == by_split["train"]
    assert make(f"{SUMS},n=119").spec != source.spec
    assert json.loads(json.dumps(source.spec)) == source.spec


def test_an_evaluation_set_is_held_out_from_training():
    source = make(f"{SUMS},held_out=10")
    assert [t.id for t in source.take("test", 11)] == [f"test-{i}" for i in range(11)]
    # row 10 is in both: the copy in the training set goes
    assert len(source.take("train", 109)) == 109
    assert source.passed_over == {"in a more held-out split": 1}
    with pytest.raises(SharpenError, match=r"has 109 distinct items.*1 in a more held-out split"):
        source.take("train", 110)


def test_the_reward_is_the_rubrics_and_every_failure_has_its_status():
    from sharpen.score.outside import OutsideVerifier
    from sharpen.score.verdict import Status
    from tests.scored import Group, episode

    source = make(SUMS)
    task = source.take("train", 1)[0]
    texts = {
        f"<answer>{task.answer}</answer>": (1.25, Status.OK, True),
        f"<answer>{task.answer}</answer> I am quite sure of it": (1.0, Status.OK, True),
        "<answer>no</answer>": (0.25, Status.OK, False),
        "no tags, and then a lot of words as well": (0.0, Status.OK, False),
        "<answer>raise</answer>": (0.0, Status.CRASH, False),
        "<answer>hang</answer>": (0.0, Status.TIMEOUT, False),
        "<answer>sleep</answer>": (0.25, Status.OK, False),
    }
    verifier = OutsideVerifier(source, cpu_seconds=0.5, workers=1)
    group = Group(task, tuple(episode(t, of=task.id, sample=i) for i, t in enumerate(texts)))
    verifier.prepare([group])
    verdicts = [verifier(task=task, episode=e) for e in group.episodes]
    verifier.close()
    assert [(v.score, v.status, v.correct) for v in verdicts] == list(texts.values())
    assert {v.by for v in verdicts} == {"verifiers:sums_environment"}
    assert verdicts[0].parts == {"right": 1.0, "short": 1.0, "num_turns": 1.0, "correct": 1.0}
    assert "ValueError: planted" in verdicts[4].detail


def test_what_the_library_would_count_as_zero_raises():
    source = make(f"{SUMS},kind=grouped")
    task = source.take("train", 1)[0]
    with pytest.raises(TypeError, match="NoneType"):
        source.verify(task, "<answer>1</answer>")


def test_an_environment_that_asks_something_else_is_found_out():
    source = make("verifiers:sums_environment:kind=asks")
    with pytest.raises(RuntimeError, match="asks something else than its dataset"):
        source.verify(source.take("train", 1)[0], "1")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("verifiers", "names no environment; write verifiers:ENVIRONMENT"),
        ("verifiers:sum_environment", "unknown verifiers environment 'sum_environment': did you mean 'sums"),
        ("verifiers:sums_environment", r"say which reward function tells right from wrong.*\(right, short\)"),
        (
            "verifiers:sums_environment:correct=rigt",
            "unknown reward function of verifiers:sums_environment 'rigt': did you mean 'right'",
        ),
        (f"{SUMS},heldout=3", "unknown argument of .* 'heldout': did you mean 'held_out'"),
        (f"{SUMS},kind=odd", "verifiers:sums_environment cannot be loaded: no such kind: odd"),
        (f"{SUMS},kind=talks", "is a Talks: only single-turn environments"),
        (f"{SUMS},kind=tools", "is a ToolEnv: only single-turn environments"),
        ("verifiers:sums_environment:kind=judged", "its JudgeRubric asks a model to judge"),
        ("verifiers:sums_environment:kind=spread", "compares the answers of a group"),
        ("verifiers:sums_environment:kind=pictures", "row 0: content of type 'image_url' cannot be asked"),
        ("verifiers:tests", "has no load_environment"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_refused_in_one_line(spec, says, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")  # a judge is made before it is refused
    if spec == "verifiers:tests":
        monkeypatch.chdir(HERE.parent.parent)
    with pytest.raises(SharpenError, match=says) as refused:
        make(spec)
    assert "\n" not in str(refused.value)


def test_the_handlers_of_signals_stay_ours():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    make(SUMS)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_check_task_tells_a_sound_environment_from_leaky_ones(capsys):
    from sharpen.cli import main

    specs = ["verifiers:sums_environment:kind=exact", f"{SUMS},n=80", "verifiers:sums_environment:kind=leaky"]
    assert main(["check-task", *specs, "--items", "1", "--json"]) == 1
    exact, tags, leaky = json.loads(capsys.readouterr().out)
    assert [row["refused"] for row in (exact, tags, leaky)] == ["", "", ""]
    assert exact["items"] == 4
    assert exact["failures"] == []
    # the library's parser does not mind tags after the one it takes
    assert {f["check"] for f in tags["failures"]} == {
        "attack passes: unclosed answer tag",
        "attack passes: many answer tags",
    }
    found = {f["check"] for f in leaky["failures"]}
    assert {"attack passes: gold inside text", "attack passes: answer spray"} <= found


def test_a_run_learns_from_an_environment(tmp_path):
    from sharpen.recipes.execute import execute
    from sharpen.runs.store import read_manifest, rollouts
    from tests.tiny import settings

    config = settings(
        "online_rft", f"tasks={SUMS}", "rounds=1", "pool=8", "queries=4", "samples=2", "held_out=4",
        "held_out_sampled=2", "held_out_samples=2", "max_new_tokens=24", "prefill=<answer>", pinned=False,
    )  # fmt: skip
    execute("online_rft", config, tmp_path / "run")
    judged = rollouts(tmp_path / "run").filter("correct is not null")
    assert judged.project('"by"').distinct().fetchall() == [("verifiers:sums_environment",)]
    scores = {score for (score,) in judged.project("score").distinct().fetchall()}
    assert scores <= {0.0, 0.25, 1.0, 1.25}
    assert len(scores) > 1
    [learnt] = [s for k, s in read_manifest(tmp_path / "run").steps.items() if "/learn:" in k]
    assert learnt["result"]["rows"] > 0
