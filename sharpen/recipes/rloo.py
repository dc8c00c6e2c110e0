"""RLOO (arXiv 2402.14740): REINFORCE whose baseline is the mean reward of the other attempts at the question.

The divergence from the base model is taken off the reward; no clipping, one update a round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.learn.advantages import Advantage
from sharpen.learn.policy_gradient import LossConfig
from sharpen.recipes.policy_gradients import Compared, improve

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


class Settings(Compared):
    """Settings of RLOO."""

    advantage: Advantage = "leave_one_out"
    """What an attempt's reward is compared with, see grpo."""
    loss: LossConfig = LossConfig(
        surrogate="reinforce", normaliser="constant", kl_in="reward", kl_estimator="k1", kl_coef=0.03
    )
    """What is minimised."""


def rloo(run: Run, config: Settings) -> None:
    """Run RLOO."""
    improve(run, config)
