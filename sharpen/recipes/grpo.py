"""GRPO (arXiv 2402.03300): an attempt's advantage is its reward's z-score among the attempts at its question.

A clipped importance ratio, each attempt's mean over its tokens, and k3 from the base model as a loss term.
Dr. GRPO and DAPO are settings of it, see docs/methods/policy_gradients.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.learn.policy_gradient import LossConfig
from sharpen.recipes.policy_gradients import Compared, improve

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


class Settings(Compared):
    """Settings of GRPO."""

    loss: LossConfig = LossConfig(normaliser="sequences", kl_coef=0.005)
    """What is minimised."""


def grpo(run: Run, config: Settings) -> None:
    """Run GRPO."""
    improve(run, config)
