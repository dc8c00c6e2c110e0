"""Controls: selections that should teach nothing, or teach without self-improvement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.runs.streams import Stream
from sharpen.score.group import Groups
from sharpen.select.selection import Selected, Selection, Unique, name_of, same_text
from sharpen.tasks.task import Task

Match = Literal["total", "query", "length"]
Control = Literal["none", "shuffled", "random"]


def shuffle_rewards(groups: Groups, stream: Stream) -> Groups:
    """The same samples, their verdicts permuted over the whole table.

    One permutation of all samples, so as many score above any threshold as before; after duplicates are
    removed the kept count can still differ. Use ``random_of_n`` for exactly equal rows.
    """
    flat = [v for row in groups.columns for v in row.judged]
    order = stream.generator().permutation(len(flat))
    moved = iter([flat[i] for i in order])
    return groups.with_verdicts([[next(moved) for _ in range(len(row))] for row in groups.columns])


def random_of_n(
    selection: Selection,
    groups: Groups,
    stream: Stream,
    *,
    match: Match = "total",
    has_answer: Callable[[str], bool] | None = None,
    unique: Unique = same_text,
) -> Selection:
    """As many samples as ``selection`` holds, drawn without regard to their scores.

    Candidates are the samples of known verdict (and with an answer, where ``has_answer`` is given), of
    equal ones in a query the first. Gold items stay as they are. What is drawn equals the selection in
    number of rows over ``total``; or over each ``query``; or over each tenth of the candidates' ``length``
    distribution (sampled tokens). Matching by query keeps which tasks were solved, so a part of the signal.

    Raises SharpenError where a stratum has fewer candidates than rows to draw.
    """
    ledger: Counter[str] = Counter()
    pool = _candidates(groups, has_answer, unique, ledger)
    stratum = _strata(list(pool.values()), groups, match)
    of: dict[Hashable, list[Selected]] = {}
    for item in pool.values():
        of.setdefault(stratum(item), []).append(item)
    wanted: Counter[Hashable] = Counter()
    for item in selection.items:
        if item.gold:
            continue
        # of equal texts the candidate is the first, which may not be the copy that was selected
        name = (item.task.id, name_of(unique, item.task, item.text))
        if name not in pool:
            raise SharpenError("random control: the selection was not made from these groups")
        wanted[stratum(pool[name])] += 1
    rng = stream.generator()
    drawn: list[Selected] = []
    for name, members in of.items():  # in order of first appearance: the draws depend on the groups alone
        n = wanted[name]
        if n > len(members):
            raise SharpenError(f"random control: {n} rows wanted of {len(members)} candidates")
        drawn.extend(members[i] for i in sorted(rng.permutation(len(members))[:n]))
    solutions = [i for i in selection.items if i.gold]
    items = [*drawn, *solutions]
    ledger["gold"] = len(solutions)
    ledger["not_drawn"] = len(pool) - len(drawn)
    ledger["kept"] = len(items)
    spec = {"rule": "random_of_n", "match": match, "stream": list(stream.names), "of": dict(selection.spec)}
    return Selection(tuple(items), spec, None, {name: ledger[name] for name in _LEDGER})


Name = tuple[str, str]
_LEDGER = ("sampled", "gold", "no_answer", "unknown", "duplicate", "not_drawn", "kept")


def _candidates(
    groups: Groups, has_answer: Callable[[str], bool] | None, unique: Unique, ledger: Counter[str]
) -> dict[Name, Selected]:
    """What may be drawn, by task id and the response's name; the rest is booked in the ledger."""
    pool: dict[Name, Selected] = {}
    for g, row in enumerate(groups.columns):
        for k, (text, verdict) in enumerate(zip(row.texts, row.judged, strict=True)):
            ledger["sampled"] += 1
            name = (row.task.id, name_of(unique, row.task, text))
            if has_answer is not None and not has_answer(text):
                ledger["no_answer"] += 1
            elif verdict.status.unknown:
                ledger["unknown"] += 1
            elif name in pool:
                ledger["duplicate"] += 1
            else:
                pool[name] = Selected(row.task, text, verdict.score, verdict.correct, g, k, groups)
    return pool


def _strata(pool: list[Selected], groups: Groups, match: Match) -> Callable[[Selected], Hashable]:
    """The function that names a candidate's stratum."""
    if match == "total":
        return lambda item: 0
    if match == "query":
        return lambda item: item.task.id
    if match != "length":
        raise unknown("match", match, ("total", "query", "length"))
    lengths = groups.lengths

    def length(item: Selected) -> int:
        return int(lengths[item.group or 0][item.sample or 0])

    edges = np.unique(np.quantile([length(i) for i in pool] or [0], np.linspace(0.1, 0.9, 9)))
    return lambda item: int(np.searchsorted(edges, length(item)))


def controlled(
    groups: Groups,
    select: Callable[[Groups], Selection],
    control: Control,
    stream: Stream,
    *,
    has_answer: Callable[[str], bool] | None = None,
) -> Selection:
    """What ``select`` chooses, or a control in its place.

    ``shuffled`` permutes the rewards over all samples, then selects as usual; where that keeps more rows
    than the real selection, random ones are left out (``trimmed``). ``random`` draws samples of like
    lengths, as many as the real selection holds, blind to rewards. Where length tells right from wrong,
    samples of like lengths still carry that much of the signal.
    """
    if control not in ("none", "shuffled", "random"):
        raise unknown("control", control, ("none", "shuffled", "random"))
    real = select(groups)
    if control == "none":
        return real
    if control == "random":
        return random_of_n(real, groups, stream.child("random"), match="length", has_answer=has_answer)
    chosen = select(shuffle_rewards(groups, stream.child("shuffled")))
    return trimmed(chosen, len(real), stream.child("trimmed"))


def trimmed(selection: Selection, n: int, stream: Stream) -> Selection:
    """At most ``n`` of the items, drawn at random and left in their order."""
    if len(selection) <= n:
        return selection
    kept = sorted(stream.generator().permutation(len(selection))[:n])
    ledger = {**selection.ledger, "trimmed": len(selection) - n, "kept": n}
    spec = {"rule": "trimmed", "rows": n, "stream": list(stream.names), "of": dict(selection.spec)}
    return Selection(tuple(selection.items[i] for i in kept), spec, selection.m, ledger)


def gold_only(tasks: Sequence[Task], n: int, stream: Stream) -> Selection:
    """``n`` worked solutions: whole random passes over the tasks that have one, the last pass cut.

    Raises SharpenError where no task has a solution.
    """
    worked = [t for t in tasks if t.solution is not None]
    if not worked and n:
        raise SharpenError("gold control: none of the tasks has a worked solution")
    rng = stream.generator()
    order: list[int] = []
    while len(order) < n:
        order.extend(int(i) for i in rng.permutation(len(worked)))
    items = tuple(Selected(worked[i], worked[i].solution or "", 1.0, True) for i in order[:n])
    spec = {"rule": "gold_only", "rows": n, "tasks": len(worked), "stream": list(stream.names)}
    return Selection(items, spec, None, {"gold": n, "kept": n})
