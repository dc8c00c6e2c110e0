"""Auto-CEI from its first line to its last, and its checklist on whole runs."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.auto_cei import Found, Iteration, Settings, expert_iteration, preferring, settled
from sharpen.recipes.execute import execute
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact
from sharpen.sample.fake import FakeEngine
from sharpen.score.refusal_reward import Scale
from sharpen.tasks.registry import make
from sharpen.verbs.run import Run
from tests import tiny
from tests.tiny import Told, cut_before, rounds, steps, stored

NAME = "auto_cei"
SMALL = ("held_out=2", "held_out_sampled=2", "validation=6", "queries=4", "supervised.steps=1", "steps=1")


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


@pytest.fixture(scope="module")
def folder():
    return tiny.finished(NAME, pinned=False)


@pytest.fixture(scope="module")
def able():
    """A run whose policies answer some questions and refuse others."""
    changes = (
        "tasks=order:level=1,min_letters=2,max_letters=4", "supervised.steps=4", "steps=14", "pool=48",
        "queries=24", "held_out=16", "optimizer.schedule=constant", "optimizer.lr=3e-3",
        "supervised.lr=1e-4", "validation=16",
    )  # fmt: skip
    return tiny.finished(NAME, *changes, pinned=False)


def test_the_paper_is_in_its_defaults():
    config = Settings()
    assert (config.lam, config.tolerance, config.temperature) == (0.2, 0.003, 1)
    assert (config.tau, config.tau_range) == (None, (0.4, 0.7))
    assert (config.drop_negative_idk, config.dedup) == (False, False)
    assert (config.variant, config.curriculum, config.refusal_reward) == ("auto_cei", "auto", "length")


@pytest.mark.parametrize(
    ("tau", "precision", "found"),
    [
        ("none", 0.2, 0.4),
        ("none", 0.9, 0.7),
        ("none", 0.5, 0.5),
        ("none", None, 0.4),
        ("-1", 0.5, -1),
        ("2", 0.5, 2),
    ],
)
def test_the_temperature_of_the_resampling(tau, precision, found):
    assert settings(f"tau={tau}").temperature_of(precision) == found


def test_wrong_settings_are_refused():
    wrong = {
        "tau=0": "above 0",
        "tau=-0.5": "above 0",
        "tau_range=[0.7,0.4]": "lower one first",
        "sentence=Hm.": "phrases",
        "phrases=[]": "phrase",
        "variant=ei_rtuning": "ei_r_tuning",
        "curriculum=climb": "auto",
    }
    for change, told in wrong.items():
        with pytest.raises(SharpenError, match=told):
            settings(change)


def test_what_cannot_be_learnt_from_is_told_before_anything_is_written(tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(f'{{"prompt": "{i} + 1?", "answer": "{i + 1}"}}\n' for i in range(800)))
    with pytest.raises(SharpenError, match="no worked solution"):
        execute(NAME, settings(f"tasks=jsonl:{questions}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# what is trained, and from where ---------------------------------------------------------------------
@pytest.mark.parametrize("restart", ["base", "sft"])
def test_every_round_trains_the_same_weights_anew_and_the_last_policy_samples(restart, folder, tmp_path):
    if restart == "base":
        folder = tmp_path / "run"
        execute(NAME, settings(*SMALL, "restart=base", "method=lora"), folder)
    learnt = steps(folder, "learn")
    assert list(learnt) == ["sft/learn:0", "r_tuning/learn:0", "round-0001/learn:0", "round-0002/learn:0"]
    sft, *later = learnt.values()
    begun = sft["inputs"]["policy"] if restart == "base" else sft["result"]["version"]
    assert {line["inputs"]["policy"] for line in later} == {begun}
    assert {line["inputs"]["position"] for line in later} == {0}
    asked = steps(folder, "sample")
    assert asked["r_tuning/sample:0"]["inputs"]["policy"] == sft["result"]["version"]
    assert asked["round-0001/sample:0"]["inputs"]["policy"] == learnt["r_tuning/learn:0"]["result"]["version"]
    # another c1 begins with the best policy so far, here the only one
    assert (
        asked["round-0002/sample:0"]["inputs"]["policy"] == learnt["round-0001/learn:0"]["result"]["version"]
    )
    for line in later:  # each policy is examined on validation questions
        assert sum(a["inputs"]["policy"] == line["result"]["version"] for a in asked.values()) >= 1


def test_within_a_c1_the_last_policy_samples_and_a_new_c1_begins_with_the_best(tmp_path):
    """Two rounds at each of two c1; whichever of the first two was better begins the third."""
    folder = tmp_path / "run"
    execute(NAME, settings(*SMALL, "rounds=4", "per_c1=2", "tolerance=0", "steps=3"), folder)
    policies = {key: line["inputs"]["policy"] for key, line in steps(folder, "sample", "round-").items()}
    asked, made = ([policies[f"round-000{r}/{what}sample:0"] for r in range(1, 5)] for what in
                   ("", "validation/"))  # fmt: skip
    told = [r["f"] for r in rounds(folder, "validation") if r["of"] == "validation"]
    assert made[0] != made[1]
    assert asked[1] == made[0]
    assert asked[2] == made[int(np.argmax(told[:2]))]
    assert asked[3] == made[2]


def test_arms_ask_the_same_questions_in_a_round(folder, tmp_path):
    whole = [set(stored(folder, f"round-000{r}/sample:0")["task_id"].to_pylist()) for r in (1, 2)]
    assert whole[0] != whole[1]
    changes = {"ei": "variant=ei", "fixed": "curriculum=fixed", "shuffled": "refusal_reward=shuffled"}
    for name, change in changes.items():
        few = ("held_out=2", "held_out_sampled=2", "supervised.steps=1", "steps=1")
        execute(NAME, settings(change, *few), tmp_path / name)
        asked = [
            set(stored(tmp_path / name, f"round-000{r}/sample:0")["task_id"].to_pylist()) for r in (1, 2)
        ]
        assert asked == whole


def test_the_search_sees_validation_questions_alone_and_the_test_is_sat_at_the_end(folder):
    test = {
        t for key in steps(folder, "sample", "final/") for t in stored(folder, key)["task_id"].to_pylist()
    }
    assert all("-test-" in t for t in test)
    between = [key for key in steps(folder, "sample") if key.split("/")[0] not in ("held_out", "final")]
    assert between
    for key in between:
        split = "-dev-" if "validation" in key else "-train-"
        assert all(split in t for t in stored(folder, key)["task_id"].to_pylist())
    assert [row["round"] for row in rounds(folder, "held_out")] == [0, 2]


def test_the_final_policy_is_the_best_on_validation(folder):
    told = [r for r in rounds(folder, "validation") if r["of"] == "validation"]
    learnt = [line["result"]["version"] for line in steps(folder, "learn", "round-").values()]
    best = learnt[int(np.argmax([r["f"] for r in told]))]
    assert {line["inputs"]["policy"] for line in steps(folder, "sample", "final/").values()} == {best}
    climb = rounds(folder, "climb")
    assert [c["offset"] for c in climb] == [0, 1]
    assert climb[-1]["best"] == int(np.argmax([c["f"] for c in climb]))


# rewards and what is learnt --------------------------------------------------------------------------
def test_what_a_round_learns_follows_from_what_it_stored(able):
    (told,) = rounds(able, "scale")
    assert told["c2"] == pytest.approx(min(np.log(10) / (4 * told["sigma"]), 10))
    refusals = 0
    for r, row in enumerate(rounds(able, "attempts"), 1):
        judged = stored(able, f"round-000{r}/score:0").to_pylist()
        wrong = [j["correct"] is False and j["status"] != "refused" for j in judged]
        assert row["correct"] == np.mean([j["correct"] for j in judged])
        assert row["idk"] == np.mean([j["status"] == "refused" for j in judged])
        assert row["sampled"] == 2 * len(judged)
        assert row["wrong"] >= sum(wrong)
        assert row["kept"] == row["learnt"] >= len(judged) - sum(wrong)
        assert row["c1"] == pytest.approx(told["c1"] + row["offset"] * told["d"])
        refusals += row["learnt_refusals"]
    assert refusals > 0


def test_refusals_are_answered_by_force(able):
    (row,) = rounds(able, "reliability")
    (key,) = steps(able, "reliability", "final/")
    table = stored(able, key).to_pydict()
    refused, forced = table["refused"], table["forced"]
    assert sum(refused) > 0
    assert [f is not None for f in forced] == refused
    assert row["would_be_wrong"] == 1 - np.mean([f for f in forced if f is not None])
    assert row["idk"] == np.mean(refused)
    exam = rounds(able, "held_out")[-1]  # the exam and the reward know the same refusals
    assert exam["status_refused"] > 0
    assert exam["accuracy_greedy"] == row["accuracy"]
    given = steps(able, "sample", "final/answers/held_out/reliability/forced-01/")
    for key in given:
        rows = stored(able, key).to_pylist()
        assert len(rows) == sum(refused)
        assert all(r["prefill"].endswith("Answer: ") and "Sorry" not in r["prefill"] for r in rows)
    assert [a is not None for a in table["able"]] == [i < 8 for i in range(16)]
    assert sum(r["n"] for r in rounds(able, "reliability_depth")) == 16


# baselines -------------------------------------------------------------------------------------------
ROUNDS = ["round-0001", "round-0002"]


@pytest.mark.parametrize(
    ("change", "trained", "moves"),
    [
        ("variant=sft", ["sft"], []),
        ("variant=r_tuning", ["sft", "r_tuning"], []),
        ("variant=ei", ["sft", *ROUNDS], [0]),
        ("variant=ei_r_tuning", ["sft", *ROUNDS, "r_tuning"], [0]),
        ("curriculum=fixed refusal_reward=constant", ["sft", "r_tuning", *ROUNDS], [0]),
        ("curriculum=random_walk refusal_reward=shuffled", ["sft", "r_tuning", *ROUNDS], [1]),
    ],
)
def test_baselines_are_settings(change, trained, moves, tmp_path):
    config = settings(*SMALL, *change.split())
    summary = execute(NAME, config, tmp_path / "run")
    assert [key.split("/")[0] for key in steps(tmp_path / "run", "learn")] == trained
    (row,) = rounds(tmp_path / "run", "reliability")
    assert row["of"] == config.variant
    plan = config.plan()
    assert summary["samples"] == plan["samples_training"]
    assert summary["updates"] == plan["optimizer_steps"]
    climb = rounds(tmp_path / "run", "climb")
    assert [abs(b["offset"] - a["offset"]) for a, b in pairwise(climb)] == moves


def begin(folder, script, progress=None):
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    return Run(journal, seed=0, engine=FakeEngine(script), progress=progress)


def iterated(tmp_path, said, *changes, progress=None):
    """One EI(c1) with an engine that always says the same, and the runs' verbs that learn nothing."""
    run = begin(tmp_path, lambda request: said, progress)
    config = settings(*SMALL, *changes)
    base = run.policy("nano")
    seen = SimpleNamespace(row={"precision": 0.9, "idk": 0.9, "f": 0.1})
    it = Iteration(base, config, Scale(3.0, 1.0, 0.5, 0.2, 3.0), 0.5)
    found = expert_iteration(run, it, 0, Found(base, seen), run.rounds(config.rounds))
    run.journal.close()
    return found, tmp_path / "run"


def test_a_policy_that_has_given_up_is_told(tmp_path):
    told = Told()
    _, folder = iterated(tmp_path, "a\nSorry, I don't know.", progress=told)
    assert any("always refused" in text for text in told.warnings)
    row = rounds(folder, "attempts")[0]
    assert (row["all_refused"], row["kept"], row["wrong"]) == (1, row["sampled"], 0)


def test_rlkf_prefers_right_answers_to_refusals_and_these_to_wrong_ones(tmp_path):
    source = make("order:level=1,min_letters=2,max_letters=6")
    known = {str(t.prompt).strip(): t for t in source.take("train", 40)}
    count = iter(range(10**6))

    def script(request):
        prompt = policy.tokenizer.decode(request.tokens.tolist()).strip()
        said = ("Answer: 0", "Sorry, I don't know.", known[prompt].solution if prompt in known else "")
        return said[next(count) % 3]

    run = begin(tmp_path, script)
    policy = run.policy("nano")
    after = preferring(run, policy, settings(*SMALL, "samples=3", "steps=2"))
    run.journal.close()
    assert after.version != policy.version
    assert rounds(tmp_path / "run", "pairs")[0]["pairs"] == 4 * 3  # of three kinds, three pairs a question
    (line,) = steps(tmp_path / "run", "learn").values()
    assert line["inputs"]["objective"]["name"] == "preference"
    (said,) = steps(tmp_path / "run", "annotate").values()
    assert said["inputs"]["policy"] == policy.version


def test_where_all_is_wrong_nothing_is_learnt_and_the_policy_stays(tmp_path):
    found, folder = iterated(tmp_path, "Answer: 0", progress=Told())
    assert all(line["result"]["rows"] == 0 for line in steps(folder, "learn").values())
    assert found.policy.version == next(iter(steps(folder, "policy").values()))["result"]["version"]
    assert found.f == pytest.approx(0.2)  # all answered, all wrong


def test_it_stops_where_nothing_moves(tmp_path):
    # the second round is as the first: a policy that always says the same has settled
    _, folder = iterated(tmp_path, "Answer: 0", "rounds=5", "tolerance=0.003", progress=Told())
    assert len(rounds(folder, "attempts")) == 2
    row = {"precision": 0.5, "idk": 0.2}
    assert settled(row, {"precision": 0.5029, "idk": 0.1971}, 0.003)
    assert not settled(row, {"precision": 0.5, "idk": 0.204}, 0.003)
    assert not settled(row, {"precision": None, "idk": 0.2}, 0.003)
    assert not settled(row, row, 0.0)


# killed ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "before", ['"round-0002/learn:0"', '"final/answers/held_out/reliability/reliability:0']
)
def test_killed_between_steps_it_ends_the_same(folder, tmp_path, before):
    cut_before(folder, tmp_path / "run", before)
    execute(NAME, settings(), tmp_path / "run", resume=True)
    assert compare_exact(folder, tmp_path / "run") == []


def test_the_best_policy_outlives_the_last(tmp_path):
    config = settings(*SMALL, "keep=last")
    summary = execute(NAME, config, tmp_path / "run")
    assert execute(NAME, config, tmp_path / "run", resume=True) == summary
