"""Answers behind thinking: ``verifier=thought:NAME``, or ``sharpen.score.thought:number_after``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sharpen.sample.episode import Episode
from sharpen.score.answers import extract_answer, same_number
from sharpen.score.group import Group
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import Closes, Prepares, Verifier, mark_truncated
from sharpen.tasks.task import Task

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
class BehindThought:
    """``verifier`` over what stands behind the first ``</think>``; without one ``unparsable``."""

    verifier: Verifier

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": "thought", "of": self.verifier.spec}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        said = said_after(episode)
        if said is None:
            detail = "the thinking was not closed"
            verdict = Verdict(0.0, Status.UNPARSABLE, self.name, detail=detail, parts={"correct": 0.0})
            return mark_truncated(verdict, episode, False)
        return self.verifier(task=task, episode=said)

    def prepare(self, groups: Sequence[Group]) -> None:
        """Hand over many groups at once to a verifier that takes them so."""
        if isinstance(self.verifier, Prepares):
            self.verifier.prepare(
                [replace(g, episodes=tuple(said_after(e) or e for e in g.episodes)) for g in groups]
            )

    def close(self) -> None:
        """End the verifier's processes, where it has some."""
        if isinstance(self.verifier, Closes):
            self.verifier.close()


def said_after(episode: Episode) -> Episode | None:
    """The episode with the text behind its first ``</think>`` alone (its tokens stay), None without one."""
    _, closed, said = (episode.prefill + episode.text).partition(CLOSED)
    return replace(episode, prefill="", text=said.lstrip()) if closed else None
