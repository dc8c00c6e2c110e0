"""Confidence that a model states in words: how to ask for it, and how to read it (arXiv 2504.06564).

Three ways of asking: ``request`` for a ``percent`` (a score from 0% to 100% beside the answer) or a
``probability`` (0.0 to 1.0); and reflection in two turns: ``answer_request`` for the answer alone, then
``reflection``, a new prompt, for a percentage; ``stated_in_reflection`` reads both. The wording is ours.

An item without a readable answer or confidence, or cut at the length limit, is invalid: it belongs in no
measure, and is neither wrong nor unsure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sharpen.errors import unknown
from sharpen.score.answers import extract_answer
from sharpen.tasks.family import ANSWER

Mode = Literal["percent", "probability"]

EXAMPLE = {"percent": ("123", "80%"), "probability": ("123", "0.8")}
"""Answer and confidence of the format example in the prompt; a model may copy it."""
INVALID_SHARE = 0.015
"""Published share of invalid items; more is worth a warning."""

_KINDS = {
    "maths": "a maths problem",
    "choice": "a multiple-choice question (answer with the letter of the option)",
    "short": "a question with a short answer",
    "parts": "a puzzle with several parts (separate their answers by commas)",
}
_SCALE = {"percent": "a score from 0% to 100%", "probability": "a probability from 0.0 to 1.0"}
_THINK = r"(?:think|thinking|thought|reasoning)"
_OPENED, _CLOSED = re.compile(rf"<{_THINK}>"), re.compile(rf"</{_THINK}>")
_LINE = re.compile(r"^[ \t]*\*{0,2}confidence:(.*)$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


class Problem(StrEnum):
    """Why an item is invalid."""

    NONE = ""
    TRUNCATED = "truncated"
    NO_ANSWER = "no answer"
    NO_CONFIDENCE = "no confidence"
    NOT_A_NUMBER = "not a number"
    OUT_OF_RANGE = "out of range"


@dataclass(frozen=True, slots=True)
class Stated:
    """What one reply states.

    Attributes:
        answer: as written, None where none was found.
        confidence: in [0, 1]; None where it could not be read.
        problem: why the item is invalid; empty where it is valid.
        read_as_probability: a percentage was asked for, and a decimal like ``0.8`` was taken as 80 %.
        copied: answer and confidence are those of the prompt's format example.
    """

    answer: str | None
    confidence: float | None
    problem: Problem = Problem.NONE
    read_as_probability: bool = False
    copied: bool = False

    @property
    def valid(self) -> bool:
        """Whether the item may enter a measure."""
        return not self.problem


def request(kind: str = "maths", mode: Mode = "percent") -> str:
    """The instruction that asks for answer and confidence; goes before the question.

    Args:
        kind: ``maths``, ``choice``, ``short`` or ``parts``.
    """
    if mode not in _SCALE:
        raise unknown("confidence mode", mode, _SCALE)
    answer, confidence = EXAMPLE[mode]
    return (
        f"You are given {_kind(kind)}. Reason step by step, give your best guess, and say how sure you are "
        f"that it is right: {_SCALE[mode]}. End with both in tags, in this form:\n"
        f"<answer>{answer}</answer>\n<confidence>{confidence}</confidence>\n"
    )


def answer_request(kind: str = "maths") -> str:
    """The instruction of reflection's first turn, which says nothing of confidence; see ``request``. It is
    also what a control that states no confidence is asked."""
    return (
        f"You are given {_kind(kind)}. Reason step by step and give your best guess. End with it in a tag, "
        f"in this form:\n<answer>{EXAMPLE['percent'][0]}</answer>\n"
    )


def _kind(kind: str) -> str:
    if kind not in _KINDS:
        raise unknown("kind of question", kind, _KINDS)
    return _KINDS[kind]


def reflection(question: str, solution: str) -> str:
    """The prompt of reflection's second turn: the model's own whole solution, without its thinking."""
    return (
        f"Question:\n{question.strip()}\n\nProposed solution:\n{spoken(solution).strip()}\n\n"
        "Reflect on whether the proposed solution is right. Say only how sure you are of it, a score from "
        "0% to 100%, in this form:\n<confidence>80%</confidence>\n"
    )


def spoken(text: str) -> str:
    """The text after the last closed thinking block; empty where thinking was opened and never closed."""
    ends = [m.end() for m in _CLOSED.finditer(text)]
    text = text[ends[-1] :] if ends else text
    return text if _OPENED.search(text) is None else ""


def stated(text: str, *, mode: Mode = "percent", truncated: bool = False) -> Stated:
    """Answer and confidence of a reply (prefill included).

    Read after the thinking: the last complete tag ``<answer>``, else the final answer of
    ``sharpen.score.answers``; the last complete tag ``<confidence>``, else the last line ``Confidence: X``.

    Args:
        mode: what was asked for, see ``read_confidence``.
        truncated: whether the length limit ended the reply.
    """
    if mode not in _SCALE:
        raise unknown("confidence mode", mode, _SCALE)
    return _item(final(text), _confidence(spoken(text)), mode, truncated)


def final(text: str) -> str | None:
    """The answer of a reply, as ``stated`` reads it; None without one."""
    said = spoken(text)
    answer = _tag(said, "answer")
    return extract_answer(said) if answer is None else answer.strip() or None


def states_confidence(text: str) -> bool:
    """Whether a reply says anything where a confidence is looked for, readable or not."""
    return _confidence(spoken(text)) is not None


def _item(answer: str | None, written: str | None, mode: Mode, truncated: bool) -> Stated:
    value, problem, decimal = read_confidence(written, mode)
    if truncated:
        problem = Problem.TRUNCATED
    elif answer is None:
        problem = Problem.NO_ANSWER
    copied = answer == EXAMPLE[mode][0] and written is not None and written.strip() == EXAMPLE[mode][1]
    return Stated(answer, value, problem, decimal, copied)


def stated_in_reflection(first: str, second: str, *, truncated: bool = False) -> Stated:
    """The answer of the first turn with the confidence of the second. It refers to that answer also where
    the second turn changes its mind. ``truncated``: either turn was cut."""
    return _item(final(first), _confidence(spoken(second)), "percent", truncated)


def read_confidence(written: str | None, mode: Mode) -> tuple[float | None, Problem, bool]:
    """A written confidence as a number in [0, 1], what is wrong with it, and whether a decimal was read as a
    probability although a percentage was asked for.

    Spaces, a percent sign behind the number and a closing full stop are dropped. ``percent`` divides
    by 100; a value in (0, 1] with a decimal point and no percent sign is a probability.
    ``probability`` takes the value as it is.
    """
    if written is None or not written.strip():
        return None, Problem.NO_CONFIDENCE, False
    bare = "".join(written.replace("\\%", "%").split()).removesuffix(".")
    digits = bare.removesuffix("%")
    if _NUMBER.fullmatch(digits) is None:
        return None, Problem.NOT_A_NUMBER, False
    value = float(digits) + 0.0  # -0 becomes 0
    decimal = mode == "percent" and "%" not in bare and "." in digits and 0 < value <= 1
    if mode == "percent" and not decimal:
        value /= 100
    if not 0 <= value <= 1:
        return None, Problem.OUT_OF_RANGE, False
    return value, Problem.NONE, decimal


_AT_LINE_END = re.compile(r"\n?[ \t]*<confidence>[^<]*</confidence>[ \t]*(?=\n|\Z)")
_IN_LINE = re.compile(r"<confidence>[^<]*</confidence>")
_WHOLE_LINE = re.compile(r"(?:\n|\A)[ \t]*\*{0,2}confidence:[^\n]*(?=\n|\Z)", re.IGNORECASE)


def without_confidence(text: str) -> str:
    """The text as a grader sees it: tags ``<confidence>`` and lines ``Confidence: X`` taken out. What stood
    on two sides of one is not joined."""
    return _WHOLE_LINE.sub("", _IN_LINE.sub(" ", _AT_LINE_END.sub("", text)))


_ANSWER_TAG = re.compile(r"\s*<answer>[ \t]*([^<\n]+?)[ \t]*</answer>")


def gradable(text: str) -> str:
    """``without_confidence``, with the last tag ``<answer>X</answer>`` written as ``Answer: X`` on a line of
    its own, the form that every verifier reads."""
    text = without_confidence(text)
    tags = list(_ANSWER_TAG.finditer(text))
    if not tags:
        return text
    before, after = text[: tags[-1].start()], text[tags[-1].end() :]
    start = f"{before}\n" if before else ""
    return f"{start}{ANSWER}{tags[-1][1]}{after}"


def _confidence(said: str) -> str | None:
    written = _tag(said, "confidence")
    if written is None and (lines := _LINE.findall(said)):
        written = lines[-1].strip().removesuffix("**").removeprefix("**")
    return written


def _tag(text: str, name: str) -> str | None:
    """The content of the last complete tag of this name; None without one."""
    start, found = None, None
    for mark in re.finditer(rf"<(/?){name}>", text):
        if not mark[1]:
            start = mark.end()
        elif start is not None:
            start, found = None, text[start : mark.start()]
    return found


@dataclass(frozen=True, slots=True)
class Validity:
    """How many of ``n`` replies can be used, and why the others cannot.

    Attributes:
        n: replies. invalid: how many are. truncated, copied, read_as_probability: how many are so.
        problems: counts by ``Problem``, of invalid ones.
    """

    n: int
    invalid: int
    truncated: int
    copied: int
    read_as_probability: int
    problems: dict[str, int]

    @property
    def share(self) -> float:
        """Share of invalid replies, 0 without any reply."""
        return self.invalid / max(self.n, 1)

    @property
    def warning(self) -> str:
        """One line where more are invalid than ``INVALID_SHARE``, else empty."""
        if self.share <= INVALID_SHARE:
            return ""
        counts = ", ".join(f"{name} {n}" for name, n in self.problems.items())
        return f"{self.invalid} of {self.n} stated confidences are invalid ({counts}) and left out"


def validity(items: Sequence[Stated]) -> Validity:
    """Counts of what is wrong with these items."""
    problems = Counter(str(i.problem) for i in items if not i.valid)
    return Validity(
        n=len(items),
        invalid=sum(problems.values()),
        truncated=problems[Problem.TRUNCATED],
        copied=sum(i.copied for i in items),
        read_as_probability=sum(i.read_as_probability for i in items),
        problems={str(p): problems[p] for p in Problem if problems[p]},
    )


PHRASES = ("i don't know", "i do not know", "i am not sure", "i'm not sure", "i cannot answer")
"""What counts as saying that one does not know."""


def declines(text: str, phrases: Sequence[str] = PHRASES) -> bool:
    """Whether a reply says, outside its thinking, that it does not know, and gives no final answer."""
    said = spoken(text).replace("\u2019", "'")
    tagged = (_tag(said, "answer") or "").strip()
    given = tagged or extract_answer(said)
    folded = " ".join((given or said).casefold().split())
    return any(phrase in folded for phrase in phrases)
