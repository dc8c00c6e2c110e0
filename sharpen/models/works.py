"""Right and wrong worked solutions of ``chain`` and ``countdown``, every line judged by the family itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from sharpen.models.corpus import products_first
from sharpen.tasks.chain import Chain
from sharpen.tasks.countdown import Countdown, _moves
from sharpen.tasks.expression import Node
from sharpen.tasks.family import ANSWER
from sharpen.tasks.task import Task

Rng = np.random.Generator
CHAIN, COUNTDOWN = Chain(), Countdown()
_STEP = re.compile(r"(\d+)([+\-*/])(\d+)=(\d+)")
_LARGEST = 999
_TRIES = 200


def question(task: Task) -> str:
    """The question without its line break."""
    return str(task.prompt).strip()


def operands(task: Task) -> list[str]:
    """A chain's first number and its operations: ``["7", "+5", "*3"]``."""
    return question(task).split()[1:]


def apply(a: int, op: str, b: int) -> int | None:
    """``a op b`` as whole number of at least 0, else None."""
    if op == "/":
        return a // b if b and a % b == 0 else None
    value = a + b if op == "+" else a - b if op == "-" else a * b
    return value if 0 <= value <= 99_999 else None


def step(line: str) -> tuple[int, str, int, int]:
    """The parts of ``a op b=c``."""
    found = _STEP.fullmatch(line)
    assert found is not None, line
    return int(found[1]), found[2], int(found[3]), int(found[4])


def judged(task: Task, lines: Sequence[str]) -> list[bool]:
    """Whether each line is right given what the text says before it, the answer line included.

    An answer is right where the family says so; of a chain also where it repeats the last value of a
    complete working, right or wrong (the error is then further up).
    """
    text = "\n".join(lines)
    answered = lines[-1].startswith(ANSWER)
    steps = lines[:-1] if answered else lines
    is_chain = "ops" in task.data
    valid = (CHAIN if is_chain else COUNTDOWN).steps(task, "\n".join(steps))
    if answered and is_chain:
        said = lines[-1].removeprefix(ANSWER)
        valid.append(len(steps) == len(task.data["ops"]) and int(said) == step(steps[-1])[3])
    elif answered:
        valid.append(COUNTDOWN.verify(task, text).correct)
    return valid


def first_wrong(task: Task, lines: Sequence[str]) -> int:
    """Index of the first line that is wrong, -1 for none."""
    valid = judged(task, lines)
    return valid.index(False) if False in valid else -1


def again(task: Task, lines: Sequence[str]) -> list[tuple[str, str]]:
    """Of each line of a chain's working: what should stand there given the line before it (of an answer its
    value alone; ``2-3=None`` where nothing can), and the result that the line claims."""
    found, value = [], operands(task)[0]
    for line, op in zip(lines, [*operands(task)[1:], ""], strict=True):
        said = line.removeprefix(ANSWER).rpartition("=")[2]
        result = apply(int(value), op[0], int(op[1])) if op else None
        found.append((f"{value}{op}={result}" if op else value, said))
        value = said
    return found


def riddled(task: Task, share: float, rng: Rng) -> list[str]:
    """A chain's working in which a ``share`` of the lines, each by chance, claims another result; what
    follows goes on from it."""
    for _ in range(_TRIES):
        ops = operands(task)
        lines = _worked(ops, range(1, len(ops)), lambda v: slip(v, rng) if rng.random() < share else v)
        if lines is not None:
            said = int(lines[-1].removeprefix(ANSWER))
            return [*lines[:-1], ANSWER + str(slip(said, rng) if rng.random() < share else said)]
    return str(task.solution).split("\n")


def wrong(task: Task, right: Sequence[str], rng: Rng) -> list[str]:
    """A solution with an error whose later lines follow from it. ``right``: the lines of a right one."""
    for _ in range(_TRIES):
        made = _wrong_chain(task, right, rng) if "ops" in task.data else _wrong_countdown(task, right, rng)
        if made is not None and first_wrong(task, made) != -1:
            return made
    raise AssertionError(f"no wrong solution of {task.id} found")


def slip(value: int, rng: Rng) -> int:
    """A number near ``value``: off by 1, 2 or 10."""
    off = (1, -1, 1, -1, 2, -2, 10, -10)[int(rng.integers(8))]
    return value + off if value + off >= 0 else value - off


def slipped(task: Task, rng: Rng) -> list[str]:
    """A chain's working with one result off by a little and everything after it in its wake."""
    for _ in range(_TRIES):
        ops = operands(task)
        at = int(rng.integers(1, len(ops)))
        lines = _worked(ops, [at], lambda v: slip(v, rng))
        if lines is not None:
            return lines
    raise AssertionError(f"no slip in {task.id} stays readable")


def confused(task: Task) -> list[str] | None:
    """A chain's working with products first, None where that is right or cannot be read."""
    lines = products_first(task).split("\n")
    readable = all(_STEP.fullmatch(line) and len(line.split("=")[1]) < 4 for line in lines[:-1])
    return lines if readable and lines != str(task.solution).split("\n") else None


def _worked(ops: Sequence[str], at: Container[int], change: Callable[[int], int]) -> list[str] | None:
    value, lines = int(ops[0]), []
    for i, op in enumerate(ops[1:], 1):
        after = apply(value, op[0], int(op[1]))
        if after is None:
            return None
        after = change(after) if i in at else after
        lines.append(f"{value}{op}={after}")
        value = after
        if not 0 <= value <= _LARGEST:
            return None
    return [*lines, ANSWER + str(value)]


def _wrong_chain(task: Task, right: Sequence[str], rng: Rng) -> list[str] | None:
    ops, kind = operands(task), rng.random()
    if kind < 0.50:
        return slipped(task, rng)
    if kind < 0.65:
        return confused(task)
    if kind < 0.75:  # all steps right, another answer
        return [*right[:-1], ANSWER + str(slip(int(task.answer), rng))]
    k = int(rng.integers(1, len(ops)))
    # another operation or another number than the question's
    other = "+-*"[int(rng.integers(3))] + ops[k][1] if kind < 0.88 else ops[k][0] + str(rng.integers(1, 10))
    return _worked([*ops[:k], other, *ops[k + 1 :]], (), int)


Entry = tuple[int, int, Node, str]
"""A number at hand: in the right working, as the text has it, how it came about, and its letter or digits."""


def replay(task: Task, lines: Sequence[str], at: int = -1, off: Callable[[int], int] = int) -> (
    tuple[list[str], list[str], Node] | None
):  # fmt: skip
    """A countdown working written again, with the result of line ``at`` changed by ``off``.

    Returns the lines, the lines with letters for results (``a=3*7``, ``b=a+8``) and the expression of the
    last one; None where a changed working leaves the whole numbers.
    """
    hand: list[Entry] = [(n, n, Node(value=n), str(n)) for n in task.data["numbers"]]
    written, letters, node = [], [], hand[0][2]
    for i, line in enumerate(lines):
        a, op, b, c = step(line)
        # latest first: a result is used before an equal number of the question
        left = next(e for e in reversed(hand) if e[0] == a)
        hand.remove(left)
        other = next(e for e in reversed(hand) if e[0] == b)
        hand.remove(other)
        said = apply(left[1], op, other[1])
        if said is None:
            return None
        said = off(said) if i == at else said
        node, name = Node(op, left[2], other[2]), chr(ord("a") + i)
        written.append(f"{left[1]}{op}{other[1]}={said}")
        letters.append(f"{name}={left[3]}{op}{other[3]}")
        hand.append((c, said, node, name))
    return written, letters, node


def wandered(task: Task, steps: int, rng: Rng) -> tuple[list[str], list[Node]]:
    """``steps`` random right steps of a countdown, and what is then at hand."""
    hand, lines = [Node(value=n) for n in task.data["numbers"]], []
    for _ in range(steps):
        i, j = (int(k) for k in rng.permutation(len(hand))[:2])
        moves = _moves(hand[i], hand[j])
        node = moves[int(rng.integers(len(moves)))]
        lines.append(_line(node, node.number))
        hand = [n for k, n in enumerate(hand) if k not in (i, j)] + [node]
    return lines, hand


def _line(node: Node, result: int) -> str:
    assert node.left is not None
    assert node.right is not None
    return f"{node.left.number}{node.op}{node.right.number}={result}"


def _wrong_countdown(task: Task, right: Sequence[str], rng: Rng) -> list[str] | None:
    steps, kind, target = right[:-1], rng.random(), task.data["target"]
    if kind < 0.35:  # a slip, and the rest in its wake
        again = replay(task, steps, int(rng.integers(len(steps))), lambda v: slip(v, rng))
        return None if again is None else [*again[0], ANSWER + again[2].text()]
    if kind < 0.50:  # a number used that is not at hand
        k = int(rng.integers(len(steps)))
        a, op, _, _ = step(steps[k])
        b = int(rng.choice(task.data["numbers"]))
        result = apply(a, op, b)
        return None if result is None else [*steps[:k], f"{a}{op}{b}={result}", ANSWER + f"{a}{op}{b}"]
    # a dead end: the last step as near as it gets; the target is claimed, or the miss is written down
    lines, hand = wandered(task, len(steps) - 1, rng)
    misses = [m for m in _moves(hand[0], hand[1]) if m.number != target]
    if not misses:
        return None
    node = min(misses, key=lambda m: abs(m.number - target))
    return [*lines, _line(node, target if kind < 0.80 else node.number), ANSWER + node.text()]


@lru_cache(maxsize=200_000)
def within(values: tuple[int, ...], target: int) -> int | None:
    """In how many operations ``target`` follows from all of ``values`` (sorted), None where it does not:
    exact, by search over the steps that the family allows."""
    if len(values) == 1:
        return 0 if values[0] == target else None
    for i, j in combinations(range(len(values)), 2):
        rest = tuple(v for k, v in enumerate(values) if k not in (i, j))
        for node in _moves(Node(value=values[i]), Node(value=values[j])):
            if within(tuple(sorted((*rest, node.number))), target) is not None:
                return len(values) - 1
    return None


def at_hand(task: Task, lines: Sequence[str]) -> tuple[int, ...]:
    """What right steps of a countdown leave, sorted."""
    values = list(task.data["numbers"])
    for line in lines:
        a, _, b, c = step(line)
        values.remove(a)
        values.remove(b)
        values.append(c)
    return tuple(sorted(values))


def outlook(task: Task, lines: Sequence[str]) -> str:
    """How far a partial working has come: ``impossible`` where a step is wrong or the target is out of
    reach, ``sure`` where at most one operation is left (a chain: where all is right), else ``likely``."""
    if lines and first_wrong(task, lines) != -1:
        return "impossible"
    if "ops" in task.data:
        return "sure"
    left = within(at_hand(task, lines), task.data["target"])
    return "impossible" if left is None else "sure" if left <= 1 else "likely"
