"""Sharpening from its first line to its last, and its checklist on whole runs."""

import math

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.store import compare_exact
from sharpen.sample.episode import Finish
from sharpen.score.table import table_to_episodes
from sharpen.select.sharpest import stops_at
from sharpen.tasks.registry import make
from sharpen.tasks.task import is_hidden
from sharpen.verbs.run import Run
from tests import tiny
from tests.tiny import cut_before, rounds, steps, stored

NAME = "sharpening"
KINDS = {
    "sft": ("samples=4",),
    "majority": ("samples=4", "by=majority"),
    "random": ("samples=4", "control=random"),
    "adaptive": ("algorithm=adaptive", "samples=16", "delta=0.9"),
    "offline": ("algorithm=offline", "samples=2"),
    "online": ("algorithm=online", "samples=1", "rounds=2", "preference.optimism=0.001"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def finished(kind):
    return tiny.finished(NAME, *KINDS[kind], pinned=False)


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


def attempts(folder, scope):
    """Stored episodes of the sample steps below a scope, by task, in order."""
    found: dict[str, list] = {}
    for key in steps(folder, "sample", scope):
        for episode in table_to_episodes(stored(folder, key)):
            found.setdefault(episode.task_id, []).append(episode)
    return found


def own(episode):
    """How likely the base, which sampled it, finds an attempt; a truncated one may not be picked."""
    if episode.finish is Finish.LENGTH:
        return -math.inf
    return float(episode.spans[-1].sampled.raw_logprobs.sum(dtype=np.float64))


@kinds
def test_it_tells_how_sharp_base_and_policy_are(kind):
    rows = rounds(finished(kind), "sharpness")
    assert [(r["policy_is"], r["on"]) for r in rows] == [
        (who, on) for who in ("base", "sharpened") for on in ("held_out", "trained")
    ]
    for row in rows:
        assert all(0 <= row[name] <= 1 for name in ("accuracy_t1", "accuracy_greedy", "sharp"))
        assert 0 <= row["best_probability"] <= 1
        assert row["loglik"] < 0
    base, _, after, _ = rows
    assert base["kl"] == 0
    assert base["coverage"] >= 1 / base["best_probability"]
    # three updates move little, and what the base finds likely is a number of the base
    assert after["loglik"] == pytest.approx(base["loglik"], rel=0.5)


def test_best_of_n_by_every_self_reward_is_told():
    rows = [r for r in rounds(finished("sft"), "best_of") if r["on"] == "held_out"]
    assert {(r["by"], r["n"]) for r in rows} == {
        (by, n) for by in ("loglik", "lennorm", "majority") for n in (1, 2, 4)
    }
    own = [r["loglik"] for r in rows if r["by"] == "loglik"]
    assert own == sorted(own)


def test_what_is_learnt_is_the_bases_likeliest_attempt():
    folder = finished("sft")
    [learnt] = [line for key, line in steps(folder, "learn", "round-").items()]
    assert learnt["inputs"]["selection"]["rule"] == "best_of"
    best = [max(map(own, told)) for told in attempts(folder, "round-0001/sample").values()]
    assert min(best) > -math.inf
    [labels] = rounds(folder, "labels")
    assert labels["samples"] == 16 * 4
    assert labels["labels"] == 16
    assert labels["reward"] == pytest.approx(np.mean(best), rel=1e-6)


def test_all_methods_start_from_the_base_and_sample_it():
    for kind in KINDS:
        folder = finished(kind)
        warm = next(iter(steps(folder, "learn", "warmup").values()))["result"]["version"]
        first = steps(folder, "sample", "round-0001/sample")
        assert {line["inputs"]["policy"] for line in first.values()} == {warm}
        assert steps(folder, "learn", "round-0001")["round-0001/learn:0"]["inputs"]["policy"] == warm


def test_adaptive_sampling_looks_no_further_than_its_rule():
    folder = finished("adaptive")
    [row] = rounds(folder, "adaptive")
    told = {t: [*map(own, episodes)] for t, episodes in attempts(folder, "round-0001/sample").items()}
    mu = math.log(2 / 0.9)
    stops = [stops_at(t, mu) or len(t) for t in told.values()]
    assert row["looked_at"] == pytest.approx(np.mean(stops))
    # a question whose rule has stopped is not asked again
    for drawn, stop in zip(told.values(), stops, strict=True):
        assert len(drawn) in (4, 8, 16)
        assert len(drawn) < 2 * stop or len(drawn) == 4
    assert len({len(t) for t in told.values()}) > 1


@pytest.mark.parametrize("kind", ["offline", "online"])
def test_pairs_are_told_apart_by_what_the_base_says(kind):
    folder = finished(kind)
    rows = rounds(folder, "learn")
    assert rows[1]["loss/preference"] >= 0
    assert "reward_accuracy" in rows[1]
    first = next(iter(steps(folder, "learn", "round-0001").values()))
    assert first["inputs"]["objective"]["kind"] == "regression"
    # at the base the loss is the mean squared difference of the rewards
    told = attempts(folder, "round-0001/sample")
    logliks = {t: [float(e.spans[-1].sampled.raw_logprobs.sum()) for e in es] for t, es in told.items()}
    if kind == "offline":
        assert max((a - b) ** 2 for a, b in logliks.values()) > 0
        assert rows[1]["losses"][0] <= max((a - b) ** 2 for a, b in logliks.values())
    else:
        assert "loss/optimism" in rows[1]
        assert [r["round"] for r in rounds(folder, "validation")] == [1, 2]
        # pairs of earlier rounds are learnt again
        assert [r["rows"] for r in rows[1:]] == [32, 64]


def test_rewards_are_the_frozen_bases_in_every_round():
    """The policy has moved when the second round and the validations are scored; the reward has not."""
    folder = finished("online")
    base = next(iter(steps(folder, "learn", "warmup").values()))["result"]["version"]
    scored = {
        key: line["inputs"]["policy"]
        for key, line in steps(folder, "annotate").items()
        if key.startswith("round-")
    }
    assert {key.split("/")[0] for key in scored} == {"round-0001", "round-0002"}
    assert sum("validation" in key for key in scored) == 2
    assert set(scored.values()) == {base}
    moved = [line["inputs"]["policy"] for line in steps(folder, "learn", "round-").values()]
    assert moved[1] != base


@kinds
def test_no_question_that_is_learnt_from_shows_its_answer(kind, tmp_path, monkeypatch):
    asked = []
    honest = Run.sample

    def sample(self, policy, tasks, **options):
        asked.extend(task for task in tasks if "-test-" not in task.id)  # what is held out is measured
        return honest(self, policy, tasks, **options)

    monkeypatch.setattr(Run, "sample", sample)
    few = ("queries=4", "pool=4", "sharp_questions=0", "held_out=2", "held_out_sampled=1", "validation=2")
    execute(NAME, settings(*KINDS[kind], *few), tmp_path / "run")
    assert asked
    assert all(is_hidden(task) for task in asked)


def test_the_accuracy_of_labels_is_told_though_nothing_learns_it():
    folder = finished("sft")
    config = settings(*KINDS["sft"])
    tasks = {task.id: task for task in make(config.tasks).take("train", config.pool)}
    best = [max(told, key=own) for told in attempts(folder, "round-0001/sample").values()]
    judge = thoughtful(make(config.tasks))
    right = [judge(tasks[e.task_id], f"{e.prefill}{e.text}") for e in best]
    [labels] = rounds(folder, "labels")
    assert labels["accuracy"] == np.mean(right)
    # were all of them wrong, they would be learnt all the same
    assert labels["labels"] == len(best)


def thoughtful(source):
    """Whether what stands behind the thinking is right."""
    return lambda task, text: source.verify(task, text.partition("</think>")[2]).correct


def test_the_policy_of_the_best_round_is_shown_in_the_end():
    folder = finished("online")
    values = [r["objective"] for r in rounds(folder, "validation")]
    learnt = [line["result"]["version"] for line in steps(folder, "learn", "round-").values()]
    shown = steps(folder, "sample", "sharpened-held_out")
    assert {line["inputs"]["policy"] for line in shown.values()} == {learnt[int(np.argmax(values))]}


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("sft", '"round-0001/learn:0'),
        ("adaptive", '"round-0001/sample:1'),
        ("online", '"round-0002/learn:0'),
        ("online", '"sharpened-held_out/'),
    ],
)
def test_killed_between_steps_it_ends_the_same(tmp_path, kind, before):
    folder = finished(kind)
    cut_before(folder, tmp_path / "run", before)
    execute(NAME, settings(*KINDS[kind]), tmp_path / "run", resume=True)
    assert compare_exact(folder, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("rounds=2",), "one round"),
        (("algorithm=offline", "by=majority"), "compares two answers"),
        (("algorithm=offline", "samples=3"), "odd"),
        (("algorithm=online", "control=random"), "control=random"),
        (("algorithm=online", "preference.kind=dpo"), "regression"),
        (("preference.optimism=0.1",), "optimism"),
        (("algorithm=offline", "preference.sft_coef=0.1"), "none is preferred"),
        (("temperature=0.7",), "temperature 1"),
        (("delta=1.5",), "delta"),
    ],
)
def test_wrong_settings_are_refused(changes, told):
    with pytest.raises(SharpenError, match=told):
        settings(*changes)
