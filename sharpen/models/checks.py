"""A corpus of chains with checks, most of them redundant: the testbed base of efficiency steering.

After a first pass through the chain come 0 to 4 ``wait`` passes that do it once more; how many is drawn
blindly, and nothing in the prompt tells. A text is written in one of two step sizes, so correct texts of one
question differ in length by far more than a factor of 2. On the few questions with an operation of
``MISREAD`` the first pass misreads it, and a check is needed: shortening is not free.
"""

from __future__ import annotations

import numpy as np

from sharpen.models.corpus import END, Sample
from sharpen.tasks.chain import Chain
from sharpen.tasks.family import ANSWER
from sharpen.tasks.task import Task, up_to

MISREAD = {"*3": "+3", "-5": "+5"}
"""What the first pass takes an operation for, wherever its values then stay in range."""
MOST_CHECKS = 4
LARGEST = 20
TASKS = f"chain:level=1,max_ops=3,max_value={LARGEST}"
"""Where this base's questions come from; it is trained on their ``base`` split."""


def values(ops: list[str], first: int) -> list[int]:
    """The value after each operation, from left to right."""
    out, value = [], first
    for op in ops:
        b = int(op[1:])
        value = value + b if op[0] == "+" else value - b if op[0] == "-" else value * b
        out.append(value)
    return out


def misread(task: Task) -> list[str] | None:
    """The operations as the first pass reads them, None where it reads them rightly: no check is needed."""
    ops: list[str] = list(task.data["ops"])
    wrong = [MISREAD.get(op, op) for op in ops]
    first = _first(task)
    inside = all(0 <= v <= LARGEST for v in values(wrong, first))
    return wrong if inside and values(wrong, first)[-1] != values(ops, first)[-1] else None


def needs_check(task: Task) -> bool:
    """Whether the first pass on this question is wrong."""
    return misread(task) is not None


def written(ops: list[str], first: int, *, terse: bool) -> str:
    """One pass: an equation a line, or in the terse style one running line (``7+5=12*3=36``)."""
    after = values(ops, first)
    if terse:
        return f"{first}{''.join(f'{op}={b}' for op, b in zip(ops, after, strict=True))}\n"
    before = [first, *after]
    return "".join(f"{a}{op}={b}\n" for a, op, b in zip(before, ops, after, strict=False))


class Checks:
    """Draws ``Sample``s; sample i is a pure function of (seed, i)."""

    def __init__(self) -> None:
        self._tasks = up_to(Chain(level=1, max_ops=3, max_value=LARGEST), "base", 6000)

    def sample(self, rng: np.random.Generator) -> Sample:
        """One text."""
        task = self._tasks[int(rng.integers(len(self._tasks)))]
        return Sample(str(task.prompt), self.solution(task, rng) + END)

    def solution(self, task: Task, rng: np.random.Generator) -> str:
        """A worked text of a question, right at its end."""
        ops, first, wrong = list(task.data["ops"]), _first(task), misread(task)
        terse = bool(rng.random() < 0.5)
        checks = int(rng.integers(1 if wrong else 0, MOST_CHECKS + 1))
        right = written(ops, first, terse=terse)
        passes = [written(wrong, first, terse=terse) if wrong else right] + checks * [f"wait\n{right}"]
        return f"<think>\n{''.join(passes)}</think>\n{ANSWER}{task.answer}"


def _first(task: Task) -> int:
    return int(str(task.prompt).split()[1])
