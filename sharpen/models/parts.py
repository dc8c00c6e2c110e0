"""Roles of nano-2 that take a question apart: sub-questions, masked numbers, programs, tool calls.

Each function turns a question and the lines of a right solution into the fields of a prompt and the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sharpen.models import works
from sharpen.strategies.words import Value
from sharpen.tasks.expression import Node, parse
from sharpen.tasks.family import ANSWER
from sharpen.tasks.task import Task

Rng = np.random.Generator
Lines = list[str]
Drawn = tuple[dict[str, Value], str]
"""The fields of a prompt, and the reply."""
Part = Callable[[Task, Lines, Rng], "Drawn | None"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ask = works.question


def subquestions(task: Task, lines: Lines) -> Lines:
    """One operation each, with letters for earlier results: ``a=7+5``, ``b=a*3``."""
    if "ops" not in task.data:
        again = works.replay(task, lines[:-1])
        assert again is not None
        return again[1]
    first, *ops = works.operands(task)
    return [f"{_LETTERS[i]}={_LETTERS[i - 1] if i else first}{op}" for i, op in enumerate(ops)]


def nested(first: str, ops: Sequence[str]) -> str:
    """Operations from left to right as one expression: ``((7+5)*3)-4``."""
    text = first
    for i, op in enumerate(ops):
        text = f"{text}{op}" if i == len(ops) - 1 else f"({text}{op})"
    return text


def fenced(code: str) -> str:
    """A program as a reply gives it."""
    return f"```\n{code}\n```"


def program(task: Task, lines: Lines) -> str:
    """One assignment to ``ans``."""
    if "ops" not in task.data:
        return "ans=" + lines[-1].removeprefix(ANSWER)
    first, *ops = works.operands(task)
    return "ans=" + nested(first, ops)


def function(first: str, ops: Sequence[str], arguments: str = "") -> str:
    """A chain step by step, with a comment before each step."""
    body = "".join(f" # {op}\n a=a{op}\n" for op in ops)
    return f"def solution({arguments}):\n a={first}\n{body} return a"


def letters(task: Task) -> tuple[str, str]:
    """A chain with capital letters for its numbers, and what they stand for."""
    first, *ops = works.operands(task)
    names = [chr(ord("A") + i) for i in range(len(ops) + 1)]
    named = ["Compute " + names[0], *(op[0] + n for op, n in zip(ops, names[1:], strict=True))]
    numbers = [first, *(op[1:] for op in ops)]
    return " ".join(named), " ".join(f"{n}={x}" for n, x in zip(names, numbers, strict=True))


def _decompose(task: Task, lines: Lines, rng: Rng) -> Drawn:
    return {"question": _ask(task)}, "\n".join(subquestions(task, lines))


def _settled(task: Task, lines: Lines, rng: Rng) -> tuple[Lines, list[tuple[str, str]]]:
    """Working and sub-questions with their answers; of a chain one answer in five has a slip before it."""
    if "ops" in task.data and rng.random() < 0.2:
        lines = works.slipped(task, rng)
    results = [line.split("=")[1] for line in lines[:-1]]
    return lines, list(zip(subquestions(task, lines), results, strict=True))


def _subquestion(task: Task, lines: Lines, rng: Rng) -> Drawn:
    """The next sub-question, from what is settled; behind the last, the question itself."""
    lines, known = _settled(task, lines, rng)
    k = int(rng.integers(len(known) + 1))
    fields: dict[str, Value] = {"question": _ask(task), "known": known[:k]}
    if k == len(known):
        return {**fields, "sub": _ask(task)}, lines[-1]
    # a slip stands in what is settled, never in the reply
    a, op, b, _ = works.step(lines[k])
    result = works.apply(a, op, b)
    return {**fields, "sub": known[k][0]}, f"{a}{op}{b}={result}\n{ANSWER}{result}"


def _followup(task: Task, lines: Lines, rng: Rng) -> Drawn:
    lines, known = _settled(task, lines, rng)
    k = int(rng.integers(len(known) + 1))
    reply = lines[-1] if k == len(known) else known[k][0]
    return {"question": _ask(task), "known": known[:k]}, reply


def _claim(task: Task, lines: Lines, rng: Rng, right: float) -> str:
    """An answer, right or of a wrong working."""
    said = lines if rng.random() < right else works.wrong(task, lines, rng)
    return said[-1].removeprefix(ANSWER)


def _statement(task: Task, lines: Lines, rng: Rng) -> Drawn:
    answer = _claim(task, lines, rng, 0.5)
    return {"question": _ask(task), "answer": answer}, f"{_ask(task)} is {answer}"


def _mask(task: Task, lines: Lines, rng: Rng) -> Drawn | None:
    """The number that was replaced by X, worked out; ``none`` where no number fits."""
    answer = _claim(task, lines, rng, 0.75)
    found = _chain_mask(task, int(answer), rng) if "ops" in task.data else _game_mask(task, answer, rng)
    if found is None:
        return None
    asked, work = found
    return {"statement": f"{asked} is {answer}"}, "\n".join(work)


def fits(ops: Sequence[str], at: int, claimed: int) -> list[int]:
    """The numbers 1 to 9 that make a chain's claim true in place ``at``, all values in 0 .. 99."""
    found = []
    for x in range(1, 10):
        tried = [*ops[:at], (ops[at][0] if at else "") + str(x), *ops[at + 1 :]]
        value: int | None = int(tried[0])
        for op in tried[1:]:
            value = works.apply(value, op[0], int(op[1:]))
            if value is None or value > 99:
                value = None
                break
        if value == claimed:
            found.append(x)
    return found


def _chain_mask(task: Task, claimed: int, rng: Rng) -> tuple[str, Lines] | None:
    """Forward to the gap, back from the claim, then what lies between."""
    ops = works.operands(task)
    at = int(rng.integers(len(ops)))
    solved = fits(ops, at, claimed)
    if len(solved) > 1 or claimed > 99:
        return None
    asked = " ".join(["Compute", *ops[:at], (ops[at][0] if at else "") + "X", *ops[at + 1 :]])
    work, before = [], int(ops[0])
    for op in ops[1:at]:
        after = works.apply(before, op[0], int(op[1:]))
        assert after is not None
        work.append(f"{before}{op}={after}")
        before = after
    back = {"+": "-", "-": "+", "*": "/"}
    behind: int | None = claimed
    for op in reversed(ops[at + 1 :]):
        undo = back[op[0]] + op[1:]
        known, behind = behind, works.apply(behind, undo[0], int(undo[1:]))
        if behind is None or behind > 99:
            return asked, [*work, ANSWER + "none"]
        work.append(f"{known}{undo}={behind}")
    if at:
        a, op, b = (before, "-", behind) if ops[at][0] == "-" else (behind, back[ops[at][0]], before)
        gap = works.apply(a, op, b)
        work += [] if gap is None else [f"{a}{op}{b}={gap}"]
    return asked, [*work, ANSWER + (str(solved[0]) if solved else "none")]


def _game_mask(task: Task, answer: str, rng: Rng) -> tuple[str, Lines] | None:
    """The target (worked out from the expression), or one of the numbers (by comparing)."""
    tree, numbers, target = parse(answer), list(task.data["numbers"]), task.data["target"]
    if tree is None:
        return None
    if rng.random() < 0.5:
        if sorted(tree.leaves()) != numbers:
            return f"Make X from {' '.join(map(str, numbers))}", [ANSWER + "none"]
        work = _evaluated(tree)
        if work is None or not work:
            return None
        shown = " ".join(map(str, numbers))
        return f"Make X from {shown}", [*work, ANSWER + work[-1].split("=")[1]]
    hidden = int(rng.integers(len(numbers)))
    left = tree.leaves()
    for n in numbers[:hidden] + numbers[hidden + 1 :]:
        if n in left:
            left.remove(n)
        else:
            left = []
            break
    shown = " ".join("X" if i == hidden else str(n) for i, n in enumerate(numbers))
    true = len(left) == 1 and tree.fraction() == target
    return f"Make {target} from {shown}", [ANSWER + (str(left[0]) if true else "none")]


def _evaluated(tree: Node) -> Lines | None:
    """The steps of an expression, inner ones first; None where one is no whole number of at least 0."""
    if tree.left is None or tree.right is None:
        return []
    left, right = _evaluated(tree.left), _evaluated(tree.right)
    a, b = tree.left.fraction(), tree.right.fraction()
    if left is None or right is None or a is None or b is None:
        return None
    result = works.apply(int(a), tree.op, int(b))
    return None if result is None else [*left, *right, f"{a}{tree.op}{b}={result}"]


def _program(task: Task, lines: Lines, rng: Rng) -> Drawn:
    return {"question": _ask(task)}, fenced(program(task, lines))


def _function(task: Task, lines: Lines, rng: Rng) -> Drawn:
    """Of numbers, or of the capital letters of a template; a countdown is worked out in the comments."""
    if "ops" not in task.data:
        comments = "".join(f" # {line}\n" for line in lines[:-1])
        code = f"def solution():\n{comments} return {lines[-1].removeprefix(ANSWER)}"
        return {"question": _ask(task)}, fenced(code)
    if rng.random() < 0.5:
        first, *ops = works.operands(task)
        return {"question": _ask(task)}, fenced(function(first, ops))
    asked = letters(task)[0]
    _, first, *ops = asked.split()
    return {"question": asked}, fenced(function(first, ops, ",".join([first, *(op[1] for op in ops)])))


def _debug(task: Task, lines: Lines, rng: Rng) -> Drawn | None:
    """A program with a bracket too few, or of a wrong working, and what came of it."""
    right = program(task, lines)
    brackets = [i for i, char in enumerate(right) if char in "()"]
    if brackets and rng.random() < 0.5:
        k = brackets[int(rng.integers(len(brackets)))]
        lacks_open = right[k] == "("
        code = right[:k] + right[k + 1 :]
        error = "SyntaxError: unmatched ')'" if lacks_open else "SyntaxError: '(' was never closed"
    elif "ops" in task.data:
        ops = works.operands(task)
        k = int(rng.integers(1, len(ops)))
        other = "+-*"[int(rng.integers(3))] + str(rng.integers(1, 10))
        if other == ops[k]:
            return None
        code, error = "ans=" + nested(ops[0], [*ops[1:k], other, *ops[k + 1 :]]), "wrong answer"
    else:
        code, error = "ans=" + works.wrong(task, lines, rng)[-1].removeprefix(ANSWER), "wrong answer"
        if works.COUNTDOWN.verify(task, ANSWER + code.removeprefix("ans=")).correct:
            return None
    return {"question": _ask(task), "code": code, "error": error}, fenced(right)


def _template(task: Task, lines: Lines, rng: Rng) -> Drawn:
    return {"question": _ask(task)}, "\n".join(letters(task))


def _expression(task: Task, lines: Lines, rng: Rng) -> Drawn:
    asked = letters(task)[0]
    _, first, *ops = asked.split()
    return {"question": asked}, ANSWER + nested(first, ops)


def _act(task: Task, lines: Lines, rng: Rng) -> Drawn:
    """The next thought and tool call behind some history, or the answer; one call in ten failed before."""
    history = []
    for i, line in enumerate(lines[:-1]):
        call, result = line.split("=")
        if "ops" in task.data:
            thought = "next " + task.data["ops"][i]
        else:
            thought = "left " + " ".join(map(str, works.at_hand(task, lines[:i])))
        history.append((f"{thought}\n<tool>{call}</tool>", result))
    k = int(rng.integers(len(history) + 1))
    reply = lines[-1] if k == len(history) else history[k][0]
    seen = history[:k]
    if k < len(history) and rng.random() < 0.1:
        thought, call = reply.split("\n")
        seen = [*seen, (f"{thought}\n{call.removesuffix('</tool>')}", "invalid")]
    return {"question": _ask(task), "history": seen}, reply


PARTS: dict[str, tuple[Part, float]] = {
    "decompose": (_decompose, 0.7),
    "subquestion": (_subquestion, 0.7),
    "followup": (_followup, 0.7),
    "statement": (_statement, 0.5),
    "mask": (_mask, 0.7),
    "program": (_program, 0.7),
    "function": (_function, 0.7),
    "debug": (_debug, 0.7),
    "template": (_template, 1.0),
    "expression": (_expression, 1.0),
    "act": (_act, 0.5),
}
"""How each is drawn, and the share of ``chain`` among its questions (the rest is ``countdown``)."""
