"""New questions from a model's own prior: a list that it goes on with (Self-Instruct, arXiv 2212.10560)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sharpen.errors import SharpenError
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.select.novel import Novelty, novel
from sharpen.tasks.splits import prompt_text
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


@runtime_checkable
class Reads(Protocol):
    """A task source that reads questions of its own form."""

    name: str

    def read(self, text: str, task_id: str) -> Task | None:
        """The question that a text asks, None where it asks none."""
        ...


@dataclass(frozen=True, slots=True)
class Inventing:
    """How questions are proposed: ``tries`` lists of ``shown`` seeds each, continued under ``law``."""

    tries: int
    shown: int
    law: SamplingLaw
    rule: Novelty


def invent(
    run: Run,
    policy: Policy,
    source: Reads,
    seeds: Sequence[Task],
    known: Sequence[Task],
    held_out: Sequence[Task],
    how: Inventing,
) -> tuple[list[Task], dict[str, int]]:
    """New questions, and where all lines that were proposed went.

    Lists end with what all seeds begin with, so that the model begins a question and no answer. Every line of
    a continuation that has the source's form is a candidate; see ``novel`` for what is dropped. ``known`` are
    questions that earlier rounds have.
    """
    texts = [prompt_text(t.prompt).strip() for t in seeds]
    if len(texts) < how.shown:
        raise SharpenError(f"{how.shown} questions are to be shown, there are {len(texts)}")
    opening, rng = common_start(texts), run.stream("lists").generator()
    shown = [[texts[int(k)] for k in rng.permutation(len(texts))[: how.shown]] for _ in range(how.tries)]
    lists = [Task(f"list-{i}", "\n".join([*some, opening]), "") for i, some in enumerate(shown)]
    longest = 2 * max(len(policy.tokenizer.encode(t, add_special_tokens=False)) for t in texts)
    asking = Asking(max_new_tokens=longest, template="plain")
    groups = run.sample(policy, lists, n=1, law=how.law, asking=asking, name="invent")
    proposed = [f"{opening}{row.texts[0]}".splitlines() for row in groups.columns]
    lines = [line.strip() for said in proposed for line in said if line.strip()]
    read = [source.read(line, f"own-{run.round}-{i}") for i, line in enumerate(lines)]
    tasks = [t for t in read if t is not None]
    kept, ledger = novel(
        [prompt_text(t.prompt) for t in tasks],
        [*texts, *(prompt_text(t.prompt) for t in known)],
        [prompt_text(t.prompt) for t in held_out],
        how.rule,
    )
    return [tasks[i] for i in kept], {"lines": len(lines), "no_question": len(lines) - len(tasks), **ledger}


def common_start(texts: Sequence[str]) -> str:
    """The words that all texts begin with, and the space behind them."""
    low, high = min(texts), max(texts)  # what these two share, all share
    n = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[: low.rfind(" ", 0, n) + 1]
