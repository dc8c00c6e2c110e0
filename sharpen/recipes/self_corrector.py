"""Self-correction (arXiv 2211.00053): train a corrector on the generator's own better and worse answers.

The generator never changes. Each round it attempts questions; pairs of a worse and a better answer to one
question teach the corrector to rewrite the first into the second. The strategy ``self_correction`` then lets
the corrector (its helper) rewrite what the generator says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sharpen.recipes.settings import Positive, SelfTraining
from sharpen.select.corrections import corrections
from sharpen.strategies import strategy
from sharpen.strategies.ask import Budget
from sharpen.strategies.question import Question, question_of
from sharpen.strategies.words import Words, dialect
from sharpen.tasks.task import Task

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of the corrector's training."""

    pool: Positive = 4096
    """Distinct training questions."""
    queries: Positive = 1024
    """Questions attempted a round."""
    samples: Positive = 8
    """Attempts of the generator a question."""
    per_query: Positive = 4
    """Pairs of a worse and a better answer learnt a question."""
    alpha: Annotated[float, Field(ge=0)] = 1.0
    """How much pairs of a larger gain are preferred."""
    beta: Annotated[float, Field(ge=0)] = 1.0
    """How much pairs of more similar texts are preferred."""
    corrections: Positive = 3
    """Corrections at most, when measured."""
    words: Literal["auto", "english", "nano-2"] = "auto"
    """How a correction is asked for; auto knows the shipped models."""

    TINY: ClassVar[Mapping[str, Any]] = {**SelfTraining.TINY, "corrections": 1}

    def dialect(self) -> Words:
        """The words for the model."""
        return dialect(self.words, self.model)


def self_corrector(run: Run, config: Settings) -> None:
    """Train a corrector."""
    words = config.dialect()

    def ask(task: Task, worse: str) -> Task:
        question = Question(task.id, task.prompt)
        asked = words.prompt("revise", question=question.text, solution=worse, feedback="")
        return replace(task, prompt=question.asked(asked))

    generator = run.policy(config.model)
    state = run.learner(generator, config.optimizer)
    run.measure(generator, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        groups = run.sample(
            generator, config.questions, n=config.samples, law=config.law, asking=config.asking
        )
        groups = run.score(groups, config.reward, tasks=config.tasks)
        pairs = corrections(
            groups, ask, run.stream("pairs"), per_query=config.per_query, alpha=config.alpha, beta=config.beta
        )
        state = run.learn(state, pairs, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
        _corrected(run, config, generator, state.policy)


def _corrected(run: Run, config: Settings, generator: Any, corrector: Any) -> None:
    """What correction makes of the generator's greedy answers to the held-out questions."""
    from sharpen.verbs.solving import Means

    source, chosen = run.source(config.tasks), strategy(f"self_correction:corrections={config.corrections}")
    tasks = run.held_out(config.exam)
    make = partial(question_of, source)
    means = Means(config.dialect(), config.law, Budget(), helper=corrector, question=make)
    with run.scope("corrected"):
        solved = run.solve(generator, tasks, chosen, asking=config.asking, means=means)
        judged = run.score(solved.groups, config.reward, tasks=config.tasks, name="answers")
        after = [bool(c.correct[0]) for c in judged.columns]
        # the generator's own answer is its first call, and stands among the candidates
        own = [calls.texts[0] for calls in solved.calls.columns]
        before = [bool(c.correct[c.texts.index(t)]) for c, t in zip(judged.columns, own, strict=True)]
        run.log(
            "corrected",
            {
                "accuracy_before": sum(before) / len(before),
                "accuracy_after": sum(after) / len(after),
                "wrong_to_right": sum(a and not b for a, b in zip(after, before, strict=True)),
                "right_to_wrong": sum(b and not a for a, b in zip(after, before, strict=True)),
            },
        )
