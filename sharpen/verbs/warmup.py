"""Both ways of answering, with a thought and without, learnt from worked solutions before anything is
rewarded: what gives a small model a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import SharpenError
from sharpen.learn.config import LearnConfig, decaying
from sharpen.score.answers import final_place
from sharpen.score.modes import Device
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.learn.state import TrainState
    from sharpen.sample.policy import Policy
    from sharpen.verbs.run import Run

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]

CHOICE = 0.1
"""Weight of a warm-up text's first token, which chooses its mode; the others share the rest. By tokens alone
thoughts would have nine tenths of the loss; if they shared all of it, a short text's choice would weigh more
than a long one's, and neither mode would be at random."""


class Warmup(BaseModel):
    """Supervised learning of both modes, before anything is rewarded. All texts weigh the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    steps: Count = 1600
    """Optimizer updates; 0: none."""
    questions: Positive = 4000
    """Questions with a worked solution, from the split that nothing else uses."""
    examples: Positive = 16000
    """Texts made of them, pass after pass; a coin that knows nothing of the question draws a text's mode."""
    think: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of texts that think; 1 and 0 give bases that always and never do."""
    plan: bool = True
    """Thoughts begin with how many lines they will have. Else nothing of the question but its first number is
    at hand where the mode is chosen."""
    batch_rows: Positive = 64
    """Texts per update."""
    lr: Annotated[float, Field(ge=0)] = 2e-3
    """Highest learning rate."""
    scratch: Count = 0
    """Behind the plan, thoughts have a line of so many digits drawn at random, which mean nothing: then no
    single thought is likely, however right it is."""


def warm(
    run: Run,
    state: TrainState,
    warmup: Warmup,
    tasks: str,
    device: Device,
    asking: Asking,
    trained: Callable[[int, int], LearnConfig],
) -> TrainState:
    """The state after it has learnt worked solutions of source ``tasks``, each in the mode that a coin drew.

    Args:
        device: how a reply opens and closes its thinking; ``asking`` has its opening as prefill.
        trained: from updates and rows an update, how they are learnt.

    Raises:
        SharpenError: a task without a worked solution that ends in an answer.
    """
    if not warmup.steps:
        return state
    with run.scope("warmup"):
        questions = run.source(tasks).take("base", warmup.questions)
        texts = list(_texts(warmup, questions, device, run.stream("modes").generator()))
        rows = [_row(state.policy, task, text, asking, str(i)) for i, (task, text, _) in enumerate(texts)]
        thinking = sum(thinks for _, _, thinks in texts)
        run.log("warmup", {"examples": len(rows), "think_rate": thinking / len(rows)})
        falling = decaying(max(warmup.steps, 11), warmup.lr)
        learning = trained(warmup.steps, warmup.batch_rows).model_copy(update={"optimizer": falling})
        return run.learn(state, rows, learning)


def _texts(
    w: Warmup, questions: list[Task], device: Device, coin: np.random.Generator
) -> Iterator[tuple[Task, str, bool]]:
    """Questions, what is written under each, and whether that thinks."""
    for i in range(w.examples):
        task, thinks = questions[i % len(questions)], bool(coin.random() < w.think)
        scratch = " ".join(str(coin.integers(10)) for _ in range(w.scratch if thinks else 0))
        yield task, written(task, device, thinks=thinks, plan=w.plan, scratch=scratch), thinks


def _row(policy: Policy, task: Task, text: str, asking: Asking, key: str) -> Row:
    """A text under its question, the weight of whose first token is ``CHOICE``."""
    from sharpen.learn.rows import row_of_text
    from sharpen.verbs.sampling import prompt_of

    prompt = prompt_of(policy, task, asking).tokens
    ids: Any = policy.tokenizer.encode(text, add_special_tokens=False)
    eos = policy.eos_ids[0] if policy.eos_ids else None
    row = row_of_text(prompt, ids, key=key, weight=(1 - CHOICE) / len(ids), eos_id=eos)
    row.arrays["weight"][len(prompt)] = CHOICE
    return row


def written(task: Task, device: Device, *, thinks: bool, plan: bool = False, scratch: str = "") -> str:
    """What follows the device's opening: the worked solution's steps as thinking, with ``plan`` behind their
    number, then behind ``scratch``, or none, and its answer."""
    place = final_place(task.solution or "")
    if task.solution is None or place is None:
        raise SharpenError(f"warmup: task {task.id!r} has no worked solution with a final answer")
    steps = task.solution[: place.start].rstrip() if thinks else ""
    if steps:
        ahead = [str(steps.count("\n") + 1)] * plan + [scratch] * bool(scratch)
        steps = "\n".join([*ahead, steps])
    return f"{steps}{device.closing}{task.solution[place.start :]}"
