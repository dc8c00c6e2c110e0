"""Iterative RFT (as compared in arXiv 2412.17256): sample the whole question set, keep what is right, go on.

Weights carry over; the optimizer and its schedule start anew each round. A round is long: it attempts every
question of the pool and trains for one or more passes over what it kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.recipes.settings import SelfTraining
from sharpen.select.above import above
from sharpen.select.controls import controlled
from sharpen.select.selection import Selection
from sharpen.verbs.asking import Questions

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of Iterative RFT."""

    rounds: Annotated[int, Field(gt=0)] = 2
    """How often the loop runs."""
    steps: Annotated[int, Field(gt=0)] = 80
    """Optimizer updates a round."""
    optimizer: OptimizerConfig = decaying(80)
    """AdamW and its schedule, new in every round."""
    pool: Annotated[int, Field(gt=0)] = 8192
    """Training questions; all of them are attempted in every round."""
    per_query: Annotated[int, Field(ge=0)] = 4
    """At most this many attempts a question; 0: all."""

    TINY: ClassVar[Mapping[str, Any]] = {**SelfTraining.TINY, "pool": 16}

    @property
    def questions(self) -> Questions:
        """The whole pool, every round."""
        return Questions(self.tasks, self.pool, self.pool)

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan."""
        return {"training": self.rounds * self.pool * self.samples}


def iterative_rft(run: Run, config: Settings) -> None:
    """Run Iterative RFT."""

    def select(groups: Groups) -> Selection:
        return above(groups, 0.0, per_query=config.per_query or None)

    state = run.learner(run.policy(config.model), config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        groups = run.sample(
            state.policy, config.questions, n=config.samples, law=config.law, asking=config.asking
        )
        groups = run.score(groups, config.reward, tasks=config.tasks)
        chosen = controlled(groups, select, config.control, run.stream("control"))
        state = run.learn(state.fresh_optimizer(), chosen, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
