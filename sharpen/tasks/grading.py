"""Responses with planted defects, to be graded by a criterion: what a judge can be measured on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.family import Family, Item
from sharpen.tasks.ratings import HIGHEST, MARKER, checked, read_verdict
from sharpen.tasks.task import Checked, Task

CRITERIA = ("sums", "units", "labels", "order")
"""What a line can fail: its sum is wrong; its unit is not m; it has no label; its first number is below that
of the line before."""

UNIT, OTHERS = "m", "kst"
_STEP = re.compile(r"(?:([AB]) )?([1-9]) (ok|bad)")


@dataclass(frozen=True, slots=True)
class GradingConfig:
    """Responses of ``lines`` sums of numbers up to ``most``; each kind of defect is in 0 to 4 of them.
    ``criteria``: what may be asked about, with ``+`` between; ``sums-units`` asks for lines that fail in one
    or the other. ``pairs``: two responses are compared instead of one graded."""

    lines: int
    most: int
    criteria: str
    pairs: bool = False


Line = tuple[str, ...]
"""The defects of a line."""


class Grading(Family[GradingConfig]):
    """``Grade units`` and the lines of a response, ``1) 12+7=19 m``, are answered by what each line is by
    that criterion, ``1 ok``, ``2 bad``, and ``[RESULT] 4``: five less the bad lines. Other defects do not
    count. ``Grade sums units`` asks for both. With ``pairs`` the lines of two responses are judged,
    ``A 1 ok``, and ``[RESULT] B`` is the better one. ``Score units`` (``bare``) asks for the verdict alone.
    """

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
        asked = [tuple(one.split("-")) for one in c.criteria.split("+")]
        alone = [len({*kinds}) == len(kinds) and {*kinds} <= {*CRITERIA} for kinds in asked]
        if not all(alone) or len({frozenset(kinds) for kinds in asked}) < len(asked):
            raise SharpenError(
                f"grading: criteria={c.criteria!r} should be some of {'+'.join(CRITERIA)}, each once, or "
                "several at a time, as in sums-units"
            )
        if not 5 <= c.lines <= 9 or not 5 <= c.most <= 99:
            raise SharpenError(f"grading: lines={c.lines} should be 5 to 9, most={c.most} 5 to 99")

    def draw(self, rng: np.random.Generator) -> Item | None:
        asked = self.config.criteria.split("+")
        kinds = asked[int(rng.integers(len(asked)))].split("-")
        sides = [self._asked(kinds, rng) for _ in range(1 + self.config.pairs)]
        bad = [[i for i, line in enumerate(lines, 1) if {*kinds} & {*line}] for _, lines in sides]
        if max(map(len, bad)) >= HIGHEST or (self.config.pairs and len(bad[0]) == len(bad[1])):
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
        data = {"criterion": " ".join(kinds), "responses": [text for text, _ in sides], "bad": bad}
        return Item(_prompt("Grade", data), verdict, "\n".join([*judged, f"{MARKER} {verdict}"]), data)

    def bare(self, task: Task) -> Task:
        """The task that asks for the verdict alone, without a judgment of lines."""
        data = {**task.data, "solution": f"{MARKER} {task.answer}"}
        return replace(task, id=f"{task.id}/bare", prompt=_prompt("Score", data), data=data)

    def sides(self, task: Task) -> tuple[Task, Task]:
        """The responses of a task of ``pairs``, each to be graded alone; the better one first."""
        found = []
        for text, bad in zip(task.data["responses"], task.data["bad"], strict=True):
            data = {"criterion": task.data["criterion"], "responses": [text], "bad": [bad]}
            name, score = f"{task.id}/side-{len(found)}", str(HIGHEST - len(bad))
            found.append(replace(task, id=name, prompt=_prompt("Grade", data), answer=score, data=data))
        return (found[0], found[1]) if task.answer == "A" else (found[1], found[0])

    def exchanged(self, task: Task) -> Task:
        """A task of ``pairs`` with its responses the other way round: what a judge that goes by the place
        answers as before. SharpenError for a task without two responses."""
        if len(task.data["responses"]) != 2:
            raise SharpenError("grading: only a task of pairs=true can be exchanged")
        data = {**task.data, **{k: list(reversed(task.data[k])) for k in ("responses", "bad")}}
        verdict = {"A": "B", "B": "A"}[task.answer]
        turned = {"A": "B", "B": "A", MARKER: MARKER}
        lines = [
            f"{turned[line.split()[0]]} {line.partition(' ')[2]}"
            for line in (task.solution or "").splitlines()[:-1]
        ]
        half = len(lines) // 2
        data["solution"] = "\n".join([*lines[half:], *lines[:half], f"{MARKER} {verdict}"])
        prompt, name = _prompt("Grade", data), f"{task.id}/exchanged"
        return replace(task, id=name, prompt=prompt, answer=verdict, data=data)

    def defects_named(self, task: Task, completion: str) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        """The lines that a judgment calls bad, and those that are, as (response, line). A line judged twice
        counts as it was judged last."""
        said: dict[tuple[int, int], bool] = {}
        for line in self.equations(completion):
            found = _STEP.fullmatch(line)
            if found is not None and _bad(task, found[1], int(found[2])) is not None:
                said["AB".index(found[1] or "A"), int(found[2])] = found[3] == "bad"
        true = {(side, i) for side, lines in enumerate(task.data["bad"]) for i in lines}
        return {place for place, bad in said.items() if bad}, true

    def _asked(self, kinds: Sequence[str], rng: np.random.Generator) -> tuple[str, list[Line]]:
        """A response. Of several kinds together most would have more bad lines than the scale has, so a
        number of them is drawn first, and looked for."""
        n = int(rng.integers(HIGHEST)) if len(kinds) > 1 else None
        text, lines = self._response(rng)
        for _ in range(200):
            if n is None or sum(bool({*kinds} & {*line}) for line in lines) == n:
                break
            text, lines = self._response(rng)
        return text, lines

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
        return checked(self.canonical_answer(task, completion), task.answer)

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
        return read_verdict(completion, pair=self.config.pairs)


def _prompt(ask: str, data: Mapping[str, Any]) -> str:
    texts = data["responses"]
    shown = texts[0] if len(texts) == 1 else "A\n{}\nB\n{}".format(*texts)
    return f"{ask} {data['criterion']}\n{shown}\n"


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
