"""Self-rationalization from its first line to its last, and its checklist on whole runs."""

import json
import math
import re

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.recipes.self_rationalization import (
    BLIND,
    Settings,
    items,
    meta_prompt,
    noisy,
    pairs,
    preferred_rows,
    worked,
)
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact, read_manifest
from sharpen.sample.fake import FakeEngine
from sharpen.sample.policy import load_policy
from sharpen.score.table import table_to_episodes
from sharpen.tasks.registry import make
from sharpen.tasks.task import GoldIsHidden, is_hidden
from sharpen.verbs.run import Run
from tests import tiny
from tests.sample.completions_server import serving
from tests.tiny import Told, cut_before, rounds, steps, stored

NAME = "self_rationalization"
TASKS = "grading:level=1"
SOURCE = make(TASKS)


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


@pytest.fixture(scope="module")
def folder():
    return tiny.finished(NAME, pinned=False)


def judged(folder, reply, *changes):
    """A round's pairs and rows of a scripted judge, its row ``pairs`` and the warnings."""
    config = settings(f"tasks={TASKS}", "reasons=true", 'prefill=""', "max_new_tokens=60", *changes)
    told = Told()
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0, progress=told)
    policy = run.policy("nano")
    count = iter(range(10**6))
    run.engine = FakeEngine(lambda r: reply(policy.tokenizer.decode(r.tokens.tolist()), next(count)))
    for _ in run.rounds(1):
        groups = run.sample(
            policy, items(run, config), n=config.samples, law=config.law, asking=config.asking
        )
        found = pairs(run, policy, None, groups, config)
        rows = preferred_rows(groups, found, config)
    journal.close()
    return groups, found, rows, rounds(folder / "run", "pairs")[0], told.warnings


def of(prompt):
    return next(t for t in SOURCE.take("train", 64) if prompt.startswith(str(t.prompt)))


def half_right(prompt, n):
    """Every second judgment is the worked one; the others miss it by two and more."""
    task = of(prompt)
    return str(task.solution) if n % 2 else f"1 ok\n[RESULT] {5 if int(task.answer) < 4 else 1}"


# seed ------------------------------------------------------------------------------------------------
def test_noise_turns_lines_round_and_leaves_the_verdict():
    text = "1 ok\n2 bad\nA 3 ok\n[RESULT] 4"
    rng = np.random.default_rng(0)
    assert noisy(text, 0.0, rng) == text
    assert noisy(text, 1.0, rng) == "1 bad\n2 ok\nA 3 bad\n[RESULT] 4"
    assert noisy("[RESULT] 4", 1.0, rng) == "[RESULT] 4"
    many = [noisy(text, 0.25, rng).count("ok") for _ in range(4000)]
    assert abs(np.mean(many) - (2 * 0.75 + 0.25)) < 0.05


def test_a_merged_seed_is_the_mean_of_two_judges(tmp_path):
    changes = ("seed_judge.kind=merged", "seed_judge.steps=1", "rounds=0", "judged=0", "held_out=2",
               "held_out_sampled=1")  # fmt: skip
    execute(NAME, settings(*changes), tmp_path / "run")
    learnt, (_, merged) = steps(tmp_path / "run", "learn"), steps(tmp_path / "run", "policy").values()
    assert [key.rpartition(":")[0].rpartition("/")[2] for key in learnt] == ["learn", "learn"]
    assert merged["inputs"]["average_of"] == [line["result"]["version"] for line in learnt.values()]
    asked = steps(tmp_path / "run", "sample", "held_out")
    assert {line["inputs"]["policy"] for line in asked.values()} == {merged["result"]["version"]}


# pairs -----------------------------------------------------------------------------------------------
def test_both_sides_of_a_pair_answer_one_prompt_and_end(tmp_path):
    groups, found, rows, told, _ = judged(tmp_path, half_right)
    assert told["pairs"] == len(found.pairs) > 0
    assert told["paired"] + told.get("all_wrong", 0) + told.get("no_margin", 0) == told["items"] == 8
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first.unit == second.unit
        assert (first.scalars["preferred"], second.scalars["preferred"]) == (1, 0)
        starts = [int(np.flatnonzero(row.arrays["weight"])[0]) for row in (first, second)]
        assert starts[0] == starts[1]
        assert np.array_equal(first.tokens[: starts[0]], second.tokens[: starts[1]])
        assert first.tokens[-1] == second.tokens[-1] != first.tokens[-2]  # the end token, which is learnt
        assert first.arrays["weight"][-1] == second.arrays["weight"][-1] == 1
    for g, i, j in found.pairs:
        c = groups.columns[g]
        assert c.texts[i] == c.task.solution
        assert abs(int(c.texts[j][-1]) - int(c.task.answer)) >= 1


def test_swapped_pairs_are_the_same_ones_the_wrong_way_round(tmp_path):
    right, wrong = (judged(tmp_path / rule, half_right, f"pairing={rule}")[1] for rule in ("gold", "swapped"))
    assert wrong.pairs == tuple((g, j, i) for g, i, j in right.pairs)


def test_what_is_blind_to_gold_cannot_read_it(tmp_path):
    for rule in BLIND:
        groups, *_ = judged(tmp_path / rule, lambda p, n: f"[RESULT] {1 + n % 3}", f"pairing={rule}")
        assert all(is_hidden(c.task) for c in groups.columns)
        with pytest.raises(GoldIsHidden):
            _ = groups.columns[0].task.answer


@pytest.mark.parametrize(("reply", "why"), [("", "unread"), ("[RESULT] 9", "unread"), ("x" * 90, "unread")])
def test_no_pair_of_what_cannot_be_read(tmp_path, reply, why):
    _, found, rows, told, _ = judged(tmp_path, lambda p, n: reply)
    assert (found.pairs, rows) == ((), [])
    assert told[why] == told["items"]
    assert told["unread_share"] == 1
    assert told["chosen_score"] is None


def test_ratings_of_a_meta_judge_decide_and_its_bias_is_told(tmp_path):
    def reply(prompt, n):
        if "[RESULT]" in prompt:  # asked to rate
            score = prompt.split("[RESULT] ")[1][0]
            return "nothing" if score == "3" else f"[RESULT] {score}"
        return f"[RESULT] {1 + n % 4}"

    groups, found, _, told, warnings = judged(tmp_path, reply, "pairing=meta")
    said = [[int(t[-1]) for t in c.texts] for c in groups.columns]
    assert all(said[g][i] > said[g][j] and 3 not in (said[g][i], said[g][j]) for g, i, j in found.pairs)
    assert told["unrated"] == sum(s == 3 for some in said for s in some)
    assert told["chosen_score"] - told["rejected_score"] > 0.5
    assert [w for w in warnings if "prefers high scores" in w]


def test_a_meta_judge_that_can_hardly_be_read_is_told_of(tmp_path):
    def reply(prompt, n):
        return ("[RESULT] 2" if n % 4 == 0 else "well") if "[RESULT]" in prompt else f"[RESULT] {1 + n % 4}"

    *_, told, warnings = judged(tmp_path, reply, "pairing=meta")
    share = told["unrated"] / (told["items"] * settings().samples)
    assert share > 0.5
    assert f"round 1: {share:.0%} of the meta-judge's ratings cannot be read" in warnings


def test_how_a_meta_judge_is_asked():
    (task,) = SOURCE.take("dev", 1)
    assert meta_prompt(task, "1 ok\n[RESULT] 5", own=True) == f"{task.prompt}1 ok\n[RESULT] 5\n{task.prompt}"
    told = meta_prompt(task, "1 ok\n[RESULT] 5", own=False)
    assert "Response:\n1 ok\n[RESULT] 5" in told
    assert "from 1 to 5" in told


def test_another_policy_can_be_the_meta_judge_and_is_asked_in_the_words_of_the_items(tmp_path):
    """From whatever folder the judge comes: the items say how they are put."""
    folder = tmp_path / "run"
    few = ("pairing=meta", "meta=nano-b", "rounds=1", "held_out=2", "held_out_sampled=1", "judged=0")
    execute(NAME, settings(*few), folder)
    other = load_policy("nano-b").version
    asked = steps(folder, "sample", "round-0001/")
    [key] = [key for key, line in asked.items() if line["inputs"]["policy"] == other]
    asked = [e.spans[0].tokens for e in table_to_episodes(stored(folder, key))]
    prompts = [load_policy("nano-b").tokenizer.decode(tokens.tolist()) for tokens in asked]
    assert prompts
    assert all(prompt.startswith("Score ") and prompt.count("Score ") == 2 for prompt in prompts)


def own_rows(folder):
    """Items and pairs by a criterion of one's own, as files."""
    about = {"instruction": "Add.", "criterion": "Is the sum right?"}
    splits = [("train", 12), ("test", 4)]
    items = [{**about, "response": f"{split} {i}", "score": 1 + i % 5, "split": split}
             for split, n in splits for i in range(n)]  # fmt: skip
    pairs = [{**about, "response": f"{split} {i}", "other": f"{i} {split}", "better": "AB"[i % 2],
              "split": split} for split, n in splits for i in range(n)]  # fmt: skip
    for name, rows in (("items", items), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (f"tasks=rubric:{folder}/items.jsonl", f"comparisons=rubric:{folder}/pairs.jsonl", "unseen=",
            "pool=12", "queries=6", "later=3", "held_out=4", "held_out_sampled=2", "judged=4",
            "seed_judge.steps=0", "max_new_tokens=8")  # fmt: skip


def test_responses_and_criteria_of_ones_own_are_judged_and_learnt_from(tmp_path):
    execute(NAME, settings(*own_rows(tmp_path), "rounds=1"), tmp_path / "run")
    names = [row["name"] for row in read_manifest(tmp_path / "run").metrics if row.get("on") == "seen"]
    assert set(names) == {"judge", "judge_vote", "judge_bare", "judge_pairs"}
    assert all(row["n"] == 4 for row in rounds(tmp_path / "run", "judge"))
    assert rounds(tmp_path / "run", "judge_pairs")[0]["pairs"] == 4
    assert rounds(tmp_path / "run", "pairs")[0]["items"] == 6


def test_a_served_model_is_tried_as_a_judge(tmp_path):
    """An API model: the requests hold the criterion, and what comes back is measured like any judge's."""
    with serving(load_policy("nano")) as server:
        api = ("engine=api", f"api.url={server.url}", "api.model=base", "api.concurrency=4",
               "api.rounding=0.0001")  # fmt: skip
        execute(NAME, settings(*own_rows(tmp_path), *api, "rounds=0", "votes=0"), tmp_path / "run")
        asked = sum(s["result"]["samples"] for s in steps(tmp_path / "run", "sample").values())
        assert len(server.bodies) >= asked > 0
    [row] = rounds(tmp_path / "run", "judge")
    assert row["n"] == 4
    assert rounds(tmp_path / "run", "judge_pairs")[0]["unread"] is not None


def test_a_rating_that_did_not_end_is_none(tmp_path):
    def reply(prompt, n):
        return "[RESULT] 2" + " " * 60 if "[RESULT]" in prompt else f"[RESULT] {1 + n % 4}"

    groups, found, _, told, _ = judged(tmp_path, reply, "pairing=meta", "max_new_tokens=24")
    assert told["unread_share"] == 0
    assert told["unrated"] == sum(len(c.texts) for c in groups.columns)
    assert found.pairs == ()


# the seed judge's lessons ----------------------------------------------------------------------------
def taught(folder, *changes):
    """The texts that a seed judge learns, with the items that they are of."""
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0)
    config = settings("reasons=true", 'prefill=""', "pool=64", *changes)
    policy = run.policy("nano")
    texts = {}
    for name, tasks in {"scores": config.tasks, "choices": config.comparisons}.items():
        rows = worked(run, policy, tasks, name, config)
        texts[name] = []
        for row in rows:
            start = int(np.flatnonzero(row.arrays["weight"])[0])
            told = policy.tokenizer.decode(row.tokens.tolist()[start:-1])
            texts[name].append((policy.tokenizer.decode(row.tokens.tolist()[:start]), told))
    journal.close()
    return texts


def test_reasons_come_before_the_score_and_a_share_has_none(tmp_path):
    for name, told in taught(tmp_path, "seed_judge.bare=0.25", "seed_judge.noise=0").items():
        bare = [reply for prompt, reply in told if prompt.startswith("Score")]
        assert 6 <= len(bare) <= 28  # of 64, a quarter
        assert all(re.fullmatch(r"\[RESULT\] [1-5AB]", reply) for reply in bare)
        for prompt, reply in told:
            if prompt.startswith("Grade"):
                *lines, verdict = reply.split("\n")
                assert len(lines) == 5 * (1 + (name == "choices"))
                assert all(re.fullmatch(r"([AB] )?[1-5] (ok|bad)", line) for line in lines)
                assert re.fullmatch(r"\[RESULT\] [1-5AB]", verdict)
                if name == "scores":
                    assert int(verdict[-1]) == 5 - sum(line.endswith("bad") for line in lines)


def test_noise_is_in_the_reasons_that_are_learnt_and_not_in_their_scores(tmp_path):
    clean, noised = (
        taught(tmp_path / n, "seed_judge.bare=0", f"seed_judge.noise={n}")["scores"] for n in ("0", "0.3")
    )
    assert [(p, t.rpartition("\n")[2]) for p, t in clean] == [(p, t.rpartition("\n")[2]) for p, t in noised]
    lines = [(a, b) for (_, x), (_, y) in zip(clean, noised, strict=True)
             for a, b in zip(x.split("\n")[:-1], y.split("\n")[:-1], strict=True)]  # fmt: skip
    turned = np.mean([a != b for a, b in lines])
    assert 0.2 < turned < 0.4


def test_a_joint_seed_learns_scores_and_comparisons_in_one(tmp_path):
    changes = ("seed_judge.kind=joint", "seed_judge.steps=1", "rounds=0", "judged=0", "held_out=2",
               "held_out_sampled=1")  # fmt: skip
    config = settings(*changes)
    execute(NAME, config, tmp_path / "run")
    [line] = steps(tmp_path / "run", "learn").values()
    assert line["result"]["rows"] == 2 * config.pool
    asked = steps(tmp_path / "run", "sample", "held_out")
    assert {found["inputs"]["policy"] for found in asked.values()} == {line["result"]["version"]}


def test_baselines_learn_the_chosen_or_one_right_judgment_an_item(tmp_path):
    groups, found, rows, _, _ = judged(tmp_path / "chosen", half_right, "learns=chosen")
    assert len(rows) == len(found.pairs)
    assert {row.tokens.tobytes() for row in rows} == {
        groups[g].episodes[i].tokens.astype(np.int32).tobytes() for g, i, _ in found.pairs
    }
    groups, _, rows, _, _ = judged(tmp_path / "right", half_right, "learns=right")
    assert len(rows) == sum(any(t == c.task.solution for t in c.texts) for c in groups.columns)


# whole runs ------------------------------------------------------------------------------------------
def test_the_loss_begins_at_ln_2_under_a_reference_that_stays(folder):
    learnt = [line for key, line in steps(folder, "learn").items() if "round-" in key]
    assert len(learnt) == 2
    for line in learnt:
        assert line["metrics"][0]["losses"][0] == pytest.approx(math.log(2), abs=1e-4)


def test_each_round_judges_with_the_judge_before_it_and_refers_to_it(folder):
    learnt = [line for key, line in steps(folder, "learn").items() if "round-" in key]
    for r in (1, 2):
        scope = f"round-{r:04d}"
        before = learnt[r - 1]["inputs"]["policy"]
        asked = steps(folder, "sample", scope)
        assert {line["inputs"]["policy"] for key, line in asked.items() if "held_out" not in key} == {before}
        for line in steps(folder, "annotate", scope).values():
            assert line["inputs"]["policy"] == before
    assert learnt[1]["inputs"]["policy"] == learnt[0]["result"]["version"]


def test_rounds_walk_on_through_the_items(tmp_path):
    journal = Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "")
    run, config = Run(journal, seed=0), settings("queries=20", "later=6")
    asked = [[t.id for t in items(run, config)] for _ in run.rounds(2)]
    journal.close()
    assert [len(some) for some in asked] == [20, 6]
    assert set(asked[0]).isdisjoint(asked[1])
    test = {t.id for t in run.source(config.tasks).take("test", 50)}
    assert test.isdisjoint(asked[0])


def test_without_a_pair_the_judge_stays_and_it_is_said(tmp_path):
    told = Told()
    few = ("held_out=2", "held_out_sampled=1", "judged=2", 'prefill=""', "seed_judge.steps=0")
    execute(NAME, settings(*few), tmp_path / "run", progress=told)
    assert [w for w in told.warnings if "no two judgments can be paired" in w]
    assert steps(tmp_path / "run", "learn") == {}


def test_it_resumes_to_the_same_bytes(folder, tmp_path):
    cut_before(folder, tmp_path / "cut", "round-0002/")
    execute(NAME, settings(), tmp_path / "cut", resume=True)
    assert compare_exact(folder, tmp_path / "cut") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("tasks=chain:level=1", "scores from 1 to 5"),
        ("unseen=grading:criteria=nothing", "criteria='nothing'"),
        ("comparisons=grading:pairs=true,criteria=nothing", "criteria='nothing'"),
        ("meta=nowhere", "nowhere"),
        ("samples=1", "samples"),
    ],
)
def test_bad_settings_are_named_before_anything_is_written(change, told, tmp_path):
    with pytest.raises(SharpenError, match=told):
        execute(NAME, settings(change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_plan_counts_every_judge():
    own = Settings()
    assert own.updates() == own.steps + own.later_steps + own.seed_judge.steps
    merged = own.model_copy(update={"seed_judge": own.seed_judge.model_copy(update={"kind": "merged"})})
    assert merged.updates() == own.updates() + own.seed_judge.steps
    assert merged.learnt() == own.learnt() + own.seed_judge.steps * own.seed_judge.batch_rows
    assert own.sampled() == {"training": (own.queries + own.later) * own.samples}
