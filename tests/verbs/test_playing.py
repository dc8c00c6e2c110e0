"""Plays: who moves, what each seat sees, how a play ends, and that a killed step goes on where it was."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.learn.turns import turn_rows
from sharpen.runs.journal import Journal
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy
from sharpen.score.verdict import Status
from sharpen.tasks.games.kuhn import Kuhn
from sharpen.tasks.games.registry import make
from sharpen.tasks.games.rules import MAX_TURNS
from sharpen.tasks.games.table import GameTasks, game_tasks
from sharpen.tasks.play import Outcome
from sharpen.tasks.task import Task
from sharpen.verbs.run import Run
from sharpen.verbs.seats import Limits, Model, Script


@pytest.fixture(scope="module")
def policy():
    return load_policy("nano")


def begin(folder, engine, seed=0):
    if (folder / "run").exists():
        return Run(Journal.open(folder / "run", environment={}), seed=seed, engine=engine)
    return Run(Journal.create(folder / "run", {"recipe": "none", "seed": seed}, ""), seed=seed, engine=engine)


def legal(shown, state, rng):
    """A random legal move."""
    moves = state.some()
    return moves[int(rng.integers(len(moves)))]


RANDOM = Script("random", legal)
FIRST = Script("first", lambda shown, state, rng: state.some()[0])


def mover(engine_policy, choose):
    """An engine that answers by ``choose(text of the prompt)``."""
    tokenizer = engine_policy.tokenizer
    return FakeEngine(lambda request: choose(str(tokenizer.decode([int(t) for t in request.tokens]))))


def last_word(prompt):
    return prompt.split()[-1]


def test_two_seats_of_one_policy_play_to_the_end(tmp_path, policy):
    source = game_tasks("kuhn")
    tasks = source.take("train", 12)
    played = begin(tmp_path, mover(policy, last_word)).play(source, tasks, [[Model(policy), Model(policy)]])
    assert len(played.groups) == len(played.plays) == 12
    for group, play in zip(played.groups, played.plays, strict=True):
        outcome = play.outcome
        assert sum(outcome.returns) == 0
        assert outcome.endings == ("ok", "ok")
        # always the last of the legal moves: the opener bets and is called
        assert outcome.moves == ((0, "[bet]"), (1, "[call]"))
        assert [e.key.rsplit("/", 1)[1] for e in group.episodes] == ["0", "1"]
        assert [v.score for v in group.columns().judged] == list(outcome.returns)
        assert [s.seat for e in group.episodes for s in e.spans if s.sampled] == ["0", "1"]
        assert [s.turn for e in group.episodes for s in e.spans] == [0, 0, 1, 1]
        # the end can be looked at again
        assert source.game.replay(outcome.end["deal"], outcome.end["actions"]).returns == outcome.returns
    assert played.result["moves"] == 24


def test_no_seat_is_shown_what_the_other_holds(tmp_path, policy):
    source = game_tasks("leduc")
    tasks = source.take("train", 40)
    played = begin(tmp_path, mover(policy, last_word)).play(source, tasks, [[Model(policy), Model(policy)]])
    tokenizer = policy.tokenizer
    for group, task in zip(played.groups, tasks, strict=True):
        state = source.game.of(task.data["deal"])
        for episode in group.episodes:
            seat = int(episode.spans[0].seat)
            states = [state]
            for _, move in played.plays[tasks.index(task)].outcome.moves:
                states.append(states[-1].act(move))
            views = {s.view(seat) + "\n" for s in states if s.seat == seat}
            shown = [str(tokenizer.decode(s.tokens.tolist())) for s in episode.spans if s.role == "prompt"]
            assert set(shown) <= views


def test_an_invalid_move_ends_the_play_with_the_stated_returns(tmp_path, policy):
    source = game_tasks("kuhn")
    engine = mover(policy, lambda prompt: "raise" if "bet:" in prompt else "bet")
    played = begin(tmp_path, engine).play(source, source.take("train", 3), [[Model(policy), Model(policy)]])
    for group, play in zip(played.groups, played.plays, strict=True):
        assert play.outcome.returns == (1.0, -3.0)
        assert play.outcome.endings == ("ok", "invalid_move")
        assert play.outcome.moves[-1] == (1, "raise")
        assert group.columns().status == (Status.OK, Status.INVALID_MOVE)
        assert all(turn_rows(e) for e in group.episodes)  # both roles still learn
    assert played.result["invalid_move"] == 3


def test_an_empty_reply_is_invalid_and_gives_no_row(tmp_path, policy):
    source = game_tasks("kuhn")
    engine = FakeEngine(lambda request: [])
    played = begin(tmp_path, engine).play(source, source.take("train", 1), [[Model(policy), RANDOM]])
    (play,) = played.plays
    assert play.outcome.returns == (-3.0, 1.0)
    (episode,) = played.groups[0].episodes
    assert turn_rows(episode) == []


def test_rows_carry_weight_on_the_own_replies_alone(tmp_path, policy):
    source = game_tasks("tictactoe")
    table = [Model(policy, max_new_tokens=8), RANDOM]
    played = begin(tmp_path, mover(policy, last_word)).play(source, source.take("train", 2), [table])
    for group in played.groups:
        (episode,) = group.episodes
        rows = turn_rows(episode, {"advantage": 1.0})
        turns = [s.turn for s in episode.spans if s.sampled is not None]
        assert len(rows) == len(turns) > 2
        assert all(a < b for a, b in pairwise(turns))
        for row, spans in zip(rows, episode.sequences, strict=True):
            reply = spans[-1].tokens
            assert np.array_equal(row.tokens[-len(reply) :], reply)
            assert row.arrays["weight"].sum() == len(reply)
            assert not row.arrays["weight"][: -len(reply)].any()
            assert row.scalars["advantage"] == 1.0


def test_a_frozen_opponent_is_stored_and_never_learnt_from(tmp_path, policy):
    source = game_tasks("kuhn")
    table = [Model(policy), Model(policy, learns=False, name="old")]
    played = begin(tmp_path, mover(policy, last_word)).play(source, source.take("train", 2), [table])
    for group, play in zip(played.groups, played.plays, strict=True):
        mine, other = group.episodes
        assert turn_rows(mine)
        assert turn_rows(other) == []
        assert play.sitting == (policy.version[:8], "old")


def test_tables_take_turns(tmp_path, policy):
    source = game_tasks("kuhn")
    me = Model(policy, name="me")
    played = begin(tmp_path, mover(policy, last_word)).play(
        source, source.take("train", 4), [[me, RANDOM], [RANDOM, me]]
    )
    assert [p.sitting for p in played.plays] == [("me", "random"), ("random", "me")] * 2
    assert {e.spans[0].seat for e in played.groups[1].episodes} == {"1"}


def test_draws_belong_to_task_play_seat_and_turn(tmp_path, policy):
    source = game_tasks("kuhn")
    tasks = source.take("train", 8)
    moves = []
    for folder, some in ((tmp_path / "a", tasks), (tmp_path / "b", list(reversed(tasks)))):
        played = begin(folder, FakeEngine()).play(source, some, [[RANDOM, RANDOM]], n=2)
        moves.append({(p.task_id, p.play): p.outcome for p in played.plays})
        assert len(moves[-1]) == 16
    assert moves[0] == moves[1]
    assert len({o.moves for o in moves[0].values()}) > 2


class Silent(FakeEngine):
    """Gives no reply to some requests."""

    def generate(self, policy, requests, *, batch=None, on_progress=None):
        kept = [r for r in requests if "/2/" not in f"/{r.stream}/".replace("kuhn/train", "")]
        return super().generate(policy, kept)


def test_a_dropped_reply_is_unknown_and_the_others_go_on(tmp_path, policy):
    source = game_tasks("kuhn")
    tasks = source.take("train", 4)
    engine = Silent(lambda request: "bet" if request.stream.names[-1] == 0 else "call")
    played = begin(tmp_path, engine).play(source, tasks, [[Model(policy), Model(policy)]])
    crashed = [p for p in played.plays if "crash" in p.outcome.endings]
    assert [p.task_id for p in crashed] == [tasks[2].id]
    assert "dropped" in crashed[0].outcome.detail
    assert played.groups[2].columns().status == (Status.CRASH,)
    assert np.isnan(played.groups[2].columns().scores).all()
    assert played.result["crash"] == 2


def test_a_source_that_fails_at_one_task_is_unknown_there(tmp_path, policy):
    class Breaks(GameTasks):
        async def play(self, task, agents):
            if task.id.endswith("/1"):
                raise ZeroDivisionError("oh")
            return await super().play(task, agents)

    source = Breaks(make("kuhn"))
    played = begin(tmp_path, FakeEngine()).play(source, source.take("train", 3), [[FIRST, FIRST]])
    assert [p.outcome.endings[0] for p in played.plays] == ["ok", "crash", "ok"]
    assert played.plays[1].outcome.detail == "ZeroDivisionError: oh"


def test_limits_of_turns_tokens_and_seconds_end_in_a_draw(tmp_path, policy, monkeypatch):
    # every offer is answered by another one
    talk = Script("talk", lambda shown, state, rng: state.some()[0])
    long = GameTasks(Endless())
    played = begin(tmp_path / "turns", FakeEngine()).play(long, long.take("train", 1), [[talk, talk]])
    assert played.plays[0].outcome.endings == ("truncated", "truncated")
    assert len(played.plays[0].outcome.moves) == MAX_TURNS
    game = game_tasks("tictactoe")
    few = Model(policy, max_new_tokens=8, tokens=10)
    played = begin(tmp_path / "tokens", mover(policy, last_word)).play(
        game, game.take("train", 1), [[few, RANDOM]]
    )
    outcome = played.plays[0].outcome
    assert (outcome.returns, outcome.endings) == ((0.0, 0.0), ("truncated", "ok"))
    assert played.groups[0].columns().status == (Status.TRUNCATED,)
    ticks = iter(range(100))
    monkeypatch.setattr("sharpen.verbs.playing.clock", lambda: float(next(ticks)))
    played = begin(tmp_path / "seconds", mover(policy, last_word)).play(
        game, game.take("train", 1), [[Model(policy, max_new_tokens=8), RANDOM]], limits=Limits(seconds=1.5)
    )
    assert "seconds" in played.plays[0].outcome.detail


class Endless(Kuhn):
    """Kuhn poker in which nobody's move counts."""

    def mover(self, at):
        return 0

    def after(self, at, action):
        return at


def test_a_step_that_lost_a_unit_plays_on_and_ends_the_same(tmp_path, policy, monkeypatch):
    monkeypatch.setattr("sharpen.verbs.playing.UNIT_PLAYS", 4)
    source = game_tasks("kuhn")
    tasks = source.take("train", 10)
    tables = [[Model(policy), RANDOM], [RANDOM, Model(policy)]]

    def once(folder):
        engine = mover(policy, last_word)
        run = begin(folder, engine)
        played = run.play(source, tasks, tables)
        run.journal.close()
        return engine, played

    _, first = once(tmp_path)
    files = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.parquet")}
    assert len(files) == 9
    # answered from disk
    engine, again = once(tmp_path)
    assert engine.requests == []
    assert again.plays == first.plays
    # a damaged unit is played again, and gives the same bytes
    lost = sorted(tmp_path.rglob("*.parquet"))[4]
    lost.write_bytes(b"")
    engine, _ = once(tmp_path)
    assert engine.requests
    assert {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.parquet")} == files


def test_a_table_with_too_few_players_is_refused(tmp_path, policy):
    source = game_tasks("kuhn")
    with pytest.raises(SharpenError, match="2 seats, 1 players"):
        begin(tmp_path, FakeEngine()).play(source, source.take("train", 1), [[RANDOM]])


@pytest.fixture
def shop():
    """The environment of the page on plays: a customer, a clerk who can look a price up, a tool."""
    page = Path(__file__).parents[2] / "docs" / "plays.md"
    [code] = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(compile(code, str(page), "exec"), names)
    return names["Shop"]()


def test_a_simulated_user_and_a_tool_are_agents_and_text_like_any_other(tmp_path, policy, shop):
    tokenizer = policy.tokenizer

    def answer(request):
        text = str(tokenizer.decode(request.tokens.tolist()))
        last = text.rpartition("<|user|>")[2]
        if last.startswith("You want"):
            return "how much is " + last.split(" of ")[1].split(".")[0]
        if last.startswith("how much"):
            item = last.split()[-1].removesuffix("<|assistant|>")
            return f'<tool_call>{{"name": "price", "arguments": {{"item": "{item}"}}}}</tool_call>'
        return "it is " + last.removesuffix("<|assistant|>")

    chat = {"memory": "whole", "template": "chat", "max_new_tokens": 96}
    clerk, user = Model(policy, **chat), Model(policy, learns=False, name="user", **chat)
    played = begin(tmp_path, FakeEngine(answer)).play(shop, shop.take("train", 3), [[clerk, user]])
    for i, (group, play) in enumerate(zip(played.groups, played.plays, strict=True)):
        assert play.outcome.returns == (1.0, 0.0)
        mine, other = group.episodes
        # what the clerk saw and said is one sequence; the user's words and the tool's are in it, unlearnt
        (row,) = turn_rows(mine)
        assert turn_rows(other) == []
        text = str(tokenizer.decode(row.tokens.tolist()))
        assert text.startswith(f"<|user|>how much is item{i}<|assistant|><tool_call>")
        assert text.endswith(f"<|user|>{10 + i}<|assistant|>it is {10 + i}<|end|>")
        learnt = row.tokens[row.arrays["weight"] != 0]
        assert "<|user|>" not in str(tokenizer.decode(learnt.tolist()))
        assert len(mine.sequences) == 1
        assert play.outcome.counts == {"calls": 1, "malformed": 0}
    assert played.result["moves"] == 9
    assert (played.result["calls"], played.result["malformed"]) == (3, 0)


def test_malformed_calls_are_shown_to_the_model_and_added_up_over_plays(tmp_path, policy, shop):
    tokenizer = policy.tokenizer

    def answer(request):
        last = str(tokenizer.decode(request.tokens.tolist())).rpartition("<|user|>")[2]
        return "<tool_call>oops" if last.startswith("hello") else "i see"

    chat = {"memory": "whole", "template": "chat", "max_new_tokens": 96}
    user = Script("user", lambda shown, state, rng: "hello")
    played = begin(tmp_path, FakeEngine(answer)).play(
        shop, shop.take("train", 2), [[Model(policy, **chat), user]]
    )
    assert (played.result["calls"], played.result["malformed"]) == (2, 2)
    for play in played.plays:
        # shown to the model, which then said something else
        assert any(seat == 0 and "is not closed" in shown for seat, shown, _ in play.turns)
        assert play.outcome.moves[-1] == (0, "i see")


def test_a_dialogue_scored_again_has_the_log_probabilities_that_it_was_sampled_with(tmp_path, policy, shop):
    """Several turns in one sequence, by the real engine: what stands between its replies moves nothing."""
    run = begin(tmp_path, NativeEngine())
    chat = {"memory": "whole", "template": "chat", "max_new_tokens": 12}
    user = Script("user", lambda shown, state, rng: "3 + 4")
    games = run.play(shop, shop.take("train", 4), [[Model(policy, **chat), user]])
    rows = [row for group in games.groups for e in group.episodes for row in turn_rows(e)]
    for row in run.annotate(policy, rows, law=SamplingLaw()):
        learnt = row.arrays["weight"] != 0
        assert learnt.sum() > 1
        ratios = np.exp(row.arrays["ref_logprob"] - row.arrays["old_logprob"])[learnt]
        assert np.abs(ratios - 1).max() < 1e-5


class Passing:
    """Three seats in turn say a word; who says the longest one gets 2, the others -1."""

    seats, spec = 3, {"passing": 1}

    def take(self, split, n, *, start=0):
        return [Task(f"passing/{split}/{i}", "", "", {}) for i in range(start, start + n)]

    async def play(self, task, agents):
        said = [(await agents[k](f"seat {k}: ", turn=k)).text for k in range(3)]
        best = max(range(3), key=lambda k: len(said[k]))
        return Outcome(
            tuple(2.0 if k == best else -1.0 for k in range(3)), ("ok",) * 3, tuple(enumerate(said))
        )


def test_three_seats_play_and_each_has_its_own_episode_and_return(tmp_path, policy):
    engine = mover(policy, lambda prompt: "a" * (1 + int(prompt.split()[1][0])))
    source, me = Passing(), Model(policy)
    silent = Script("silent", lambda shown, state, rng: "")
    played = begin(tmp_path, engine).play(source, source.take("train", 4), [[me, silent, me], [me, me, me]])
    for i, (group, play) in enumerate(zip(played.groups, played.plays, strict=True)):
        seats = (0, 2) if i % 2 == 0 else (0, 1, 2)
        assert [e.key.rsplit("/", 1)[1] for e in group.episodes] == [str(k) for k in seats]
        assert [e.sample for e in group.episodes] == list(seats)
        assert play.outcome.returns == (-1.0, -1.0, 2.0)
        assert [v.score for v in group.columns().judged] == [play.outcome.returns[k] for k in seats]


def test_a_seat_can_have_an_engine_of_its_own(tmp_path, policy):
    """An API model at a table: what it is asked does not reach the run's engine, nor the other way round."""
    ours, theirs = (FakeEngine(lambda request, w=word: w) for word in ("bet", "call"))
    source = game_tasks("kuhn")
    guest = Model(policy, learns=False, name="guest", engine=theirs)
    played = begin(tmp_path, ours).play(source, source.take("train", 5), [[Model(policy), guest]])
    assert (len(ours.requests), len(theirs.requests)) == (5, 5)
    for group, play in zip(played.groups, played.plays, strict=True):
        assert play.sitting[1] == "guest"
        assert play.outcome.moves == ((0, "[bet]"), (1, "[call]"))
        assert [any(s.trainable for s in e.spans) for e in group.episodes] == [True, False]


def test_all_plays_share_the_batches(tmp_path, policy):
    batches = []

    class Counts(FakeEngine):
        def generate(self, policy, requests, *, batch=None, on_progress=None):
            batches.append(len(requests))
            return super().generate(policy, requests)

    tokenizer = policy.tokenizer
    engine = Counts(lambda r: last_word(str(tokenizer.decode(r.tokens.tolist()))))
    source = game_tasks("kuhn")
    begin(tmp_path, engine).play(source, source.take("train", 20), [[Model(policy), Model(policy)]])
    assert batches == [20, 20]
