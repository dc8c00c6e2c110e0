"""Own procedural families: endless items, pure in (family, configuration, seed, split, index)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.runs.streams import stream
from sharpen.tasks.splits import split_of
from sharpen.tasks.task import Checked, Task, TooFew

Config = TypeVar("Config")

ANSWER = "Answer: "
"""Marks the final answer of every own family; it opens the last line of a completion."""

_ANSWER_LINE = re.compile(r"^Answer: ([^\n]{1,200})\Z", re.MULTILINE)
# a split with fewer items than asked for shows itself as a long run of repeats
_PATIENCE = 20_000


def final_answer(completion: str) -> str | None:
    """What follows ``Answer: `` on the last line, or None where the last line is not an answer.

    Only one answer counts: text with two answer lines has not made up its mind.
    """
    if completion.count(ANSWER) != 1:
        return None
    found = _ANSWER_LINE.search(completion)
    return found.group(1) if found else None


def number_answer(completion: str, form: re.Pattern[str]) -> str | None:
    """The final answer where it is an integer written as ``form``, in canonical form, else None."""
    found = final_answer(completion)
    return str(int(found)) if found is not None and form.fullmatch(found) else None


def checked_number(task: Task, found: str | None) -> Checked:
    """The judgment of an integer answer in canonical form; None is a completion without one."""
    if found is None:
        return Checked(False, "unparsable", "no number on the answer line")
    right = int(found) == int(task.answer)
    return Checked(right, detail="" if right else f"{found} is not {task.answer}")


def derivation(completion: str) -> list[str]:
    """The lines before the answer line."""
    return completion.split(ANSWER)[0].splitlines()


def same_equations(task: Task, completion: str) -> str:
    """Names a completion by its ordered steps: two with equal ones reason alike (RFT's identity)."""
    return "\n".join(line.replace(" ", "") for line in derivation(completion))


@dataclass(frozen=True, slots=True)
class Item:
    """What a family draws: the question and its worked solution.

    ``solution`` ends with the answer line; ``data`` is what the checker needs, JSON values only.
    """

    prompt: str
    answer: str
    solution: str
    data: Mapping[str, Any]


class Family(Generic[Config]):
    """A procedural source. A subclass says how to draw an item, check a completion and name it.

    Levels are named configurations: ``level=2`` picks one, further parameters change single fields.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    levels: ClassVar[Mapping[int, Any]]
    default_level: ClassVar[int] = 2

    def __init__(self, *, level: int | None = None, seed: int = 0, **fields: Any) -> None:
        level = self.default_level if level is None else level
        if level not in self.levels:
            raise SharpenError(f"{self.name}: level {level!r} is unknown; levels: {sorted(self.levels)}")
        base: Config = self.levels[level]
        known = asdict(base)  # type: ignore[call-overload]
        for key, value in fields.items():
            if key not in known:
                raise unknown(f"parameter of {self.name}", key, [*known, "level", "seed"])
            if type(value) is not type(known[key]):
                raise SharpenError(
                    f"{self.name}: {key}={value!r} should be of type {type(known[key]).__name__}"
                )
        self.config: Config = replace(base, **fields)  # type: ignore[type-var]
        self.seed = seed
        self._items: dict[str, list[Task]] = {}
        self._seen: dict[str, set[str]] = {}
        self._drawn: dict[str, int] = {}

    # what a family must say ------------------------------------------------------------------
    def draw(self, rng: np.random.Generator) -> Item | None:
        """One item, or None where this draw leads nowhere (another is then tried)."""
        raise NotImplementedError

    def verify(self, task: Task, completion: str) -> Checked:
        """Judge a completion; never raises, whatever the text."""
        raise NotImplementedError

    def has_answer(self, completion: str) -> bool:
        """Whether a completion ends with an answer line."""
        return final_answer(completion) is not None

    def steps(self, task: Task, completion: str) -> list[bool]:
        """Whether each line before the answer is a valid step; unreadable lines are not."""
        raise NotImplementedError

    def canonical(self, task: Task) -> str:
        """The question in canonical form."""
        raise NotImplementedError

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """A completion's answer in canonical form, None where there is none."""
        raise NotImplementedError

    def equations(self, completion: str) -> list[str]:
        """The reasoning steps whose variety ``measure`` counts: the derivation's lines."""
        return derivation(completion)

    # what every family shares ------------------------------------------------------------------
    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity of this source."""
        return {"family": self.name, "seed": self.seed, **asdict(self.config)}  # type: ignore[call-overload]

    @cached_property
    def _identity(self) -> str:
        return str(sorted(self.spec.items()))

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split; see ``TaskSource.take``."""
        items = self._items.setdefault(split, [])
        seen = self._seen.setdefault(split, set())
        repeats = 0
        while len(items) < start + n:
            index = self._drawn.get(split, 0)
            self._drawn[split] = index + 1
            task = self._try(split, index, len(items))
            if task is None or (form := self.canonical(task)) in seen or split_of(form) != split:
                repeats += 1
                if repeats > _PATIENCE:
                    raise TooFew(self.name, split, len(items), start + n)
                continue
            repeats = 0
            seen.add(form)
            items.append(task)
        return items[start : start + n]

    def _try(self, split: str, index: int, position: int) -> Task | None:
        rng = stream("task", self.name, self._identity, split, index).generator()
        item = self.draw(rng)
        if item is None:
            return None
        data = {**item.data, "solution": item.solution}
        return Task(f"{self.name}-{split}-{position}", item.prompt, item.answer, data)
