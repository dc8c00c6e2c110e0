"""Second opinions: checks of the own families that share no code with the first ones, for audits.

They look at the question alone, never at the gold answer, and read answers by other means.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from sharpen.tasks.splits import prompt_text
from sharpen.tasks.task import Task

_LAST = re.compile(r"(?s).*^Answer:[ ](.+?)\s*\Z", re.MULTILINE)
_WORDS = re.compile(r"-?\d+")


def opinion(family: str) -> Callable[[Task, str], bool] | None:
    """The second check of a family, None for a source that has none."""
    return {"countdown": countdown, "chain": chain, "order": order}.get(family)


def countdown(task: Task, completion: str) -> bool:
    """Python's own parser reads the expression; every number is used once and the target is met."""
    target, *numbers = map(int, _WORDS.findall(prompt_text(task.prompt)))
    answer = _answer(completion)
    try:
        tree = ast.parse(answer or "", mode="eval").body
        return _value(tree) == target and Counter(_numbers(tree)) == Counter(numbers)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return False


def chain(task: Task, completion: str) -> bool:
    """The question's operations one after the other, from left to right."""
    _, first, *steps = prompt_text(task.prompt).split()
    value = int(first)
    for step in steps:
        n = int(step[1:])
        value = {"+": value + n, "-": value - n, "*": value * n}[step[0]]
    return _answer(completion) == str(value)


def order(task: Task, completion: str) -> bool:
    """Every clue holds in the answer, which has each letter of the question once."""
    clues = prompt_text(task.prompt).split()[1:]
    pairs = [(c[0], c[2]) if c[1] == "<" else (c[2], c[0]) for c in clues]
    place = {letter: i for i, letter in enumerate(_answer(completion) or "")}
    letters = {letter for pair in pairs for letter in pair}
    whole = len(_answer(completion) or "") == len(place) == len(letters) and set(place) == letters
    return whole and all(place[low] < place[high] for low, high in pairs)


def _answer(completion: str) -> str | None:
    """What the one answer line, the last line, gives."""
    if len(re.findall("Answer: ", completion)) != 1:
        return None
    found = _LAST.match(completion)
    return found[1] if found and "\n" not in found[1] else None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.BinOp):
        a, b = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add):
            return a + b
        if isinstance(node.op, ast.Sub):
            return a - b
        if isinstance(node.op, ast.Mult):
            return a * b
        if isinstance(node.op, ast.Div):
            return a / b
    raise ValueError("no arithmetic expression")


def _numbers(node: ast.expr) -> list[int]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]  # type: ignore[misc]
