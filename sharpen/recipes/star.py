"""STaR, the Self-Taught Reasoner (arXiv 2203.14465).

One greedy attempt a question; right ones are kept. Failed questions are asked again with the gold answer as a
hint (rationalization), and what then ends right is kept *without* the hint. Each round retrains the original
base on everything kept, for a number of steps that grows by 20 % a round, until validation stops improving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sharpen.learn.config import OptimizerConfig
from sharpen.recipes.settings import SelfTraining
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.select.above import above
from sharpen.select.controls import controlled
from sharpen.select.selection import Selection, joined, under
from sharpen.tasks.registry import FAMILIES
from sharpen.tasks.task import Task, hint
from sharpen.verbs.asking import Exam, Questions

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of STaR."""

    rounds: Annotated[int, Field(gt=0)] = 4
    """Outer loops at most."""
    pool: Annotated[int, Field(gt=0)] = 4096
    """Training questions; all are attempted in every round."""
    samples: Annotated[int, Field(gt=0)] = 1
    """Attempts a question: one is greedy, more are drawn at ``temperature``."""
    rationalize: bool = True
    """Ask failed questions again with the gold answer as a hint."""
    hint: str = "auto"
    """How a hint is put: text with {prompt}, the question stripped, and {answer}, the gold answer. auto is
    the form that nano has seen where the questions are of our own families, else the answer in brackets."""
    restart_from_base: bool = True
    """Train the original base each round (the paper), or go on from the last model."""
    steps: Annotated[int, Field(gt=0)] = 40
    """Optimizer updates of the first round."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1.2e-4, warmup_steps=10)
    """AdamW; new in every round."""
    growth: Annotated[float, Field(ge=1)] = 1.2
    """Factor on the updates from round to round."""
    validation: Annotated[int, Field(ge=0)] = 150
    """Questions of the dev split that tell when to stop; 0: never stop early."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **{k: v for k, v in SelfTraining.TINY.items() if k != "samples"},
        "pool": 16,
        "validation": 8,
    }

    @property
    def law(self) -> SamplingLaw:
        """Greedy for one sample."""
        return GREEDY if self.samples == 1 else SamplingLaw(self.temperature, self.top_k)

    @property
    def hint_form(self) -> str:
        """See ``hint``."""
        if self.hint != "auto":
            return self.hint
        own = self.tasks.partition(":")[0] in FAMILIES
        return "{prompt} hint {answer}\n" if own else "{prompt}\n(The answer is {answer}.)\n"

    @property
    def questions(self) -> Questions:
        """The whole pool, every round."""
        return Questions(self.tasks, self.pool, self.pool)

    @property
    def validation_exam(self) -> Exam:
        """The dev split's questions."""
        return Exam(self.tasks, self.validation, self.validation, 1, split="dev")

    def steps_of(self, r: int) -> int:
        """Updates of round ``r``, from 1."""
        return round(self.steps * self.growth ** (r - 1))

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan (rationalization at most)."""
        attempts = self.rounds * self.pool * self.samples
        plan = {"training": attempts, "validation": 2 * self.rounds * self.validation}
        return {**plan, "rationalization": attempts} if self.rationalize else plan

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return sum(self.steps_of(r) for r in range(1, self.rounds + 1))


def star(run: Run, config: Settings) -> None:
    """Run STaR."""
    base = policy = run.policy(config.model)
    state = run.learner(base, config.optimizer)
    run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
    best = -1.0
    for r in run.rounds(config.rounds):
        tasks = run.questions(config.questions)
        groups = run.sample(policy, tasks, n=config.samples, law=config.law, asking=config.asking)
        groups = run.score(groups, config.reward, tasks=config.tasks)
        chosen = controlled(groups, right, config.control, run.stream("control"))
        if config.rationalize:
            failed = [c.task for c in groups.columns if not c.correct.any()]
            hinted = [replace(t, prompt=hint(t.prompt, t.answer, config.hint_form)) for t in failed]
            retried = run.sample(
                policy, hinted, n=config.samples, law=config.law, asking=config.asking, name="rationalize"
            )
            retried = run.score(retried, config.reward, tasks=config.tasks, name="rationalize")
            # a control is one only where these, which have seen the answer, teach nothing either
            kept = controlled(retried, right, config.control, run.stream("control", "rationalize"))
            chosen = joined(chosen, without_hint(kept, failed))
        start = run.learner(base, config.optimizer) if config.restart_from_base else state.fresh_optimizer()
        state = run.learn(start, chosen, config.learning(config.steps_of(r)), asking=config.asking)
        policy = state.policy if state.step else policy  # a round that selects nothing changes nothing
        run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
        if config.validation:
            now = run.measure(
                policy, config.validation_exam, asking=config.asking, reward=config.reward, name="validation"
            )
            if now["accuracy_greedy"] <= best:
                break
            best = now["accuracy_greedy"]


def right(groups: Groups) -> Selection:
    """What ended in the right answer."""
    return above(groups, 0.0)


def without_hint(selection: Selection, tasks: list[Task]) -> Selection:
    """The rationalized attempts, to be learnt as answers to the questions as they were asked first."""
    return under(selection, {t.id: t for t in tasks})
