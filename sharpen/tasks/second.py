"""Second opinions: checks of the own families that share no code with the first ones, for audits.

They look at the question alone, never at the gold answer, and read answers by other means.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from sharpen.runs.streams import stream
from sharpen.tasks.splits import prompt_text
from sharpen.tasks.task import Task

_LAST = re.compile(r"(?s).*^Answer:[ ](.+?)\s*\Z", re.MULTILINE)
_WORDS = re.compile(r"-?\d+")
_MARKERS = ("[result]", "[score]", "result:", "score:", "score of")


def opinion(family: str) -> Callable[[Task, str], bool] | None:
    """The second check of a family, None for a source that has none."""
    known = {"countdown": countdown, "chain": chain, "order": order, "keydoor": keydoor, "lookup": lookup}
    return {**known, "machine": machine, "facts": facts, "cases": cases, "grading": grading}.get(family)


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


def cases(task: Task, completion: str) -> bool:
    """The stake times how many more of the cards lie below the own one than above it."""
    _, own, stake, *held = prompt_text(task.prompt).replace(":", "").split()
    order = ("AKQJT98765432").find
    above = sum(order(card) < order(own) for card in held)
    worth = int(stake) * (len(held) - 2 * above)
    return _answer(completion) in (str(worth), f"{worth:+d}" if worth else "0")


def grading(task: Task, completion: str) -> bool:
    """The defects of the response, counted in the question's lines; the verdict is read from behind."""
    head, *lines = prompt_text(task.prompt).strip().split("\n")
    at = lines.index("B") if "B" in lines else 0
    sides = [lines[1:at], lines[at + 1 :]] if at else [lines]
    defects = [_defects(side, head.split()[1:]) for side in sides]
    verdict = str(5 - defects[0]) if not at else "A" if defects[0] < defects[1] else "B"
    return _verdict(completion) == verdict


def _defects(lines: list[str], criteria: list[str]) -> int:
    """How many lines fail one of the criteria."""
    sums = [line.split(") ")[-1].split() for line in lines]
    numbers = [[int(word) for word in re.split(r"[+=]", what)] for what, _ in sums]
    failed = {
        "sums": [a + b != c for a, b, c in numbers],
        "units": [unit != "m" for _, unit in sums],
        "labels": [")" not in line for line in lines],
        "order": [False, *(numbers[i][0] < numbers[i - 1][0] for i in range(1, len(numbers)))],
    }
    return sum(map(any, zip(*(failed[kind] for kind in criteria), strict=True)))


def _verdict(completion: str) -> str:
    """What stands behind the last marker, without brackets and scale; empty where there is none."""
    text = completion.casefold()
    ends = [text.rfind(marker) + len(marker) for marker in _MARKERS if marker in text]
    said = text[max(ends) :].strip().removeprefix("response").strip(" ()[]") if ends else ""
    return said.removesuffix("out of 5").removesuffix("/5").strip().upper()


def order(task: Task, completion: str) -> bool:
    """Every clue holds in the answer, which has each letter of the question once."""
    clues = prompt_text(task.prompt).split()[1:]
    pairs = [(c[0], c[2]) if c[1] == "<" else (c[2], c[0]) for c in clues]
    place = {letter: i for i, letter in enumerate(_answer(completion) or "")}
    letters = {letter for pair in pairs for letter in pair}
    whole = len(_answer(completion) or "") == len(place) == len(letters) and set(place) == letters
    return whole and all(place[low] < place[high] for low, high in pairs)


def keydoor(task: Task, completion: str) -> bool:
    """The course of actions, followed on the grid that the question shows; how moves slip is hidden."""
    words = prompt_text(task.prompt).split()
    size = int(words[1].split("x")[0])
    cells = [complex(*map(int, w.split(","))) for w in words if "," in w]
    (at, key, door), walls = cells[:3], set(cells[3:])
    slips = _slips(task.data["setting"])
    held, moves, ways = False, 0, {"north": -1j, "south": 1j, "east": 1, "west": -1}
    actions = [" ".join(a.split()) for a in (_answer(completion) or "").split(";")]
    if len(actions) > 24 * size:
        return False
    for i, action in enumerate(actions):
        if action == "open" and held and at == door:
            return i + 1 == len(actions)
        if action not in (*ways, "take", "open"):
            return False
        if action == "take":
            held = held or at == key
        if action in ways:
            there = at + ways[action]
            fits = 0 <= there.real < size and 0 <= there.imag < size and there not in walls
            at = there if fits and not slips(moves) else at
            moves += 1
    return False


def facts(task: Task, completion: str) -> bool:
    """The key's place in the default table, worked out again; a key never told has no value to give."""
    key = prompt_text(task.prompt).split()[1]
    names = [f"0 {of} {key}".encode() for of in ("seen", "value")]
    hashes = [hashlib.blake2b(name, digest_size=8, person=b"facts") for name in names]
    seen, value = (sum(byte << 8 * i for i, byte in enumerate(h.digest())) for h in hashes)
    right = str(10 + value % 90) if seen % 100 < 60 else "I don't know."
    bare = right.startswith("I") and "Answer: " not in completion and completion.split("\n")[-1] == right
    return bare or _answer(completion) == right


def _slips(setting: Mapping[str, Any]) -> Callable[[int], bool]:
    def slips(move: int) -> bool:
        draw = stream("keydoor", setting["seed"], move).generator().integers(100)
        return int(draw) < setting["slip"]

    return slips


def lookup(task: Task, completion: str) -> bool:
    """The question's relations, the last one first, in the table."""
    *relations, person = prompt_text(task.prompt).removeprefix("Lookup ").strip().split(" of ")
    for relation in reversed(relations):
        person = task.data["table"][person][relation]
    return _answer(completion) == person


def machine(task: Task, completion: str) -> bool:
    """The registers after the course of actions, compared on the hidden inputs by one formula each."""
    setting = task.data["setting"]
    held = list(setting["faulty"])
    *actions, last = [a.split() for a in (_answer(completion) or "").split(";")]
    if last != ["finish"] or len(actions) >= 4 * setting["limit"]:
        return False
    for action in actions:
        found = re.fullmatch(r"set (\d) (-?\d{1,5})|read (\d)|run [123]", " ".join(action), re.ASCII)
        if found is None or max(int(found[1] or 0), int(found[3] or 0)) >= len(held):
            return False
        if found[1]:
            held[int(found[1])] = int(found[2])

    def line(registers: list[int]) -> tuple[int, int]:
        """What it gives is ``a + b * x``."""
        a, b = 0, 1
        for op, r in zip(setting["ops"], registers, strict=True):
            a, b = (a * r, b * r) if op == "*" else (a + r if op == "+" else a - r, b)
        return a, b

    return line(held) == line(setting["right"])


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
