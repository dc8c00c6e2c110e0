"""Chained arithmetic, worked from left to right with one written step an operation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.family import ANSWER, Family, Item, checked_number, derivation, number_answer
from sharpen.tasks.task import Checked, Task

_STEP = re.compile(r"(\d{1,3})([+\-*])(\d{1,2})=(\d{1,3})", re.ASCII)
_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_OPERATIONS = "+-*"
_QUESTION = re.compile(r"Compute ([1-9])((?: [+\-*][1-9])+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """``min_ops .. max_ops`` of the ``operations``, operands 1-9; every value stays in 0 .. ``max_value``."""

    min_ops: int
    max_ops: int
    max_value: int = 99
    operations: str = _OPERATIONS


def _apply(a: int, op: str, b: int) -> int:
    return a + b if op == "+" else a - b if op == "-" else a * b


class Chain(Family[ChainConfig]):
    """``Compute 7 +5 *3 -4`` is answered by ``7+5=12``, ``12*3=36``, ``36-4=32``, ``Answer: 32``."""

    name = "chain"
    about = "chained one-digit arithmetic, a written step an operation"
    levels: ClassVar = {
        1: ChainConfig(2, 4),
        2: ChainConfig(4, 6),
        3: ChainConfig(6, 9),
        4: ChainConfig(9, 12),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        wanted = self.config.operations
        if not wanted or len(set(wanted)) < len(wanted) or set(wanted) - set(_OPERATIONS):
            raise SharpenError(f"chain: operations={wanted!r} should be some of {_OPERATIONS!r}, each once")

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity. Draws depend on it, so it has no ``operations`` where these are all."""
        spec = super().spec
        if spec["operations"] == _OPERATIONS:
            del spec["operations"]
        return spec

    def draw(self, rng: np.random.Generator) -> Item | None:
        value = int(rng.integers(1, 10))
        ops: list[str] = []
        lines: list[str] = []
        prompt = f"Compute {value}"
        for _ in range(int(rng.integers(self.config.min_ops, self.config.max_ops + 1))):
            choices = [
                (op, b)
                for op in self.config.operations
                for b in range(1, 10)
                if 0 <= _apply(value, op, b) <= self.config.max_value and (op, b) != ("*", 1)
            ]
            # an operation first, then its operand: products would be rare otherwise
            kinds = sorted({op for op, _ in choices})
            if not kinds:
                return None
            op = kinds[int(rng.integers(len(kinds)))]
            operands = [b for o, b in choices if o == op]
            b = operands[int(rng.integers(len(operands)))]
            after = _apply(value, op, b)
            lines.append(f"{value}{op}{b}={after}")
            ops.append(f"{op}{b}")
            value = after
        prompt = " ".join([prompt, *ops]) + "\n"
        return Item(prompt, str(value), "\n".join([*lines, ANSWER + str(value)]), {"ops": ops})

    def read(self, text: str, task_id: str) -> Task | None:
        """The question that ``text`` asks in this family's form, None where it asks none of this
        configuration."""
        m = _QUESTION.fullmatch(text.strip())
        if m is None:
            return None
        value, ops = int(m[1]), m[2].split()
        for op in ops:
            value = _apply(value, op[0], int(op[1]))
            if not 0 <= value <= self.config.max_value or op[0] not in self.config.operations:
                return None
        if not self.config.min_ops <= len(ops) <= self.config.max_ops:
            return None
        return Task(task_id, f"Compute {m[1]} {' '.join(ops)}\n", str(value), {"ops": ops})

    def verify(self, task: Task, completion: str) -> Checked:
        return checked_number(task, self.canonical_answer(task, completion))

    def steps(self, task: Task, completion: str) -> list[bool]:
        ops: list[str] = task.data["ops"]
        value = int(str(task.prompt).split()[1])
        valid = []
        for i, line in enumerate(derivation(completion)):
            m = _STEP.fullmatch(line)
            good = (
                m is not None
                and i < len(ops)
                and int(m[1]) == value
                and m[2] + m[3] == ops[i]
                and _apply(int(m[1]), m[2], int(m[3])) == int(m[4])
            )
            valid.append(good)
            if m is not None:  # a later step is judged on what the text says so far
                value = int(m[4])
        return valid

    def canonical(self, task: Task) -> str:
        return f"chain {str(task.prompt).strip()}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        return number_answer(completion, _NUMBER)
