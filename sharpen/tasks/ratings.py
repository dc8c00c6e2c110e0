"""How a judge's reply is read: the score, or the letter of the better response, that ends it behind a marker
(arXiv 2405.01535). What cannot be read is None, never a default."""

from __future__ import annotations

import re
from typing import Literal

from sharpen.tasks.task import Checked

Choice = Literal["A", "B"]

MARKER = "[RESULT]"
HIGHEST = 5
"""Scores are whole numbers from 1 to this."""
_SEEN = 120  # the verdict ends the text: so much of the end is enough
_MARKERS = r"(?:\[(?:RESULT|SCORE)\]|\b(?:Result|Score)\s*:|\bscore of\b)"
_SCORE = re.compile(
    _MARKERS + r"\s*[(\[]?\s*([0-9]{1,3})\s*(?:(?:/|out of)\s*([0-9]{1,3})\s*)?[)\]]?\s*\Z",
    re.IGNORECASE | re.ASCII,
)
_CHOICE = re.compile(_MARKERS + r"\s*[(\[]?\s*(?:Response\s+)?([AB])\s*[)\]]?\s*\Z", re.IGNORECASE | re.ASCII)


def read_score(reply: str, *, low: int = 1, high: int = HIGHEST) -> int | None:
    """The whole number in ``low .. high`` that ends a reply behind a marker (``[RESULT]``, ``[SCORE]``,
    ``Score:``, ``Result:``, ``score of``); brackets, ``/5`` and ``out of 5`` are fine. None where there is
    none, another scale is named, or anything follows. Of several markers the last counts."""
    found = _SCORE.search(reply[-_SEEN:])
    if found is None or (found[2] is not None and int(found[2]) != high):
        return None
    score = int(found[1])
    return score if low <= score <= high else None


def read_choice(reply: str) -> Choice | None:
    """The letter that ends a reply behind a marker, None where there is none or anything follows."""
    found = _CHOICE.search(reply[-_SEEN:])
    return None if found is None else "A" if found[1].upper() == "A" else "B"


def read_verdict(reply: str, *, pair: bool) -> str | None:
    """The letter of the better response of a pair, or the score of one, as text; None where it cannot be
    read."""
    if pair:
        return read_choice(reply)
    score = read_score(reply)
    return None if score is None else str(score)


def checked(found: str | None, gold: str) -> Checked:
    """Whether a verdict is the gold one."""
    if found is None:
        return Checked(False, "unparsable", "no verdict ends the reply")
    return Checked(found == gold, detail="" if found == gold else f"{found}, not {gold}")
