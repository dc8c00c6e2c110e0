"""Universal self-consistency: the model itself names its most consistent response (arXiv 2311.17311)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.select.votes import Answers, first, normal

_NAMED = re.compile(r"\bresponse[ \t#<]*([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen sample, and whether a fallback chose it (to be counted and reported)."""

    index: int
    fallback: bool = False


def universal_prompt(question: str, responses: Sequence[str]) -> str:
    """What the model is asked: the question and all responses, numbered from 0. The wording is ours."""
    shown = "\n\n".join(f"Response {k}:\n{r.strip()}" for k, r in enumerate(responses))
    return (
        f"Question:\n{question.strip()}\n\n{shown}\n\n"
        "Compare the responses above. Which one agrees most with the others? End with its number, as in "
        "'The most consistent response is Response k'.\n"
    )


def universal(reply: str, n: int, answers: Answers | None = None) -> Pick:
    """The sample that a reply names: the last ``Response k`` in it.

    Falls back to sample 0 where it names none or one that does not exist. With ``answers`` (tasks that have a
    final answer), a named sample without one gives way to the first that has one.

    Args:
        n: how many responses were shown.
    """
    named = _NAMED.findall(reply)
    # a number of many digits names nothing, and int() of a very long one fails
    index = int(named[-1]) if named and len(named[-1]) <= 9 else n
    fallback = index >= n
    index = 0 if fallback else index
    if answers is not None and normal(answers[index]) is None:
        return Pick(first(answers), True)
    return Pick(index, fallback)
