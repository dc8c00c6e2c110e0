"""Verifiers whose check reads untrusted text with a library that may hang: judged in the killable pool."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.errors import missing
from sharpen.sample.episode import Episode
from sharpen.score.group import Group, completion_text
from sharpen.score.pool import Outcome, Pool
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import mark_truncated
from sharpen.tasks.task import Task

ENDS = {"timeout": Status.TIMEOUT, "raised": Status.CRASH, "memory": Status.CRASH, "crash": Status.CRASH}
"""The status of a check that did not answer, by how its call ended."""


@dataclass(eq=False)
class PooledVerifier:
    """A check ``(gold, completion) -> {"score", "status", "detail"}`` in worker processes.

    ``prepare`` judges many answers at once; each distinct one is judged once. Call ``close`` when done: the
    workers end, what was judged stays.

    Attributes:
        name: the verifier's name.
        target: the check, ``module:function``.
        library: the distribution that it rests on, whose version is part of the identity.
        cpu_seconds, memory_mib, workers: see ``Pool``.
    """

    name: str
    target: str
    library: str
    cpu_seconds: float = 2.0
    memory_mib: int = 1024
    workers: int | None = None
    _pool: Pool | None = field(default=None, repr=False)
    _known: dict[tuple[str, str], Outcome] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity. SharpenError where the library is missing."""
        try:
            version = importlib.metadata.version(self.library)
        except importlib.metadata.PackageNotFoundError:
            raise missing(f"verifier {self.name}", self.library, self.name) from None
        return {
            "verifier": self.name,
            self.library: version,
            "cpu_seconds": self.cpu_seconds,
            "memory_mib": self.memory_mib,
        }

    def prepare(self, groups: Sequence[Group]) -> None:
        """Judge all episodes of some groups."""
        self._judge((g.task.answer, completion_text(e)) for g in groups for e in g.episodes)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _judge(self, pairs: Iterable[tuple[str, str]]) -> None:
        new = [p for p in dict.fromkeys(pairs) if p not in self._known]
        if not new:
            return
        if self._pool is None:
            limits = {"cpu_seconds": self.cpu_seconds, "memory_mib": self.memory_mib}
            self._pool = Pool(self.target, workers=self.workers, **limits)  # type: ignore[arg-type]
        found = self._pool.map([{"gold": gold, "completion": text} for gold, text in new])
        self._known.update(zip(new, found, strict=True))

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        pair = (task.answer, completion_text(episode))
        self._judge([pair])
        outcome = self._known[pair]
        if outcome.how != "answered":
            return Verdict(0.0, ENDS[outcome.how], by=self.name, detail=str(outcome.value)[:200])
        said = outcome.value
        status = Status(said["status"])
        verdict = Verdict(
            said["score"], status, by=self.name, detail=said["detail"], parts={"correct": said["score"]}
        )
        return mark_truncated(verdict, episode, status is not Status.UNPARSABLE)


def maths_verifier(*, cpu_seconds: float = 2.0, workers: int | None = None) -> PooledVerifier:
    """Mathematical equality in tiers, see ``sharpen.score.maths``. SharpenError without Math-Verify."""
    made = PooledVerifier("maths", "sharpen.score.maths:check", "math-verify", cpu_seconds, workers=workers)
    assert made.spec  # said before anything is written
    return made
