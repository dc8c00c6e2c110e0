"""Answers that a model approved of itself (SELF, arXiv 2310.00533), and the controls of that filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sharpen.errors import SharpenError, unknown
from sharpen.runs.streams import Stream
from sharpen.score.feedback import Judgment, judgment
from sharpen.score.group import Groups

Verdicts = Literal["own", "shuffled", "gold", "random", "off"]
"""Who filters: the model's last verdict; the same verdicts permuted over the round; the gold answers, as an
upper bound; ``random`` keeps first answers blindly, as many as ``own`` would; ``off`` keeps all last
answers."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What came of one prompt: its answers, and a judgment of each that was judged.

    Attributes:
        group: where its calls stand among the groups; answer ``k`` is call ``2 k``, feedback on it the next.
    """

    group: int
    answers: tuple[str, ...]
    judgments: tuple[Judgment, ...]

    @property
    def last(self) -> Judgment:
        """The judgment of the last answer; unparsable where there is none."""
        judged = bool(self.answers) and len(self.judgments) == len(self.answers)
        return self.judgments[-1] if judged else Judgment.UNPARSABLE

    @property
    def generations(self) -> int:
        """Answers and feedback that were sampled."""
        return len(self.answers) + len(self.judgments)


@dataclass(frozen=True, slots=True)
class Approved:
    """What a filter keeps: ``(loop, answer)`` indices, in order, and where every prompt went; ``prompts`` is
    the sum of the other entries."""

    kept: tuple[tuple[int, int], ...]
    ledger: dict[str, int]


def loops(calls: Groups) -> list[Loop]:
    """The loops of a solved list of prompts, from its calls (answer, feedback, answer, ...)."""
    found = []
    for g, row in enumerate(calls.columns):
        answers, feedback = row.texts[::2], row.texts[1::2]
        said = [
            Judgment.NOT if j is Judgment.QUALIFIED and not a.strip() else j
            for a, j in zip(answers, map(judgment, feedback), strict=False)
        ]
        found.append(Loop(g, answers, tuple(said)))
    return found


def approved(
    given: Sequence[Loop],
    verdicts: Verdicts,
    stream: Stream,
    *,
    has_answer: Callable[[str], bool],
    requests: Sequence[str] = (),
    right: Callable[[Loop, int], bool] | None = None,
) -> Approved:
    """Of each loop its last answer, where the verdict on it is qualified.

    Answers without an answer line, and those that repeat one of the ``requests``, are dropped first whatever
    the verdict; so ``shuffled`` keeps exactly as many as ``own``.

    Args:
        stream: names the draws of ``shuffled`` and ``random``.
        right: for ``gold`` alone: whether answer ``k`` of a loop is right.
    """
    if verdicts not in ("own", "shuffled", "gold", "random", "off"):
        raise unknown("verdicts", verdicts, ("own", "shuffled", "gold", "random", "off"))
    ledger: Counter[str] = Counter({"prompts": len(given)})

    def flaw(text: str) -> str:
        copied = any(r.strip() in text for r in requests if r.strip())
        return "copied" if copied else "" if has_answer(text) else "no_answer"

    usable = []
    for i, loop in enumerate(given):
        why = flaw(loop.answers[-1]) if loop.answers else "no_answer"
        ledger[why] += bool(why)
        usable += [] if why else [i]
    own = [given[i].last for i in usable]
    if verdicts == "random":
        return _blind(given, own.count(Judgment.QUALIFIED), flaw, stream)
    if verdicts == "shuffled":
        own = [own[int(k)] for k in stream.generator().permutation(len(own))]
    elif verdicts == "off":
        own = [Judgment.QUALIFIED] * len(own)
    elif verdicts == "gold":
        if right is None:
            raise SharpenError("verdicts=gold needs the gold answers")
        truth = (right(given[i], len(given[i].answers) - 1) for i in usable)
        own = [Judgment.QUALIFIED if good else Judgment.NOT for good in truth]
    kept = []
    for i, said in zip(usable, own, strict=True):
        if said is Judgment.QUALIFIED:
            kept.append((i, len(given[i].answers) - 1))
        else:
            ledger["unparsable" if said is Judgment.UNPARSABLE else "not_qualified"] += 1
    return Approved(tuple(kept), _told(ledger, len(kept)))


def _blind(given: Sequence[Loop], n: int, flaw: Callable[[str], str], stream: Stream) -> Approved:
    """``n`` first answers at random (all, where there are fewer with an answer)."""
    ledger: Counter[str] = Counter({"prompts": len(given)})
    usable = []
    for i, loop in enumerate(given):
        why = flaw(loop.answers[0]) if loop.answers else "no_answer"
        ledger[why] += bool(why)
        usable += [] if why else [i]
    drawn = sorted(int(k) for k in stream.generator().permutation(len(usable))[:n])
    ledger["not_drawn"] = len(usable) - len(drawn)
    return Approved(tuple((usable[k], 0) for k in drawn), _told(ledger, len(drawn)))


def _told(ledger: Counter[str], kept: int) -> dict[str, int]:
    names = ("prompts", "no_answer", "copied", "not_qualified", "unparsable", "not_drawn")
    return {name: ledger[name] for name in names} | {"kept": kept}
