"""Which rows a step sees, and how its batch is cut into micro-batches.

Both are pure functions, so a learner that starts again at step k needs no
cursor: it computes the same plan and skips k batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from sharpen.errors import SharpenError
from sharpen.learn.row import Row
from sharpen.learn.rows import prompt_of
from sharpen.runs.streams import Stream


def units_of(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Row indices grouped by ``unit``, in the order of each unit's first row; a row without a unit is
    alone."""
    by_name: dict[str, list[int]] = {}
    out: list[list[int]] = []
    for i, row in enumerate(rows):
        if row.unit and row.unit in by_name:
            by_name[row.unit].append(i)
            continue
        group = [i]
        out.append(group)
        if row.unit:
            by_name[row.unit] = group
    return [tuple(g) for g in out]


def plan(rows: Sequence[Row], stream: Stream, *, steps: int, batch_rows: int) -> list[list[tuple[int, ...]]]:
    """The units that each optimizer step sees.

    Units are visited in epochs; epoch e is permuted by ``stream.child("epoch", e)``. A batch takes units
    off that endless sequence until it has ``batch_rows`` rows or more (more only where the last unit
    does not fit exactly), so a batch may hold the end of one epoch and the start of the next.

    Returns:
        One batch a step, each a list of units, each unit a tuple of row indices.
    """
    if not rows:
        raise SharpenError("no rows to learn from")
    units = units_of(rows)
    batches: list[list[tuple[int, ...]]] = []
    batch: list[tuple[int, ...]] = []
    size = epoch = 0
    while len(batches) < steps:
        for u in stream.child("epoch", epoch).generator().permutation(len(units)):
            batch.append(units[u])
            size += len(units[u])
            if size >= batch_rows:
                batches.append(batch)
                batch, size = [], 0
                if len(batches) == steps:
                    break
        epoch += 1
    _check_plan(units, batches)
    return batches


def _check_plan(units: Sequence[tuple[int, ...]], batches: Sequence[Sequence[tuple[int, ...]]]) -> None:
    """The data ledger: no unit is used twice more often than another is once."""
    uses = Counter(u for batch in batches for u in batch)
    counts = [uses[u] for u in units]
    if max(counts) - min(counts) > 1 or sum(counts) != sum(len(b) for b in batches):
        raise AssertionError(f"data ledger does not add up: unit uses range {min(counts)} to {max(counts)}")


def micro_batches(
    rows: Sequence[Row], batch: Sequence[tuple[int, ...]], *, tokens_per_microbatch: int
) -> list[list[int]]:
    """Cut one batch into micro-batches of at most ``tokens_per_microbatch`` tokens.

    Longest units first (rows of one length share the work best), filled in that order; units that begin
    with the same prompt together, as it goes through the model once and counts once. A unit larger than the
    budget is a micro-batch of its own. Deterministic; the budget changes speed and memory only.

    Returns:
        Row indices of each micro-batch; together they are exactly the batch.
    """
    prompts = {i: prompt_of(rows[i]) for unit in batch for i in unit}
    longest = [max(len(rows[i].tokens) for i in unit) for unit in batch]
    families = [prompts[unit[0]] for unit in batch]
    many = Counter(families)
    first = dict[bytes, int]()
    for family, length in zip(families, longest, strict=True):
        first[family] = max(length, first.get(family, 0))

    def place(u: int) -> tuple[int, bytes, int]:
        family = families[u] if many[families[u]] > 1 else b""
        return (-first[family] if family else -longest[u], family, -longest[u])

    out: list[list[int]] = []
    room = 0
    seen: set[bytes] = set()
    for unit in (batch[u] for u in sorted(range(len(batch)), key=place)):
        tokens = _tokens(rows, unit, prompts, seen)
        if not out or tokens > room:
            out.append([])
            seen = set()
            room, tokens = tokens_per_microbatch, _tokens(rows, unit, prompts, seen)
        out[-1].extend(unit)
        seen.update(prompts[i] for i in unit)
        room -= tokens
    if Counter(i for mb in out for i in mb) != Counter(i for unit in batch for i in unit):
        raise AssertionError("data ledger does not add up: a micro-batch lost or repeated a row")
    return out


def _tokens(rows: Sequence[Row], unit: Sequence[int], prompts: Mapping[int, bytes], seen: Set[bytes]) -> int:
    """The tokens that a unit adds to a micro-batch with these prompts."""
    known, total = set(seen), 0
    for i in unit:
        total += len(rows[i].tokens)
        if prompts[i] and prompts[i] in known:
            total -= len(prompts[i]) // rows[i].tokens.itemsize
        known.add(prompts[i])
    return total
