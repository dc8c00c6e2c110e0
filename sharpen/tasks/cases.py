"""What a hand is worth, case by case: cards are compared, in the words of the card games."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.family import ANSWER, Family, Item, checked_number, derivation, number_answer
from sharpen.tasks.task import Checked, Task

RANKS = "23456789TJQKA"
"""Cards, the lowest first."""

_STEP = re.compile(rf"([{RANKS}]) ([+-][1-9])")
_NUMBER = re.compile(r"0|[+-]?[1-9]\d{0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CasesConfig:
    """``cases`` cards that the other may hold, 1-12."""

    cases: int


class Cases(Family[CasesConfig]):
    """``Cases Q 2: J K A``: own card, stake, and what the other may hold; a higher card wins the stake. It is
    answered by ``J +2``, ``K -2``, ``A -2``, ``Answer: -2``, the sum of the cases."""

    name = "cases"
    about = "what a card is worth against those that the other may hold, a written step a case"
    levels: ClassVar = {n - 1: CasesConfig(n) for n in (2, 3, 4, 5)}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not 1 <= self.config.cases < len(RANKS):
            raise SharpenError(f"cases: cases={self.config.cases} should be 1 to {len(RANKS) - 1}")

    def draw(self, rng: np.random.Generator) -> Item | None:
        own, *held = (RANKS[i] for i in rng.permutation(len(RANKS))[: self.config.cases + 1])
        stake = int(rng.integers(1, 10))
        worth = [_worth(own, card, stake) for card in held]
        lines = [f"{card} {value:+d}" for card, value in zip(held, worth, strict=True)]
        answer = str(sum(worth))
        return Item(
            f"Cases {own} {stake}: {' '.join(held)}\n",
            answer,
            "\n".join([*lines, ANSWER + answer]),
            {"own": own, "stake": stake, "held": held},
        )

    def verify(self, task: Task, completion: str) -> Checked:
        return checked_number(task, self.canonical_answer(task, completion))

    def steps(self, task: Task, completion: str) -> list[bool]:
        # each case once, in any order
        left = {c: _worth(task.data["own"], c, task.data["stake"]) for c in task.data["held"]}
        found = [_STEP.fullmatch(line) for line in derivation(completion)]
        return [m is not None and left.pop(m[1], None) == int(m[2]) for m in found]

    def canonical(self, task: Task) -> str:
        # the cases are added up: their order changes nothing
        return f"cases {task.data['own']} {task.data['stake']}: {' '.join(sorted(task.data['held']))}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        return number_answer(completion, _NUMBER)


def _worth(own: str, other: str, stake: int) -> int:
    return stake if RANKS.index(own) > RANKS.index(other) else -stake
