"""LMSI, large language models can self-improve (arXiv 2210.11610): no label is used.

Many chains are sampled a question, and those that end in the majority answer are learnt. Questions without
one majority are skipped. What is kept is put in four forms, with and without worked examples, as a chain and
as the bare answer; the examples are kept chains of other questions, so no form brings a label in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.recipes.settings import Count, Positive, SelfTraining
from sharpen.select.above import above
from sharpen.select.agreed import agreed
from sharpen.select.controls import controlled
from sharpen.select.selection import Selected, Selection
from sharpen.strategies.question import Question, question_text
from sharpen.strategies.words import Words, dialect
from sharpen.tasks.task import Task, hidden
from sharpen.verbs.asking import Questions

if TYPE_CHECKING:
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of LMSI."""

    rounds: Positive = 1
    """How often the loop runs (the paper: once)."""
    pool: Positive = 4096
    """Distinct training questions, without their answers."""
    queries: Positive = 512
    """Questions attempted a round."""
    samples: Positive = 32
    """Chains sampled a question."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature of the chains (the paper: 0.7, for its larger model 1.2)."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Questions are kept where at least this share of the samples agrees."""
    mix: bool = True
    """Learn what was kept in four forms instead of one: chain or bare answer, with or without examples."""
    demos: Count = 3
    """Worked examples in the forms that have some, where so many questions were kept."""
    words: Literal["auto", "english", "nano-2"] = "auto"
    """How the forms are put to the model; auto knows the shipped models."""
    optimizer: OptimizerConfig = decaying(80)
    """AdamW and its schedule."""

    TINY: ClassVar[Mapping[str, Any]] = {**SelfTraining.TINY, "demos": 1}

    @property
    def questions(self) -> Questions:
        """The training questions."""
        return Questions(self.tasks, self.pool, self.queries)

    def dialect(self) -> Words:
        """The words for the model."""
        return dialect(self.words, self.model)


def lmsi(run: Run, config: Settings) -> None:
    """Run LMSI."""
    answered = run.has_answer(config.reward, tasks=config.tasks)

    def name(text: str) -> str | None:
        return Question.name(Question("", "", answered).read(text))

    def most(groups: Groups) -> Selection:
        return above(groups, 0.0)

    state = run.learner(run.policy(config.model), config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for _ in run.rounds(config.rounds):
        tasks = hidden(run.questions(config.questions))
        groups = run.sample(state.policy, tasks, n=config.samples, law=config.law, asking=config.asking)
        groups = agreed(groups, name, share=config.share)
        chosen = controlled(groups, most, config.control, run.stream("control"))
        if config.mix:
            chosen = mixed(chosen, config.dialect(), config.demos, answered)
        state = run.learn(state, chosen, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)


def mixed(selection: Selection, words: Words, k: int, answered: Any) -> Selection:
    """The chains of a selection as they were asked, and behind ``k`` worked examples; and, once a question,
    its bare answer, asked for directly and behind bare examples. A form without words is left out."""
    items = list(selection.items)
    firsts = {i.task.id: i for i in reversed(items)}
    firsts = {task_id: firsts[task_id] for task_id in dict.fromkeys(i.task.id for i in items)}
    question = Question("", "", answered)
    bare = {
        task_id: question.write(answer)
        for task_id, item in firsts.items()
        if (answer := question.read(item.text)) is not None
    }
    extra: list[Selected] = []
    for item in items:
        examples = [(f.task, f.text) for t, f in firsts.items() if t != item.task.id][:k]
        extra += [replace(item, task=t) for t in _shown(item.task, examples, k, words)]
    for task_id, answer in bare.items():
        task = firsts[task_id].task
        examples = [(firsts[t].task, a) for t, a in bare.items() if t != task_id][:k]
        asked = (
            [_asked(task, words.prompt("direct", question=question_text(task)))]
            if words.has("direct")
            else []
        )
        asked += _shown(task, examples, k, words)
        extra += [Selected(t, answer, 1.0, True) for t in asked]
    chains = sum(i.sample is not None for i in extra)
    ledger = dict(selection.ledger)
    # forms of chains are copies of what was sampled; bare answers are written, as gold would be
    ledger["sampled"] = ledger.get("sampled", 0) + chains
    ledger["gold"] = ledger.get("gold", 0) + len(extra) - chains
    ledger["kept"] = len(items) + len(extra)
    spec = {"rule": "mixed", "words": words.name, "demos": k, "of": dict(selection.spec)}
    return Selection((*items, *extra), spec, selection.m, ledger)


def _shown(task: Task, examples: Sequence[tuple[Task, str]], k: int, words: Words) -> list[Task]:
    """The task asked behind worked examples, where there are enough."""
    if not k or len(examples) < k or not words.has("shots"):
        return []
    demos = [(question_text(t), text) for t, text in examples]
    return [_asked(task, words.prompt("shots", question=question_text(task), demos=demos))]


def _asked(task: Task, text: str) -> Task:
    """The same task under another prompt; its gold, hidden, stays behind."""
    return hidden([Task(task.id, Question(task.id, task.prompt).asked(text), "")])[0]
