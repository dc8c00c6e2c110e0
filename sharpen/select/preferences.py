"""Pairs of answers to one question, of which one is preferred, or which are to be told apart by a reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.score.group import Groups
from sharpen.select.selection import Selected


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one question, the first at least as good as the second.

    Attributes:
        chosen, rejected: with their scores.
    """

    chosen: Selected
    rejected: Selected

    def __post_init__(self) -> None:
        if self.chosen.task.id != self.rejected.task.id:
            raise SharpenError(
                f"a pair has answers to two tasks: {self.chosen.task.id!r} and {self.rejected.task.id!r}"
            )
        if self.chosen.score < self.rejected.score:
            raise SharpenError(f"task {self.chosen.task.id!r}: the rejected answer has the higher score")

    @property
    def gap(self) -> float:
        """By how much the chosen one is better, at least 0."""
        return self.chosen.score - self.rejected.score


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs in a fixed order (the learner shuffles).

    Attributes:
        items: question by question.
        spec: how they were made: JSON, a step's input.
        ledger: counts of questions: ``questions`` is the sum of the others, but for ``pairs``, which is
            ``len(items)``.
    """

    items: tuple[Preference, ...]
    spec: Mapping[str, Any]
    ledger: Mapping[str, int]

    def __post_init__(self) -> None:
        others = sum(n for name, n in self.ledger.items() if name not in ("questions", "pairs"))
        if self.ledger["questions"] != others or self.ledger["pairs"] != len(self.items):
            raise SharpenError(
                f"ledger of pairs does not add up: {dict(self.ledger)}, {len(self.items)} pairs"
            )

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Preference]:
        return iter(self.items)


def by_score(groups: Groups, stream: Stream, *, margin: float = 0.0, per_query: int = 4) -> Preferences:
    """Of each question up to ``per_query`` pairs whose scores differ by more than ``margin``, drawn at random
    without replacement.

    Attempts of unknown verdict are in no pair, and of equal texts the first stands for all. In the ledger a
    question is ``paired``, or has ``nothing_to_tell`` apart.
    """
    if per_query < 1:
        raise SharpenError(f"pairs: per_query={per_query} must be at least 1")
    items: list[Preference] = []
    ledger: Counter[str] = Counter(questions=0, paired=0, nothing_to_tell=0, pairs=0)
    for g, row in enumerate(groups.columns):
        first = {text: k for k, text in reversed(list(enumerate(row.texts)))}
        known = [k for k in sorted(first.values()) if not row.judged[k].status.unknown]
        scores = row.scores
        pairs = [(i, j) for i in known for j in known if scores[i] - scores[j] > margin]
        rng = stream.child(row.task.id).generator()
        drawn = sorted(rng.permutation(len(pairs))[:per_query].tolist())
        items += [Preference(_item(groups, g, pairs[d][0]), _item(groups, g, pairs[d][1])) for d in drawn]
        ledger.update(questions=1, paired=bool(pairs), nothing_to_tell=not pairs, pairs=len(drawn))
    spec = {"rule": "by_score", "margin": margin, "per_query": per_query, "stream": list(stream.names)}
    return Preferences(tuple(items), spec, dict(ledger))


def _item(groups: Groups, g: int, k: int) -> Selected:
    row = groups.columns[g]
    verdict = row.judged[k]
    return Selected(row.task, row.texts[k], verdict.score, verdict.correct, g, k, groups)
