"""Self-rewarded efficiency RL (arXiv 2506.15647, its RL half): be right, and short.

A right answer is paid more the shorter it is among the policy's own right answers to the question, so the
yardstick moves as the policy gets shorter. The paper's formula could not be read: the reward is ours, see
docs/methods/self_efficiency.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sharpen.learn.advantages import Advantage
from sharpen.learn.config import OptimizerConfig
from sharpen.learn.policy_gradient import LossConfig
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.learn.rollouts import rollouts
from sharpen.measure.efficiency import inherent_efficiency
from sharpen.recipes.policy_gradients import Compared, compared
from sharpen.recipes.settings import Count, Positive
from sharpen.sample.law import SamplingLaw
from sharpen.score.length import Brevity, Form, shape, whole, with_brevity
from sharpen.select.controls import shuffle_rewards

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.sample.policy import Policy
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run

Share = Annotated[float, Field(ge=0, le=1)]

MARGIN = 0.02
"""How far accuracy may fall below that of a run that rewards correctness alone."""


class Settings(Compared):
    """Settings of self-rewarded efficiency RL."""

    tasks: str = "chain:level=1"
    """Where questions come from: a family with its parameters, reasoning_gym:NAME, or a file (jsonl:PATH)."""
    template: Literal["auto", "chat", "plain"] = "chat"
    """How prompts are rendered: chat goes through the tokenizer's template, in which nano thinks; plain
    continues text."""
    prefill: str = "<think>\n"
    """Text that every answer starts with."""
    verifier: str = "thought:source"
    """Who judges: thought:NAME is any verifier NAME, behind the thinking."""
    form: Form = "linear"
    """How brevity pays: linear, ratio, zscore; as controls, none (right or wrong alone) and penalty (a fixed
    price a token)."""
    weight: Share = 0.5
    """How much it pays, at most (a)."""
    gate: bool = True
    """Times the share of right answers to the question: brevity counts where it is solved."""
    per_token: Annotated[float, Field(ge=0)] = 0.001
    """form=penalty: the price of a token (mu)."""
    learn: Literal["rewards", "shortest", "pairs"] = "rewards"
    """As baselines, shortest is supervised learning on the shortest right answer to each question, and pairs
    is DPO, the shortest right answer preferred to the longest right one."""
    preference: PreferenceConfig = PreferenceConfig(kind="dpo", beta=0.1)
    """learn=pairs: the loss; it refers to the base."""
    advantage: Advantage = "group_mean"
    """What an attempt's reward is compared with, see grpo. Under group_zscore the weight of brevity cancels
    where all answers are right."""
    samples: Annotated[int, Field(ge=2)] = 8
    """Attempts a question (G)."""
    max_new_tokens: Positive = 128
    """Longest attempt, in tokens."""
    loss: LossConfig = LossConfig()
    """What is minimised: clipped ratios, over all tokens of an update."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-4, betas=(0.9, 0.95))
    """AdamW and its schedule."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""
    held_out: Positive = 500
    """Held-out questions, never trained on; answered greedily."""
    tried: Count = 200
    """Held-out questions whose answers are weighed, before the first round and after the last; 0: none."""
    tried_samples: Positive = 8
    """Answers to each of them."""
    test_temperature: Annotated[float, Field(gt=0)] = 0.6
    """Sampling temperature of these."""
    test_top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Nucleus of these."""
    floor: Share = 0.0
    """Held-out accuracy at temperature 1 of a run with form=none: two points below it this run stops."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **Compared.TINY, "tried": 4, "tried_samples": 2, "max_new_tokens": 32,
    }  # fmt: skip

    @field_validator("refill")
    @classmethod
    def _none(cls, refill: int) -> int:
        if refill:
            raise ValueError("groups that are all right still differ in length: refill is for others")
        return refill

    @property
    def brevity(self) -> Brevity:
        """The reward."""
        return Brevity(self.form, self.weight, self.gate, self.per_token)

    @property
    def test_law(self) -> SamplingLaw:
        """How the weighed questions are answered."""
        return SamplingLaw(temperature=self.test_temperature, top_p=self.test_top_p)

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        found, tried = super().plan(), 2 * self.tried * self.tried_samples
        found["samples_held_out"] += tried
        found["samples"] += tried
        found["tokens"] += tried * self.max_new_tokens
        return found


def self_efficiency_rl(run: Run, config: Settings) -> None:
    """Run self-rewarded efficiency RL."""
    if config.advantage.endswith("zscore"):
        run.warn([f"advantage={config.advantage}: weight cancels where all answers are right"])
    base = run.policy(config.model)
    state = run.learner(base, config.optimizer)
    run.measure(base, config.exam, asking=config.asking, reward=config.reward)
    weigh(run, base, config, "base")
    for r in run.rounds(config.rounds):
        groups = attempted(run, state.policy, config)
        if config.learn == "shortest":
            rows = shortest(groups)
            learning = config.trained(config.epochs, max(1, len(rows)))
            state = run.learn(state, rows, learning)
        elif config.learn == "pairs":
            rows = run.annotate(base, extremes(groups), law=SamplingLaw())
            learning = config.trained(config.epochs, max(2, len(rows)))
            state = run.learn(state, rows, learning, objective=Preference(config.preference))
        else:
            kept = rollouts(with_brevity(groups, config.brevity), run.updates)
            kept = compared(run, kept, base, config, state.step)
            state = run.learn(state, kept, config.learning(kept), objective=config.objective)
        if config.examined(r):
            row = run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
            if row["accuracy_t1"] < config.floor - MARGIN:
                run.warn([f"round {r}: accuracy is more than 2 points below floor={config.floor}: stopped"])
                break
    weigh(run, state.policy, config, "final")


def attempted(run: Run, policy: Policy, config: Settings) -> Groups:
    """A round's judged attempts; the row ``practice`` tells how right and how long they are."""
    groups = run.sample(policy, config.questions, n=config.samples, law=config.law, asking=config.asking)
    groups = run.score(groups, config.reward, tasks=config.tasks)
    room = inherent_efficiency(groups, whole)
    run.log("practice", {**shape(groups.columns)._asdict(), **room._asdict()})
    if config.control == "shuffled":
        groups = shuffle_rewards(groups, run.stream("control", "shuffled"))
    return groups


def shortest(groups: Groups) -> list[Row]:
    """The shortest right attempt at each question, the first of equals, as a row."""
    from sharpen.learn.rows import row_of

    return [row_of(groups[g].episodes[k]) for g, k, _ in ends(groups)]


def extremes(groups: Groups) -> list[Row]:
    """The shortest and the longest right attempt at each question as a pair, where they differ in length."""
    from sharpen.learn.rows import row_of

    rows = []
    for g, *sides in ends(groups):
        lengths = [groups.columns[g].lengths[k] for k in sides]
        for k, preferred in zip(sides, (1.0, 0.0), strict=True) if lengths[0] < lengths[1] else ():
            scalars = {"preferred": preferred, "reward": preferred}
            rows.append(replace(row_of(groups[g].episodes[k]), unit=f"pair-{g}", scalars=scalars))
    return rows


def ends(groups: Groups) -> Iterator[tuple[int, int, int]]:
    """Of each question with a right attempt: its place, the shortest right one and the longest, of equals the
    first."""
    for g, c in enumerate(groups.columns):
        right = whole(c).nonzero()[0].tolist()
        if right:
            yield g, min(right, key=lambda k: int(c.lengths[k])), max(right, key=lambda k: int(c.lengths[k]))


def weigh(run: Run, policy: Policy, config: Settings, name: str) -> None:
    """The row ``efficiency``: accuracy, tokens, form and reflection words on held-out questions."""
    from sharpen.verbs.trials import Trial

    tasks = run.source(config.tasks).take(config.held_out_split, config.tried)
    if not tasks:
        return
    trial = Trial(tasks, config.tasks, config.tried_samples, config.test_law, config.asking, config.reward)
    with run.scope(f"weighed-{name}"), run.scope("held_out"):
        run.trial(policy, trial, about={"policy_is": name}, name=name)
