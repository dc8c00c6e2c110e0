"""How a judge's reply is read: the score, or the letter of the better response, that ends it behind a marker
(arXiv 2405.01535). What cannot be read is None, never a default."""

from __future__ import annotations

import re
from typing import Literal

Choice = Literal["A", "B"]

MARKER = "[RESULT]"
_SEEN = 120  # the verdict ends the text: so much of the end is enough
_MARKERS = r"(?:\[(?:RESULT|SCORE)\]|\b(?:Result|Score)\s*:|\bscore of\b)"
_SCORE = re.compile(
    _MARKERS + r"\s*[(\[]?\s*([0-9]{1,3})\s*(?:(?:/|out of)\s*([0-9]{1,3})\s*)?[)\]]?\s*\Z",
    re.IGNORECASE | re.ASCII,
)
_CHOICE = re.compile(_MARKERS + r"\s*[(\[]?\s*(?:Response\s+)?([AB])\s*[)\]]?\s*\Z", re.IGNORECASE | re.ASCII)


def read_score(reply: str, *, low: int = 1, high: int = 5) -> int | None:
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
