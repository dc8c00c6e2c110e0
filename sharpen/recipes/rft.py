"""RFT (arXiv 2308.01825): one pass. Sample many solutions, keep right ones that reason differently, retrain.

Samples come from a model fine-tuned on the original solutions; of the right ones, one is kept for each
distinct ordered list of equations; the *base* model is then trained on originals and kept ones together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.recipes.settings import SelfTraining
from sharpen.select.above import above
from sharpen.select.controls import controlled, gold_only
from sharpen.select.selection import Selection, joined
from sharpen.tasks.family import same_equations
from sharpen.verbs.asking import Questions

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of RFT."""

    rounds: Annotated[int, Field(gt=0, le=1)] = 1
    """RFT is a single pass."""
    pool: Annotated[int, Field(gt=0)] = 4096
    """Training questions; all are attempted."""
    samples: Annotated[int, Field(gt=0)] = 8
    """Attempts a question (the paper: 100)."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature of the attempts."""
    gold: Annotated[int, Field(gt=0)] = 512
    """Questions of the pool whose worked solutions are the original data."""
    sft_steps: Annotated[int, Field(gt=0)] = 40
    """Updates on the original data that make the model which samples."""
    steps: Annotated[int, Field(gt=0)] = 120
    """Updates of the base on original and kept data."""
    optimizer: OptimizerConfig = decaying(120)
    """AdamW and its schedule, new for each of the two trainings."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **{k: v for k, v in SelfTraining.TINY.items() if k != "rounds"},
        "pool": 16,
        "gold": 8,
        "sft_steps": 2,
    }

    @property
    def questions(self) -> Questions:
        """The whole pool."""
        return Questions(self.tasks, self.pool, self.pool)

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan."""
        return {"training": self.pool * self.samples}

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return self.sft_steps + self.steps


def rft(run: Run, config: Settings) -> None:
    """Run RFT."""

    def select(groups: Groups) -> Selection:
        return above(groups, 0.0, unique=same_equations)

    base = run.policy(config.model)
    run.measure(base, config.exam, asking=config.asking, reward=config.reward)
    original = gold_only(run.questions(config.questions)[: config.gold], config.gold, run.stream("gold"))
    sft = run.learn(
        run.learner(base, config.optimizer),
        original,
        config.learning(config.sft_steps),
        asking=config.asking,
        name="sft",
    )
    for _ in run.rounds(config.rounds):
        groups = run.sample(
            sft.policy, config.questions, n=config.samples, law=config.law, asking=config.asking
        )
        groups = run.score(groups, config.reward, tasks=config.tasks)
        chosen = joined(original, controlled(groups, select, config.control, run.stream("control")))
        state = run.learn(
            run.learner(base, config.optimizer), chosen, config.learning(), asking=config.asking
        )
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
