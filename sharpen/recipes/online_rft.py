"""Online RFT (arXiv 2402.03300): sample from the latest policy, keep what is right, go on, in short rounds.

Weights, optimizer moments and the schedule's position carry over from round to round. It is REINFORCE with
a reward of 0 or 1, no baseline and no KL term: the gradient of 1[correct] log p(y | x).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sharpen.recipes.settings import SelfTraining
from sharpen.select.above import above
from sharpen.select.controls import controlled
from sharpen.select.selection import Selection

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of Online RFT."""

    threshold: float = 0.0
    """Attempts whose reward is strictly above this are learnt from."""
    per_query: Annotated[int, Field(ge=0)] = 4
    """At most this many attempts a question; 0: all."""


def online_rft(run: Run, config: Settings) -> None:
    """Run Online RFT."""

    def select(groups: Groups) -> Selection:
        return above(groups, config.threshold, per_query=config.per_query or None)

    state = run.learner(run.policy(config.model), config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        groups = run.sample(
            state.policy, config.questions, n=config.samples, law=config.law, asking=config.asking
        )
        groups = run.score(groups, config.reward, tasks=config.tasks)
        chosen = controlled(groups, select, config.control, run.stream("control"))
        state = run.learn(state, chosen, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
