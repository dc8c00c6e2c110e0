"""The broken register machine: a hidden program with one wrong register (testbed for arXiv 2502.08235).

Nothing that helps stands in the question: what the machine should give is told by running a test, what its
registers hold by reading them. Hidden tests decide at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.tasks.environment import World, WorldFamily
from sharpen.tasks.family import ANSWER, Item
from sharpen.tasks.task import Task

INPUTS = (1, 2, 5)
"""What tests 1, 2 and 3 put in."""
HIDDEN = (0, 3, 4, 7, 10)
"""What the hidden tests put in."""


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """A program of ``registers`` operations, one register each; ``limit`` turns."""

    registers: int
    limit: int = 12


def compute(ops: str, registers: Sequence[int], x: int) -> int:
    """What the machine gives for ``x``: each operation applies its register, from left to right."""
    for op, r in zip(ops, registers, strict=True):
        x = x + r if op == "+" else x - r if op == "-" else x * r
    return x


class MachineWorld(World):
    """``run T``, ``read I``, ``set I V``, ``finish``; whether the hidden tests pass is never told."""

    actions: ClassVar = ("run TEST", "read REGISTER", "set REGISTER VALUE", "finish")
    kinds: ClassVar = {"run": "check", "read": "look", "set": "change", "finish": "finish"}

    def begin(self) -> dict[str, Any]:
        return {"registers": list(self.setting["faulty"])}

    def view(self) -> str:
        n = len(self.setting["ops"])
        return f"tests 1 to {len(INPUTS)}, registers 0 to {n - 1}"

    def do(self, name: str, told: list[str]) -> tuple[str, bool] | None:
        numbers = [int(t) for t in told if t.removeprefix("-").isascii() and t.removeprefix("-").isdigit()]
        wanted = {"run": 1, "read": 1, "set": 2, "finish": 0}
        if len(numbers) != len(told) or wanted.get(name) != len(told) or any(len(t) > 6 for t in told):
            return None
        if name == "finish":
            self.done = True
            return "finished", True
        n = numbers[0]
        if name == "run":
            return self._run(n) if 1 <= n <= len(INPUTS) else None
        if not 0 <= n < len(self.setting["ops"]):
            return None
        if name == "set":
            self.now["registers"][n] = numbers[1]
        return f"register {n} is {self.now['registers'][n]}", True

    def _run(self, test: int) -> tuple[str, bool]:
        x = INPUTS[test - 1]
        got, wanted = (compute(self.setting["ops"], r, x) for r in (self.now["registers"], self._right))
        fine = got == wanted
        return f"test {test}: {x} gives {got}, wanted {wanted}, {'passed' if fine else 'failed'}", fine

    @property
    def _right(self) -> list[int]:
        return self.setting["right"]

    def won(self) -> bool:
        ops, now = self.setting["ops"], self.now["registers"]
        return all(compute(ops, now, x) == compute(ops, self._right, x) for x in HIDDEN)

    def skills(self) -> dict[str, float]:
        """Tests, readings and the end; what a register should be set to is not among them."""
        looks = [f"run {t + 1}" for t in range(len(INPUTS))]
        looks += [f"read {i}" for i in range(len(self.setting["ops"]))]
        return {**dict.fromkeys(looks, 1.0), "finish": 1.0}


def suspects(ops: str, registers: Sequence[int], wanted: Mapping[int, int]) -> list[tuple[int, int]]:
    """All single changes (register, value in 0..9) that make the machine give ``wanted``."""
    found = []
    for i in range(len(ops)):
        for value in range(10):
            changed = [*registers[:i], value, *registers[i + 1 :]]
            if all(compute(ops, changed, x) == y for x, y in wanted.items()):
                found.append((i, value))
    return found


class Machine(WorldFamily):
    """``Machine x +r0 *r1 -r2`` is answered by looking, then for example ``set 1 4; finish``."""

    name = "machine"
    about = "a register machine with one fault: test, read, mend; answered by acting"
    world = MachineWorld
    levels: ClassVar = {1: MachineConfig(2), 2: MachineConfig(3), 3: MachineConfig(4), 4: MachineConfig(5)}

    def draw(self, rng: np.random.Generator) -> Item | None:
        n = self.config.registers
        ops = "".join("+-*"[int(i)] for i in rng.integers(3, size=n))
        right = [int(r) for r in rng.integers(2, 10, size=n)]
        fault = int(rng.integers(n))
        faulty = [*right[:fault], int(rng.integers(1, 10)), *right[fault + 1 :]]
        wanted = {x: compute(ops, right, x) for x in INPUTS}
        ways = suspects(ops, faulty, wanted)
        # as it stands it fails, and what mends it for the tests that can be run mends it for the hidden ones
        if faulty == right or any(compute(ops, faulty, x) == y for x, y in wanted.items()):
            return None
        setting = {"ops": ops, "right": right, "faulty": faulty, "limit": self.config.limit}
        if any(not MachineWorld(setting).replay([f"set {i} {v}", "finish"]) for i, v in ways):
            return None
        answer = f"set {fault} {right[fault]}; finish"
        shown = " ".join(f"{op}r{i}" for i, op in enumerate(ops))
        return Item(f"Machine x {shown}\n", answer, ANSWER + answer, {"setting": setting})

    def canonical(self, task: Task) -> str:
        # the question shows the operations alone: what tells two machines apart is hidden
        s = task.data["setting"]
        return f"machine {s['ops']} {s['right']} {s['faulty']}"
