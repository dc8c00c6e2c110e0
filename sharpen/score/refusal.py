"""Saying "I don't know": who said it, after how much work, and verdicts that know it (arXiv 2410.07627).

One detector serves reward and evaluation alike. It reads the response, never the question.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Episode
from sharpen.score.answers import final_place
from sharpen.score.group import Groups
from sharpen.score.through import Through
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.task import Task

PHRASES = (
    "I don't know",
    "sorry",
    "too difficult",
    "unfortunate",
    "no answer",
    "uncertain",
    "not sure",
    "not certain",
    "not clear",
)
"""The authors' lists, of their reward and of their evaluation, as one."""


def lines(text: str) -> int:
    """Lines that say something, at least 1."""
    return max(1, sum(bool(line.strip()) for line in text.splitlines()))


def sentences(text: str) -> int:
    """Pieces between a full stop and the line break behind it, at least 1 (the paper's for MATH)."""
    return max(1, sum(bool(piece.strip()) for piece in re.split(r"\.[ \t]*\n", text)))


STEPS: dict[str, Callable[[str], int]] = {"lines": lines, "sentences": sentences}
"""What counts as a step of reasoning, by name."""


@lru_cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    words = (r"\s+".join(re.escape(w) for w in p.split()).replace("'", "['’ʼ]") for p in phrases)
    return re.compile(rf"\b(?:{'|'.join(words)})", re.IGNORECASE)


@dataclass(frozen=True)
class Refusals:
    """What is a refusal, and what a step.

    Attributes:
        phrases: a text with one of these refuses. Upper and lower case, apostrophes and white space are
            alike; a phrase begins at a word's beginning and may end inside one.
        steps: a name in ``STEPS``.

    Raises:
        SharpenError: no phrase, an empty one, an unknown way of counting steps.
    """

    phrases: tuple[str, ...] = PHRASES
    steps: str = "lines"

    def __post_init__(self) -> None:
        if not self.phrases or not all(p.strip() for p in self.phrases):
            raise SharpenError("refusals: each phrase needs a word, and one phrase is needed")
        if self.steps not in STEPS:
            raise unknown("way of counting steps", self.steps, STEPS)

    def said(self, text: str) -> bool:
        """Whether a response refuses, whatever answer it gives beside."""
        return _pattern(self.phrases).search(text) is not None

    def before(self, text: str) -> str:
        """The text up to the line that refuses; all of it where none does."""
        found = _pattern(self.phrases).search(text)
        return text if found is None else text[: text.rfind("\n", 0, found.start()) + 1]

    def effort(self, text: str) -> int:
        """Steps of reasoning: neither the line that refuses nor the final answer is one. At least 1."""
        return STEPS[self.steps](unanswered(self.before(text)))


def unanswered(text: str) -> str:
    """A text up to its first final answer."""
    while (place := final_place(text)) is not None:
        text = text[: place.start]
    return text


@dataclass(frozen=True)
class MayRefuse(Through):
    """``verifier``, where a response that refuses has the status ``refused`` and is not judged: neither right
    nor unparsable, also where it holds the right answer. What it was given as its start is not its own."""

    refusals: Refusals = Refusals()

    kind: ClassVar[str] = "may_refuse"

    @property
    def spec(self) -> dict[str, Any]:
        return {**super().spec, "phrases": list(self.refusals.phrases)}

    def shown(self, episode: Episode) -> Episode:
        """All of it."""
        return episode

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        if self.refusals.said(episode.text):
            return Verdict(0.0, Status.REFUSED, self.name, detail="says no answer", parts={"correct": 0.0})
        return super().__call__(task=task, episode=episode)


class Replies(NamedTuple):
    """Judged responses, in the table's order; every column ``(n,)``.

    ``group`` is a response's place in the table. ``known``: the verifier did not fail. ``steps``: see
    ``Refusals.effort``. ``certainty``: mean self-certainty, nats.
    """

    group: NDArray[np.int64]
    correct: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    known: NDArray[np.bool_]
    steps: NDArray[np.int64]
    certainty: NDArray[np.float64]


def replies(groups: Groups, refusals: Refusals) -> Replies:
    """The columns of groups that a ``MayRefuse`` has judged."""
    rows = [
        (g, v.correct, v.status is Status.REFUSED, not v.status.unknown, refusals.effort(text), certainty)
        for g, c in enumerate(groups.columns)
        for text, v, certainty in zip(c.texts, c.judged, c.certainty, strict=True)
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(Replies._fields)
    group, correct, refused, known, steps, certain = columns
    return Replies(
        np.array(group, np.int64),
        np.array(correct, np.bool_),
        np.array(refused, np.bool_),
        np.array(known, np.bool_),
        np.array(steps, np.int64),
        np.array(certain, np.float64),
    )
