"""From a model's reply to an action (SPIRAL's code, arXiv 2506.24119)."""

from __future__ import annotations

import re

from sharpen.tasks.games.rules import State

_BOX = "\\boxed{"
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_TOLD = re.compile(r"(?:legal|available|valid) (?:actions|moves)\b[^:]*:(.*)", re.IGNORECASE)
_BRACKET = re.compile(r"\[[^\[\]]+\]")
MOST_WORDS = 5
"""Words without a bracket that still are an action."""


def action_of(reply: str) -> str:
    """The action in a reply; ``""``, which no game allows, where there is none.

    It is what stands in the last ``\\boxed{}``, without ``\\text{}``, or the whole text where there is no
    box; up to five words without a bracket get brackets; runs of white space become one space. A last box
    that stays open is no action, also after one that closed: the text was changing its mind.
    """
    text = reply
    if _BOX in reply:
        inside = _balanced(reply.rpartition(_BOX)[2])
        if inside is None:
            return ""
        text = _TEXT.sub(r"\1", inside)
    words = text.split()
    text = " ".join(words)
    if not words or "[" in text or "]" in text or len(words) > MOST_WORDS:
        return text
    return f"[{text}]"


def _balanced(text: str) -> str | None:
    """What stands before the brace that closes one opened before ``text``."""
    depth = 1
    for i, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[:i]
    return None


def move_of(state: State, reply: str) -> str | None:
    """The action in a reply where it is legal now, else None: an invalid move."""
    action = action_of(reply)
    return action if state.allows(action) else None


def legal_in(view: str) -> tuple[str, ...]:
    """The legal actions that a view tells, by its last line that lists any.

    That is the last line with ``legal``, ``available`` or ``valid`` ``actions:`` or ``moves:``, of a short
    view the last line. What is in brackets counts, without brackets every word.
    """
    told = _TOLD.findall(view)
    text = told[-1] if told else view.rpartition("\n")[2].rpartition(":")[2]
    return tuple(_BRACKET.findall(text)) or tuple(f"[{word}]" for word in text.split())
