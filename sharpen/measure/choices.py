"""How good a judge is that says which of two responses is better, asked in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.errors import SharpenError
from sharpen.tasks.ratings import Choice

Choices = Sequence[Choice | None]


@dataclass(frozen=True, slots=True)
class Preferred:
    """Pairs judged twice, with the responses in either order.

    Attributes:
        accuracy: share of right verdicts over both orders; what cannot be read is wrong.
        consistent: share of pairs in which the same response is preferred in both orders.
        contradictory: share in which the verdict goes with the place; the rest was not read.
        first: of what was read, the share that prefers the response that comes first; None of nothing.
        unread: share of verdicts that cannot be read.
        same: whether every verdict that was read is the same letter, so that the judge judges nothing.
    """

    accuracy: float
    consistent: float
    contradictory: float
    first: float | None
    unread: float
    same: bool


def preferred(gold: Sequence[Choice], given: Choices, exchanged: Choices) -> Preferred:
    """From the better response of each pair, and the verdicts before and after the two were exchanged;
    SharpenError without a pair."""
    if not gold:
        raise SharpenError("choices: no pair was judged")
    both = list(zip(given, exchanged, strict=True))
    said = [c for pair in both for c in pair]
    read = [c for c in said if c is not None]
    right = sum(c == g for c, g in zip(given, gold, strict=True))
    right += sum(c is not None and c != g for c, g in zip(exchanged, gold, strict=True))
    told = [(a, b) for a, b in both if a is not None and b is not None]
    n = len(gold)
    return Preferred(
        accuracy=right / (2 * n),
        consistent=sum(a != b for a, b in told) / n,
        contradictory=sum(a == b for a, b in told) / n,
        first=read.count("A") / len(read) if read else None,
        unread=1 - len(read) / len(said),
        same=len(read) > 1 and len(set(read)) == 1,
    )
