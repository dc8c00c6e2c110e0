"""REINFORCE (Williams 1992): the gradient of (reward - baseline) log p; the baseline is the round's mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.learn.advantages import Advantage
from sharpen.learn.policy_gradient import LossConfig
from sharpen.recipes.policy_gradients import Compared, improve

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
    improve(run, config)
