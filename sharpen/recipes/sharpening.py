"""Sharpening: a model learns to give the answers that it finds likeliest itself (arXiv 2412.01951).

No label is used. The self-reward is how likely the frozen base finds an answer; best-of-N by it is put into
the weights by supervised learning, by regression on differences of the reward, or by that with exploration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.recipes.settings import Count, Positive, Training
from sharpen.sample.episode import Episode, Finish
from sharpen.sample.law import SamplingLaw
from sharpen.score.answers import extract_answer
from sharpen.score.confidence import spoken
from sharpen.score.group import Group, Groups
from sharpen.score.modes import Device
from sharpen.score.self_reward import SelfReward, loglik, rewards_of, self_rewarded
from sharpen.select.controls import random_of_n
from sharpen.select.selection import Selection
from sharpen.select.sharpest import best_of, stops_at
from sharpen.strategies.question import Question
from sharpen.tasks.answer import answer_of
from sharpen.tasks.task import Task, hidden
from sharpen.verbs.asking import Questions
from sharpen.verbs.warmup import Warmup, warm, written

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.sample.policy import Policy
    from sharpen.verbs.run import Made, Run
    from sharpen.verbs.sharpness import Base, Whetstone

Share = Annotated[float, Field(gt=0, lt=1)]
Read = Callable[[str], str | None]


class Settings(Training):
    """Settings of sharpening."""

    algorithm: Literal["sft", "adaptive", "offline", "online"] = "sft"
    """sft learns the best of N; adaptive draws until that is likely found; offline regresses on differences
    of the reward between two samples of the base; online does so between one of the policy and one of the
    base, round by round, with a bonus for what the base does not say (XPO)."""
    by: SelfReward = "loglik"
    """The self-reward: loglik, that per token (lennorm), or how many samples agree (majority)."""
    tasks: str = "mix:chain:level=1,min_ops=3,max_ops=3,operations=+|chain:level=1,min_ops=5,max_ops=9"
    """Where questions come from: a family with its parameters, reasoning_gym:NAME, or a file (jsonl:PATH)."""
    template: Literal["auto", "chat", "plain"] = "chat"
    """How prompts are rendered: chat goes through the tokenizer's template, in which nano thinks."""
    prefill: str = "<think>\n"
    """Text that every answer starts with."""
    closing: Annotated[str, Field(min_length=1)] = "\n</think>"
    """How warm-up texts close their thinking."""
    verifier: str = "thought:source"
    """Who judges what stands behind the thinking, for measurement alone: thought:NAME, NAME being any
    verifier."""
    warmup: Warmup = Warmup(think=0.4)
    """What gives a model of this size likelier and less likely ways to answer; steps=0 where it has them."""
    rounds: Positive = 1
    """Rounds of algorithm=online; the others have one: labels come from the base, which stays."""
    pool: Positive = 1024
    """Distinct training questions, without their answers."""
    queries: Positive = 1024
    """Questions attempted a round."""
    samples: Positive = 32
    """Attempts of the base at each (N); algorithm=adaptive: at most; 1 is the control without sharpening."""
    control: Literal["none", "random"] = "none"
    """random learns attempts of like lengths, blind to the reward, in the place of the best."""
    delta: Share = 0.2
    """A policy is sharp on a question where it gives the base's likeliest answer with probability 1 - delta;
    algorithm=adaptive draws until log(2 / delta) such answers would have come."""
    preference: PreferenceConfig = PreferenceConfig(kind="regression", beta=0.5)
    """The regression; its optimism is XPO's alpha."""
    steps: Positive = 600
    """Optimizer updates a round."""
    batch_rows: Positive = 64
    """Attempts per update."""
    max_new_tokens: Positive = 128
    """Longest attempt, in tokens."""
    optimizer: OptimizerConfig = decaying(600)
    """AdamW and its schedule."""
    validation: Positive = 100
    """Questions, of the dev split, on which algorithm=online chooses among its policies."""
    held_out: Positive = 500
    """Held-out questions, never trained on; answered greedily."""
    held_out_sampled: Positive = 128
    """So many of them, the first ones, are also answered at temperature 1."""
    sharp_questions: Count = 100
    """So many held-out questions, and so many training ones, show before and after how sharp the policy is;
    0: none."""
    sharp_samples: Positive = 32
    """Attempts at each of them."""
    cool: tuple[Annotated[float, Field(gt=0)], ...] = (0.5,)
    """Temperatures at which the base answers them as well."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **Training.TINY, "rounds": 1, "steps": 3, "batch_rows": 8, "sharp_questions": 3, "sharp_samples": 4,
        "validation": 4, "max_new_tokens": 28, "cool": (0.5,),
        "warmup": {"steps": 3, "questions": 16, "examples": 48, "batch_rows": 16, "think": 0.4,
                   "lr": 0.0001},
    }  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.algorithm != "online" and self.rounds != 1:
            raise ValueError(
                f"algorithm={self.algorithm} has one round: its labels come from the base, which stays"
            )
        if self.algorithm in ("offline", "online"):
            if self.by == "majority":
                raise ValueError(f"algorithm={self.algorithm} compares two answers: by=majority is for many")
            if self.preference.kind != "regression":
                raise ValueError("sharpening regresses on rewards: preference.kind=regression")
            if self.preference.sft_coef:
                raise ValueError("preference.sft_coef: of two answers of the regression none is preferred")
            if self.control == "random":
                raise ValueError(f"control=random is for selections; algorithm={self.algorithm} has none")
        if self.algorithm == "offline" and self.samples % 2:
            raise ValueError(f"algorithm=offline compares answers two by two: samples={self.samples} is odd")
        if self.preference.optimism and self.algorithm != "online":
            raise ValueError(f"preference.optimism is for algorithm=online, not {self.algorithm}")
        if self.temperature != 1 or self.top_k:
            raise ValueError("self-rewards are of samples at temperature 1, nothing cut")
        return self

    @property
    def device(self) -> Device:
        """How warm-up texts think."""
        return Device(self.prefill, self.closing)

    @property
    def questions(self) -> Questions:
        """The training questions."""
        return Questions(self.tasks, self.pool, self.queries)

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, at most; for the plan."""
        each = 2 * self.samples if self.algorithm == "online" else self.samples
        return {"training": self.rounds * self.queries * each}

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return self.rounds * self.steps + self.warmup.steps

    def learnt(self) -> int:
        """Rows that the updates learn from, for the plan."""
        return self.rounds * self.steps * self.batch_rows + self.warmup.steps * self.warmup.batch_rows

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        found = super().plan()
        shown = 2 * self.sharp_questions * (2 + (2 + len(self.cool)) * self.sharp_samples)
        shown += self.rounds * self.validation * self.samples * (self.algorithm == "online")
        found["samples_held_out"] += shown
        found["samples"] += shown
        found["tokens"] += shown * self.max_new_tokens
        return found


def sharpening(run: Run, config: Settings) -> None:
    """Run sharpening."""
    state = run.learner(run.policy(config.model))
    state = warm(run, state, config.warmup, config.tasks, config.device, config.asking, config.trained)
    base = state.policy
    run.measure(base, config.exam, asking=config.asking, reward=config.reward)
    stone = Stone(run, base, config)
    state, best, final = run.learner(base, config.optimizer), -math.inf, base
    learning = config.trained(config.steps, config.batch_rows)
    rows: list[Row] = []
    for _ in run.rounds(config.rounds):
        tasks = hidden(run.questions(config.questions))
        if config.algorithm in ("sft", "adaptive"):
            chosen = selected(run, base, tasks, config, stone.read)
            state = run.learn(state, chosen, learning, asking=config.asking)
        else:
            rows += pairs(run, base, state.policy, tasks, config)
            state = run.learn(state, rows, learning, objective=Preference(config.preference))
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
        value = achieved(run, base, state.policy, config) if config.algorithm == "online" else 0.0
        if value > best:
            best, final = value, run.hold(state.policy)
    stone.tell(final)


# labels ----------------------------------------------------------------------------------------------
def selected(run: Run, base: Policy, tasks: list[Task], config: Settings, read: Read) -> Selection:
    """The best of each question's attempts by self-reward, or a control in its place."""
    if config.algorithm == "adaptive":
        groups, first = adaptive(run, base, tasks, config)
    else:
        groups = run.sample(base, tasks, n=config.samples, law=config.law, asking=config.asking)
        first = None
    groups = self_rewarded(groups, config.by, read)
    chosen = best_of(groups, first=first)
    if config.control == "random":
        chosen = random_of_n(chosen, groups, run.stream("random"), match="length")
    tell_labels(run, groups, chosen, config)
    return chosen


def adaptive(run: Run, base: Policy, tasks: list[Task], config: Settings) -> tuple[Groups, list[int]]:
    """Attempts at each question until the rule stops, and after how many it did. They are drawn in lots that
    double what there is; what a lot has beyond the end is not looked at."""
    mu = math.log(2 / config.delta)
    held: dict[str, list[Any]] = {task.id: [] for task in tasks}
    stops: dict[str, int] = {}
    open_, drawn, lot = tasks, 0, min(4, config.samples)
    while open_ and lot:
        groups = run.sample(
            base, open_, n=lot, law=config.law, asking=config.asking, name=f"from-{drawn + 1:04d}"
        )
        for group in groups:
            held[group.task.id] += group.episodes
            told = [-math.inf if e.finish is Finish.LENGTH else loglik(e) for e in held[group.task.id]]
            if (k := stops_at(told, mu)) is not None:
                stops[group.task.id] = k
        drawn += lot
        open_ = [task for task in open_ if task.id not in stops]
        lot = min(drawn, config.samples - drawn)
    first = [stops.get(task.id, len(held[task.id])) for task in tasks]
    run.log("adaptive", {"stopped": len(stops), "looked_at": float(np.mean(first)), "cap": config.samples})
    return Groups(Group(task, tuple(held[task.id])) for task in tasks), first


def tell_labels(run: Run, groups: Groups, chosen: Selection, config: Settings) -> None:
    """The row ``labels``: how right what is learnt is. The method itself never learns it."""
    from sharpen.verbs.scoring import judge_of

    gold = {task.id: task for task in run.questions(config.questions)}
    judge = judge_of(run, config.reward, config.tasks)
    right = [judge(gold[item.task.id], item.text).correct for item in chosen]
    run.log("labels", {
        "samples": groups.n_samples, "labels": len(chosen),
        "accuracy": float(np.mean(right)) if right else None,
        "reward": float(np.mean([item.score for item in chosen])) if right else None,
    })  # fmt: skip


# pairs -----------------------------------------------------------------------------------------------
def pairs(run: Run, base: Policy, policy: Policy, tasks: list[Task], config: Settings) -> list[Row]:
    """Rows of pairs with the base's log-probabilities and the self-reward that they give. ``offline``: two
    answers of the base; ``online``: one of the policy and one of the base."""
    from sharpen.learn.rows import row_of

    def answers(of: Policy, name: str) -> list[Episode]:
        groups = run.sample(of, tasks, n=config.samples, law=config.law, asking=config.asking, name=name)
        return [episode for group in groups for episode in group.episodes]

    theirs, online = answers(base, "base"), config.algorithm == "online"
    mine = answers(policy, "policy") if online else theirs[::2]
    theirs = theirs if online else theirs[1::2]
    rows = []
    for i, two in enumerate(zip(mine, theirs, strict=True)):
        for episode, explored in zip(two, (0.0, float(online)), strict=True):
            rows.append(replace(row_of(episode), unit=f"{run.round}/{i}", scalars={"explored": explored}))
    rows = run.annotate(base, rows, law=SamplingLaw())
    return [replace(row, scalars={**row.scalars, "reward": rewarded(row, config.by)}) for row in rows]


def rewarded(row: Row, by: SelfReward) -> float:
    """The self-reward of an answer whose ``ref_logprob`` are the base's."""
    told = float(row.arrays["ref_logprob"].sum(dtype=np.float64))
    return float(rewards_of(by, [told], [row.weight], [None])[0])


def achieved(run: Run, base: Policy, policy: Policy, config: Settings) -> float:
    """``J = E[self-reward] - beta KL(pi, base)`` of a policy on validation questions: row ``validation``."""
    from sharpen.learn.rows import row_of

    tasks = hidden(run.source(config.tasks).take("dev", config.validation))
    with run.scope("validation"):
        groups = run.sample(policy, tasks, n=config.samples, law=config.law, asking=config.asking)
        rows = [row_of(episode) for group in groups for episode in group.episodes]
        rows = run.annotate(base, rows, law=SamplingLaw())
    reward = float(np.mean([rewarded(row, config.by) for row in rows]))
    own = [loglik(episode) for group in groups for episode in group.episodes]
    away = float(np.mean(own)) - float(np.mean([rewarded(row, "loglik") for row in rows]))
    value = reward - config.preference.beta * away
    run.log("validation", {"reward": reward, "kl": away, "objective": value})
    return value


# what comes of it ------------------------------------------------------------------------------------
class Stone:
    """How sharp the base is when it is made, and a policy when that is told, on held-out questions and on
    the questions that were trained on."""

    def __init__(self, run: Run, base: Policy, config: Settings) -> None:
        answered = run.has_answer(config.reward, tasks=config.tasks)

        def read(text: str) -> str | None:
            said = spoken(text)
            return Question.name(extract_answer(said) or answer_of(said)) if answered(text) else None

        self.read: Read = read
        self._run, self._config = run, config
        self._bases: dict[str, Base] = {}
        from sharpen.verbs.sharpness import tell_base

        for on, what in self._stones().items():
            about = {"policy_is": "base", "on": on}
            self._bases[on] = tell_base(run, base, what, about=about, name=f"base-{on}")

    def tell(self, policy: Policy) -> None:
        """The rows ``sharpness`` of a policy."""
        from sharpen.verbs.sharpness import tell

        for on, what in self._stones().items():
            about = {"policy_is": "sharpened", "on": on}
            tell(self._run, self._bases[on], policy, what, about=about, name=f"sharpened-{on}")

    def _stones(self) -> dict[str, Whetstone]:
        from sharpen.verbs.sharpness import Whetstone
        from sharpen.verbs.trials import Trial

        c = self._config
        if not c.sharp_questions:
            return {}
        source = self._run.source(c.tasks)
        asked = {
            "held_out": source.take(c.held_out_split, c.sharp_questions),
            "trained": source.take("train", min(c.pool, c.sharp_questions)),
        }
        return {
            on: Whetstone(
                Trial(tasks, c.tasks, c.sharp_samples, c.law, c.asking, c.reward), c.delta, self.read, c.cool
            )
            for on, tasks in asked.items()
        }


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.recipes.execute import check as usual

    made = usual(config)
    if config.warmup.steps:
        tasks = made.sources[config.tasks].take("base", config.warmup.questions)
        written(tasks[0], config.device, thinks=True)
    return made
