"""A verifier that reads another text than the one that was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sharpen.sample.episode import Episode
from sharpen.score.group import Group
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import Closes, Prepares, Verifier, mark_truncated
from sharpen.tasks.task import Task


@dataclass(frozen=True)
class Through:
    """``verifier`` over what a subclass shows it of an episode; where that is nothing, ``unparsable``."""

    verifier: Verifier

    kind: ClassVar[str]
    """Its name in ``spec``."""
    nothing: ClassVar[str] = ""
    """Why there is nothing to show."""

    def shown(self, episode: Episode) -> Episode | None:
        """The episode as the verifier sees it, None where it should see none; its tokens stay."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": self.kind, "of": self.verifier.spec}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        seen = self.shown(episode)
        if seen is not None:
            return self.verifier(task=task, episode=seen)
        verdict = Verdict(0.0, Status.UNPARSABLE, self.name, detail=self.nothing, parts={"correct": 0.0})
        return mark_truncated(verdict, episode, False)

    def prepare(self, groups: Sequence[Group]) -> None:
        """Hand over many groups at once to a verifier that takes them so."""
        if isinstance(self.verifier, Prepares):
            self.verifier.prepare(
                [replace(g, episodes=tuple(self.shown(e) or e for e in g.episodes)) for g in groups]
            )

    def close(self) -> None:
        """End the verifier's processes, where it has some."""
        if isinstance(self.verifier, Closes):
            self.verifier.close()
