"""AutoThink: a model learns when to think (arXiv 2505.10832).

A prompt device leaves it to the model whether it thinks. Three stages of GRPO follow: one that keeps both
modes alive by a balance over the whole batch, one that lets each question find its mode, one that prefers the
shorter of right answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sharpen.learn.config import OptimizerConfig
from sharpen.learn.policy_gradient import LossConfig
from sharpen.learn.rollouts import Rollouts, rollouts
from sharpen.measure.modes import e_f1, levels_by_accuracy, mode_row, one_sided, tallies
from sharpen.recipes.policy_gradients import Compared, compared
from sharpen.recipes.settings import Count, Positive
from sharpen.sample.law import SamplingLaw
from sharpen.score.length import Brevity, brief_rewards
from sharpen.score.modes import Device, ModeReward, Rewarded, batch, mode_rewards, with_rewards
from sharpen.select.controls import shuffle_rewards
from sharpen.verbs.warmup import Warmup, warm, written

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy
    from sharpen.score.modes import Batch
    from sharpen.tasks.task import Task
    from sharpen.verbs.modes import ModeTrial, Tried
    from sharpen.verbs.run import Made, Run

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Stage(BaseModel):
    """A stage's own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    gamma: Share = 1.0
    """Share of a round's attempts from which on a mode pays less; 1 is off."""
    slope: Weight = 2.0
    """How much less: slope times what is above gamma, at most 1 (the paper's lambda)."""
    alpha: Weight = 0.0
    """How much a right answer gains by being short among the right ones; 0 is off."""
    beta: Weight = 0.0
    """How much a wrong answer gains by being long among the wrong ones; 0 is off."""
    max_new_tokens: Count = 0
    """Longest attempt of the stage, in tokens; 0: the run's."""
    lr: Weight = 0.0
    """Learning rate; 0: the optimizer's."""


class Settings(Compared):
    """Settings of AutoThink."""

    tasks: str = "mix:chain:level=1,min_ops=3,max_ops=3,operations=+|chain:level=1,min_ops=5,max_ops=9"
    """Where questions come from: a family with its parameters, reasoning_gym:NAME, or a file (jsonl:PATH)."""
    template: Literal["auto", "chat", "plain"] = "chat"
    """How prompts are rendered: chat goes through the tokenizer's template, in which nano thinks."""
    prefill: str = "<think>\n"
    """The prompt device, in training and evaluation alike: the start of every reply. For language models that
    think, the paper's is "<think>\\n...\\n"."""
    closing: Annotated[str, Field(min_length=1)] = "\n</think>"
    """What a reply begins with that does not think, to the letter; the paper's is "</think>\\n\\n"."""
    verifier: str = "thought:source"
    """Who judges what stands behind the thinking: thought:NAME, NAME being any verifier."""
    rule: Literal["mode", "accuracy", "penalty"] = "mode"
    """mode is the paper's reward; as controls, accuracy pays 1 for a right answer, penalty that minus
    per_token for each token."""
    per_token: Weight = 0.002
    """rule=penalty: what a token costs."""
    strict_format: bool = False
    """Without thinking and without an answer pays -1 like a wrong one, and not 0 as in the authors' code."""
    rounds: Count = 100
    """Rounds of all stages; 0: the base is measured, and nothing is learnt after the warm-up."""
    first: Count = 40
    """Rounds of stage 1, the first ones."""
    last: Count = 20
    """Rounds of stage 3, the last ones; stage 2 has those between."""
    stage_1: Stage = Stage(gamma=0.5)
    """Both modes stay alive."""
    stage_2: Stage = Stage()
    """Each question finds its mode."""
    stage_3: Stage = Stage(alpha=0.05, beta=0.05)
    """Of right answers the shorter."""
    warmup: Warmup = Warmup()
    """What gives a model of this size both modes at random."""
    pool: Positive = 2048
    """Distinct training questions; rounds walk through them, newly shuffled each time through."""
    queries: Positive = 32
    """Questions attempted a round."""
    max_new_tokens: Positive = 128
    """Longest attempt, in tokens."""
    loss: LossConfig = LossConfig(entropy_coef=0.001)
    """What is minimised: clipped ratios, over all tokens of an update."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4, betas=(0.9, 0.95))
    """AdamW, begun anew in each stage."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""
    held_out: Positive = 500
    """Held-out questions, never trained on; answered greedily."""
    held_out_sampled: Positive = 128
    """So many of them, the first ones, are also answered at temperature 1."""
    mode_questions: Count = 200
    """Held-out questions that are answered in every mode, before stage 1 and after each stage; 0: none."""
    mode_samples: Positive = 4
    """Attempts at each, in each mode."""
    test_temperature: Annotated[float, Field(gt=0)] = 0.6
    """Sampling temperature of these."""
    test_top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Nucleus of these."""
    difficulty: str = "ops"
    """Which field of a question's data tells how hard it is: a number, or a list that counts; without one:
    eighths of how often the base is wrong when it thinks."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **Compared.TINY, "rounds": 3, "first": 1, "last": 1, "mode_questions": 4, "mode_samples": 2,
        "max_new_tokens": 28, "warmup": {"steps": 3, "questions": 16, "examples": 48, "batch_rows": 16},
    }  # fmt: skip

    @field_validator("refill")
    @classmethod
    def _whole_batch(cls, refill: int) -> int:
        if refill:
            raise ValueError("the balance is over a round's whole batch: refill is for other recipes")
        return refill

    @model_validator(mode="after")
    def _stages_fit(self) -> Settings:
        if self.first + self.last > self.rounds:
            raise ValueError(
                f"first={self.first} and last={self.last} rounds do not fit into rounds={self.rounds}"
            )
        return self

    @property
    def device(self) -> Device:
        """The prompt device."""
        return Device(self.prefill, self.closing)

    @property
    def test_law(self) -> SamplingLaw:
        """How the questions of the modes are answered."""
        return SamplingLaw(temperature=self.test_temperature, top_p=self.test_top_p)

    @property
    def starts(self) -> dict[int, int]:
        """Stages by their first round; a stage without rounds has none."""
        ends = (0, self.first, self.rounds - self.last, self.rounds)
        return {a + 1: k for k, (a, b) in enumerate(pairwise(ends), 1) if a < b}

    def stage(self, k: int) -> Stage:
        """Stage 1, 2 or 3."""
        return (self.stage_1, self.stage_2, self.stage_3)[k - 1]

    def ends(self, r: int) -> bool:
        """Whether round ``r`` (from 1) is the last of its stage."""
        return r + 1 in self.starts or r == self.rounds

    def examined(self, r: int) -> bool:
        """Whether round ``r`` (from 1) ends with an exam; a stage does."""
        return super().examined(r) or self.ends(r)

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        found = super().plan()
        # to be made to think takes two requests, the first of one token
        tried = (1 + len(self.starts)) * self.mode_questions * self.mode_samples
        found["samples_held_out"] += 4 * tried
        found["samples"] += 4 * tried
        found["tokens"] += tried * (3 * self.max_new_tokens + 1)
        found["optimizer_steps"] += self.warmup.steps
        found["rows_learnt"] += self.warmup.steps * self.warmup.batch_rows
        return found


def autothink(run: Run, config: Settings) -> None:
    """Run AutoThink."""
    state = run.learner(run.policy(config.model))
    state = warm(run, state, config.warmup, config.tasks, config.device, config.asking, config.trained)
    base, rates = state.policy, list[float]()
    run.measure(base, config.exam, asking=config.asking, reward=config.reward)
    frontier = Frontier(run, base, config)
    k = 0
    for r in run.rounds(config.rounds):
        if r in config.starts:
            k = config.starts[r]
            state = state.fresh_optimizer(optimizer_of(config, k))
            run.log("stage", {"stage": k, **config.stage(k).model_dump(), "optimizer": "reset"})
        rows = practised(run, state.policy, config, k, rates)
        rows = compared(run, rows, base, config, state.step)
        state = run.learn(state, rows, config.learning(rows), objective=config.objective)
        if config.examined(r):
            run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
        if config.ends(r):
            frontier.tell(state.policy, k)


def practised(run: Run, policy: Policy, config: Settings, k: int, rates: list[float]) -> Rollouts:
    """A round's attempts under the rewards of stage ``k``; ``rates`` gets their think rate."""
    asking = replace(config.asking, max_new_tokens=config.stage(k).max_new_tokens or config.max_new_tokens)
    groups = run.sample(policy, config.questions, n=config.samples, law=config.law, asking=asking)
    groups = run.score(groups, config.reward, tasks=config.tasks)
    if config.control == "shuffled":
        groups = shuffle_rewards(groups, run.stream("control", "shuffled"))
    b = batch(groups, config.device)
    found = rewarded(b, config, k)
    row = mode_row(tallies(groups.columns, config.device))
    rates.append(float(b.thinks.mean()))
    lost = one_sided(rates)
    known = found.rewards[b.known]
    run.log("practice", {
        "stage": k, **row, "reward": float(known.mean()) if len(known) else None, "groups": len(groups),
        "off_thinking": found.off_thinking, "off_direct": found.off_direct, "one_sided": lost,
    })  # fmt: skip
    if lost and not one_sided(rates[:-1]):
        run.warn(
            [f"round {run.round}: for 50 rounds nearly all attempts, or none, think: a mode has died out"]
        )
    return rollouts(with_rewards(groups, found.rewards, b), run.updates)


def rewarded(b: Batch, config: Settings, k: int) -> Rewarded:
    """The rewards of a round's attempts in stage ``k``."""
    s = config.stage(k)
    if config.rule == "mode":
        how = ModeReward(s.gamma, s.slope, s.alpha, s.beta, config.strict_format)
        return mode_rewards(b, how)
    how = Brevity("none" if config.rule == "accuracy" else "penalty", per_token=config.per_token)
    return Rewarded(brief_rewards(b.lengths, b.right, how), 0.0, 0.0)


def optimizer_of(config: Settings, k: int) -> OptimizerConfig:
    """The optimizer of stage ``k``."""
    lr = config.stage(k).lr
    return config.optimizer.model_copy(update={"lr": lr}) if lr else config.optimizer


# what comes of it ------------------------------------------------------------------------------------
class Frontier:
    """Accuracy and tokens by mode on held-out questions: of the base when it is made, of a stage's policy
    when that is told."""

    def __init__(self, run: Run, base: Policy, config: Settings) -> None:
        self._run, self._config = run, config
        self._levels: dict[str, float] = {}
        self._base = self.tell(base, 0)

    def tell(self, policy: Policy, k: int) -> Tried | None:
        """The rows ``modes``, ``modes_at`` and ``e_f1`` of a policy after stage ``k`` (0: the base)."""
        from sharpen.verbs.modes import DIRECT, THINKING, tell, tried

        run, config = self._run, self._config
        what = mode_trial(run, config)
        if not what.trial.tasks:
            return None
        with run.scope("modes"), run.scope("held_out"):
            found = tried(run, policy, what)
            self._levels = self._levels or difficulties(what.trial.tasks, config.difficulty, found[THINKING])
            row = tell(run, found, self._levels, about={"stage": k, "round": run.round})
        ends = self._base if k else found
        if ends is not None:
            sides = (mode_row(ends[mode]) for mode in (THINKING, DIRECT))
            thinking, direct = ((side["accuracy"] or 0.0, side["length"] or 0.0) for side in sides)
            score = e_f1(row["accuracy"] or 0.0, row["length"] or 0.0, thinking=thinking, direct=direct)
            run.log("e_f1", {"stage": k, **(score._asdict() if score else {})})
        return found


def mode_trial(run: Run, config: Settings) -> ModeTrial:
    """The held-out questions that are answered in every mode."""
    from sharpen.verbs.modes import ModeTrial
    from sharpen.verbs.trials import Trial

    tasks = run.source(config.tasks).take(config.held_out_split, config.mode_questions)
    trial = Trial(tasks, config.tasks, config.mode_samples, config.test_law, config.asking, config.reward)
    return ModeTrial(trial, config.device)


def difficulties(tasks: Sequence[Task], field: str, thinking: Sequence[Any]) -> dict[str, float]:
    """How hard each question is, by id: what ``field`` of its data says, else how often the base is wrong."""
    if not field or any(field not in t.data for t in tasks):
        return levels_by_accuracy(thinking)
    told = {t.id: t.data[field] for t in tasks}
    return {i: float(v if isinstance(v, int | float) else len(v)) for i, v in told.items()}


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.recipes.execute import check as usual

    made = usual(config)
    if config.warmup.steps:
        tasks = made.sources[config.tasks].take("base", config.warmup.questions)
        written(tasks[0], config.device, thinks=True)
    return made
