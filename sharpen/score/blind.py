"""A verifier that never sees what confidence was stated: it judges the answer, whatever stands beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from sharpen.sample.episode import Episode
from sharpen.score.confidence import gradable
from sharpen.score.through import Through


@dataclass(frozen=True)
class Blind(Through):
    """``verifier`` over texts from which tags ``<confidence>`` and lines ``Confidence: X`` are taken out, and
    in which an ``<answer>`` is an answer line."""

    kind: ClassVar[str] = "stated"

    def shown(self, episode: Episode) -> Episode:
        """See ``blinded``."""
        return blinded(episode)


def blinded(episode: Episode) -> Episode:
    """The episode with ``gradable`` text (prefill included); its tokens stay."""
    return replace(episode, prefill="", text=gradable(episode.prefill + episode.text))
