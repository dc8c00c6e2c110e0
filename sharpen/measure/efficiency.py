"""How long reasoning is, how short it could be, and what a direction in hidden states tells of it
(arXiv 2506.15647)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Columns, Groups
from sharpen.select.pairs import Right, usable

REFLECTION_WORDS = ("wait", "alternatively", "but", "hmm", "check", "however")

_WORD = re.compile(rf"\b(?:{'|'.join(REFLECTION_WORDS)})\b", re.IGNORECASE)
_TRANSITION = re.compile(
    r"alternatively|think differently|another (?:way|approach|method|solution|strategy|technique)"
)
_REFLECTION = re.compile(
    r"wait|verify|make sure|hold on|think again|'s correct|'s incorrect|let me check|seems right"
)
_BLANK = re.compile(r"\n[ \t]*\n\s*")
_THOUGHT = re.compile(r"(?:<think>|^)(.*?)</think>", re.DOTALL)
_LOOP = re.compile(r"(.{1,60}?)\1{3,}\Z", re.DOTALL)
_LOOP_CHARACTERS = 16


# the room that there is ------------------------------------------------------------------------------
class Inherent(NamedTuple):
    """Shortest over longest right answer: the mean over questions with two right ones or more, the share of
    them below one half, and how many there are. None without any."""

    ratio: float | None
    below_half: float | None
    questions: int


def inherent_efficiency(groups: Groups, right: Right = usable) -> Inherent:
    """How much shorter the policy's own shortest right answers are than its longest."""
    ratios = [r for c in groups.columns if (r := length_ratio(c.lengths, right(c))) is not None]
    if not ratios:
        return Inherent(None, None, 0)
    return Inherent(float(np.mean(ratios)), float(np.mean([r < 0.5 for r in ratios])), len(ratios))


def length_ratio(lengths: ArrayLike, correct: ArrayLike) -> float | None:
    """``Lmin / Lmax`` over the right answers; None where fewer than two are right."""
    right = np.asarray(lengths)[np.asarray(correct, dtype=np.bool_)]
    return float(right.min() / right.max()) if len(right) > 1 else None


def reduction(tokens: float, base: float) -> float:
    """``1 - tokens / base``: the share of tokens saved, negative where there are more."""
    if not base > 0:
        raise SharpenError(f"reduction: a base of {base} tokens has nothing to save")
    return 1 - tokens / base


# directions ------------------------------------------------------------------------------------------
def sign_accuracy(short: ArrayLike, long: ArrayLike, direction: ArrayLike) -> float:
    """Share of pairs with ``<h(short) - h(long), v> > 0``; use pairs that the direction was not built from.

    Args:
        short, long: ``(pairs, H)``. direction: ``(H,)``.
    """
    a, b = np.asarray(short, dtype=np.float64), np.asarray(long, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        raise SharpenError(f"sign accuracy: states of shapes {a.shape} and {b.shape} are no pairs")
    return float(((a - b) @ np.asarray(direction, dtype=np.float64) > 0).mean())


def cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine of two vectors. SharpenError where one has norm 0."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    if not norm:
        raise SharpenError("cosine: a vector has norm 0")
    return float(x @ y) / norm


# what a trace is made of -----------------------------------------------------------------------------
class Phase(StrEnum):
    """What a segment of a trace does."""

    EXECUTION = "execution"
    REFLECTION = "reflection"
    TRANSITION = "transition"


def phases(trace: str) -> list[Phase]:
    """A phase for each segment of a trace, which is cut at blank lines. A segment that changes the approach
    and reflects is a transition. An empty trace has no segments. (Labels: EasySteer's replication of SEAL,
    arXiv 2504.07986.)"""
    found = []
    for segment in filter(None, (s.strip().lower() for s in _BLANK.split(trace))):
        if _TRANSITION.search(segment):
            found.append(Phase.TRANSITION)
        else:
            found.append(Phase.REFLECTION if _REFLECTION.search(segment) else Phase.EXECUTION)
    return found


def phase_shares(traces: Iterable[str]) -> dict[Phase, float] | None:
    """Share of all segments in each phase; None where there is no segment."""
    found = [phase for trace in traces for phase in phases(trace)]
    return {p: found.count(p) / len(found) for p in Phase} if found else None


def reflection_rate(texts: Iterable[str], tokens: int) -> float | None:
    """Reflection words per 1000 tokens; None without tokens."""
    return 1000 * sum(len(_WORD.findall(t)) for t in texts) / tokens if tokens else None


def degenerate(text: str, finish: Finish, has_answer: Callable[[str], bool]) -> str:
    """What is wrong with the form of an output, ``""`` where nothing is: ``truncated``, ``no_answer``,
    ``empty_think`` (tags with nothing between), ``repetition`` (it ends in a stretch said four times)."""
    if finish is Finish.LENGTH:
        return "truncated"
    looped = _LOOP.search(text[-512:].rstrip())
    if looped and len(looped[0]) >= _LOOP_CHARACTERS:
        return "repetition"
    if not has_answer(text):
        return "no_answer"
    thought = _THOUGHT.search(text)
    return "empty_think" if thought and not thought[1].strip() else ""


# a point of the curve --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Question:
    """Of one question's samples: how many, how many are right (a degenerate one is not), degenerate ones, and
    tokens of all and of the right ones."""

    task_id: str
    samples: int
    right: int
    degenerate: int
    tokens: int
    tokens_right: int


def by_question(groups: Groups, has_answer: Callable[[str], bool]) -> list[Question]:
    """Counts of each question of a scored table; tokens stay unloaded."""
    return [_question(c, has_answer) for c in groups.columns]


def malformed(c: Columns, has_answer: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Which answers of a group are degenerate, bool ``(n,)``."""
    pairs = zip(c.texts, c.finish, strict=True)
    return np.array([bool(degenerate(t, f, has_answer)) for t, f in pairs], dtype=np.bool_)


def sound(c: Columns, has_answer: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Which answers of a group are right and not degenerate, bool ``(n,)``."""
    return usable(c) & ~malformed(c, has_answer)


def _question(c: Columns, has_answer: Callable[[str], bool]) -> Question:
    bad, right = malformed(c, has_answer), sound(c, has_answer)
    return Question(
        c.task.id,
        len(c),
        int(right.sum()),
        int(bad.sum()),
        int(c.lengths.sum()),
        int(c.lengths[right].sum()),
    )


def efficiency(questions: Sequence[Question], texts: Iterable[str] | None = None) -> dict[str, float | None]:
    """A row: ``accuracy``, ``length`` (mean tokens of all samples), ``length_right`` (of right ones),
    ``degenerate`` (share), and with ``texts`` the ``reflection_rate``. None where a number is undefined."""
    n, right = sum(q.samples for q in questions), sum(q.right for q in questions)
    tokens = sum(q.tokens for q in questions)
    row: dict[str, float | None] = {
        "accuracy": right / n if n else None,
        "length": tokens / n if n else None,
        "length_right": sum(q.tokens_right for q in questions) / right if right else None,
        "degenerate": sum(q.degenerate for q in questions) / n if n else None,
    }
    return row if texts is None else {**row, "reflection_rate": reflection_rate(texts, tokens)}


def monotone(values: Mapping[float, float]) -> bool:
    """Whether a number never rises as its key does, and falls somewhere: over three keys or more."""
    ordered = [values[k] for k in sorted(values)]
    if len(ordered) < 3 or any(not math.isfinite(v) for v in ordered):
        return False
    return all(b <= a for a, b in pairwise(ordered)) and ordered[-1] < ordered[0]
