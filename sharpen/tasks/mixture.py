"""Several sources as one, question by question in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sharpen.errors import SharpenError
from sharpen.tasks.outside import Outside
from sharpen.tasks.task import Checked, Task, TaskSource, TooFew

FROM = "source"
"""Of a task's data: which of the sources it is from, counted from 0."""


class Mixture:
    """``mix:chain:level=1|order:level=1``: the first source's first question, the second's first, the first's
    second, and so on. Each is judged by its own source.

    Args:
        sources: two or more. A question that an earlier one already gave is passed over.

    Raises:
        SharpenError: fewer than two sources, or one whose check needs processes of its own.
    """

    name = "mix"

    def __init__(self, sources: Sequence[TaskSource]) -> None:
        if len(sources) < 2:
            raise SharpenError("mix: write two sources or more, mix:chain:level=1|order:level=1")
        for source in sources:
            if isinstance(source, Outside | Mixture):
                raise SharpenError(f"mix: {source.name!r} cannot be mixed: take own families and files")
        self.sources = tuple(sources)
        self._items: dict[str, list[Task]] = {}
        self._taken: dict[str, list[int]] = {}
        self._seen: dict[str, set[str]] = {}

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity of this source."""
        return {"mix": [source.spec for source in self.sources]}

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split; see ``TaskSource.take``."""
        items = self._items.setdefault(split, [])
        taken = self._taken.setdefault(split, [0] * len(self.sources))
        seen = self._seen.setdefault(split, set())
        while len(items) < start + n:
            number = len(items) % len(self.sources)
            source = self.sources[number]
            try:
                (task,) = source.take(split, 1, start=taken[number])
            except TooFew as e:
                raise TooFew(self.name, split, len(items), start + n, f": {source.name} has no more") from e
            taken[number] += 1
            if (form := source.canonical(task)) not in seen:
                seen.add(form)
                items.append(replace(task, id=f"{number}/{task.id}", data={**task.data, FROM: number}))
        return items[start : start + n]

    def verify(self, task: Task, completion: str) -> Checked:
        """The judgment of the source that the task is from."""
        source, own = self._own(task)
        return source.verify(own, completion)

    def has_answer(self, completion: str) -> bool:
        """Whether any of the sources finds an answer."""
        return any(source.has_answer(completion) for source in self.sources)

    def canonical(self, task: Task) -> str:
        """The question in its own source's canonical form."""
        source, own = self._own(task)
        return source.canonical(own)

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """See ``TaskSource.canonical_answer``."""
        source, own = self._own(task)
        return source.canonical_answer(own, completion)

    def _own(self, task: Task) -> tuple[TaskSource, Task]:
        """The source that a task is from, and the task as it gave it."""
        data = dict(task.data)
        number = data.pop(FROM)
        return self.sources[number], replace(task, id=task.id.partition("/")[2], data=data)
