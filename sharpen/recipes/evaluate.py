"""Strategies at inference time side by side (arXiv 2407.11511): accuracy with its cost, nothing is trained.

All strategies answer the same questions. Equal requests of two strategies get equal samples, so differences
between selections from N samples are the selections' doing; each is charged for all that it asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sharpen.errors import SharpenError
from sharpen.recipes.settings import Answering, Count, Positive
from sharpen.strategies import Strategy, strategy
from sharpen.strategies.ask import Budget
from sharpen.strategies.words import Words, dialect

if TYPE_CHECKING:
    from sharpen.verbs.run import Made, Run


class Settings(Answering):
    """Settings of an evaluation."""

    strategies: tuple[str, ...] = ("greedy", "self_consistency", "best_of_n", "borda")
    """What is compared, each NAME or NAME:key=value,key=value (`sharpen list strategies`)."""
    questions: Positive = 200
    """Questions answered, the first ones of the split."""
    split: Literal["test", "dev", "train"] = "test"
    """Where they come from: choose settings on dev, report test."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature where a strategy does not say."""
    max_new_tokens: Positive = 256
    """Longest reply, in tokens."""
    words: Literal["auto", "english", "nano-2", "machines"] = "auto"
    """How roles such as checking or revising are put to the model; auto knows the shipped models."""
    budget_calls: Count = 0
    """Calls that a question may cost; 0 is no limit."""
    budget_tokens: Count = 0
    """Sampled tokens that a question may cost; a call needs room for its longest reply; 0 is no limit."""
    pool: Count = 200
    """Training questions that strategies may take examples from, or learn on beforehand."""
    share: bool = True
    """Whether strategies that ask the same get the samples that were drawn for the first; without it each
    draws the same samples again, which tells its seconds."""
    helper: str = ""
    """A second model, for strategies with a trained critic or corrector."""

    TINY: ClassVar[Mapping[str, Any]] = {
        "questions": 6,
        "max_new_tokens": 48,
        "strategies": ["greedy", "self_consistency:samples=4", "borda:samples=4"],
        "pool": 16,
    }

    @field_validator("strategies")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """As ``strategy`` writes them, each once."""
        names = tuple(strategy(text).name for text in given)
        if not names or len(set(names)) != len(names):
            raise ValueError("give each strategy once" if names else "give at least one strategy")
        return names

    @property
    def chosen(self) -> list[Strategy]:
        """The strategies."""
        return [strategy(text) for text in self.strategies]

    @property
    def budget(self) -> Budget:
        """What a question may cost."""
        return Budget(self.budget_calls, self.budget_tokens)

    def dialect(self) -> Words:
        """The words for the model."""
        return dialect(self.words, self.model)

    def plan(self) -> dict[str, Any]:
        """Derived numbers."""
        return {"questions": self.questions, "strategies": len(self.strategies)}


def evaluate(run: Run, config: Settings) -> None:
    """Answer all questions by every strategy, judge the answers, and put accuracy beside cost."""
    from sharpen.verbs.desk import Drawn
    from sharpen.verbs.solving import Means

    policy = run.policy(config.model)
    helper = run.policy(config.helper) if config.helper else None
    tasks = run.source(config.tasks).take(config.split, config.questions)
    means = Means(config.dialect(), config.law, config.budget, helper, Drawn() if config.share else None)
    for chosen in config.chosen:
        with run.scope(chosen.name.replace(":", " ")):
            ready = run.bring(policy, chosen, config.tasks, config.pool, config.reward, config.asking, means)
            solved = run.solve(policy, tasks, chosen, asking=config.asking, means=ready)
            judged = run.score(solved.groups, config.reward, tasks=config.tasks, name="answers", tell=False)
            run.weigh(chosen, solved, judged, ready)


def check(config: Settings) -> Made:
    """Model, questions, words and tools: what is missing is said before anything is written."""
    from sharpen.sample.policy import load_policy
    from sharpen.tasks.registry import make
    from sharpen.verbs.run import Made
    from sharpen.verbs.scoring import named

    words = config.dialect()
    for chosen in config.chosen:
        for need in chosen.entry.needs:
            if need == "helper" and not config.helper:
                raise SharpenError(f"{chosen.name} needs a second model: helper=MODEL")
            if need not in TOOLS and not words.has(need):
                raise SharpenError(
                    f"{chosen.name} needs the role {need!r}, which the words {words.name!r} do not have"
                )
    source = make(config.tasks)
    for chosen in config.chosen:
        if "environment" in chosen.entry.needs and not hasattr(source, "environment"):
            raise SharpenError(
                f"{chosen.name} acts in an environment, and {config.tasks} has none (try keydoor)"
            )
    named(config.reward, source, seed=0)
    source.take(config.split, config.questions)
    policies = {name: load_policy(name) for name in (config.model, config.helper) if name}
    return Made(policies, {config.tasks: source})


TOOLS = ("verifier", "search", "code", "tests", "environment", "helper", "pool", "demos", "memory")
"""Needs of a strategy that are no prompt roles."""
