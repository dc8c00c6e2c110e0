"""The check of a task source that comes from another library, run in processes that can be killed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sharpen.sample.episode import Episode
from sharpen.score.answers import has_answer
from sharpen.score.group import Group, completion_text
from sharpen.score.pool import Outcome, Pool
from sharpen.score.pooled import ENDS
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import mark_truncated
from sharpen.tasks.task import Task


@runtime_checkable
class JudgedApart(Protocol):
    """A source whose check is other people's code: see ``sharpen.tasks.outside.Outside``."""

    name: str
    judge: str
    setup: Mapping[str, Any]

    @property
    def spec(self) -> dict[str, Any]: ...
    def job(self, task: Task, completion: str) -> dict[str, Any]: ...


@dataclass(eq=False)
class OutsideVerifier:
    """The source's judgment: score and parts as the library gives them.

    ``prepare`` judges many answers at once; each distinct one is judged once. An exception or a dead process
    is ``crash``, too much time ``timeout``. Call ``close`` when done: the workers end, what was judged stays.

    Attributes:
        source: the task source.
        cpu_seconds, memory_mib, workers: see ``Pool``; loading the library does not count.
    """

    source: JudgedApart
    cpu_seconds: float = 10.0
    memory_mib: int = 1024
    workers: int | None = None
    _pool: Pool | None = field(default=None, repr=False)
    _known: dict[tuple[str, str], Outcome] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        limits = {"cpu_seconds": self.cpu_seconds, "memory_mib": self.memory_mib}
        return {"verifier": "source", "source": self.source.spec, **limits}

    def prepare(self, groups: Sequence[Group]) -> None:
        """Judge all episodes of some groups."""
        self._judge((g.task, completion_text(e)) for g in groups for e in g.episodes)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _judge(self, asked: Iterable[tuple[Task, str]]) -> None:
        new = {(task.id, text): task for task, text in asked if (task.id, text) not in self._known}
        if not new:
            return
        if self._pool is None:
            limits = {"cpu_seconds": self.cpu_seconds, "memory_mib": self.memory_mib}
            self._pool = Pool(self.source.judge, workers=self.workers, setup=self.source.setup, **limits)  # type: ignore[arg-type]
        found = self._pool.map([self.source.job(task, text) for (_, text), task in new.items()])
        self._known.update(zip(new, found, strict=True))

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        text = completion_text(episode)
        self._judge([(task, text)])
        outcome = self._known[task.id, text]
        if outcome.how != "answered":
            return Verdict(0.0, ENDS[outcome.how], by=self.name, detail=str(outcome.value)[:200])
        said = outcome.value
        status = Status(said["status"])
        verdict = Verdict(said["score"], status, by=self.name, detail=said["detail"], parts=said["parts"])
        answered = verdict.correct or (status is not Status.UNPARSABLE and has_answer(text))
        return mark_truncated(verdict, episode, answered)
