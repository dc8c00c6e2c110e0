"""``Run``: the verbs that recipes are written with, each a journaled step (``sharpen.runs.journal``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, overload

from sharpen.errors import SharpenError
from sharpen.learn.config import CriticConfig, LearnConfig, OptimizerConfig
from sharpen.learn.objective import Objective
from sharpen.learn.rollouts import Rollouts
from sharpen.learn.row import Row
from sharpen.learn.sft import SFT
from sharpen.learn.state import TrainState
from sharpen.measure.warnings import Watch
from sharpen.runs.checkpoints import kept
from sharpen.runs.journal import Journal
from sharpen.runs.step import Step
from sharpen.runs.streams import Stream, stream
from sharpen.sample.directions import States
from sharpen.sample.engine import Engine
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Policy, averaged, checksum, load_policy, save_policy
from sharpen.sample.steering import Scope, Steering
from sharpen.score.group import Groups
from sharpen.score.verify import Verifier
from sharpen.select.pairs import Pair
from sharpen.select.selection import Selection
from sharpen.strategies import Strategy
from sharpen.tasks.play import Playable
from sharpen.tasks.registry import make
from sharpen.tasks.task import Task, TaskSource
from sharpen.verbs import (
    annotating,
    beforehand,
    learning,
    measuring,
    playing,
    practising,
    sampling,
    scoring,
    solving,
    steering,
    step_scoring,
    weighing,
)
from sharpen.verbs.asking import Asking, Exam, Practice, Questions, Reward
from sharpen.verbs.beforehand import Brought
from sharpen.verbs.playing import Played
from sharpen.verbs.progress import Progress, Silent
from sharpen.verbs.seats import Limits, Player
from sharpen.verbs.solving import Means, Solved
from sharpen.verbs.steering import PairStates
from sharpen.verbs.stepscorer import StepScorer
from sharpen.verbs.trials import Trial

BASE = "base"


class Stopped(SharpenError):
    """The run stopped itself because its numbers said that it was being fooled."""


@dataclass
class Made:
    """Policies by what they were loaded from, and task sources by name, that are in memory already."""

    policies: dict[str, Policy] = field(default_factory=dict)
    sources: dict[str, TaskSource] = field(default_factory=dict)


class Run:
    """One run of a recipe: verbs over a journal.

    Calling a finished verb again returns what is stored, so resuming is running the recipe again.

    Args:
        journal: where steps are recorded.
        seed: names every random stream of the run.
        engine: what samples; the native one by default.
        progress: who watches.
        made: what need not be loaded again.
        stop_on_warning: whether a warning ends the run (resumable) instead of only being said.
        keep: whose checkpoints stay on disk: ``all``, ``last`` or ``best`` (and the last).
    """

    def __init__(
        self,
        journal: Journal,
        *,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
        made: Made | None = None,
        stop_on_warning: bool = False,
        keep: str = "all",
    ) -> None:
        self.journal = journal
        self.seed = seed
        self.engine: Engine = engine or NativeEngine()
        self.progress: Progress = progress or Silent()
        self.round = 0
        self.made: list[Step] = []  # learn steps of the rounds whose checkpoints are kept
        self.updates: dict[str, int] = {}  # how many each policy that was learnt from or on had seen
        self.bases: dict[str, str] = {}  # where each base lies among the checkpoints, by its version
        self._stop, self._keep = stop_on_warning, keep
        self._scores: dict[str, float] = {}
        self._held: dict[str, str] = {}
        self._made = made or Made()
        self._watch = Watch()

    # scopes ------------------------------------------------------------------------------------
    def rounds(self, n: int) -> Iterator[int]:
        """1, 2, ... n, each in a scope of its own (``round-0001``)."""
        for r in range(1, n + 1):
            with self.journal.scope(f"round-{r:04d}"):
                self.round = r
                yield r

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Steps inside get keys and random streams of their own."""
        return self.journal.scope(name)

    def stream(self, *names: str | int) -> Stream:
        """A random stream for a recipe's own pure draws, named by seed, scope and ``names``."""
        return stream(self.seed, *filter(None, self.journal.path.split("/")), *names)

    # questions ---------------------------------------------------------------------------------
    def source(self, tasks: str) -> TaskSource:
        """The task source of this name, made once."""
        if tasks not in self._made.sources:
            self._made.sources[tasks] = make(tasks)
        return self._made.sources[tasks]

    def questions(self, questions: Questions) -> list[Task]:
        """This round's questions: the next ``per_round`` of the shuffled pool."""
        pool = self.source(questions.tasks).take(questions.split, questions.pool)
        return sampling.round_of(
            pool, questions.per_round, max(self.round, 1), stream(self.seed, "questions")
        )

    def held_out(self, exam: Exam) -> list[Task]:
        """The held-out questions, the same in every round."""
        return self.source(exam.tasks).take(exam.split, exam.n)

    # policies ----------------------------------------------------------------------------------
    def policy(self, source: str) -> Policy:
        """Load a policy; its content checksum is recorded, so a changed model is refused on resume.

        It is written once among the run's checkpoints, which adapters trained on it then point to.
        """
        # handed over, not kept: the run lets go of a base once it has trained another
        policy = self._made.policies.pop(source, None) or load_policy(source)
        return self._written(policy, {"model": policy.name}, source)

    def merge(self, policies: Sequence[Policy], *, name: str = "merge") -> Policy:
        """The mean of the policies' weights; see ``sharpen.sample.policy.averaged``."""
        of = [policy.version for policy in policies]
        return self._written(averaged(policies, name), {"average_of": of}, name)

    def _written(self, policy: Policy, about: Mapping[str, Any], name: str) -> Policy:
        """The policy, recorded as a base that this run starts from."""
        step = self.journal.begin("policy", {**about, "version": policy.version}, name=name)
        if step.result is None:
            step.checkpoint(BASE, lambda folder: save_policy(policy, folder))
            step.finish(
                {"version": policy.version, "parameters": sum(w.numel() for w in policy.weights.values())}
            )
        if BASE in step.checkpoints():  # runs begun by an earlier version have none
            inside = f"{step.slug}/{BASE}"
            self.bases[policy.base or policy.version] = f"{inside}/base" if policy.adapter else inside
        return policy

    def learner(self, policy: Policy, optimizer: OptimizerConfig | None = None) -> TrainState:
        """A training state at its start: weights of ``policy``, no moments, schedule position 0."""
        self.updates[policy.version] = 0
        return TrainState.start(policy, optimizer)

    # verbs -------------------------------------------------------------------------------------
    def sample(
        self,
        policy: Policy,
        tasks: Questions | Sequence[Task],
        *,
        n: int,
        law: SamplingLaw,
        asking: Asking,
        name: str = "sample",
    ) -> Groups:
        """``n`` attempts at each task: one group a task, in the tasks' order, not yet scored."""
        given = self.questions(tasks) if isinstance(tasks, Questions) else list(tasks)
        return sampling.sample(self, policy, given, n=n, law=law, asking=asking, name=name)

    def score(
        self,
        groups: Groups,
        reward: Reward | Verifier,
        *,
        tasks: str = "",
        name: str = "score",
        tell: bool = True,
    ) -> Groups:
        """The same groups with verdicts. ``tasks`` names the source where ``reward`` needs its checker;
        without ``tell`` no metrics row is written."""
        verifier = scoring.verifier_of(self, reward, tasks) if isinstance(reward, Reward) else reward
        scored, row = scoring.score(self, groups, verifier, name=name, tell=tell)
        if name == "score":
            self.watched(row)
        return scored

    def watched(self, row: Mapping[str, Any]) -> None:
        """Warn of what a round's numbers say, see ``sharpen.measure.warnings``; rows come round by round."""
        self.warn(self._watch.training(row))

    def practise(self, policy: Policy, practice: Practice, *, asking: Asking) -> Rollouts:
        """A round's attempts, sampled and scored, as rows (``sharpen.learn.rollouts``)."""
        return practising.practise(self, policy, practice, asking=asking)

    @overload
    def annotate(
        self, policy: Policy, data: Rollouts, *, law: SamplingLaw, name: str = "reference"
    ) -> Rollouts: ...
    @overload
    def annotate(
        self, policy: Policy, data: Sequence[Row], *, law: SamplingLaw, name: str = "reference"
    ) -> list[Row]: ...
    def annotate(
        self, policy: Policy, data: Rollouts | Sequence[Row], *, law: SamplingLaw, name: str = "reference"
    ) -> Rollouts | list[Row]:
        """The rows with ``ref_logprob``: what ``policy`` says of their tokens under ``law``, nats."""
        if isinstance(data, Rollouts):
            return data.with_rows(annotating.annotate(self, policy, data.rows, law=law, name=name))
        return annotating.annotate(self, policy, data, law=law, name=name)

    def value(self, state: TrainState, base: Policy, rollouts: Rollouts, *, budget: int = 4096) -> Rollouts:
        """The rows with ``value``: what the state's critic expects before each learnt token; 0 while there is
        no critic. It reads the hidden states of ``base``, ``budget`` tokens a pass."""
        return annotating.value(self, state, base, rollouts, budget=budget)

    def fit_critic(
        self, state: TrainState, base: Policy, rollouts: Rollouts, config: CriticConfig, *, budget: int = 4096
    ) -> TrainState:
        """The state with its critic trained on the rows' ``return``; the policy stays."""
        return annotating.fit_critic(self, state, base, rollouts, config, budget=budget)

    def play(
        self,
        source: Playable,
        tasks: Sequence[Task],
        tables: Sequence[Sequence[Player]],
        *,
        n: int = 1,
        name: str = "play",
        limits: Limits | None = None,
    ) -> Played:
        """Play every task ``n`` times. ``tables`` say who sits where, seat by seat; plays take them in turn,
        so two tables with the seats exchanged give each side half of the plays. A play that fails is unknown
        and has a status; the others go on."""
        return playing.play(self, source, tasks, tables, n=n, name=name, limits=limits)

    def solve(
        self, policy: Policy, tasks: Sequence[Task], strategy: Strategy, *, asking: Asking, means: Means
    ) -> Solved:
        """Every task answered by a strategy, with all its calls stored. A question at which the strategy
        fails has a status and no answer; the others go on."""
        return solving.solve(self, policy, tasks, strategy, asking, means)

    def bring(
        self,
        policy: Policy,
        strategy: Strategy,
        tasks: str,
        pool: int,
        reward: Reward,
        asking: Asking,
        means: Means,
    ) -> Means:
        """``means`` with what the strategy needs of source ``tasks``: tools, worked examples, and what it
        learns on the first ``pool`` training questions beforehand, in a scope of its own. Only oracles see
        ``reward``."""
        judge = scoring.judge_of(self, reward, tasks)
        source, unsafe = self.source(tasks), reward.unsafe
        with self.scope("beforehand"):
            # what is learnt on training questions may rest on their answers
            learning = replace(means, question=beforehand.asker(source, Brought(), judge, unsafe=unsafe))
            brought = beforehand.bring(self, policy, strategy, tasks, pool, asking, learning)
        seen = judge if strategy.entry.oracle else None
        question = beforehand.asker(source, brought, seen, unsafe=unsafe)
        return replace(means, question=question, brought=brought)

    def weigh(self, strategy: Strategy, solved: Solved, judged: Groups, means: Means) -> dict[str, Any]:
        """Accuracy of a strategy's judged answers beside their cost; the metrics row, see
        ``sharpen.measure.strategies``."""
        return weighing.weigh(self, strategy, solved, judged, means)

    def has_answer(self, reward: Reward, *, tasks: str) -> Callable[[str], bool]:
        """Tells of a completion whether it gives an answer, right or wrong."""
        return scoring.has_answer(reward, self.source(tasks))

    def learn(
        self,
        state: TrainState,
        data: Selection | Rollouts | Sequence[Row],
        config: LearnConfig,
        *,
        asking: Asking | None = None,
        objective: Objective | None = None,
        name: str = "learn",
    ) -> TrainState:
        """A new state, trained on a selection, on rollouts or on rows. Nothing there: the old state, and a
        warning.

        ``asking`` renders the prompts of worked solutions and of attempts put under another question.
        """
        if isinstance(data, Selection):
            given = learning.rows_of(state.policy, data, asking or Asking())
            chosen = learning.Chosen(data.spec, {"accuracy": data.accuracy, "cap": data.m, **data.ledger})
        else:
            about = data.ledger if isinstance(data, Rollouts) else {}
            given, chosen = list(data), learning.Chosen(about=about)
        after = learning.learn(self, state, given, config, objective or SFT(), chosen=chosen, name=name)
        self.updates[after.policy.version] = after.step
        return after

    def measure(
        self, policy: Policy, exam: Exam, *, asking: Asking, reward: Reward, name: str = "held_out"
    ) -> dict[str, Any]:
        """Answer the exam greedily and at temperature 1; the metrics row, see ``sharpen.measure.report``."""
        row = measuring.measure(self, policy, exam, asking=asking, reward=reward, name=name)
        if name == "held_out":
            if self.made:
                self._scores[self.made[-1].key] = float(row["accuracy_greedy"])
            self.forget()
            self.warn(self._watch.held_out(row))
        return row

    def hold(self, policy: Policy, name: str = "") -> Policy:
        """The policy; its checkpoint stays until another is held under this name, whatever ``keep`` says."""
        self._held[name] = policy.version
        return policy

    def forget(self) -> None:
        """Give up the checkpoints that ``keep`` does not keep, after each learn step and each exam. Those
        made before the first round stay: rounds go back to them (a warmed-up base, a frozen opponent)."""
        if self._keep == "all":
            del self.made[:-1]  # an exam's score is the last one's
            return
        stay = kept("last_1" if self._keep == "last" else "best", [s.key for s in self.made], self._scores)
        held = set(self._held.values())
        left = []
        for step in self.made:
            if step.key in stay or (step.result is not None and step.result["version"] in held):
                left.append(step)
            else:
                step.drop_checkpoints([])
        self.made = left

    def step_scorer(
        self, policy: Policy, scorer: StepScorer, questions: Questions, *, asking: Asking, verifier: str
    ) -> Verifier:
        """Train a step scorer on the policy's own completions; its verdicts are correctness plus r_prm."""
        return step_scoring.step_scorer(self, policy, scorer, questions, asking, verifier)

    def states(
        self, policy: Policy, groups: Groups, pairs: Sequence[Pair], *, name: str = "states"
    ) -> PairStates:
        """Hidden states of each pair's two answers, pooled in three ways (``sharpen.verbs.trials.POOLS``)."""
        return steering.states(self, policy, groups, pairs, name=name)

    def steered(
        self, policy: Policy, layer: int, vector: States, strength: float, scope: Scope = "decode"
    ) -> Policy:
        """The policy with a vector ``(H,)`` added at a layer, see ``sharpen.sample.steering``."""
        return policy.steered(Steering(checksum(policy), (layer,), vector[None], strength, scope))

    def trial(self, policy: Policy, what: Trial, *, about: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Accuracy, length and form of samples; the metrics row, see ``sharpen.measure.efficiency``. Every
        trial of a run draws the same random numbers for the same task."""
        return steering.trial(self, policy, what, about=about, name=name)

    def keep_steering(self, policy: Policy, about: Mapping[str, Any], *, name: str = "steering") -> None:
        """Write a steered policy's vector and its card, with numbers ``about`` it, as a checkpoint of the
        run; ``load_policy`` takes its folder."""
        steering.keep(self, policy, about, name=name)

    def compute(self, name: str, fn: Callable[..., Any], *inputs: Any) -> Any:
        """The JSON result of expensive pure work, stored under ``name``."""
        return self.journal.compute(name, fn, *inputs)

    def observe(self, name: str, fn: Callable[[], Any]) -> Any:
        """A JSON reply from outside, written before it is used and replayed on resume."""
        return self.journal.observe(name, fn)

    # what people see ---------------------------------------------------------------------------
    def log(self, name: str, row: Mapping[str, Any]) -> None:
        """A row of ``metrics.jsonl``."""
        step = self.journal.begin("log", {"name": name, **row}, name=name)
        if step.result is None:
            full = {"name": name, "round": self.round, **row}
            step.finish({}, metrics=[full])
            self.progress.metrics(full)

    def warn(self, texts: Sequence[str]) -> None:
        """Say what looks wrong, in plain words; stop where the settings ask for it."""
        for text in texts:
            self.progress.warn(text)
        if texts and self._stop:
            raise Stopped(
                f"stopped in round {self.round}: {texts[0]} (to go on: `sharpen resume "
                f"{self.journal.folder} stop_on_warning=false`)"
            )
