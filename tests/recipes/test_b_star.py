"""The checklist of B-STaR's paper (arXiv 2412.17256) on whole runs, against the methods that it is compared
with: what is sampled, from which weights, under which schedule, and what is learnt."""

import re

import numpy as np
import pytest

from sharpen.recipes import star
from sharpen.recipes.execute import execute
from sharpen.runs.store import compare_exact, read_manifest
from sharpen.sample.fake import FakeEngine
from sharpen.sample.policy import load_policy
from sharpen.tasks.family import final_answer, same_equations
from sharpen.tasks.registry import make
from sharpen.tasks.task import hint
from sharpen.verbs import learning
from sharpen.verbs.sampling import prompt_of
from tests.tiny import Told, finished, rounds, settings, steps, stored

ONE_POINT = ("temperatures=[1.0]", "thresholds=[0.0]")
BINARY = "process=none"


def base() -> str:
    return load_policy("nano").version


def trajectory(folder) -> list:
    """All that a round leaves behind: tokens and verdicts drawn for training, rows learnt, weights made."""
    found = []
    for key, line in read_manifest(folder).steps.items():
        verb = key.rsplit("/", 1)[-1].split(":")[0]
        if "balance" in key or verb in ("policy", "log"):
            continue
        if verb == "learn":
            found.append((key, line["inputs"]["rows"], line["inputs"]["position"], line["result"]))
        elif verb in ("sample", "score"):
            table = stored(folder, key)
            names = [n for n in table.schema.names if n not in ("by", "parts")]
            found.append((key, table.select(names).to_pylist()))
        else:
            found.append((key, line["result"]))
    return found


@pytest.fixture
def rows_learnt(monkeypatch):
    """The rows of every learn step that runs during the test, in order."""
    seen = []
    real = learning.train

    def train(state, rows, **options):
        seen.append((state, list(rows)))
        return real(state, rows, **options)

    monkeypatch.setattr(learning, "train", train)
    return seen


# one-point grids -------------------------------------------------------------------------------------


def test_one_point_grids_give_online_rft_bit_for_bit():
    # N is out of reach, so nothing is capped: Online RFT that learns from all right attempts
    one = finished("b_star", *ONE_POINT, BINARY, "selected=100000")
    other = finished("online_rft", "per_query=0")
    assert trajectory(one) == trajectory(other)
    assert len(trajectory(one)) > 15


def test_one_point_grids_give_online_rft_under_a_cap():
    # N = 1 is reached by the first cap there is: one attempt a question
    one = finished("b_star", *ONE_POINT, BINARY, "selected=1")
    other = finished("online_rft", "per_query=1")
    assert [row["selection_cap"] for row in rounds(one, "learn")] == [1, 1]
    assert trajectory(one) == trajectory(other)


def test_one_point_grids_with_the_process_reward_give_the_fixed_setting():
    one = finished("b_star", *ONE_POINT)
    other = finished("b_star", "schedule=[[1.0, 0.0]]")
    assert not [key for key in steps(other, "sample") if "balance" in key]
    assert trajectory(one) == trajectory(other)


# optimizer and schedule ------------------------------------------------------------------------------

SCHEDULE = ("optimizer.schedule=cosine", "optimizer.warmup_steps=2", "optimizer.total_steps=8")


def learnt(folder) -> list[tuple[int, int, float, float]]:
    """By learn step: schedule position before, after, the last update's rate, and what it should be."""
    found = []
    for line in steps(folder, "learn", "round-").values():
        before, after = line["inputs"]["position"], line["result"]["position"]
        optimizer = type(settings("online_rft").optimizer)(**line["inputs"]["optimizer"])
        found.append((before, after, line["metrics"][0]["lr"], optimizer.lr_at(after - 1)))
    return found


@pytest.mark.parametrize("recipe", ["online_rft", "b_star"])
def test_one_schedule_runs_over_all_rounds(recipe):
    folder = finished(recipe, *SCHEDULE)
    assert [(a, b) for a, b, _, _ in learnt(folder)] == [(0, 3), (3, 6)]
    assert [rate for _, _, rate, _ in learnt(folder)] == [rate for _, _, _, rate in learnt(folder)]
    rates = [rate for _, _, rate, _ in learnt(folder)]
    assert rates[1] < rates[0]  # far down the cosine: the schedule did not begin again
    assert [line["result"]["step"] for line in steps(folder, "learn").values()] == [3, 6]


@pytest.mark.parametrize("recipe", ["iterative_rft", "rest_em"])
def test_each_round_begins_the_schedule_anew(recipe):
    folder = finished(recipe, *SCHEDULE)
    assert [(a, b) for a, b, _, _ in learnt(folder)] == [(0, 3), (0, 3)]
    rates = [rate for _, _, rate, _ in learnt(folder)]
    assert rates[0] == rates[1] == learnt(folder)[0][3]


def test_who_starts_from_which_weights(rows_learnt, tmp_path):
    starts = {}
    for recipe in ("rest_em", "star", "iterative_rft", "online_rft"):
        del rows_learnt[:]
        execute(recipe, settings(recipe), tmp_path / recipe)
        versions = [line["result"]["version"] for line in steps(tmp_path / recipe, "learn").values()]
        starts[recipe] = [state.policy.version for state, _ in rows_learnt]
        moments = [bool(state.moments) for state, _ in rows_learnt]
        if recipe in ("rest_em", "star"):
            assert starts[recipe] == [base()] * len(versions)
            # the latest policy attempts, the base learns
            assert (
                steps(tmp_path / recipe, "sample")["round-0002/sample:0"]["inputs"]["policy"] == versions[0]
            )
        else:
            assert starts[recipe] == [base(), *versions[:-1]]
        assert moments == [False, recipe == "online_rft"]


# the search ------------------------------------------------------------------------------------------


def test_the_search_changes_no_weights_and_draws_once_a_temperature():
    folder = finished("b_star")
    config = settings("b_star")
    versions = [base(), *(line["result"]["version"] for line in steps(folder, "learn").values())]
    for r in (1, 2):
        drawn = steps(folder, "sample", f"round-{r:04d}/balance")
        temperatures = [line["inputs"]["law"].get("temperature", 1.0) for line in drawn.values()]
        assert temperatures == list(config.temperatures)  # not times the thresholds
        assert {line["inputs"]["policy"] for line in drawn.values()} == {versions[r - 1]}
        assert steps(folder, "sample")[f"round-{r:04d}/sample:0"]["inputs"]["policy"] == versions[r - 1]
    table = rounds(folder, "balance")[0]["table"]
    assert len(table) == len(config.temperatures) * len(config.thresholds)
    best = max(table, key=lambda cell: cell[2])
    row = rounds(folder, "balance")[0]
    assert [row["temperature"], row["threshold"]] == best[:2]
    training = steps(folder, "sample")["round-0001/sample:0"]["inputs"]["law"].get("temperature", 1.0)
    assert training == row["temperature"]
    assert (
        steps(folder, "learn")["round-0001/learn:0"]["inputs"]["selection"]["threshold"] == row["threshold"]
    )


def test_the_search_shifts_nobodys_random_stream():
    searched = finished("b_star", "temperatures=[1.0, 1.3]", "thresholds=[-5.0]", "rounds=1")
    plain = finished("b_star", "schedule=[[1.0, -5.0]]", "rounds=1")
    asked = settings("b_star")
    if rounds(searched, "balance")[0]["temperature"] != 1.0:
        plain = finished("b_star", "schedule=[[1.3, -5.0]]", "rounds=1")
    assert trajectory(searched) == trajectory(plain)
    # nor are the search's draws those of the round: its questions are attempted anew
    keys = steps(searched, "sample", "round-0001")
    by_task = [
        dict(zip(*stored(searched, k).select(["task_id", "tokens"]).to_pydict().values())) for k in keys
    ]
    both = by_task[0].keys() & by_task[2].keys()
    assert len(by_task[0]) == asked.monitored
    assert not both or any(by_task[0][t] != by_task[2][t] for t in both)


def test_the_search_is_told_as_an_overhead_of_its_own():
    summary = execute("b_star", settings("b_star"), finished("b_star"), resume=True)
    assert summary["samples_search"] == 2 * 6 * 4 * 4  # rounds, monitored questions, samples, temperatures
    assert summary["samples"] == 2 * 16 * 4
    online = execute("online_rft", settings("online_rft"), finished("online_rft"), resume=True)
    assert (online["samples"], online["samples_search"]) == (summary["samples"], 0)


def test_the_threshold_may_be_taken_from_the_whole_round(tmp_path):
    execute("b_star", settings("b_star", "tau_from=full", "rounds=1"), tmp_path / "run")
    line = steps(tmp_path / "run", "learn")["round-0001/learn:0"]
    assert line["inputs"]["selection"]["threshold"] in settings("b_star").thresholds
    # the temperature is the monitored questions' choice all the same
    assert line["inputs"]["selection"]["total"] == settings("b_star").selected


# nothing to learn from -------------------------------------------------------------------------------


def test_a_round_that_selects_nothing_keeps_the_old_policy(tmp_path):
    told = Told()
    config = settings("b_star", "schedule=[[1.0, 5.0], [1.0, -5.0]]")  # no reward is above 2
    execute("b_star", config, tmp_path / "run", progress=told)
    assert [w for w in told.warnings if "nothing was selected" in w] == [
        "round 1: nothing was selected, so nothing is learnt"
    ]
    first, second = steps(tmp_path / "run", "learn").values()
    assert first["result"] == {"version": base(), "rows": 0}
    assert (second["inputs"]["policy"], second["inputs"]["position"]) == (base(), 0)
    assert second["result"]["rows"] > 0
    again = Told()
    execute("b_star", config, tmp_path / "run", resume=True, progress=again)
    assert again.warnings == told.warnings


@pytest.mark.parametrize("recipe", ["b_star", "online_rft", "iterative_rft", "rest_em", "star", "rft"])
def test_all_rollouts_wrong_is_no_crash(recipe, tmp_path):
    told = Told()
    engine = FakeEngine(lambda request: "1+1=2\nAnswer: 1+1")
    change = ["process=none", "thresholds=[0.0]"] if recipe == "b_star" else []
    execute(recipe, settings(recipe, *change), tmp_path / "run", engine=engine, progress=told)
    assert any("all wrong" in w for w in told.warnings)
    results = [line["result"] for line in steps(tmp_path / "run", "learn", "round-").values()]
    if recipe == "rft":  # the original solutions are learnt all the same
        assert results[0]["rows"] == settings("rft").gold
    else:
        assert [r["rows"] for r in results] == [0] * len(results)
        assert {r["version"] for r in results} == {base()}


@pytest.mark.parametrize("recipe", ["rest_em", "star"])
def test_a_failing_round_after_a_good_one_keeps_the_good_one(recipe, tmp_path):
    """Restarting methods learn from the base, but what attempts the next round is the latest policy."""
    source = make(settings(recipe).tasks)
    solutions = {t.prompt.strip(): t.solution for t in source.take("train", 64)}
    tokenizer = load_policy("nano").tokenizer
    rights = []

    def answer(request):
        question = tokenizer.decode(request.tokens, skip_special_tokens=True).strip()
        rights.append("round-0001" in str(request.stream))
        return solutions.get(question, "Answer: 0") if rights[-1] else "Answer: 0"

    change = ["validation=0"] if recipe == "star" else []
    config = settings(recipe, *change)
    execute(recipe, config, tmp_path / "run", engine=FakeEngine(answer))
    assert any(rights)
    first, second = (line["result"] for line in steps(tmp_path / "run", "learn").values())
    assert first["rows"] > 0
    assert second["rows"] == 0
    last = steps(tmp_path / "run", "sample", "round-0002/held_out")
    assert {line["inputs"]["policy"] for line in last.values()} == {first["version"]}


def test_a_star_round_without_failures_has_nothing_to_rationalize(tmp_path):
    source = make(settings("star").tasks)
    solutions = {t.prompt.strip(): t.solution for s in ("train", "dev", "test") for t in source.take(s, 64)}
    tokenizer = load_policy("nano").tokenizer
    engine = FakeEngine(lambda r: solutions[tokenizer.decode(r.tokens, skip_special_tokens=True).strip()])
    execute("star", settings("star", "rounds=1"), tmp_path / "run", engine=engine)
    assert rounds(tmp_path / "run", "held_out")[0]["accuracy_greedy"] == 1.0
    assert steps(tmp_path / "run", "sample")["round-0001/sample:1"]["result"]["samples"] == 0
    assert steps(tmp_path / "run", "learn")["round-0001/learn:0"]["result"]["rows"] == 16


# what is learnt --------------------------------------------------------------------------------------


def test_gold_enters_where_it_is_asked_for(rows_learnt, tmp_path):
    schedule = "schedule=[[1.0, 0.0]]"
    execute(
        "b_star", settings("b_star", schedule, "gold=true", "selected=1000", "rounds=1"), tmp_path / "run"
    )
    (_, rows), *_ = rows_learnt
    gold = [row for row in rows if row.key.startswith("gold/")]
    config = settings("b_star")
    policy = load_policy("nano")
    tasks = {t.id: t for t in make(config.tasks).take("train", config.pool)}
    for row in gold:
        task = tasks[row.key.removeprefix("gold/")]
        assert policy.tokenizer.decode(row.tokens[row.arrays["weight"] > 0]).startswith(task.solution)
        assert row.tokens[-1] in policy.eos_ids
    line = rounds(tmp_path / "run", "learn")[0]
    assert line["selection_gold"] == 16
    # of 16 questions each gave its gold, unless an attempt had already said the same
    assert len(gold) + line["selection_duplicate"] >= 16
    # above a threshold of 1 it is left out
    del rows_learnt[:]
    high = settings("b_star", "schedule=[[1.0, 1.0]]", "gold=true", "rounds=1")
    execute("b_star", high, tmp_path / "high")
    assert not [row for _, rows in rows_learnt for row in rows if row.key.startswith("gold/")]


def test_rows_are_the_sampled_tokens_and_only_they_count(rows_learnt, tmp_path):
    config = settings("b_star", "schedule=[[1.0, 0.0]]", "rounds=1")
    execute("b_star", config, tmp_path / "run")
    table = {row["key"]: row for row in stored(tmp_path / "run", "round-0001/sample:0").to_pylist()}
    verdicts = {row["key"]: row for row in stored(tmp_path / "run", "round-0001/score:0").to_pylist()}
    (_, rows), *_ = rows_learnt
    assert rows
    for row in rows:
        episode = table[row.key]
        assert row.tokens.tolist() == episode["tokens"]
        prompt = len(row.tokens) - episode["n_sampled"]
        assert not row.arrays["weight"][:prompt].any()
        assert row.arrays["weight"][prompt:].tolist() == [1.0] * episode["n_sampled"]
        assert row.arrays["old_logprob"][prompt:].tolist() == episode["logprob"]
        assert verdicts[row.key]["score"] > 0.0
        assert final_answer(episode["text"]) is not None
    texts = [(table[row.key]["task_id"], table[row.key]["text"]) for row in rows]
    assert len(set(texts)) == len(texts)


def test_process_rewards_are_added_and_truncation_gets_the_least(tmp_path):
    config = settings("b_star", "schedule=[[1.3, 0.0]]", "rounds=1", "max_new_tokens=22")
    execute("b_star", config, tmp_path / "run")
    samples = stored(tmp_path / "run", "round-0001/sample:0").to_pylist()
    verdicts = stored(tmp_path / "run", "round-0001/score:0").to_pylist()
    cut = [v for s, v in zip(samples, verdicts) if s["finish"] == "length"]
    assert cut
    assert len(cut) < len(samples)
    for verdict in verdicts:
        parts = dict(verdict["parts"])
        assert verdict["score"] == parts["correct"] + parts["process"]
        assert parts["correct"] in (0.0, 1.0)
        assert -1 <= parts["process"] <= 1
    assert all(dict(v["parts"])["process"] == -1.0 for v in cut)
    assert len({v["score"] for v in verdicts}) > 4  # not 0 and 1 alone: thresholds matter


def test_a_trained_step_scorer_gives_the_process_reward(tmp_path):
    small = ("process=head", "scorer.questions=8", "scorer.solutions=2", "scorer.completions=2")
    config = settings("b_star", *small, "scorer.epochs=2", "rounds=1", "schedule=[[1.0, 0.0]]")
    execute("b_star", config, tmp_path / "run")
    for verdict in stored(tmp_path / "run", "round-0001/score:0").to_pylist():
        parts = dict(verdict["parts"])
        assert -1 <= parts["process"] <= 1
        assert verdict["score"] == parts["correct"] + parts["process"]
    head = steps(tmp_path / "run", "head")["step_scorer/head:0"]
    assert head["metrics"][0]["name"] == "step_scorer"
    begun = steps(tmp_path / "run", "sample")["step_scorer/sample:1"]
    assert begun["result"]["samples"] % 2 == 0  # two completions from the end of every written step
    before = (tmp_path / "run" / "manifest.jsonl").read_bytes()
    execute("b_star", config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "manifest.jsonl").read_bytes() == before
    execute("b_star", config, tmp_path / "again")
    assert compare_exact(tmp_path / "run", tmp_path / "again") == []


# the kin ---------------------------------------------------------------------------------------------


def test_the_form_of_a_hint_fits_the_questions():
    assert settings("star").hint_form == "{prompt} hint {answer}\n"
    gym = settings("star", "tasks=reasoning_gym:gcd")
    assert hint("Name it.\n", "7", gym.hint_form) == "Name it.\n(The answer is 7.)\n"
    assert (
        settings("star", "tasks=reasoning_gym:gcd", "hint={prompt}{answer}").hint_form == "{prompt}{answer}"
    )


def test_stars_control_reaches_what_was_rationalized(rows_learnt, tmp_path):
    change = ("rounds=1", "validation=0", "max_new_tokens=24", "pool=24")
    counts = {}
    for control in ("none", "shuffled"):
        execute("star", settings("star", *change, f"control={control}"), tmp_path / control)
        stored_right = {
            r["key"] for r in stored(tmp_path / control, "round-0001/score:1").to_pylist() if r["score"] > 0
        }
        kept = {row.key for row in rows_learnt[-1][1] if "sample:1" in row.key}
        counts[control] = (len(kept), len(kept & stored_right), len(stored_right))
    real, control = counts["none"], counts["shuffled"]
    assert real[0] == real[1] == real[2] > 0  # every right one, and nothing else
    assert control[2] == real[2]
    assert control[1] < control[0]  # rewards say nothing of what is kept


def test_star_learns_rationalized_attempts_without_the_hint(rows_learnt, tmp_path):
    config = settings("star", "rounds=1")
    execute("star", config, tmp_path / "run")
    policy = load_policy("nano")
    tasks = {t.id: t for t in make(config.tasks).take("train", config.pool)}
    asked = {row["key"]: row for row in stored(tmp_path / "run", "round-0001/sample:1").to_pylist()}
    first = stored(tmp_path / "run", "round-0001/score:0").to_pylist()
    failed = {v["key"].split("/")[-2] for v in first if not v["correct"]}
    assert {row["task_id"] for row in asked.values()} == failed
    assert all("hint" in policy.tokenizer.decode(row["tokens"]) for row in asked.values())
    (_, rows), *_ = rows_learnt
    rationalized = [row for row in rows if row.key in asked]
    assert rationalized
    assert len(rows) == len(rationalized) + 16 - len(failed)
    for row in rationalized:
        sampled = asked[row.key]["tokens"][-asked[row.key]["n_sampled"] :]
        prompt = prompt_of(policy, tasks[asked[row.key]["task_id"]], config.asking).tokens
        assert row.tokens.tolist() == [*prompt.tolist(), *sampled]
        assert np.flatnonzero(row.arrays["weight"]).tolist() == list(range(len(prompt), len(row.tokens)))
        assert "hint" not in policy.tokenizer.decode(row.tokens)


def test_star_trains_longer_every_round_and_stops_at_the_plateau(tmp_path):
    config = star.Settings(steps=40)
    assert [config.steps_of(r) for r in range(1, 6)] == [40, 48, 58, 69, 83]  # 20 % a round
    # without a learning rate round 2 validates like round 1: the plateau
    run = tmp_path / "run"
    execute("star", settings("star", "rounds=5", "steps=2", "optimizer.lr=0", "growth=1.5"), run)
    assert [line["inputs"]["learn"]["steps"] for line in steps(run, "learn").values()] == [2, 3]
    assert [row["round"] for row in rounds(run, "validation")] == [1, 2]
    assert [row["round"] for row in rounds(run, "held_out")] == [0, 1, 2]
    exam = stored(run, "round-0001/validation/sample:0")["task_id"].to_pylist()
    assert all("-dev-" in task for task in exam)


def test_star_may_do_without_its_parts(tmp_path):
    change = ("rationalize=false", "restart_from_base=false", "validation=0")
    execute("star", settings("star", *change), tmp_path / "run")
    first, second = steps(tmp_path / "run", "learn").values()
    assert second["inputs"]["policy"] == first["result"]["version"]
    assert (second["inputs"]["position"], second["result"]["step"]) == (0, 3 + 4)
    assert not [line for line in steps(tmp_path / "run", "sample").values() if line["name"] == "rationalize"]


def test_rft_keeps_one_attempt_for_each_list_of_equations(rows_learnt, tmp_path):
    config = settings("rft", "samples=8", "temperature=1.0")
    execute("rft", config, tmp_path / "run")
    (sft, original), (start, rows) = rows_learnt
    assert sft.policy.version == start.policy.version == base()  # the base learns twice, each time anew
    assert not start.moments
    assert len(original) == config.gold
    assert [row.key for row in rows[: config.gold]] == [row.key for row in original]
    tasks = {t.id: t for t in make(config.tasks).take("train", config.pool)}
    attempts = {row["key"]: row for row in stored(tmp_path / "run", "round-0001/sample:0").to_pylist()}
    # the fine-tuned model attempts, not the base
    version = steps(tmp_path / "run", "learn")["learn:0"]["result"]["version"]
    assert steps(tmp_path / "run", "sample")["round-0001/sample:0"]["inputs"]["policy"] == version
    kept = [attempts[row.key] for row in rows[config.gold :]]
    assert kept
    names = [(a["task_id"], same_equations(tasks[a["task_id"]], a["text"])) for a in kept]
    assert len(set(names)) == len(names)
    verdicts = {v["key"]: v for v in stored(tmp_path / "run", "round-0001/score:0").to_pylist()}
    right = {
        (a["task_id"], same_equations(tasks[a["task_id"]], a["text"]))
        for k, a in attempts.items()
        if verdicts[k]["correct"]
    }
    assert set(names) == right
    assert re.search(r"same_equations", str(steps(tmp_path / "run", "learn")["round-0001/learn:0"]["inputs"]))
