"""The final answer of a completion, for sources whose answers are free text."""

from __future__ import annotations

import unicodedata

from sharpen.tasks.family import ANSWER, final_answer
from sharpen.tasks.task import Checked, Task

_OPEN, _CLOSE = "<answer>", "</answer>"
LONGEST = 20_000
"""An answer longer than this many characters is not read: scorers are not built for it."""


def answer_of(completion: str) -> str | None:
    """The answer given in a completion, white space at its ends stripped, or None where none was.

    The last ``<answer>...</answer>``, else what follows ``Answer: `` on the last line, else the whole
    text. A last ``<answer>`` that never closes is no answer, also when an earlier one closed: the text
    was changing its mind.
    """
    if _OPEN in completion:
        text, closed, _ = completion.rpartition(_OPEN)[2].partition(_CLOSE)
        if not closed:
            return None
    elif ANSWER in completion:
        text = final_answer(completion.rstrip()) or ""
    else:
        text = completion
    text = text.strip()
    return text if 0 < len(text) <= LONGEST else None


def foreign_digits(answer: str, gold: str) -> bool:
    """Whether ``answer`` writes digits in a script that ``gold`` does not use (``int`` would read them)."""
    return any(c not in gold and not c.isascii() and unicodedata.category(c) == "Nd" for c in answer)


def exact(task: Task, completion: str) -> Checked:
    """Right when the answer is the gold answer, up to white space."""
    found = answer_of(completion)
    if found is None:
        return Checked(False, "unparsable", "no answer")
    right = found.split() == task.answer.split()
    return Checked(right, detail="" if right else f"{found[:80]!r} is not {task.answer[:80]!r}")
