"""SPIRAL: one policy plays both seats of a zero-sum game against itself (arXiv 2506.24119).

The only reward is the outcome. Each role of each game has a moving-average baseline (RAE), since the seats of
a game are worth different amounts; a clipped policy gradient with a constant normaliser learns from every
turn of both seats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from sharpen.errors import SharpenError
from sharpen.learn.advantages import Role, over_turns, role_advantages
from sharpen.learn.config import LearnConfig, OptimizerConfig, decaying
from sharpen.learn.policy_gradient import LossConfig, PolicyGradient
from sharpen.learn.rollouts import Rollouts
from sharpen.recipes.settings import Count, Positive
from sharpen.runs.config import Config
from sharpen.sample.law import SamplingLaw
from sharpen.select.controls import gold_only
from sharpen.tasks.registry import make
from sharpen.tasks.splits import assert_disjoint
from sharpen.verbs.asking import Asking, Exam, Reward

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.sample.episode import Episode
    from sharpen.sample.policy import Policy
    from sharpen.score.verdict import Verdict
    from sharpen.tasks.games.scripted import Profile
    from sharpen.tasks.games.table import GameTasks
    from sharpen.tasks.task import Task
    from sharpen.verbs.contests import Contest
    from sharpen.verbs.playing import Play, Played
    from sharpen.verbs.run import Made, Run
    from sharpen.verbs.seats import Player


class Settings(Config):
    """Settings of SPIRAL."""

    model: str = "nano"
    """The base model: one by name (`sharpen list models`), or a local folder in the Hugging Face layout."""
    game: str = "kuhn"
    """What is played, with its parameters: kuhn, leduc, tictactoe, negotiation, kuhn:rounds=5."""
    rounds: Positive = 320
    """How often the loop runs."""
    games: Positive = 256
    """Games played a round."""
    opponent: str = "self"
    """self: the current policy takes both seats. Else the other seat is frozen (the policy as it began), past
    (a pool of what it was) or a scripted player (random, minimax:epsilon=0.1, nash), and the learner takes
    each seat in turn."""
    pool: Positive = 4
    """opponent=past: how many earlier policies there are at most, each met as often as the others; the oldest
    goes."""
    pool_every: Positive = 20
    """opponent=past: rounds after which the policy joins them."""
    baseline: Literal["role", "shared", "none"] = "role"
    """What a return is compared with: the moving average of its role (RAE), of all roles, or nothing."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Of the moving averages."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount of a player's turns, from its last one back."""
    control: Literal["none", "shuffled"] = "none"
    """shuffled deals the returns of a round's seats anew: nothing of a game should be learnt."""
    batch_turns: Positive = 640
    """Turns of a round that are learnt from at most; of more, so many are drawn at random."""
    epochs: Positive = 2
    """Passes over them, one update each."""
    drop_cut: bool = False
    """Turns whose reply reached its limit, without an end token, are not learnt from."""
    loss: LossConfig = LossConfig(normaliser="constant", kl_coef=1.0, kl_estimator="k2")
    """What is minimised; its constant is the longest reply. The divergence from the base is ours."""
    reference_every: Count = 40
    """Rounds after which the policy that the divergence is from becomes the current one, as in regularised
    Nash dynamics (arXiv 2206.15378), whose fixed points are equilibria; 0: it stays what play began with."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-4)
    """AdamW and its schedule."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of the moves."""
    max_new_tokens: Positive = 24
    """Longest reply of a turn, in tokens."""
    warmup_games: Count = 1000
    """Games of a scripted player that the policy learns to write moves from, before it plays; 0: none."""
    warmup_steps: Positive = 400
    """Updates of that."""
    warmup_player: str = "random"
    """Who plays those games: random moves teach the form alone. With a player that can play, rounds=1 and
    warmup_winners=true this is learning from an expert's games."""
    warmup_winners: bool = False
    """Learn only from the seats that won."""
    warmup_thoughts: bool = True
    """Replies recall what the player knows, from the end, and box the move: `check Q \\boxed{bet}`. What is
    said before the move may shrink later. Without it a reply is the move alone (give it max_new_tokens=8)."""
    warmup_lr: Annotated[float, Field(gt=0)] = 2e-3
    """Highest learning rate of that; it falls to a twelfth."""
    transfer: str = ""
    """A task that no game rewards, cases:level=2. Its worked solutions are learnt in the warm-up, among the
    games' moves, and never again; its held-out questions are answered with every contest."""
    transfer_texts: Count = 60
    """How many worked solutions, from the split that nothing else uses: few, so that there is room above."""
    transfer_questions: Positive = 200
    """Held-out questions of it, answered greedily and once at temperature 1."""
    transfer_tokens: Positive = 64
    """Longest answer to one, in tokens."""
    measure_every: Positive = 40
    """Rounds between measurements; there is one before the first round and one after the last in any case."""
    measured_games: Count = 200
    """Games against each opponent in a measurement, half of them in each seat."""
    measured_against: tuple[str, ...] = ("random",)
    """Scripted opponents of a measurement, and past: the policy at the measurement before; the policy as it
    began is always one."""
    replies: Count = 512
    """Replies sampled in each information set to estimate what is played there; 0: the game is not solved."""
    keep: Literal["all", "last", "best"] = "last"
    """Which rounds' checkpoints stay on disk."""

    TINY: ClassVar[Mapping[str, Any]] = {
        "rounds": 2, "games": 8, "batch_turns": 12, "warmup_games": 20, "warmup_steps": 3, "measure_every": 1,
        "measured_games": 4, "replies": 4, "transfer_texts": 20, "transfer_questions": 6,
        "transfer_tokens": 32,
    }  # fmt: skip

    @field_validator("loss")
    @classmethod
    def _after_the_roles(cls, loss: LossConfig) -> LossConfig:
        if loss.penalised:
            raise ValueError("loss.kl_in=reward would move the roles' baselines: take loss.kl_in=loss")
        return loss

    @property
    def law(self) -> SamplingLaw:
        """How moves are sampled."""
        return SamplingLaw(temperature=self.temperature)

    @property
    def contest(self) -> Contest:
        """How the policy is measured."""
        from sharpen.verbs.contests import FROZEN, Contest

        against = (*self.measured_against, FROZEN)
        return Contest(self.measured_games, against, self.replies, self.law, self.max_new_tokens)

    def learning(self, rows: int) -> LearnConfig:
        """How a round learns from ``rows`` turns: each update sees each of them once."""
        return LearnConfig(steps=self.epochs, batch_rows=max(1, rows), method="full")

    @property
    def exam(self) -> Exam:
        """The held-out questions of the task that no game rewards."""
        return Exam(self.transfer, self.transfer_questions, self.transfer_questions, 1)

    @property
    def asking(self) -> Asking:
        """How they are put."""
        return Asking(self.transfer_tokens)

    def measured(self, r: int) -> bool:
        """Whether round ``r`` (from 1) ends with a measurement."""
        return r % self.measure_every == 0 or r == self.rounds

    def plan(self) -> dict[str, Any]:
        """Derived numbers."""
        found = {
            "rounds": self.rounds,
            "games": self.rounds * self.games,
            "updates": self.rounds * self.epochs,
        }
        if self.transfer:
            exams = 1 + sum(self.measured(r) for r in range(1, self.rounds + 1))
            found["samples_held_out"] = exams * (self.exam.n + self.exam.sampled * self.exam.samples)
        return found


def spiral(run: Run, config: Settings) -> None:
    """Run SPIRAL."""
    from sharpen.tasks.games.table import game_tasks
    from sharpen.verbs.contests import FROZEN, PAST, contest, self_play

    source = game_tasks(config.game)
    state = warmed(run, run.learner(run.policy(config.model)), source, config)
    base, state = state.policy, state.fresh_optimizer(config.optimizer)
    reference, before, baselines = base, base, dict[Role, float]()
    pool = [base]
    contest(run, source, base, {FROZEN: base, PAST: base}, config.contest, [])
    examined(run, base, config)
    profiles: list[Profile] = []  # the policy as it began is no part of what self-play averages over
    for r in run.rounds(config.rounds):
        tasks = source.take("train", config.games, start=(r - 1) * config.games)
        played = run.play(source, tasks, tables(state.policy, base, pool, config))
        rows, baselines = learnable(run, source, played, baselines, config)
        if config.loss.regularised:
            rows = run.annotate(reference, rows, law=config.law)
        self_play(run, played, baselines, rows.rows, opponent=config.opponent)
        objective = PolicyGradient(config.loss, config.law, config.max_new_tokens)
        state = run.learn(state, rows, config.learning(len(rows)), objective=objective)
        if config.reference_every and r % config.reference_every == 0:
            reference = run.hold(state.policy)
        if config.opponent == PAST and r % config.pool_every == 0:
            joined = run.hold(state.policy, f"pool-{r // config.pool_every % config.pool}")
            pool = [*pool, joined][-config.pool :]
        if config.measured(r):
            selves = {FROZEN: base, PAST: before}
            found = contest(run, source, state.policy, selves, config.contest, profiles)
            profiles += [] if found is None else [found]
            if PAST in config.measured_against:
                before = run.hold(state.policy, "measured")
            examined(run, state.policy, config)


def tables(policy: Policy, base: Policy, pool: Sequence[Policy], config: Settings) -> list[list[Player]]:
    """Who sits where: the learner on both seats, or on each in turn against each opponent."""
    from sharpen.verbs.contests import FROZEN, PAST, opponent
    from sharpen.verbs.seats import Model

    me = Model(policy, config.law, config.max_new_tokens)
    if config.opponent == "self":
        return [[me, me]]
    selves = {FROZEN: base}
    if config.opponent == PAST:
        selves = {f"{PAST} {k}": earlier for k, earlier in enumerate(pool)}
    names = [config.opponent] if config.opponent != PAST else list(selves)
    others = [opponent(name, selves, config.law, config.max_new_tokens) for name in names]
    return [table for other in others for table in ([me, other], [other, me])]


def learnable(
    run: Run, source: GameTasks, played: Played, baselines: Mapping[Role, float], config: Settings
) -> tuple[Rollouts, dict[Role, float]]:
    """The turns of a round that are learnt from, with their advantages, and the baselines afterwards.

    Every seat that the learner takes has a return that enters its baseline, also one whose game ended before
    its first move. Advantages of exactly 0 give no row. Of more rows than ``batch_turns`` as many are drawn,
    without replacement. The ledger counts turns: ``unknown`` of plays that failed, ``cut``, ``dead``,
    ``undrawn``, ``kept``.
    """
    from sharpen.learn.turns import turn_rows, was_cut, with_advantage

    scored = episodes_of(run, played, config)
    seated = [(i, k) for i, play in enumerate(played.plays) for k in learners(play, config.opponent)]
    by_role = config.baseline == "role"
    roles = [(source.game.spec, str(k) if by_role else "") for _, k in seated]
    returns = [got(played.plays[i], k, scored.get((i, k))) for i, k in seated]
    found, after = role_advantages(list(zip(roles, returns, strict=True)), baselines, decay=config.decay)
    if config.baseline == "none":
        found, after = np.array(returns), {}
    rows: list[Row] = []
    gone: Counter[str] = Counter()
    for place, advantage in zip(seated, found, strict=True):
        if place not in scored:
            continue  # nothing was said on that seat
        episode, verdict = scored[place]
        made = turn_rows(episode)
        if verdict.status.unknown:
            gone["unknown"] += len(made)
            continue
        for row, a in zip(made, over_turns(float(advantage), len(made), config.gamma), strict=True):
            if a and config.drop_cut and was_cut(episode, row):
                gone["cut"] += 1
            elif a:
                rows.append(with_advantage(row, a))
            else:
                gone["dead"] += 1
    drawn = sorted(run.stream("turns").generator().permutation(len(rows))[: config.batch_turns])
    gone["undrawn"] = len(rows) - len(drawn)
    ledger = {"sampled": len(drawn) + gone.total(), **gone, "kept": len(drawn)}
    return Rollouts(tuple(rows[i] for i in drawn), ledger), after


def learners(play: Play, opponent: str) -> list[int]:
    """The seats of a play that the learner took."""
    from sharpen.verbs.contests import is_learner

    return [k for k, name in enumerate(play.sitting) if is_learner(name, opponent)]


def episodes_of(run: Run, played: Played, config: Settings) -> dict[tuple[int, int], tuple[Episode, Verdict]]:
    """Every episode with its verdict, by play and seat; verdicts dealt anew as a control."""
    from sharpen.select.controls import shuffle_rewards

    groups = played.groups
    if config.control == "shuffled":
        groups = shuffle_rewards(groups, run.stream("control", "shuffled"))
    return {played.place(e): (e, v) for group in groups for e, v in group.scored}


def got(play: Play, seat: int, scored: tuple[Episode, Verdict] | None) -> float:
    """What a seat got, NaN where that is unknown."""
    if scored is not None:
        return float("nan") if scored[1].status.unknown else scored[1].score
    return float("nan") if play.outcome.endings[seat] == "crash" else play.outcome.returns[seat]


def warmed(run: Run, state: Any, source: GameTasks, config: Settings) -> Any:
    """The state after it has learnt from scripted games how moves are written, and the task that no game
    rewards from worked solutions; one step learns both."""
    from sharpen.verbs.contests import scripted, taught

    if not config.warmup_games and not config.transfer:
        return state
    rows: list[Row] = []
    with run.scope("warmup"):
        if config.warmup_games:
            tasks: list[Task] = source.take("base", config.warmup_games)
            played = run.play(source, tasks, [[scripted(config.warmup_player)] * source.seats])
            rows += taught(
                state.policy,
                source,
                tasks,
                played,
                winners=config.warmup_winners,
                thoughts=config.warmup_thoughts,
            )
        rows += worked(run, state.policy, config) if config.transfer else []
        optimizer = decaying(max(config.warmup_steps, 11), config.warmup_lr)
        learning = LearnConfig(steps=config.warmup_steps, batch_rows=64, optimizer=optimizer, method="full")
        return run.learn(state, rows, learning)


def worked(run: Run, policy: Policy, config: Settings) -> list[Row]:
    """Worked solutions of the task that no game rewards, to learn."""
    from sharpen.verbs.learning import rows_of

    tasks = run.source(config.transfer).take("base", config.transfer_texts)
    return rows_of(policy, gold_only(tasks, len(tasks), run.stream("worked")), config.asking)


def examined(run: Run, policy: Policy, config: Settings) -> None:
    """The row ``held_out`` of ``metrics.jsonl``: how well that task is done."""
    if config.transfer:
        run.measure(policy, config.exam, asking=config.asking, reward=Reward())


def check(config: Settings) -> Made:
    """Model, game, players and task: what is wrong is said before anything is written."""
    from sharpen.measure.exploitability import decisions
    from sharpen.sample.policy import load_policy
    from sharpen.tasks.games.table import game_tasks
    from sharpen.verbs.contests import FROZEN, PAST, able
    from sharpen.verbs.run import Made

    source = game_tasks(config.game)
    if source.seats != 2:
        raise SharpenError(f"game={config.game}: {source.seats} seats, and self-play here is for two")
    if config.replies:
        try:
            decisions(source.game)
        except SharpenError as problem:
            raise SharpenError(f"{problem}: replies=0 plays it without that") from None
    scripts = [config.warmup_player] if config.warmup_games else []
    scripts += config.measured_against if config.measured_games else ()
    for name in (*scripts, config.opponent):
        if name not in ("self", FROZEN, PAST):
            able(name, source)
    sources = {}
    if config.transfer:
        sources[config.transfer] = source = make(config.transfer)
        texts = source.take("base", config.transfer_texts)
        if any(task.solution is None for task in texts):
            raise SharpenError(
                f"transfer={config.transfer}: not every question has a worked solution to learn"
            )
        assert_disjoint(texts, source.take(config.exam.split, config.exam.n), source.canonical)
    return Made({config.model: load_policy(config.model)}, sources)
