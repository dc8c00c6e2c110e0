"""Verdicts without labels: what most samples of a question agree on counts as right (arXiv 2210.11610)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sharpen.errors import SharpenError
from sharpen.score.group import Groups
from sharpen.score.verdict import Status, Verdict

BY = "majority"


def agreed(groups: Groups, name: Callable[[str], str | None], *, share: float = 0.0) -> Groups:
    """The same groups; samples that give their question's most frequent answer have score 1, others 0.

    A question whose most frequent answer is not the only one of its frequency is skipped, and so is one where
    it has less than ``share`` of all samples: all of its samples have 0. Gold is never looked at.

    Args:
        name: a completion's answer; equal names are equal answers, None is no answer and has no vote.
    """
    if not 0 <= share <= 1:
        raise SharpenError(f"agreement: share={share} is not in 0..1")
    return groups.with_verdicts([_verdicts([name(t) for t in row.texts], share) for row in groups.columns])


def _verdicts(names: Sequence[str | None], share: float) -> list[Verdict]:
    won, why = winner(names, share)
    found = []
    for n in names:
        if n is None:
            found.append(Verdict(0.0, Status.UNPARSABLE, by=BY, detail="no answer"))
        else:
            found.append(Verdict(float(n == won), by=BY, detail=why))
    return found


def winner(names: Sequence[str | None], share: float = 0.0) -> tuple[str | None, str]:
    """The one most frequent name, and in a few words why there is none."""
    counts = Counter(n for n in names if n is not None).most_common(2)
    if not counts:
        return None, "no answer"
    if len(counts) == 2 and counts[0][1] == counts[1][1]:
        return None, "tie"
    if counts[0][1] < share * len(names):
        return None, "too few agree"
    return counts[0][0], ""
