"""Answers behind thinking: ``verifier=thought:NAME``, or ``sharpen.score.thought:number_after``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from sharpen.sample.episode import Episode
from sharpen.score.answers import extract_answer, same_number
from sharpen.score.through import Through

CLOSED = "</think>"


def number_after(prompt: str, completion: str, answer: str) -> float:
    """1.0 where the final answer behind the last ``</think>`` is the same number as ``answer``, on the same
    line or a later one; 0.0 where it is not, or nothing was closed."""
    _, closed, said = completion.rpartition(CLOSED)
    found = extract_answer(said.lstrip()) if closed else None
    return float(found is not None and same_number(gold=answer, answer=found))


def behind(text: str) -> str | None:
    """The final answer that stands behind the first ``</think>`` of a text, None where there is none."""
    _, closed, said = text.partition(CLOSED)
    return extract_answer(said.lstrip()) if closed else None


@dataclass(frozen=True)
class BehindThought(Through):
    """``verifier`` over what stands behind the first ``</think>``; without one ``unparsable``."""

    kind: ClassVar[str] = "thought"
    nothing: ClassVar[str] = "the thinking was not closed"

    def shown(self, episode: Episode) -> Episode | None:
        """See ``said_after``."""
        return said_after(episode)


def said_after(episode: Episode) -> Episode | None:
    """The episode with the text behind its first ``</think>`` alone (its tokens stay), None without one."""
    _, closed, said = (episode.prefill + episode.text).partition(CLOSED)
    return replace(episode, prefill="", text=said.lstrip()) if closed else None
