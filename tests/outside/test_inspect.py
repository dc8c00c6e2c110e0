"""Tasks of the real Inspect: asked, judged, checked, learnt from. `make test-outside`."""

import importlib.util
import json
from pathlib import Path

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.inspect_task import judge
from sharpen.tasks.registry import make

if importlib.util.find_spec("inspect_ai") is None:
    pytest.skip("needs inspect-ai: make test-outside", allow_module_level=True)

HERE = Path(__file__).parent


def source(name):
    return make(f"inspect:{HERE / 'inspect_tasks.py'}@{name}")


def only(made):
    [task] = [t for split in made._items.values() for t in split]
    return task


def test_samples_become_tasks_as_the_solvers_word_them():
    made = source("adding")
    assert made.name == "inspect:inspect_tasks.py@adding"
    assert str(HERE) not in json.dumps(made.spec)
    for split, n in (("train", 30), ("dev", 1), ("test", 8)):
        for task in made.take(split, n):
            i = int(task.id)
            assert task.prompt == (
                {"role": "system", "content": "You add."},
                {"role": "user", "content": f"Level {i % 3}: {i}+{i + 1}"},
            )
            assert task.answer == str(2 * i + 1)
            assert task.data["sample"]["metadata"] == {"level": i % 3}
    assert source("adding").spec == made.spec
    assert source("adding:n=119").spec != made.spec


def test_a_conversation_keeps_its_turns_and_its_identity():
    made = source("conversation")
    assert made.spec == source("conversation").spec  # Inspect draws new ids for messages each time
    *turns, last = only(made).prompt
    assert [t["role"] for t in turns] == ["system", "user", "assistant"]
    assert last["content"].strip().startswith("2+2?\n\nBefore answering, reason")
    assert made.verify(only(made), "4").correct


def test_choices_are_judged_by_the_letter():
    made = source("larger")
    for task in made.take("train", 20):
        one, two = task.data["sample"]["choices"]
        assert task.prompt[-1]["content"].endswith(f"A) {one}\nB) {two}")
        other = "AB".replace(task.answer, "")
        assert made.verify(task, f"I think it is {other}.\nANSWER: {task.answer}").correct
        assert not made.verify(task, f"ANSWER: {other}").correct
        assert made.verify(task, "no idea").status == "unparsable"
    several = source("both_letters")
    assert (only(several).answer, only(several).id) == ("A,C", "even")
    right = [several.verify(only(several), f"ANSWER: {a}").correct for a in ("A,C", "CA", "A", "A,B,C")]
    assert right == [True, True, False, False]


TEXTS = ("42", "it is 42", "x = 42", "ANSWER: 42", "forty two", "42.0 apples", "24", "", "forty three")


@pytest.mark.parametrize("by", ["match", "numeric", "includes", "pattern", "line", "exact", "f1"])
def test_scores_are_those_of_inspects_own_eval(by, tmp_path):
    from inspect_ai import eval as evaluate
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import value_to_float

    outputs = [ModelOutput.from_content("mockllm/model", text) for text in TEXTS]
    for output in outputs:
        output.usage = ModelUsage()  # without, it counts tokens with a tokenizer from the network
    model = get_model("mockllm/model", custom_outputs=outputs)
    where = f"{HERE / 'inspect_tasks.py'}@scored"
    [log] = evaluate(
        where, task_args={"by": by}, model=model, epochs=len(TEXTS), log_dir=str(tmp_path), display="none"
    )
    theirs = {}
    for sample in log.samples:
        [score] = sample.scores.values()
        theirs[sample.output.completion] = value_to_float()(score.value)
    made = source(f"scored:by={by}")
    check = judge(**made.setup)
    ours = {text: check(**made.job(only(made), text))["score"] for text in TEXTS}
    assert ours == theirs
    assert len(set(ours.values())) > 1


def test_every_value_has_its_score_and_status():
    from sharpen.score.outside import OutsideVerifier
    from sharpen.score.verdict import Status
    from tests.scored import Group, episode

    made = source("odd_values")
    task = only(made)
    expected = {
        "C": (1.0, Status.OK, True),
        "I": (0.0, Status.OK, False),
        "P": (0.5, Status.OK, False),
        "N": (0.0, Status.UNPARSABLE, False),
        "yes": (1.0, Status.OK, True),
        "0.25": (0.25, Status.OK, False),
        "true": (1.0, Status.OK, True),
        "refused": (0.0, Status.REFUSED, False),
        "unscored": (0.0, Status.ABSTAIN, False),
        "nothing": (0.0, Status.ABSTAIN, False),
        "word": (0.0, Status.CRASH, False),
        "dict": (0.0, Status.CRASH, False),
        "raise": (0.0, Status.CRASH, False),
        "hang": (0.0, Status.TIMEOUT, False),
    }
    verifier = OutsideVerifier(made, cpu_seconds=0.5, workers=1)
    group = Group(task, tuple(episode(t, of=task.id, sample=i) for i, t in enumerate(expected)))
    verifier.prepare([group])
    verdicts = {e.text: verifier(task=task, episode=e) for e in group.episodes}
    verifier.close()
    assert {t: (v.score, v.status, v.correct) for t, v in verdicts.items()} == expected
    assert {v.by for v in verdicts.values()} == {"inspect:inspect_tasks.py@odd_values"}
    assert "planted" in verdicts["raise"].detail


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("critic", "solver self_critique cannot be taken over, only generate, system_message"),
        ("tools", "solver use_tools cannot be taken over"),
        ("twice", "asks the model 2 times"),
        ("never", "asks the model 0 times"),
        ("shuffled", "multiple_choice shuffles anew each time"),
        ("graded", "scorer model_graded_qa asks a model"),
        ("unscored", "has no scorer"),
        ("two_scorers", r"say which scorer judges, scorer=NAME \(includes, exact\)"),
        ("two_scorers:scorer=exakt", "unknown scorer of .* 'exakt': did you mean 'exact'"),
        ("boxed_in", "needs a sandbox"),
        ("files", "sample 0 needs a sandbox"),
        ("picture", "sample 0: content of type 'image' cannot be asked"),
        ("broken", "cannot be loaded: no data today"),
        ("adding:m=3", "unknown argument of inspect:inspect_tasks.py@adding 'm'"),
        ("ading", "unknown task of inspect_tasks.py 'ading': did you mean 'adding'"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_in_one_line(name, says):
    with pytest.raises(SharpenError, match=says) as refused:
        source(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("inspect", "names no task; write inspect:FILE.py@TASK"),
        ("inspect:nowhere.py@adding", "no such file: nowhere.py"),
        ("inspect:some_package/some_task", "inspect task 'some_package/some_task'"),
        (f"inspect:{HERE / 'inspect_tasks.py'}", "say which task, inspect_tasks.py@TASK"),
    ],
)
def test_a_wrong_place_is_told(spec, says):
    with pytest.raises(SharpenError, match=says):
        make(spec)


def test_one_of_several_scorers_can_be_chosen():
    made = source("two_scorers:scorer=exact")
    assert [made.verify(only(made), text).correct for text in ("2", "it is 2")] == [True, False]


def test_check_task_tells_sound_tasks_from_leaky_ones(capsys):
    from sharpen.cli import main

    where = f"inspect:{HERE / 'inspect_tasks.py'}"
    specs = [f"{where}@scored:by=match", f"{where}@adding", f"{where}@two_scorers:scorer=includes"]
    assert main(["check-task", *specs, "--items", "2", "--json"]) == 1
    match, exact, includes = json.loads(capsys.readouterr().out)
    assert [row["refused"] for row in (match, exact, includes)] == ["", "", ""]
    assert (match["items"], match["failures"]) == (1, [])
    assert exact["items"] == 8
    assert {f["check"] for f in exact["failures"]} == {"attack passes: unicode digits"}
    assert "attack passes: answer spray" in {f["check"] for f in includes["failures"]}


def test_a_run_learns_from_a_task(tmp_path):
    from sharpen.recipes.execute import execute
    from sharpen.runs.store import read_manifest, rollouts
    from tests.tiny import settings

    # half of the answers are B, which is what every attempt begins with
    config = settings(
        "online_rft", f"tasks=inspect:{HERE / 'inspect_tasks.py'}@larger", "rounds=1", "pool=8", "queries=8",
        "samples=2", "held_out=4", "held_out_sampled=2", "held_out_samples=2", "max_new_tokens=8",
        "prefill=ANSWER: B\n", pinned=False,
    )  # fmt: skip
    execute("online_rft", config, tmp_path / "run")
    judged = rollouts(tmp_path / "run").filter("correct is not null")
    assert judged.project('"by"').distinct().fetchall() == [("inspect:inspect_tasks.py@larger",)]
    assert sorted(judged.project("score").distinct().fetchall()) == [(0.0,), (1.0,)]
    [learnt] = [s for k, s in read_manifest(tmp_path / "run").steps.items() if "/learn:" in k]
    assert learnt["result"]["rows"] > 0
