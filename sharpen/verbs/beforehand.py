"""What strategies bring to a question: its source's tools, and what was learnt on training questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError
from sharpen.sample.policy import Policy
from sharpen.score import packing
from sharpen.score.verdict import Verdict
from sharpen.strategies import Strategy, strategy
from sharpen.strategies.question import Question, question_of, question_text
from sharpen.strategies.search import learnt, stored
from sharpen.tasks.task import Task, TaskSource, up_to
from sharpen.verbs.asking import Asking
from sharpen.verbs.solving import Means, Solved, solve

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Brought:
    """What a strategy has before it sees a question.

    Attributes:
        demos, pool, memory: see ``Question``.
        calls, tokens: what was spent on training questions to have it.
    """

    demos: Pairs = ()
    pool: Pairs = ()
    memory: Pairs = ()
    calls: int = 0
    tokens: int = 0

    @property
    def spec(self) -> str:
        """A hash that names it, ``""`` for nothing."""
        held = [list(map(list, pairs)) for pairs in (self.demos, self.pool, self.memory)]
        text = json.dumps(held)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if any(held) else ""


def bring(
    run: Run, policy: Policy, chosen: Strategy, tasks: str, n: int, asking: Asking, means: Means
) -> Brought:
    """Prepare on the first ``n`` training questions of source ``tasks`` what the strategy needs: worked
    examples, questions worked by the model itself, or ways that the verifier accepted.

    Raises SharpenError where the source has no worked solutions and they are needed.
    """
    needs = chosen.entry.needs
    shown = "demos" in needs or hasattr(chosen.settings, "shots")
    if not shown and not {"pool", "memory"} & set(needs):
        return Brought()
    train = up_to(run.source(tasks), "train", n) if n else []
    brought = Brought(demos=[(question_text(t), t.solution) for t in train if t.solution and shown])
    if "demos" in needs and not brought.demos:
        raise SharpenError(f"{chosen.name} needs worked training questions, and {tasks} has none")
    if "pool" in needs:
        solved = solve(run, policy, train, strategy("zero_shot_cot"), asking, means)
        texts = [c.texts[0] for c in solved.groups.columns]
        worked = [
            (question_text(t), text)
            for t, text, row in zip(train, texts, solved.rows, strict=True)
            if row["answer"] is not None
        ]
        brought = replace(brought, pool=worked, **_spent(solved))
    if "memory" in needs:
        solved = solve(run, policy, train, strategy("distil_thoughts"), asking, means)
        found = [learnt([*c.texts]) for c in solved.calls.columns]
        kept = stored(found, chosen.settings.delta)
        brought = replace(brought, memory=kept, **_spent(solved))
    return brought


def _spent(solved: Solved) -> dict[str, Any]:
    return {name: int(solved.result[name]) for name in ("calls", "tokens")}


def asker(
    source: TaskSource,
    brought: Brought,
    judge: Callable[[Task, str], Verdict] | None,
    *,
    unsafe: bool = False,
) -> Callable[[Task], Question]:
    """Makes a task's question, with the tools that its source has.

    Args:
        judge: for strategies that may see the verifier; None for all others.
        unsafe: run programs although a fork bomb cannot be held on this machine.
    """
    search, world = getattr(source, "search", None), getattr(source, "environment", None)

    def make(task: Task) -> Question:
        instances, own = task.data.get("instances"), question_text(task)
        return question_of(
            source,
            task,
            search=search(task) if search else None,
            environment=partial(world, task) if world else None,
            tests=task.data.get("public_tests", ()),
            score=partial(packing.score, instances=instances, unsafe=unsafe) if instances else None,
            verify=partial(judge, task) if judge else None,
            unsafe=unsafe,
            demos=[pair for pair in brought.demos if pair[0] != own],
            pool=[pair for pair in brought.pool if pair[0] != own],
            memory=brought.memory,
        )

    return make
