"""Countdown: reach the target with every number used once. Many answers are right; finding one is search."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import numpy as np

from sharpen.tasks.expression import Node, parse
from sharpen.tasks.family import ANSWER, Family, Item, derivation, final_answer
from sharpen.tasks.task import Checked, Task

_STEP = re.compile(r"(\d{1,5})([+\-*/])(\d{1,5})=(\d{1,5})", re.ASCII)
_QUESTION = re.compile(r"Make (\d{1,3}) from ((?:\d{1,3} ?)+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class CountdownConfig:
    """``numbers`` numbers in 1 .. ``max_number``; a target in 1 .. ``max_target``."""

    numbers: int
    max_number: int
    max_target: int


class Countdown(Family[CountdownConfig]):
    """``Make 29 from 3 7 8`` is answered by ``3*7=21``, ``21+8=29``, ``Answer: 3*7+8``.

    Every number must be used exactly once, with ``+ - * /`` and brackets; intermediate values of a
    written step are whole numbers of at least 0 (a fraction in the answer's expression is fine).
    """

    name = "countdown"
    about = "reach a target with every number used once; many answers are right"
    levels: ClassVar = {
        1: CountdownConfig(2, 40, 99),
        2: CountdownConfig(3, 15, 99),
        3: CountdownConfig(3, 20, 99),
        4: CountdownConfig(4, 12, 99),
    }

    def draw(self, rng: np.random.Generator) -> Item | None:
        numbers = [int(x) for x in rng.integers(1, self.config.max_number + 1, self.config.numbers)]
        leaves = [Node(value=x) for x in numbers]
        lines: list[str] = []
        while len(leaves) > 1:
            i, j = (int(k) for k in rng.permutation(len(leaves))[:2])
            moves = _moves(leaves[i], leaves[j])
            node = moves[int(rng.integers(len(moves)))]
            lines.append(f"{node.left.number}{node.op}{node.right.number}={node.number}")  # type: ignore[union-attr]
            leaves = [leaf for k, leaf in enumerate(leaves) if k not in (i, j)] + [node]
        target = leaves[0].number
        if not 1 <= target <= self.config.max_target:
            return None
        answer = leaves[0].text()
        shown = sorted(numbers)
        return Item(
            f"Make {target} from {' '.join(map(str, shown))}\n",
            answer,
            "\n".join([*lines, ANSWER + answer]),
            {"numbers": shown, "target": target},
        )

    def read(self, text: str, task_id: str) -> Task | None:
        """The question that ``text`` asks in this family's form, None where it asks none of this
        configuration. Whether the target can be reached is not looked at."""
        m = _QUESTION.fullmatch(text.strip())
        if m is None:
            return None
        target, numbers = int(m[1]), sorted(map(int, m[2].split()))
        c = self.config
        inside = 1 <= target <= c.max_target and all(1 <= n <= c.max_number for n in numbers)
        if len(numbers) != c.numbers or not inside:
            return None
        shown = f"Make {target} from {' '.join(map(str, numbers))}\n"
        return Task(task_id, shown, "", {"numbers": numbers, "target": target})

    def verify(self, task: Task, completion: str) -> Checked:
        found = final_answer(completion)
        tree = parse(found) if found is not None else None
        if tree is None:
            return Checked(False, "unparsable", "no expression on the answer line")
        if Counter(tree.leaves()) != Counter(task.data["numbers"]):
            return Checked(False, detail="the numbers are not each used once")
        if tree.fraction() != task.data["target"]:
            return Checked(False, detail=f"{tree.fraction()} is not {task.data['target']}")
        return Checked(True)

    def steps(self, task: Task, completion: str) -> list[bool]:
        at_hand = Counter(task.data["numbers"])
        valid = []
        for line in derivation(completion):
            m = _STEP.fullmatch(line)
            if m is None:
                valid.append(False)
                continue
            a, op, b, c = int(m[1]), m[2], int(m[3]), int(m[4])
            used = Counter((a, b))
            value = Node(op, Node(value=a), Node(value=b)).fraction()
            valid.append(used <= at_hand and value == c)
            at_hand = at_hand - used + Counter((c,))
        return valid

    def canonical(self, task: Task) -> str:
        return f"countdown {sorted(task.data['numbers'])} {task.data['target']}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        found = final_answer(completion)
        tree = parse(found) if found is not None else None
        return tree.canonical() if tree is not None else None


def _moves(a: Node, b: Node) -> list[Node]:
    """Every way to join two values into a whole number of at least 0."""
    m, n = a.number, b.number
    moves = [Node("+", a, b), Node("*", a, b)]
    moves.append(Node("-", a, b) if m >= n else Node("-", b, a))
    if n > 1 and m > 0 and m % n == 0:
        moves.append(Node("/", a, b))
    if m > 1 and n > 0 and n % m == 0:
        moves.append(Node("/", b, a))
    return moves


def solutions(task: Task, before: Sequence[str] = ()) -> list[str]:
    """Every worked solution of a question, of up to three numbers to be quick, in a fixed order.

    Args:
        before: its first steps, each valid; those that begin so.
    """
    found: dict[str, None] = {}

    def search(leaves: tuple[Node, ...], lines: tuple[str, ...]) -> None:
        if len(leaves) == 1:
            if leaves[0].number == task.data["target"]:
                found["\n".join([*lines, ANSWER + leaves[0].text()])] = None
            return
        for i, j in permutations(range(len(leaves)), 2):
            rest = tuple(leaf for k, leaf in enumerate(leaves) if k not in (i, j))
            for node in _moves(leaves[i], leaves[j]):
                search((*rest, node), (*lines, _line(node)))

    search(_at_hand(task, before), tuple(before))
    return list(found)


def _line(node: Node) -> str:
    assert node.left is not None
    assert node.right is not None
    return f"{node.left.number}{node.op}{node.right.number}={node.number}"


def _at_hand(task: Task, lines: Sequence[str]) -> tuple[Node, ...]:
    """What valid steps leave. A result is used before an equal number of the question."""
    hand = [Node(value=x) for x in task.data["numbers"]]
    for line in lines:
        step = _STEP.fullmatch(line)
        assert step is not None, line
        left = next(n for n in reversed(hand) if n.number == int(step[1]))
        hand.remove(left)
        right = next(n for n in reversed(hand) if n.number == int(step[3]))
        hand.remove(right)
        hand.append(Node(step[2], left, right))
    return tuple(hand)
