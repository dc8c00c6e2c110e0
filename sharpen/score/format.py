"""Whether a completion has the form that was asked for, whatever its answer: alone, or beside correctness.

A form is a list of pieces that follow each other. White space may stand between them, other text only where a
piece says so:

- ``<think>``: a block ``<think>...</think>``, and likewise for any name; ``OPEN...CLOSE`` where the two
  marks are written otherwise, ``...CLOSE`` for a block that is open from the start. Each mark stands exactly
  once in the whole text, and something that can be seen stands between them;
- ``answer``: the final answer (see ``answers.final_place``); ``box`` or ``line``: it is in a box, or on a
  line ``Answer: X``;
- ``json``: one JSON object;
- ``text``: text that can be seen; ``any``: text or none.

So ``any,answer`` asks for nothing after the answer, ``<think>,text`` for a reply after the thinking (RLVER,
arXiv 2507.03112), ``<think>,<answer>`` for nothing beside the two blocks (R1, arXiv 2501.12948), ``json`` for
an object and no word more (Shop-R1, arXiv 2507.17842).
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, permutations
from typing import Any, NamedTuple

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Episode
from sharpen.score.answers import Place, final_place
from sharpen.score.group import Group, completion_text
from sharpen.score.verdict import Verdict
from sharpen.score.verify import Closes, Prepares, Verifier, mark_truncated
from sharpen.tasks.task import Task

DEFAULT = "any,answer"
_ANSWERS, _GAPS = ("answer", "box", "line"), ("any", "text", "json")
_TAG = re.compile(r"<([\w|.:-]+)>")


class _Block(NamedTuple):
    """What stands between two marks; an empty ``opened`` is the start of the text."""

    opened: str
    closed: str


@dataclass(frozen=True)
class Form:
    """A form, written as pieces separated by commas; see the module for the pieces.

    Raises SharpenError for an unknown piece, and for a form that no text has: an answer or a mark asked for
    twice, two pieces of free text that meet, or a block that is open from the start but not the first piece.
    """

    written: str = DEFAULT

    def __post_init__(self) -> None:
        pieces = self._pieces()
        blocks = [p for p in pieces if isinstance(p, _Block)]
        marks = [mark for b in blocks for mark in b if mark]
        if any(a in b for a, b in permutations(marks, 2)):
            raise SharpenError(f"format {self.written!r}: no mark may stand twice, or inside another")
        if sum(p in _ANSWERS for p in pieces) > 1:
            raise SharpenError(f"format {self.written!r}: there is one final answer")
        if any(a in _GAPS and b in _GAPS for a, b in pairwise(pieces)):
            raise SharpenError(f"format {self.written!r}: free text follows free text")
        if any(not b.opened and b is not pieces[0] for b in blocks):
            raise SharpenError(f"format {self.written!r}: a block without an opening mark comes first")

    def problem(self, text: str) -> str:
        """What is wrong with the form of ``text``, one line; ``""`` where nothing is. Never raises; takes
        time linear in the text."""
        pieces = self._pieces()
        answer = final_place(text) if any(p in _ANSWERS for p in pieces) else None
        at, gap, before = 0, "", "at the start"
        for piece in pieces:
            if piece in _GAPS:
                gap = str(piece)
                continue
            found = _block(text, piece) if isinstance(piece, _Block) else _answer(answer, piece)
            if isinstance(found, str):
                return found
            name = piece.closed if isinstance(piece, _Block) else piece
            if found[0] < at:
                return f"{name} comes before what it should follow"
            if wrong := _gap(text[at : found[0]], gap):
                return f"{wrong} {before}"
            at, gap, before = found[1], "", f"after {name}"
        wrong = _gap(text[at:], gap)
        return f"{wrong} {before}" if wrong else ""

    def _pieces(self) -> list[_Block | str]:
        return [_piece(p.strip()) for p in self.written.split(",")]


def _piece(written: str) -> _Block | str:
    if written in _ANSWERS or written in _GAPS:
        return written
    if tag := _TAG.fullmatch(written):
        return _Block(written, f"</{tag[1]}>")
    opened, dots, closed = written.partition("...")
    if not dots or not closed or opened == closed:
        raise unknown("piece of a format", written, (*_ANSWERS, *_GAPS, "<think>", "<answer>"))
    return _Block(opened, closed)


def _block(text: str, block: _Block) -> tuple[int, int] | str:
    """Bounds of a block, or what is wrong with it."""
    for mark in filter(None, block):
        times = text.count(mark)
        if times != 1:
            return f"{mark} stands {times} times" if times else f"no {mark}"
    start, end = text.index(block.opened), text.index(block.closed)
    if end < start + len(block.opened):
        return f"{block.closed} comes before {block.opened}"
    if not _seen(text[start + len(block.opened) : end]):
        return f"nothing before {block.closed}"
    return start, end + len(block.closed)


def _answer(place: Place | None, kind: str) -> tuple[int, int] | str:
    if place is None:
        return "no final answer"
    if kind not in ("answer", place.kind):
        return f"the final answer is in a {place.kind}, not in a {kind}"
    return place.start, place.end


def _gap(text: str, kind: str) -> str:
    """What is wrong with the text between two pieces, where ``kind`` says what may stand."""
    if kind == "text":
        return "" if _seen(text) else "no text"
    if kind == "json":
        return "" if _is_object(text) else "no JSON object"
    return f"other text ({text.strip()[:40]!r})" if not kind and text.strip() else ""


def _seen(text: str) -> bool:
    """Whether a text shows anything: not only white space, control and zero-width characters."""
    # two letters that show nothing: the Hangul filler and the empty Braille pattern
    return any(unicodedata.category(c)[0] not in "CZ" and c not in "\u3164\u2800" for c in text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_no_constant), dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class FormatVerifier:
    """1.0 where a completion (prefill included) has the form, else 0.0 and why not. It reads no gold."""

    form: Form = field(default_factory=Form)
    name: str = "format"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"verifier": self.name, "form": self.form.written}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        problem = self.form.problem(completion_text(episode))
        score = float(not problem)
        verdict = Verdict(score, by=self.name, detail=problem, parts={"format": score})
        return mark_truncated(verdict, episode, answered=not problem)


@dataclass(frozen=True)
class WithFormat:
    """Another verifier's reward, with a reward for the form. Accuracy stays the other verifier's.

    Attributes:
        outcome: judges the answer.
        form: what is asked for.
        bonus: added to the outcome's score where the completion has the form.
        malformed: the whole score where it does not; None leaves the outcome's. 0 is the rule of RLVER and
            Shop-R1 (arXiv 2507.03112, 2507.17842).
    """

    outcome: Verifier
    form: Form
    bonus: float = 0.0
    malformed: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bonus) and math.isfinite(self.malformed or 0.0)):
            raise SharpenError(f"format: bonus={self.bonus}, malformed={self.malformed} must be finite")

    @property
    def name(self) -> str:
        """Both verifiers' names."""
        return f"{self.outcome.name}+format"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        rewards = {"form": self.form.written, "bonus": self.bonus, "malformed": self.malformed}
        return {"verifier": "with_format", "outcome": self.outcome.spec, **rewards}

    def prepare(self, groups: Sequence[Group]) -> None:
        """Let the outcome judge these groups at once, where it can."""
        if isinstance(self.outcome, Prepares):
            self.outcome.prepare(groups)

    def close(self) -> None:
        """End the outcome's processes, where it has any."""
        if isinstance(self.outcome, Closes):
            self.outcome.close()

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        outcome = self.outcome(task=task, episode=episode)
        problem = self.form.problem(completion_text(episode))
        if outcome.status.unknown:
            return replace(outcome, by=self.name, parts={"format": float(not problem)})
        parts = {**outcome.parts, "correct": float(outcome.correct), "format": float(not problem)}
        score = outcome.score
        if not problem:
            score += self.bonus
        elif self.malformed is not None:
            score = self.malformed
        return replace(outcome, score=score, by=self.name, detail=problem or outcome.detail, parts=parts)
