"""Questions that need look-ups: facts about invented people, found only with the search tool."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.tasks.family import ANSWER, Family, Item, derivation, final_answer
from sharpen.tasks.task import Checked, Task

NOTHING = "nothing found"
"""What the tool says where it knows no such fact."""

_RELATIONS = ("boss", "friend", "teacher", "neighbour")
_TOWNS = ("arden", "borel", "cava", "delmont", "esker", "fenwick", "galt", "harlow", "irvine", "juno")
_FACT = re.compile(r"([a-z]+) of ([a-z]+)")
_STEP = re.compile(r"([a-z]+) of ([a-z]+) is ([a-z]+)")


@dataclass(frozen=True, slots=True)
class LookupConfig:
    """``people`` in the table; ``min_hops .. max_hops`` look-ups lead to the answer."""

    people: int
    min_hops: int
    max_hops: int


def search_in(table: Mapping[str, Mapping[str, str]]) -> Callable[[str], str]:
    """The search tool over a table of facts by person: it understands ``boss of mira``, wherever in the query
    that stands, and a name alone, of which it tells all."""

    def search(query: str) -> str:
        said = query.lower()
        for relation, person in _FACT.findall(said):
            if relation in table.get(person, {}):
                return f"{relation} of {person} is {table[person][relation]}"
        named = [w for w in re.findall(r"[a-z]+", said) if w in table]
        # a relation that is not there is nothing found, and no reason to tell everything
        if not named or _FACT.search(said):
            return NOTHING
        return "\n".join(f"{r} of {named[-1]} is {v}" for r, v in table[named[-1]].items())

    return search


class Lookup(Family[LookupConfig]):
    """``Lookup town of boss of mira`` is answered by ``boss of mira is tolu``, ``town of tolu is cava``,
    ``Answer: cava``. The table is each question's own, so there is nothing to know by heart."""

    name = "lookup"
    about = "facts about invented people, to be found with a search tool"
    levels: ClassVar = {
        1: LookupConfig(6, 1, 2),
        2: LookupConfig(8, 2, 3),
        3: LookupConfig(12, 3, 4),
        4: LookupConfig(16, 4, 6),
    }

    def draw(self, rng: np.random.Generator) -> Item | None:
        people = self._names(rng)
        table = {
            p: {
                **{r: people[int(rng.integers(len(people)))] for r in _RELATIONS},
                "town": _TOWNS[int(rng.integers(len(_TOWNS)))],
            }
            for p in people
        }
        hops = int(rng.integers(self.config.min_hops, self.config.max_hops + 1))
        at, asked, lines = people[0], people[0], []
        for i in range(hops):
            relation = "town" if i == hops - 1 else _RELATIONS[int(rng.integers(len(_RELATIONS)))]
            lines.append(f"{relation} of {at} is {table[at][relation]}")
            at, asked = table[at][relation], f"{relation} of {asked}"
        solution = "\n".join([*lines, ANSWER + at])
        return Item(f"Lookup {asked}\n", at, solution, {"table": table})

    def _names(self, rng: np.random.Generator) -> list[str]:
        consonants, vowels = "bdfgklmnprstvz", "aeiou"
        found: dict[str, None] = {}
        while len(found) < self.config.people:
            i = rng.integers((14, 5, 14, 5))
            name = "".join((consonants, vowels)[k % 2][int(x)] for k, x in enumerate(i))
            if name not in (*_RELATIONS, "town", *_TOWNS):
                found[name] = None
        return list(found)

    def search(self, task: Task) -> Callable[[str], str]:
        """The search tool over a question's table."""
        return search_in(task.data["table"])

    def verify(self, task: Task, completion: str) -> Checked:
        found = final_answer(completion)
        if found is None or not re.fullmatch(r"[a-z]+", found):
            return Checked(False, "unparsable", "no name on the answer line")
        right = found == task.answer
        return Checked(right, detail="" if right else f"{found} is not {task.answer}")

    def steps(self, task: Task, completion: str) -> list[bool]:
        table: Mapping[str, Any] = task.data["table"]
        found = [_STEP.fullmatch(line) for line in derivation(completion)]
        return [m is not None and table.get(m[2], {}).get(m[1]) == m[3] for m in found]

    def canonical(self, task: Task) -> str:
        # the same words over another table are another question
        table = task.data["table"]
        told = " ".join(f"{p}:{','.join(sorted(map('='.join, f.items())))}" for p, f in sorted(table.items()))
        return f"{str(task.prompt).strip()} {told}"

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        found = final_answer(completion)
        return found if found is not None and re.fullmatch(r"[a-z]+", found) else None
