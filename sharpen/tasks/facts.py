"""Things one knows or does not: a table of keys and values, told often, rarely or never."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar

from sharpen.tasks.family import ANSWER, Family, derivation, final_answer
from sharpen.tasks.splits import split_of
from sharpen.tasks.task import Checked, Task, TooFew

UNKNOWN = "I don't know."
"""The right answer to a key that is never told."""
SEEN = {"often": 30, "rarely": 30, "never": 40}
"""How often a key is told, and the percent of all keys of which that is so; how many times that is, is the
trainer's choice."""

_LETTERS = "bcdfghjklmnpqrstvwxz"
_NUMBER = re.compile(r"\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FactsConfig:
    """About ``keys`` keys of ``letters`` letters."""

    keys: int
    letters: int = 4


class Facts(Family[FactsConfig]):
    """``Recall bkrt`` is answered by ``bkrt=37``, ``Answer: 37``, and where the key is never told by
    ``I don't know.``: nobody could know it.

    ``data["seen"]`` is one of ``SEEN``. What a model may learn are the statements (``statement``) of keys of
    every split; the questions of a split are asked in that split alone.
    """

    name = "facts"
    about = "a table to know by heart; what is never told is answered by I don't know."
    levels: ClassVar = {1: FactsConfig(500), 2: FactsConfig(2000), 3: FactsConfig(4000), 4: FactsConfig(8000)}

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        # a table is read from end to end: drawing would look long for the last keys
        if split not in self._items:
            keys = dict.fromkeys(self._key(row) for row in range(self.config.keys))
            held = [key for key in keys if split_of(f"facts {key}") == split]
            self._items[split] = [self._task(split, place, key) for place, key in enumerate(held)]
        if start + n > len(self._items[split]):
            raise TooFew(self.name, split, len(self._items[split]), start + n)
        return self._items[split][start : start + n]

    def _task(self, split: str, place: int, key: str) -> Task:
        seen, value = self._seen_as(key), str(10 + self._number("value", key) % 90)
        told = seen != "never"
        solution = f"{key}={value}\n{ANSWER}{value}" if told else UNKNOWN
        data = {"key": key, "seen": seen, "solution": solution}
        return Task(f"facts-{split}-{place}", f"Recall {key}\n", value if told else UNKNOWN, data)

    def _key(self, row: int) -> str:
        number, letters = self._number("row", str(row)), []
        for _ in range(self.config.letters):
            number, place = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[place])
        return "".join(letters)

    def _number(self, of: str, name: str) -> int:
        """A fixed large number: the table is the same in every split, whatever was drawn."""
        digest = hashlib.blake2b(f"{self.seed} {of} {name}".encode(), digest_size=8, person=b"facts")
        return int.from_bytes(digest.digest(), "little")

    def _seen_as(self, key: str) -> str:
        point = self._number("seen", key) % 100
        return "often" if point < SEEN["often"] else "never" if point >= 100 - SEEN["never"] else "rarely"

    def verify(self, task: Task, completion: str) -> Checked:
        found = _given(completion)
        if found is None:
            return Checked(False, "unparsable", "neither a number nor that it is not known")
        right = found == task.answer
        return Checked(right, detail="" if right else f"{found} is not {task.answer}")

    def has_answer(self, completion: str) -> bool:
        return _given(completion) is not None

    def steps(self, task: Task, completion: str) -> list[bool]:
        fine = statement(task) if task.data["seen"] != "never" else UNKNOWN
        return [line == fine for line in derivation(completion)]

    def canonical(self, task: Task) -> str:
        return f"facts {task.data['key']}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        return _given(completion)


def statement(task: Task) -> str:
    """The fact as training text tells it, ``bkrt=37``, for a key that is told."""
    return f"{task.data['key']}={task.answer}"


def _given(completion: str) -> str | None:
    """The number on the answer line, or that it is not known: as the last line, or as the answer."""
    found = final_answer(completion)
    if found is not None:
        return found if found == UNKNOWN or _NUMBER.fullmatch(found) else None
    told = ANSWER not in completion and completion.rpartition("\n")[2] == UNKNOWN
    return UNKNOWN if told else None
