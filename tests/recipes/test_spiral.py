"""SPIRAL from its first line to its last, and its checklist."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.exploitability import INVALID, nash_conv
from sharpen.recipes.execute import execute
from sharpen.recipes.spiral import Settings, learnable, tables, warmed, worked
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact, read_manifest, unit_files
from sharpen.sample.fake import FakeEngine
from sharpen.sample.policy import load_policy
from sharpen.tasks.games.reply import action_of
from sharpen.tasks.games.table import game_tasks
from sharpen.tasks.play import Outcome
from sharpen.tasks.registry import make
from sharpen.verbs.contests import Contest, contest, profile, record, scripted, taught
from sharpen.verbs.playing import Play
from sharpen.verbs.run import Run
from sharpen.verbs.seats import Model, Script
from tests.tiny import cut_before, finished, settings, steps

ROLES = [("kuhn", "0"), ("kuhn", "1")]


@pytest.fixture(scope="module")
def policy():
    return load_policy("nano")


def begin(folder, engine):
    return Run(Journal.create(folder / "run", {"recipe": "none", "seed": 0}, ""), seed=0, engine=engine)


def words(policy, choose):
    """An engine that answers by the words of the prompt."""
    return FakeEngine(lambda r: choose(str(policy.tokenizer.decode(r.tokens.tolist())).split()))


def played(run, policy, game="kuhn", n=8, **options):
    """A round of games, and the settings that it was played under."""
    config = Settings(game=game, **options)
    source = game_tasks(game)
    tasks = source.take("train", n)
    return source, run.play(source, tasks, tables(policy, policy, config)), config


def rows_of(metrics, name):
    return [row for row in metrics if row["name"] == name]


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def game_of(row):
    """``play:0/kuhn/train/7/0/1#2`` is of game 7 ..."""
    return int(row.key.split("/")[-3])


def seat_of(row):
    """... and of seat 1."""
    return int(row.key.split("/")[-1].partition("#")[0])


# the whole recipe ------------------------------------------------------------------------------------
def test_it_runs_and_one_policy_sits_on_both_seats():
    folder = finished("spiral")
    told = metrics(folder)
    assert [row["round"] for row in rows_of(told, "contest")] == [0, 1, 2]
    assert [row["round"] for row in rows_of(told, "self_play")] == [1, 2]
    learnt = steps(folder, "learn", "round-")
    for r, line in enumerate(learnt.values(), 1):
        (key,) = (k for k in steps(folder, "play", f"round-{r:04d}") if "contest" not in k)
        episodes = pq.read_table(unit_files(folder)[key][0])
        versions = {v for row in episodes["span_version"].to_pylist() for v in row} - {""}
        # the current weights, on either seat; the ones they become are another policy
        assert versions == {line["inputs"]["policy"]}
        assert line["result"]["version"] not in versions
    for row in rows_of(told, "contest"):
        assert 0 <= row["nash_conv"] <= 4
        assert row["random/won"] + row["random/drawn"] + row["random/lost"] + row["random/invalid"] == 1


def test_killed_between_steps_it_ends_the_same(tmp_path):
    """Baselines and opponents are part of what is replayed."""
    whole = finished("spiral", "opponent=frozen")
    cut_before(whole, tmp_path / "run", '"round-0002/play:0"')
    execute("spiral", settings("spiral", "opponent=frozen"), tmp_path / "run", resume=True)
    assert compare_exact(whole, tmp_path / "run") == []
    assert read_manifest(tmp_path / "run").steps == read_manifest(whole).steps


def test_the_reference_moves_and_its_checkpoint_stays_until_the_next(tmp_path):
    config = settings("spiral", "rounds=4", "reference_every=2", "keep=last", "measure_every=4", "replies=0")
    whole = tmp_path / "whole"
    execute("spiral", config, whole)
    asked = {key: line["inputs"]["policy"] for key, line in steps(whole, "annotate", "round-").items()}
    made = steps(whole, "learn")
    base, second = (made[k]["result"]["version"] for k in ("warmup/learn:0", "round-0002/learn:0"))
    assert list(asked.values()) == [base, base, second, second]
    left = {p.name for p in whole.glob("checkpoints/*")} - {"policy-0"}
    # held by round 4 is round 4 itself; what it held before went with the learn step after, which never came
    assert left == {"warmup.learn-0", "round-0002.learn-0", "round-0004.learn-0"}
    # killed in round 4, when the reference of round 2 is needed and is not the newest
    cut_before(whole, tmp_path / "run", '"round-0004/annotate:0"')
    execute("spiral", config, tmp_path / "run", resume=True)
    assert compare_exact(whole, tmp_path / "run") == []


@pytest.mark.parametrize(
    "changes",
    [
        ("baseline=none", "control=shuffled"),
        ("baseline=shared", "game=tictactoe", "replies=0", "max_new_tokens=4"),
        ("warmup_player=nash", "warmup_winners=true", "opponent=random"),
        ("warmup_thoughts=true", "max_new_tokens=16", "loss.entropy_coef=0.01"),
    ],
)
def test_its_variants_run(changes):
    assert rows_of(metrics(finished("spiral", *changes)), "self_play")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("game=kunh", "kuhn"),
        ("opponent=minimx", "minimax"),
        ("warmup_player=rondom", "random"),
        ("transfer=cses", "did you mean 'cases'"),
        ("transfer=cases:levl=2", "did you mean 'level'"),
        ("transfer=reasoning_gym:leg_counting", "not every question has a worked solution"),
    ],
)
def test_a_name_that_is_wrong_is_told_before_anything_is_written(tmp_path, change, told):
    with pytest.raises(SharpenError, match=told):
        execute("spiral", settings("spiral", change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# a task that no game rewards --------------------------------------------------------------------------
TRANSFER = "transfer=cases:level=2"


def test_a_task_is_learnt_in_the_warm_up_alone_and_measured_with_every_contest():
    folder = finished("spiral", TRANSFER)
    told = metrics(folder)
    found = rows_of(told, "held_out")
    assert [row["round"] for row in found] == [row["round"] for row in rows_of(told, "contest")] == [0, 1, 2]
    assert all(row["n_questions"] == row["n_samples"] == 6 for row in found)
    # what is asked is what was held out
    asked = pq.read_table(unit_files(folder)["held_out/sample:0"][0])["task_id"].to_pylist()
    assert asked == [task.id for task in make("cases:level=2").take("test", 6)]
    drawn = [line["result"]["samples"] for key, line in steps(folder, "sample").items() if "held_out" in key]
    assert settings("spiral", TRANSFER).plan()["samples_held_out"] == sum(drawn)
    assert "samples_held_out" not in settings("spiral").plan()


def test_a_task_that_is_measured_changes_nothing_else():
    """Without it the steps are those of a run that knows of none; with it, only the warm-up learns more."""
    plain, folder = finished("spiral"), finished("spiral", TRANSFER)
    known, found = (read_manifest(f).steps for f in (plain, folder))
    assert [key for key in found if "held_out" not in key] == list(known)
    assert found["warmup/play:0"] == known["warmup/play:0"]
    texts = settings("spiral", TRANSFER).transfer_texts
    more, fewer = (s["warmup/learn:0"]["result"]["rows"] for s in (found, known))
    assert more == fewer + texts
    # later rows are turns of games, and no more than a round's
    turns = [row["rows"] for row in rows_of(metrics(folder), "self_play")]
    assert [line["result"]["rows"] for line in steps(folder, "learn", "round-").values()] == turns
    assert all("selection_kept" in row for row in rows_of(metrics(folder), "learn") if row["round"])


def test_worked_solutions_are_learnt_in_the_words_of_the_task(tmp_path, policy):
    run = begin(tmp_path, FakeEngine())
    config = settings("spiral", TRANSFER)
    rows = worked(run, policy, config)
    known = {
        f"{task.prompt}{task.solution}<|end|>"
        for task in make("cases:level=2").take("base", config.transfer_texts)
    }
    texts = [str(policy.tokenizer.decode(row.tokens.tolist())) for row in rows]
    assert set(texts) == known
    assert len(texts) == config.transfer_texts
    for row, text in zip(rows, texts, strict=True):
        learnt = row.tokens[row.arrays["weight"] > 0]
        assert str(policy.tokenizer.decode(learnt.tolist())) == text.partition("\n")[2]


def test_a_task_can_be_learnt_without_games_and_measured_without_learning(tmp_path, policy):
    def learnt(change):
        run = begin(tmp_path / change, FakeEngine())
        warmed(run, run.learner(policy), game_tasks("kuhn"), settings("spiral", TRANSFER, change))
        return steps(tmp_path / change / "run", "learn")["warmup/learn:0"]

    assert learnt("warmup_games=0")["result"]["rows"] == settings("spiral").transfer_texts
    assert learnt("transfer_texts=0") == steps(finished("spiral"), "learn", "warmup")["warmup/learn:0"]


# what is learnt of a round ----------------------------------------------------------------------------
def test_each_role_is_compared_with_its_own_baseline(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=40, batch_turns=1000)
    rows, after = learnable(run, source, games, {}, config)
    returns = np.array([p.outcome.returns for p in games.plays])
    before, found = np.zeros(2), []
    for r in returns:
        found.append(r - before)
        before = 0.95 * before + 0.05 * r
    assert [after[role] for role in ROLES] == pytest.approx(before.tolist())
    advantages = {(game_of(row), seat_of(row)): row.scalars["advantage"] for row in rows}
    for g, pair in enumerate(found):
        for seat in (0, 1):
            assert advantages[g, seat] == pytest.approx(pair[seat])


def test_rewarding_one_seat_moves_no_other_baseline(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, opponent="random")
    _, after = learnable(run, source, games, {("kuhn", "1"): 0.25, ("leduc", "0"): 9.0}, config)
    assert after[("leduc", "0")] == 9.0
    only = [p for i, p in enumerate(games.plays) if i % 2 == 0]  # the learner on seat 0
    expected = 0.0
    for play in only:
        expected = 0.95 * expected + 0.05 * play.outcome.returns[0]
    assert after[ROLES[0]] == pytest.approx(expected)


def test_against_others_no_row_is_the_opponents(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, opponent="frozen", batch_turns=1000)
    rows, after = learnable(run, source, games, {}, config)
    frozen, me = "frozen", policy.version[:8]
    assert [p.sitting for p in games.plays] == [(me, frozen), (frozen, me)] * 4
    # the learner sits on seat 0 in even games and on seat 1 in odd ones
    assert rows
    assert all(seat_of(row) == game_of(row) % 2 for row in rows)
    assert set(after) <= set(ROLES)


def test_a_batch_is_drawn_without_replacement_and_by_name(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=30, batch_turns=11)
    rows, _ = learnable(run, source, games, {}, config)
    assert len(rows) == len({row.key for row in rows}) == 11
    again = begin(tmp_path / "again", words(policy, lambda w: w[-1]))
    source, games, config = played(again, policy, n=30, batch_turns=11)
    assert [row.key for row in learnable(again, source, games, {}, config)[0]] == [row.key for row in rows]


def test_a_draw_is_worth_what_the_baseline_is_not_and_nothing_else_is_left_out(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: "no"))
    source, games, config = played(run, policy, game="kuhn_flat", n=1, batch_turns=100)
    # an invalid move: the offender's turn is learnt from, and both baselines move
    rows, after = learnable(run, source, games, {}, config)
    assert len(rows) == 1
    assert list(after.values()) == [pytest.approx(-0.075)]
    # a return that equals its baseline leaves no row, and no row leaves the state as it is
    name, seat = next(iter(after))
    rows, _ = learnable(run, source, games, {(name, seat): -1.5}, config)
    assert rows.rows == ()
    assert rows.ledger == {"sampled": 1, "dead": 1, "undrawn": 0, "kept": 0}
    state = run.learner(policy)
    assert run.learn(state, rows, config.learning).policy.version == policy.version


def test_shuffled_returns_are_those_of_other_games(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=30, batch_turns=1000, baseline="none", control="shuffled")
    rows, _ = learnable(run, source, games, {}, config)
    honest, _ = learnable(run, source, games, {}, config.model_copy(update={"control": "none"}))
    given, right = ([row.scalars["advantage"] for row in some] for some in (rows, honest))
    assert sorted(given) == sorted(right)
    assert given != right


# what is measured ------------------------------------------------------------------------------------
def test_a_profile_counts_replies_and_what_is_no_move(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: "raise" if w[2].startswith("J") else w[-1]))
    how = Contest(0, (), 8, Settings().law, 8)
    found = profile(run, game_tasks("kuhn"), policy, how)
    assert len(found) == 12
    assert found["0 J"] == {INVALID: 1.0}
    assert found["1 K bet"] == {"[call]": 1.0}
    row = {}
    run.log = lambda name, told: row.update(told)
    contest(run, game_tasks("kuhn"), policy, policy, how, [])
    # always bets and calls, unless it holds J and says nonsense
    assert row["illegal"] == pytest.approx(1 / 3)
    assert row["nash_conv"] == nash_conv(game_tasks("kuhn").game, found)
    assert row["nash_conv_average"] == pytest.approx(row["nash_conv"])


def test_a_record_tells_how_games_ended_by_seat():
    ends = [((1.0, -1.0), "ok"), ((-1.0, 1.0), "ok"), ((0.0, 0.0), "ok"), ((-1.5, 0.5), "invalid_move")]
    plays = [Play("t", i, ("policy", "other"), Outcome(r, (e, "ok"))) for i, (r, e) in enumerate(ends)]
    told = record([*plays, Play("t", 4, ("other", "policy"), Outcome((-1.0, 1.0), ("ok", "ok")))], "policy")
    assert told == {
        "won": 0.4,
        "drawn": 0.2,
        "lost": 0.2,
        "invalid": 0.2,
        "return_0": -0.375,
        "return_1": 1.0,
    }


def test_scripted_games_become_texts_in_the_words_of_the_game(tmp_path, policy):
    run = begin(tmp_path, FakeEngine())
    source = game_tasks("kuhn")
    tasks = source.take("base", 20)
    bold = Script("bold", lambda shown, state, rng: state.some()[-1])
    games = run.play(source, tasks, [[bold, bold]])
    rows = taught(policy, source, tasks, games, winners=False)
    texts = [str(policy.tokenizer.decode(row.tokens.tolist())) for row in rows]
    assert len(rows) == 40
    assert all(t.endswith(("\nbet<|end|>", "\ncall<|end|>")) for t in texts)
    assert all(row.arrays["weight"].sum() == len(t.split("\n")[1].replace("<|end|>", ".")) for row, t in
               zip(rows, texts, strict=True))  # fmt: skip
    recalling = taught(policy, source, tasks, games, winners=False, thoughts=True)
    for row, plain in zip(recalling, texts, strict=True):
        asked, _, reply = str(policy.tokenizer.decode(row.tokens.tolist())).partition("\n")
        known = " ".join(asked.split(":")[0].split()[:1:-1])  # without the game's name and the seat
        move = plain.partition("\n")[2].removesuffix("<|end|>")
        assert reply == f"{known} \\boxed{{{move}}}<|end|>"
        assert action_of(reply.removesuffix("<|end|>")) == f"[{move}]"
    won = taught(policy, source, tasks, games, winners=True)
    assert len(won) == 20
    assert scripted("random").spec == {"script": "random"}
    assert Model(policy).called == policy.version[:8]
