"""Supervised fine-tuning on worked solutions: the control that says what gold would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sharpen.recipes.settings import SelfTraining
from sharpen.select.controls import gold_only

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of supervised fine-tuning."""

    gold: Annotated[int, Field(ge=0)] = 0
    """Worked solutions a round; 0: one for every question of the round."""

    def sampled(self) -> dict[str, int]:
        """Nothing is attempted."""
        return {"training": 0}


def sft(run: Run, config: Settings) -> None:
    """Train on the round's worked solutions, one optimizer for all rounds; no sampling, no verifier."""
    state = run.learner(run.policy(config.model), config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        tasks = run.questions(config.questions)
        chosen = gold_only(tasks, config.gold or len(tasks), run.stream("gold"))
        state = run.learn(state, chosen, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
