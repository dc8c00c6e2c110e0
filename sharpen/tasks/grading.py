"""Responses with planted defects, to be graded by a criterion: what a judge can be measured on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.family import Family, Item
from sharpen.tasks.ratings import MARKER, read_choice, read_score
from sharpen.tasks.task import Checked, Task

CRITERIA = ("sums", "units", "labels", "order")
"""What a line can fail: its sum is wrong; its unit is not m; it has no label; its first number is below that
of the line before."""

UNIT, OTHERS, HIGHEST = "m", "kst", 5
_STEP = re.compile(r"(?:([AB]) )?([1-9]) (ok|bad)")


@dataclass(frozen=True, slots=True)
class GradingConfig:
    """Responses of ``lines`` sums of numbers up to ``most``; each kind of defect is in 0 to 4 of them.
    ``criteria``: names of ``CRITERIA`` with ``+`` between them, one of which is asked about. ``pairs``: two
    responses are compared instead of one graded."""

    lines: int
    most: int
    criteria: str
    pairs: bool = False


Line = tuple[str, ...]
"""The defects of a line."""


class Grading(Family[GradingConfig]):
    """``Grade units`` and the lines of a response, ``1) 12+7=19 m``, are answered by what each line is by
    that criterion, ``1 ok``, ``2 bad``, and ``[RESULT] 4``: five less the defects. Other defects do not
    count. With ``pairs`` the lines of two responses are judged, ``A 1 ok``, and ``[RESULT] B`` is the better
    one."""

    name = "grading"
    shapes: ClassVar = (f"{MARKER} {{}}",)
    """How a reply gives a verdict, for ``sharpen check-task``."""
    about = "responses with planted defects, to be graded by a criterion, a written judgment a line"
    levels: ClassVar = {
        1: GradingConfig(5, 9, "units+labels"),
        2: GradingConfig(5, 20, "+".join(CRITERIA)),
        3: GradingConfig(6, 50, "+".join(CRITERIA)),
        4: GradingConfig(8, 99, "+".join(CRITERIA)),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        c = self.config
        asked = c.criteria.split("+")
        if not asked or len({*asked}) < len(asked) or not {*asked} <= {*CRITERIA}:
            raise SharpenError(
                f"grading: criteria={c.criteria!r} should be some of {'+'.join(CRITERIA)}, each once"
            )
        if not 5 <= c.lines <= 9 or not 5 <= c.most <= 99:
            raise SharpenError(f"grading: lines={c.lines} should be 5 to 9, most={c.most} 5 to 99")

    def draw(self, rng: np.random.Generator) -> Item | None:
        asked = self.config.criteria.split("+")
        criterion = asked[int(rng.integers(len(asked)))]
        sides = [self._response(rng) for _ in range(1 + self.config.pairs)]
        bad = [[i for i, line in enumerate(lines, 1) if criterion in line] for _, lines in sides]
        if self.config.pairs and len(bad[0]) == len(bad[1]):
            return None
        verdict = str(HIGHEST - len(bad[0]))
        if self.config.pairs:
            verdict = "A" if len(bad[0]) < len(bad[1]) else "B"
        names = ("A ", "B ") if self.config.pairs else ("",)
        judged = [
            f"{name}{i} {'bad' if i in wrong else 'ok'}"
            for name, wrong in zip(names, bad, strict=True)
            for i in range(1, self.config.lines + 1)
        ]
        texts = [text for text, _ in sides]
        shown = "A\n{}\nB\n{}".format(*texts) if self.config.pairs else texts[0]
        return Item(
            f"Grade {criterion}\n{shown}\n",
            verdict,
            "\n".join([*judged, f"{MARKER} {verdict}"]),
            {"criterion": criterion, "responses": texts, "bad": bad},
        )

    def _response(self, rng: np.random.Generator) -> tuple[str, list[Line]]:
        """A response and the defects of its lines."""
        c = self.config
        places: dict[str, set[int]] = {}
        for kind in CRITERIA:
            first = int(kind == "order")  # the first line has none before it
            n = int(rng.integers(HIGHEST))
            places[kind] = {first + int(i) for i in rng.permutation(c.lines - first)[:n]}
        lines, defects, before = [], [], 1
        for i in range(c.lines):
            held = tuple(kind for kind in CRITERIA if i in places[kind])
            if before < 2:  # nothing is below it
                held = tuple(kind for kind in held if kind != "order")
            a = int(rng.integers(1, before) if "order" in held else rng.integers(before, c.most + 1))
            b = int(rng.integers(1, c.most + 1))
            lines.append(_line(i + 1, a, b, held, rng))
            defects.append(held)
            before = a
        return "\n".join(lines), defects

    def verify(self, task: Task, completion: str) -> Checked:
        found = self.canonical_answer(task, completion)
        if found is None:
            return Checked(False, "unparsable", "no verdict ends the reply")
        return Checked(
            found == task.answer, detail="" if found == task.answer else f"{found}, not {task.answer}"
        )

    def has_answer(self, completion: str) -> bool:
        """Whether a completion ends with a verdict."""
        return self._read(completion) is not None

    def steps(self, task: Task, completion: str) -> list[bool]:
        found = [_STEP.fullmatch(line) for line in self.equations(completion)]
        return [m is not None and _bad(task, m[1], int(m[2])) == (m[3] == "bad") for m in found]

    def equations(self, completion: str) -> list[str]:
        """The judgments of lines."""
        return [line for line in completion.splitlines() if line and not line.startswith(MARKER)]

    def canonical(self, task: Task) -> str:
        return f"grade {task.data['criterion']} {' | '.join(task.data['responses'])}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        return self._read(completion)

    def _read(self, completion: str) -> str | None:
        if self.config.pairs:
            return read_choice(completion)
        score = read_score(completion)
        return None if score is None else str(score)


def _line(number: int, a: int, b: int, defects: Sequence[str], rng: np.random.Generator) -> str:
    """A line with these defects."""
    said = a + b
    if "sums" in defects:
        said += (1, 2, 10)[int(rng.integers(3))] * (1 if said < 12 or rng.random() < 0.5 else -1)
    unit = OTHERS[int(rng.integers(len(OTHERS)))] if "units" in defects else UNIT
    label = "" if "labels" in defects else f"{number}) "
    return f"{label}{a}+{b}={said} {unit}"


def _bad(task: Task, side: str | None, number: int) -> bool | None:
    """Whether a line has the defect; None where there is no such line."""
    place = 0 if side is None else "AB".index(side)
    bad, shown = task.data["bad"], task.data["responses"]
    if (side is None) != (len(bad) == 1) or number > shown[place].count("\n") + 1:
        return None
    return number in bad[place]
