"""ReST-EM (arXiv 2312.06585): sample from the latest policy, retrain the base on what was right.

What the tables of arXiv 2412.17256 call STaR/ReST-EM: 32 samples at temperature 0.7 with top-k 40, at most 10
right ones a question, training from the base every time, no rationalization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.recipes.settings import SelfTraining
from sharpen.select.above import above
from sharpen.select.controls import controlled
from sharpen.select.selection import Selection

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of ReST-EM."""

    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature of the attempts."""
    top_k: Annotated[int, Field(ge=0)] = 40
    """Keep the k likeliest tokens; 0 is off."""
    per_query: Annotated[int, Field(ge=0)] = 10
    """At most this many attempts a question; 0: all."""
    queries: Annotated[int, Field(gt=0)] = 4096
    """Questions attempted a round."""
    samples: Annotated[int, Field(gt=0)] = 4
    """Attempts a question (the paper: 32)."""
    steps: Annotated[int, Field(gt=0)] = 120
    """Optimizer updates a round, from the base each time."""
    optimizer: OptimizerConfig = decaying(120)
    """AdamW and its schedule, new in every round."""


def rest_em(run: Run, config: Settings) -> None:
    """Run ReST-EM."""

    def select(groups: Groups) -> Selection:
        return above(groups, 0.0, per_query=config.per_query or None)

    base = policy = run.policy(config.model)
    run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        groups = run.sample(policy, config.questions, n=config.samples, law=config.law, asking=config.asking)
        groups = run.score(groups, config.reward, tasks=config.tasks)
        chosen = controlled(groups, select, config.control, run.stream("control"))
        start = run.learner(base, config.optimizer)
        state = run.learn(start, chosen, config.learning(), asking=config.asking)
        policy = state.policy if state.step else policy  # a round that selects nothing changes nothing
        run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
