"""Who comes first: a small logic family. Clues compare two letters; the answer is the one full order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sharpen.tasks.family import ANSWER, Family, Item, derivation, final_answer
from sharpen.tasks.task import Checked, Task

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class OrderConfig:
    """``min_letters .. max_letters`` letters; ``extra`` clues beyond those that fix the order."""

    min_letters: int
    max_letters: int
    extra: int


class Order(Family[OrderConfig]):
    """``Order b<d d>a b>a c>d`` is answered by the prefixes ``a``, ``ab``, ``abd``, then ``Answer: abdc``."""

    name = "order"
    about = "logic: find the one order of letters that fits the clues"
    levels: ClassVar = {
        1: OrderConfig(3, 4, 0),
        2: OrderConfig(4, 6, 1),
        3: OrderConfig(6, 8, 2),
        4: OrderConfig(8, 10, 3),
    }

    def draw(self, rng: np.random.Generator) -> Item | None:
        n = int(rng.integers(self.config.min_letters, self.config.max_letters + 1))
        order = "".join(_LETTERS[i] for i in rng.permutation(len(_LETTERS))[:n])
        # neighbours fix the order; any other pair is true but adds nothing
        pairs = [(i, i + 1) for i in range(n - 1)]
        others = [(i, j) for i in range(n) for j in range(i + 2, n)]
        for k in rng.permutation(len(others))[: self.config.extra]:
            pairs.append(others[int(k)])
        clues = []
        for k in rng.permutation(len(pairs)):
            i, j = pairs[int(k)]
            clues.append(f"{order[i]}<{order[j]}" if rng.integers(2) else f"{order[j]}>{order[i]}")
        lines = [order[: i + 1] for i in range(n - 1)]
        return Item(
            f"Order {' '.join(clues)}\n", order, "\n".join([*lines, ANSWER + order]), {"clues": clues}
        )

    def verify(self, task: Task, completion: str) -> Checked:
        found = final_answer(completion)
        if found is None or not set(found) <= set(_LETTERS):
            return Checked(False, "unparsable", "no letters on the answer line")
        right = found == task.answer
        return Checked(right, detail="" if right else f"{found} is not {task.answer}")

    def steps(self, task: Task, completion: str) -> list[bool]:
        # from the clues alone, not from the gold order: x may follow once all that must precede it has
        before: dict[str, set[str]] = {c: set() for c in task.answer}
        for clue in task.data["clues"]:
            low, high = (clue[0], clue[2]) if clue[1] == "<" else (clue[2], clue[0])
            before[high].add(low)
        valid, last = [], ""
        for line in derivation(completion):
            grown = len(line) == len(last) + 1 and line.startswith(last) and line[-1] in before
            valid.append(bool(grown and line[-1] not in last and before[line[-1]] <= set(last)))
            last = line
        return valid

    def canonical(self, task: Task) -> str:
        # the same clues in another order, or written the other way round, are the same question
        clues: list[str] = task.data["clues"]
        low_first = sorted(c if c[1] == "<" else f"{c[2]}<{c[0]}" for c in clues)
        return "order " + " ".join(low_first)

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        found = final_answer(completion)
        return found if found is not None and set(found) <= set(_LETTERS) else None
