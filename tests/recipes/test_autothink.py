"""AutoThink from its first line to its last, and its checklist on whole runs."""

from itertools import pairwise

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.autothink import Settings, difficulties, practised
from sharpen.recipes.execute import execute
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact
from sharpen.sample.fake import FakeEngine
from sharpen.sample.policy import load_policy
from sharpen.score.modes import Device
from sharpen.tasks.registry import make
from sharpen.verbs.run import Run
from tests import tiny
from tests.tiny import Told, cut_before, rounds, steps, stored

NAME = "autothink"
DEVICE = Device()


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


@pytest.fixture(scope="module")
def folder():
    return tiny.finished(NAME, "keep=all", pinned=False)  # what a kill would have left


@pytest.fixture(scope="module")
def policy():
    return load_policy("nano")


def begin(folder, engine=None, progress=None):
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    return Run(journal, seed=0, engine=engine, progress=progress)


def test_the_paper_is_in_its_defaults():
    config = Settings()
    assert config.advantage == "group_zscore"
    loss = config.loss
    assert (loss.surrogate, loss.clip_low, loss.clip_high, loss.normaliser) == ("ppo", 0.2, 0.2, "tokens")
    assert (loss.kl_coef, loss.entropy_coef) == (0, 0.001)
    assert (config.stage_1.gamma, config.stage_1.slope, config.stage_1.alpha) == (0.5, 2, 0)
    assert (config.stage_2.gamma, config.stage_2.alpha, config.stage_2.beta) == (1, 0, 0)
    assert (config.stage_3.gamma, config.stage_3.alpha, config.stage_3.beta) == (1, 0.05, 0.05)


# stages ----------------------------------------------------------------------------------------------
def test_each_stage_takes_over_the_policy_and_begins_its_optimizer_anew(folder):
    told = rounds(folder, "stage")
    assert [(row["round"], row["stage"], row["optimizer"]) for row in told] == [
        (1, 1, "reset"), (2, 2, "reset"), (3, 3, "reset"),
    ]  # fmt: skip
    learnt = list(steps(folder, "learn").values())
    assert len(learnt) == 4  # the warm-up, then a round a stage
    for before, after in pairwise(learnt):
        assert after["inputs"]["policy"] == before["result"]["version"]
        assert after["inputs"]["position"] == 0


def test_stages_may_be_skipped():
    assert settings().starts == {1: 1, 2: 2, 3: 3}
    assert settings("rounds=2").starts == {1: 1, 2: 3}
    assert settings("rounds=9", "first=0", "last=4").starts == {1: 2, 6: 3}
    config = settings("rounds=9", "first=2", "last=3", "measure_every=4")
    assert [r for r in range(1, 10) if config.ends(r)] == [2, 6, 9]
    assert [r for r in range(1, 10) if config.examined(r)] == [2, 4, 6, 8, 9]


def test_a_stage_has_its_own_settings(tmp_path):
    changes = (
        "stage_1.max_new_tokens=24",
        "stage_3.lr=1e-5",
        "mode_questions=0",
        "warmup.steps=0",
        "held_out=2",
    )
    execute(NAME, settings(*changes), tmp_path / "run")
    asked = [steps(tmp_path / "run", "sample")[f"round-000{r}/sample:0"]["inputs"]["asking"] for r in (1, 2)]
    assert [a["max_new_tokens"] for a in asked] == [24, 28]
    rates = [line["inputs"]["optimizer"]["lr"] for line in steps(tmp_path / "run", "learn").values()]
    assert rates == [1e-4, 1e-4, 1e-5]
    assert rounds(tmp_path / "run", "modes") == []


# rewards ---------------------------------------------------------------------------------------------
def test_the_prompt_is_the_same_in_training_and_in_exams(folder):
    devices = {
        key: line["inputs"]["asking"]["prefill"]
        for key, line in steps(folder, "sample").items()
        if not key.startswith("modes/") and "/modes/" not in key
    }
    assert set(devices.values()) == {"<think>\n"}
    assert any("held_out" in key for key in devices)


def test_what_a_round_tells_follows_from_what_it_stored(folder):
    for r, row in enumerate(rounds(folder, "practice"), 1):
        texts = stored(folder, f"round-000{r}/sample:0").to_pylist()
        thinks = [DEVICE.thinks(t["prefill"] + t["text"]) for t in texts]
        share = float(np.mean(thinks))
        assert row["think_rate"] == share
        assert row["length"] == np.mean([t["n_sampled"] for t in texts])
        off = (max(0.0, 2 * (share - 0.5)), max(0.0, 2 * (0.5 - share))) if r == 1 else (0, 0)
        assert (row["off_thinking"], row["off_direct"]) == pytest.approx(off)
        right = np.array(stored(folder, f"round-000{r}/score:0")["score"].to_pylist())
        assert row["accuracy"] == right.mean()
        if r == 2:  # every reward of the stage without balance and lengths
            said = ["Answer: " in t["text"] for t in texts]
            kinds = [
                1.0 * ok if t else 2.0 if ok else -1.0 * known
                for t, ok, known in zip(thinks, right, said, strict=True)
            ]
            assert row["reward"] == pytest.approx(np.mean(kinds))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("rule=accuracy",), lambda row: row["reward"] == row["accuracy"]),
        (("rule=penalty", "per_token=0.01"),
         lambda row: row["reward"] == pytest.approx(row["accuracy"] - 0.01 * row["length"])),
        (("control=shuffled", "strict_format=true"), lambda row: row["reward"] is not None),
    ],
    ids=["accuracy", "penalty", "shuffled"],
)  # fmt: skip
def test_controls_are_settings(changes, told, tmp_path):
    small = ("rounds=1", "last=0", "mode_questions=0", "held_out=2", "warmup.steps=0", "queries=4", *changes)
    execute(NAME, settings(*small), tmp_path / "run")
    (row,) = rounds(tmp_path / "run", "practice")
    assert told(row)
    assert (row["off_thinking"] > 0) <= (changes[0] == "control=shuffled")


def test_a_mode_that_died_out_is_told_once(tmp_path):
    told = Told()
    run = begin(tmp_path, FakeEngine(lambda request: "1+1=2\n</think>Answer: 2"), told)
    config, rates = settings(), [1.0] * 48
    policy = run.policy("nano")
    run.learner(policy)
    for r in run.rounds(4):
        practised(run, policy, config, 1, rates)
        assert sum("died out" in text for text in told.warnings) == (r >= 2)
    assert len(rates) == 52


# modes -----------------------------------------------------------------------------------------------
def test_every_policy_is_tried_in_every_mode_and_forced_modes_are_kept(folder):
    rows = rounds(folder, "modes")
    assert [(r["stage"], r["mode"]) for r in rows] == [
        (k, mode) for k in range(4) for mode in ("free", "thinking", "direct")
    ]
    for row in rows:
        assert row["samples"] == 8
        assert row["think_rate"] == {"thinking": 1, "direct": 0}.get(row["mode"], row["think_rate"])
    ends = [line["result"]["version"] for line in steps(folder, "learn").values()]
    asked = {k: v["inputs"] for k, v in steps(folder, "sample").items() if "modes/held_out/sample" in k}
    tried = [i["policy"] for i in asked.values() if i["asking"]["prefill"] == DEVICE.opening]
    assert tried == ends


def test_made_to_think_is_the_first_token_drawn_apart(folder, policy):
    closing = policy.tokenizer.encode("\n", add_special_tokens=False)[0]
    first = {k: v for k, v in steps(folder, "sample").items() if v["inputs"]["law"].get("banned")}
    assert len(first) == 4 * 2
    for key, line in first.items():
        assert set(line["inputs"]["law"]["banned"]) == {closing, *policy.eos_ids}
        said = stored(folder, key)["tokens"].to_pylist()
        assert all(tokens[-1] != closing for tokens in said)
        rest = stored(folder, key.rpartition("/")[0] + "/sample:1").to_pylist()
        for tokens, row in zip(said, rest, strict=True):
            assert row["tokens"][: len(tokens)] == tokens  # what was drawn first is the start of the rest


def test_lengths_count_from_the_device_on(folder):
    (row,) = (r for r in rounds(folder, "modes") if r["mode"] == "direct" and r["stage"] == 0)
    kept = (
        k for k, v in steps(folder, "sample").items() if v["inputs"]["asking"]["prefill"] != DEVICE.opening
    )
    said = stored(folder, next(kept))["n_sampled"].to_pylist()
    assert row["length"] == pytest.approx(np.mean(said) + 2)  # a line break and the tag


def test_difficulty_is_a_field_or_what_the_base_gets_wrong():
    tasks = make("chain:level=1").take("test", 5)
    assert difficulties(tasks, "ops", []) == {t.id: len(t.data["ops"]) for t in tasks}
    assert difficulties(tasks, "", []) == difficulties(tasks, "none", []) == {}


# killed, and refused ---------------------------------------------------------------------------------
@pytest.mark.parametrize("before", ['"round-0002/modes/held_out/thinking-02/', '"round-0003/learn:0"'])
def test_killed_between_steps_it_ends_the_same(folder, tmp_path, before):
    cut_before(folder, tmp_path / "run", before)
    execute(NAME, settings("keep=all"), tmp_path / "run", resume=True)
    assert compare_exact(folder, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("rounds=1", "do not fit"),
        ("refill=1", "whole batch"),
        ("stage_1.gama=1", "stage_1.gamma"),
        ("closing=", "closing"),
    ],
)
def test_wrong_settings_are_refused(change, told):
    with pytest.raises(SharpenError, match=told):
        settings(change)


def test_questions_without_worked_solutions_are_told_before_anything_is_written(tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(f'{{"prompt": "{i} + 1?", "answer": "{i + 1}"}}\n' for i in range(400)))
    with pytest.raises(SharpenError, match="no worked solution"):
        execute(NAME, settings(f"tasks=jsonl:{questions}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
