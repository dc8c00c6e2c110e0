"""When a policy thinks, and what it gains by it: accuracy, length and think rate by mode and by difficulty
(AutoThink, arXiv 2505.10832)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from sharpen.measure.separation import spearman
from sharpen.score.group import Columns
from sharpen.score.modes import Device, batch

Number = float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one question's attempts; those of unknown verdict are left out of all but ``unknown``.

    ``right``: right, closed, answered, not cut at the limit. ``tokens``: sampled ones. ``thinking``,
    ``right_thinking``, ``tokens_thinking``: of the attempts that thought. ``unclosed``: without an answer
    behind a closed thought.
    """

    task_id: str
    samples: int
    right: int
    tokens: int
    thinking: int
    right_thinking: int
    tokens_thinking: int
    unclosed: int
    unknown: int = 0

    @property
    def accuracy(self) -> Number:
        """Share of right attempts."""
        return _ratio(self.right, self.samples)

    @property
    def think_rate(self) -> Number:
        """Share of attempts that thought."""
        return _ratio(self.thinking, self.samples)


def tallies(columns: Sequence[Columns], device: Device, *, extra: int = 0) -> list[Tally]:
    """A tally a question. ``extra``: tokens that a forced mode was given as its start, counted as said."""
    found = []
    for c in columns:
        whole = batch([c], device)
        b = whole.where(whole.known)
        length = b.lengths + extra
        thought = b.thinks
        found.append(
            Tally(
                c.task.id,
                len(length),
                int(b.right.sum()),
                int(length.sum()),
                int(thought.sum()),
                int(b.right[thought].sum()),
                int(length[thought].sum()),
                int((~b.answered).sum()),
                len(c) - len(length),
            )
        )
    return found


def mode_row(questions: Iterable[Tally]) -> dict[str, Number]:
    """A row over all attempts: ``think_rate``, ``accuracy``, ``length`` (mean tokens), the last two also by
    mode (``_thinking``, ``_direct``), ``unclosed`` and ``unknown_share``. None where nothing was counted."""
    t = _summed(questions)
    direct = t.samples - t.thinking
    return {
        "samples": t.samples,
        "think_rate": t.think_rate,
        "accuracy": t.accuracy,
        "length": _ratio(t.tokens, t.samples),
        "accuracy_thinking": _ratio(t.right_thinking, t.thinking),
        "length_thinking": _ratio(t.tokens_thinking, t.thinking),
        "accuracy_direct": _ratio(t.right - t.right_thinking, direct),
        "length_direct": _ratio(t.tokens - t.tokens_thinking, direct),
        "unclosed": _ratio(t.unclosed, t.samples),
        "unknown_share": _ratio(t.unknown, t.samples + t.unknown),
    }


def by_level(questions: Iterable[Tally], levels: Mapping[str, float]) -> list[dict[str, Number]]:
    """``mode_row`` at each difficulty, with ``level`` and ``questions``, the easiest first."""
    held = list(questions)
    rows: list[dict[str, Number]] = []
    for level in sorted({levels[q.task_id] for q in held}):
        some = [q for q in held if levels[q.task_id] == level]
        rows.append({"level": level, "questions": len(some), **mode_row(some)})
    return rows


def awareness(questions: Iterable[Tally], levels: Mapping[str, float]) -> Number:
    """Rank correlation of a question's think rate with its difficulty; None where either is constant."""
    pairs = [(q.think_rate, levels[q.task_id]) for q in questions if q.think_rate is not None]
    return spearman([rate for rate, _ in pairs], [level for _, level in pairs])


def merged(tables: Sequence[Sequence[Tally]]) -> list[Tally]:
    """Tallies of the same questions, in the same order, put together."""
    return [_summed(same, same[0].task_id) for same in zip(*tables, strict=True)]


def levels_by_accuracy(questions: Iterable[Tally], bins: int = 8) -> dict[str, float]:
    """A difficulty from 0 (always right) to ``bins - 1`` for each question, from how a reference answers."""
    found = {q.task_id: q.accuracy or 0.0 for q in questions}
    return {task: float(min(int((1 - share) * bins), bins - 1)) for task, share in found.items()}


class Mixed(NamedTuple):
    """Expected accuracy and tokens of a coin that chooses the mode, blind to the question."""

    accuracy: float
    length: float


def mixed(thinking: Iterable[Tally], direct: Iterable[Tally], rate: float) -> Mixed | None:
    """Thinking with chance ``rate``, from the attempts of either forced mode; None without any."""
    a, b = mode_row(thinking), mode_row(direct)
    ends = [(a[name], b[name]) for name in ("accuracy", "length")]
    if any(x is None or y is None for x, y in ends):
        return None
    return Mixed(*(rate * (x or 0.0) + (1 - rate) * (y or 0.0) for x, y in ends))


class Efficiency(NamedTuple):
    """Of the accuracy between direct answers and thinking, what is gained above thinking; of the tokens, what
    is saved; and E-F1, in percent."""

    gained: float
    saved: float
    f1: float


def e_f1(
    accuracy: float, length: float, *, thinking: tuple[float, float], direct: tuple[float, float]
) -> Efficiency | None:
    """E-F1, reconstructed: 100 times the harmonic mean of gain and saving where both are above 0, else 0.

    Args:
        thinking, direct: accuracy and mean tokens of the base that always thinks, and that never does.

    Returns:
        None where the two do not differ in accuracy or in tokens.
    """
    (acc_std, tok_std), (acc_no, tok_no) = thinking, direct
    if acc_std == acc_no or tok_std == tok_no:
        return None
    gained, saved = (accuracy - acc_std) / (acc_std - acc_no), (tok_std - length) / (tok_std - tok_no)
    f1 = 200 * gained * saved / (gained + saved) if gained > 0 and saved > 0 else 0.0
    return Efficiency(gained, saved, f1)


def one_sided(rates: Sequence[float], *, low: float = 0.02, high: float = 0.98, patience: int = 50) -> bool:
    """Whether the last ``patience`` think rates all lie outside ``[low, high]``: a mode has died out."""
    last = rates[-patience:]
    return len(last) >= patience and all(not low <= rate <= high for rate in last)


def _summed(questions: Iterable[Tally], task_id: str = "") -> Tally:
    names = [f.name for f in fields(Tally) if f.name != "task_id"]
    held = list(questions)
    return Tally(task_id, **{n: sum(getattr(q, n) for q in held) for n in names})


def _ratio(count: int, of: int) -> Number:
    return count / of if of else None
