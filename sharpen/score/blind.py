"""A verifier that never sees what confidence was stated: it judges the answer, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sharpen.sample.episode import Episode
from sharpen.score.confidence import gradable
from sharpen.score.group import Group
from sharpen.score.verdict import Verdict
from sharpen.score.verify import Closes, Prepares, Verifier
from sharpen.tasks.task import Task


@dataclass(frozen=True)
class Blind:
    """``verifier`` over texts from which tags ``<confidence>`` and lines ``Confidence: X`` are taken out, and
    in which an ``<answer>`` is an answer line."""

    verifier: Verifier

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": "stated", "of": self.verifier.spec}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        return self.verifier(task=task, episode=blinded(episode))

    def prepare(self, groups: Sequence[Group]) -> None:
        """Hand over many groups at once to a verifier that takes them so."""
        if isinstance(self.verifier, Prepares):
            self.verifier.prepare([replace(g, episodes=tuple(map(blinded, g.episodes))) for g in groups])

    def close(self) -> None:
        """End the verifier's processes, where it has some."""
        if isinstance(self.verifier, Closes):
            self.verifier.close()


def blinded(episode: Episode) -> Episode:
    """The episode with ``gradable`` text (prefill included); its tokens stay."""
    return replace(episode, prefill="", text=gradable(episode.prefill + episode.text))
