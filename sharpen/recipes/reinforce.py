"""REINFORCE (Williams 1992): the gradient of (reward - baseline) log p; the baseline is the round's mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.learn.advantages import Advantage
from sharpen.learn.policy_gradient import LossConfig
from sharpen.recipes.policy_gradients import Compared, compared

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


class Settings(Compared):
    """Settings of REINFORCE."""

    advantage: Advantage = "batch_mean"
    """What an attempt's reward is compared with, see grpo."""
    loss: LossConfig = LossConfig(surrogate="reinforce", normaliser="constant")
    """What is minimised."""


def reinforce(run: Run, config: Settings) -> None:
    """Run REINFORCE."""
    base = run.policy(config.model)
    state = run.learner(base, config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for r in run.rounds(config.rounds):
        rollouts = run.practise(state.policy, config.practice, asking=config.asking)
        rollouts = compared(run, rollouts, base, config, state.step)
        state = run.learn(state, rollouts, config.learning(rollouts), objective=config.objective)
        if config.examined(r):
            run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
