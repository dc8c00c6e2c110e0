"""SPIRAL from its first line to its last, and its checklist."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from sharpen.errors import SharpenError
from sharpen.learn.batch import plan
from sharpen.measure.exploitability import INVALID, nash_conv
from sharpen.recipes.execute import execute
from sharpen.recipes.spiral import Settings, learnable, tables, warmed, worked
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact, read_manifest, unit_files
from sharpen.runs.streams import stream
from sharpen.sample.fake import FakeEngine
from sharpen.sample.policy import load_policy
from sharpen.tasks.games.reply import action_of
from sharpen.tasks.games.table import game_tasks
from sharpen.tasks.play import Outcome
from sharpen.tasks.registry import make
from sharpen.verbs.contests import Contest, contest, profile, record, scripted, self_play, taught
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
    return source, run.play(source, tasks, tables(policy, policy, [policy], config)), config


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
        assert sum(row[f"random/{end}"] for end in ("won", "drawn", "lost", "invalid", "unknown")) == 1


def test_the_first_update_finds_every_ratio_at_one():
    """The engine that played and the learner agree on what was sampled, turn by turn."""
    for row in rows_of(metrics(finished("spiral", "epochs=1")), "learn")[1:]:
        assert row["updates"] == 1
        assert abs(row["ratio_mean"] - 1) < 1e-5
        assert abs(row["ratio_max"] - 1) < 1e-5
        assert row["ess"] == pytest.approx(1, abs=1e-6)


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


POOL = ("opponent=past", "pool=2", "pool_every=1", "rounds=4", "measure_every=2", "replies=0", "keep=last",
        'measured_against=["random", "past"]')  # fmt: skip


def test_past_selves_are_met_alike_and_the_oldest_goes():
    folder = finished("spiral", *POOL)
    made = [line["result"]["version"] for line in steps(folder, "learn").values()]  # the warm-up's, then four
    played = {
        int(key[6:10]): line for key, line in steps(folder, "play", "round-").items() if "contest" not in key
    }
    me = dict(zip(range(1, 5), made, strict=False))
    for r, line in played.items():
        met = [table[k]["policy"] for table in line["inputs"]["tables"] for k in (0, 1)]
        others = [v for v in met if v != me[r]]
        pool = [made[0], *made[1:r]][-2:]
        if r == 1:  # it began as the one that it meets
            assert set(met) == {made[0]}
        else:
            assert others == [v for v in pool for _ in (0, 1) if v != me[r]]
    for row in rows_of(metrics(folder), "contest"):
        assert {f"past/{end}" for end in ("won", "lost", "drawn", "invalid", "unknown")} <= set(row)
    # learnt from is what the policy of the round said, and nothing of its former selves
    for r in played:
        baselines = [n for n in rows_of(metrics(folder), "self_play")[r - 1] if n.startswith("baseline/")]
        assert baselines == ["baseline/kuhn/0", "baseline/kuhn/1"]


@pytest.mark.parametrize(
    "before", ['"round-0003/play:0"', '"round-0004/learn:0"', '"round-0004/contest/play:1"']
)
def test_killed_with_a_pool_of_opponents_it_ends_the_same(tmp_path, before):
    """What the pool and the next contest need is there though keep=last gave up the rest."""
    whole = finished("spiral", *POOL)
    cut_before(whole, tmp_path / "run", before)
    execute("spiral", settings("spiral", *POOL), tmp_path / "run", resume=True)
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
        ("opponent=minimax", "minimax plays tictactoe, not kuhn"),
        ('measured_against=["nash", "minimax"]', "minimax plays tictactoe, not kuhn"),
        ("game=negotiation", "too many"),
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


def test_against_others_no_row_is_the_opponents_and_only_the_learners_roles_move(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, opponent="frozen", batch_turns=1000)
    rows, after = learnable(run, source, games, {}, config)
    frozen, me = "frozen", policy.version[:8]
    assert [p.sitting for p in games.plays] == [(me, frozen), (frozen, me)] * 4
    # the learner sits on seat 0 in even games and on seat 1 in odd ones
    assert rows
    assert all(seat_of(row) == game_of(row) % 2 for row in rows)
    expected = [0.0, 0.0]
    for g, play in enumerate(games.plays):
        expected[g % 2] = 0.95 * expected[g % 2] + 0.05 * play.outcome.returns[g % 2]
    assert [after[role] for role in ROLES] == pytest.approx(expected)


def test_one_baseline_for_both_roles_and_none(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=20, batch_turns=1000, baseline="shared")
    rows, after = learnable(run, source, games, {}, config)
    baseline, expected = 0.0, {}
    for g, play in enumerate(games.plays):
        for seat, paid in enumerate(play.outcome.returns):
            expected[g, seat] = paid - baseline
            baseline = 0.95 * baseline + 0.05 * paid
    assert after == {("kuhn", ""): pytest.approx(baseline)}
    assert {(game_of(row), seat_of(row)): row.scalars["advantage"] for row in rows} == pytest.approx(expected)
    rows, after = learnable(run, source, games, {}, config.model_copy(update={"baseline": "none"}))
    assert after == {}
    for row in rows:
        assert row.scalars["advantage"] == games.plays[game_of(row)].outcome.returns[seat_of(row)]


def test_a_batch_is_drawn_without_replacement_and_by_name(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=30, batch_turns=11)
    rows, _ = learnable(run, source, games, {}, config)
    assert len(rows) == len({row.key for row in rows}) == 11
    again = begin(tmp_path / "again", words(policy, lambda w: w[-1]))
    source, games, config = played(again, policy, n=30, batch_turns=11)
    assert [row.key for row in learnable(again, source, games, {}, config)[0]] == [row.key for row in rows]


def test_every_turn_is_as_likely_to_be_drawn(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: w[-1]))
    source, games, config = played(run, policy, n=10, batch_turns=1000)
    every = [row.key for row in learnable(run, source, games, {}, config)[0]]
    few = config.model_copy(update={"batch_turns": len(every) // 4})
    counts = dict.fromkeys(every, 0)
    for k in range(200):
        with run.scope(f"draw {k}"):
            for row in learnable(run, source, games, {}, few)[0]:
                counts[row.key] += 1
    # binomial(200, 1/4): five standard deviations are 31
    assert all(abs(n - 200 * (len(every) // 4) / len(every)) < 31 for n in counts.values())


def test_each_update_sees_each_drawn_turn_once():
    rows = [SimpleNamespace(unit="") for _ in range(17)]
    batches = plan(rows, stream("a"), steps=3, batch_rows=Settings().learning(17).batch_rows)
    assert [sorted(i for (i,) in batch) for batch in batches] == [list(range(17))] * 3
    assert Settings(epochs=4).learning(17).steps == 4


class Ends:
    """A game that any turn of seat 0 ends, with the same returns for each."""

    def __init__(self, returns, endings):
        self.game, self.seats, self.spec = game_tasks("kuhn").game, 2, {"game": "kuhn"}
        self.outcome = Outcome(returns, endings)

    async def play(self, task, agents):
        await agents[0]("what?", turn=0)
        return self.outcome


def ended(tmp_path, policy, returns, endings, baselines, **options):
    """One such game by the policy on both seats, and what is learnt of it."""
    run = begin(tmp_path, words(policy, lambda w: "no"))
    source, config = Ends(returns, endings), Settings(**options)
    games = run.play(source, game_tasks("kuhn").take("train", 1), tables(policy, policy, [policy], config))
    return learnable(run, source, games, baselines, config)


@pytest.mark.parametrize("ending", ["ok", "truncated"])
def test_a_draw_is_worth_what_the_baseline_is_not(tmp_path, policy, ending):
    """A drawn game, and one that reached the turn limit, which is a draw."""
    before = dict(zip(ROLES, (0.5, -0.25), strict=True))
    rows, after = ended(tmp_path, policy, (0.0, 0.0), (ending, ending), before)
    assert [row.scalars["advantage"] for row in rows] == [-0.5]
    # seat 1 never moved: its return enters its baseline all the same
    assert [after[role] for role in ROLES] == pytest.approx([0.475, -0.2375])


def test_what_failed_is_unknown_to_rows_and_baselines(tmp_path, policy):
    before = dict.fromkeys(ROLES, 0.5)
    rows, after = ended(tmp_path, policy, (0.0, 0.0), ("crash", "crash"), before)
    assert rows.rows == ()
    assert rows.ledger["unknown"] == 1
    assert after == before


def test_a_reply_cut_at_its_limit_is_learnt_unless_that_is_turned_off(tmp_path, policy):
    told = {"returns": (1.0, -1.0), "endings": ("ok", "ok"), "baselines": {}}
    cut = begin(tmp_path / "cut", FakeEngine(lambda r: "no no no no"))
    for drop in (False, True):
        config = Settings(max_new_tokens=2, drop_cut=drop)
        source = Ends(told["returns"], told["endings"])
        with cut.scope(f"{drop}"):
            games = cut.play(
                source, game_tasks("kuhn").take("train", 1), tables(policy, policy, [policy], config)
            )
        rows, _ = learnable(cut, source, games, {}, config)
        assert len(rows) == (not drop)
        assert rows.ledger.get("cut", 0) == drop
    whole, _ = ended(tmp_path / "whole", policy, **told, drop_cut=True)
    assert len(whole) == 1


def test_an_invalid_move_pays_both_and_nothing_else_is_left_out(tmp_path, policy):
    run = begin(tmp_path, words(policy, lambda w: "no"))
    source, games, config = played(run, policy, game="kuhn_flat", n=1, batch_turns=100, replies=0)
    # the offender's turn is learnt from, and both baselines move: the other never came to say anything
    rows, after = learnable(run, source, games, {}, config)
    assert len(rows) == 1
    offender, other = seat_of(rows.rows[0]), 1 - seat_of(rows.rows[0])
    name = source.game.spec
    assert after == {
        (name, str(offender)): pytest.approx(-0.075),
        (name, str(other)): pytest.approx(0.025),
    }
    # a return that equals its baseline leaves no row, and no row leaves the state as it is
    rows, _ = learnable(run, source, games, {(name, str(offender)): -1.5}, config)
    assert rows.rows == ()
    assert rows.ledger == {"sampled": 1, "dead": 1, "undrawn": 0, "kept": 0}
    state = run.learner(policy)
    assert run.learn(state, rows, config.learning(len(rows))).policy.version == policy.version


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
    contest(run, game_tasks("kuhn"), policy, {}, how, [])
    # always bets and calls, unless it holds J and says nonsense
    assert row["illegal"] == pytest.approx(1 / 3)
    assert row["nash_conv"] == nash_conv(game_tasks("kuhn").game, found)
    assert row["nash_conv_average"] == pytest.approx(row["nash_conv"])


def test_a_record_tells_how_games_ended_by_seat():
    ends = [((1.0, -1.0), "ok"), ((-1.0, 1.0), "ok"), ((0.0, 0.0), "ok"), ((-1.5, 0.5), "invalid_move")]
    plays = [Play("t", i, ("policy", "other"), Outcome(r, (e, "ok"))) for i, (r, e) in enumerate(ends)]
    plays += [Play("t", 4, ("other", "policy"), Outcome((-1.0, 1.0), ("ok", "ok")))] * 4
    # nobody knows who would have won: no draw, and part of no mean
    plays += [Play("t", 5, ("other", "policy"), Outcome((0.0, 0.0), ("crash", "crash")))] * 2
    assert record(plays, "policy") == {
        "won": 0.5,
        "drawn": 0.1,
        "lost": 0.1,
        "invalid": 0.1,
        "unknown": 0.2,
        "return_0": -0.375,
        "return_1": 1.0,
    }


def test_a_round_tells_of_the_learner_alone(tmp_path, policy):
    """Its tokens a reply and a game, its entropy, what each seat got, its baselines."""
    run = begin(tmp_path, words(policy, lambda w: w[-2] if w[2][0] == "J" else f"\\boxed{{{w[-1]}}}"))
    source, games, config = played(run, policy, n=12, opponent="frozen", batch_turns=1000)
    rows, after = learnable(run, source, games, {}, config)
    row = {}
    run.log = lambda name, told: row.update(told)
    self_play(run, games, after, rows.rows, opponent="frozen")
    mine = [e for g in games.groups for e in g.episodes if any(s.trainable for s in e.spans)]
    replies = [s for e in mine for s in e.spans if s.sampled is not None]
    assert len(mine) == 12
    assert row["length"] == sum(len(s.tokens) for s in replies) / 12
    assert row["reply_length"] == sum(len(s.tokens) for s in replies) / len(replies)
    assert row["reply_length"] < row["length"]
    means = [
        np.mean(np.concatenate([s.sampled.entropy for s in e.spans if s.sampled is not None])) for e in mine
    ]
    assert row["entropy"] == pytest.approx(np.mean(means))
    returns = np.array([p.outcome.returns for p in games.plays])
    assert [row["return_0"], row["return_1"]] == returns.mean(0).tolist()
    assert [row["baseline/kuhn/0"], row["baseline/kuhn/1"]] == [after[role] for role in ROLES]
    assert (row["invalid_share"], row["crash_share"], row["rows"]) == (0, 0, len(rows))
    assert row["moves"] == np.mean([len(p.outcome.moves) for p in games.plays])


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
