"""Settings that policy gradients have: what is attempted, how often it is learnt from, under which loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sharpen.learn.advantages import RULES, Advantage
from sharpen.learn.config import LearnConfig, OptimizerConfig, decaying
from sharpen.learn.policy_gradient import LossConfig, PolicyGradient
from sharpen.learn.rollouts import Rollouts, fresh, with_advantages, with_penalty
from sharpen.recipes.settings import Count, Positive, Training
from sharpen.verbs.asking import Practice

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy
    from sharpen.verbs.run import Run


class PolicyGradients(Training):
    """Attempt questions, and make what paid better than expected likelier."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of the attempts; the loss has it too."""
    rounds: Positive = 120
    """How often the loop runs."""
    queries: Positive = 16
    """Questions attempted a round."""
    samples: Positive = 8
    """Attempts a question (G)."""
    control: Literal["none", "shuffled"] = "none"
    """shuffled permutes the rewards over all attempts of a round: nothing should be learnt."""
    epochs: Positive = 1
    """Passes over a round's attempts."""
    minibatches: Positive = 1
    """Optimizer updates that a pass is split over."""
    max_lag: Count = 0
    """Most updates between the policy that sampled an attempt and the one that an update starts from; what is
    staler is left out."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    optimizer: OptimizerConfig = decaying(120, lr=2e-3)
    """AdamW and its schedule."""
    measure_every: Positive = 40
    """Rounds between exams; there is one before the first round and one after the last in any case."""
    keep: Literal["all", "last", "best"] = "last"
    """Which rounds' checkpoints stay on disk; best is by held-out greedy accuracy."""

    TINY: ClassVar[Mapping[str, Any]] = {**Training.TINY, "queries": 8, "measure_every": 1}

    @model_validator(mode="after")
    def _fresh_enough(self) -> PolicyGradients:
        lag = self.epochs * self.minibatches - 1
        if lag > self.max_lag:
            raise ValueError(
                f"epochs={self.epochs} of minibatches={self.minibatches} lag up to {lag} updates behind the "
                f"policy that sampled: max_lag={self.max_lag} is less"
            )
        return self

    @property
    def practice(self) -> Practice:
        """A round's attempts."""
        shuffled = self.control == "shuffled"
        return Practice(self.questions, self.samples, self.law, self.reward, shuffled=shuffled)

    @property
    def objective(self) -> PolicyGradient:
        """What is minimised, under the law that sampled."""
        return PolicyGradient(self.loss, self.law, self.max_new_tokens)

    def learning(self, rollouts: Rollouts) -> LearnConfig:
        """How a round learns from its rollouts: equal parts, as many a pass as ``minibatches``."""
        rows = max(1, -(-len(rollouts) // self.minibatches))
        return self.trained(self.epochs * self.minibatches, rows)

    def examined(self, r: int) -> bool:
        """Whether round ``r`` (from 1) ends with an exam."""
        return r % self.measure_every == 0 or r == self.rounds

    def exams(self) -> int:
        """How often the exam is sat, for the plan."""
        return 1 + sum(self.examined(r) for r in range(1, self.rounds + 1))

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return self.rounds * self.epochs * self.minibatches

    def learnt(self) -> int:
        """Rows that the updates learn from, at most."""
        return self.rounds * self.epochs * self.queries * self.samples


class Compared(PolicyGradients):
    """An attempt is compared with others: of its group, or of the round."""

    advantage: Advantage = "group_zscore"
    """What an attempt's reward is compared with: group_zscore (GRPO), group_mean (Dr. GRPO) and leave_one_out
    (RLOO) are over the attempts at one question, batch_mean and batch_zscore over the round's, reward is the
    reward itself."""
    refill: Count = 0
    """At most so many further samplings a round, each of as many new questions as there are dead groups: all
    right or all wrong, so there is nothing to compare (DAPO's dynamic sampling, bounded)."""

    @model_validator(mode="after")
    def _comparable(self) -> Compared:
        by_group, _ = RULES[self.advantage]
        if by_group and self.samples < 2:
            raise ValueError(f"advantage={self.advantage} compares a question's attempts: samples=1 is one")
        if self.loss.penalised and self.advantage.endswith("zscore"):
            raise ValueError(
                f"advantage={self.advantage} blows a penalty up to size 1 where rewards are equal: "
                "take loss.kl_in=loss, or an advantage that is not divided"
            )
        if self.refill and not by_group:
            raise ValueError(f"refill is for group advantages; advantage={self.advantage} has no dead groups")
        return self

    @property
    def practice(self) -> Practice:
        """A round's attempts."""
        shuffled = self.control == "shuffled"
        return Practice(self.questions, self.samples, self.law, self.reward, self.refill, shuffled)

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose; the refill's at most."""
        refill = {"refill": self.rounds * self.refill * self.queries * self.samples} if self.refill else {}
        return {**super().sampled(), **refill}


def compared(run: Run, rollouts: Rollouts, base: Policy, config: Compared, now: int) -> Rollouts:
    """Rollouts with advantages, and with the base's log-probabilities where the loss asks for them.

    A penalty of the reward comes before the advantages; a term of the loss is scored on what they leave.
    ``now`` is how many updates the policy has seen that learns.
    """
    if config.loss.penalised:
        rollouts = run.annotate(base, rollouts, law=config.law)
        rollouts = with_penalty(rollouts, config.loss.kl_coef, config.loss.kl_estimator)
    # with a penalty, a group of equal rewards still tells how far its attempts strayed
    rollouts = with_advantages(rollouts, config.advantage, keep_dead=config.loss.penalised)
    rollouts = fresh(rollouts, now=now, updates=config.updates() // config.rounds, max_lag=config.max_lag)
    return run.annotate(base, rollouts, law=config.law) if config.loss.regularised else rollouts


def improve(run: Run, config: Compared) -> None:
    """The loop of the recipes that compare an attempt with others; they differ in their settings alone."""
    base = run.policy(config.model)
    state = run.learner(base, config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for r in run.rounds(config.rounds):
        rollouts = run.practise(state.policy, config.practice, asking=config.asking)
        rollouts = compared(run, rollouts, base, config, state.step)
        state = run.learn(state, rollouts, config.learning(rollouts), objective=config.objective)
        if config.examined(r):
            run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
