"""Which episodes a report shows: whole groups, the same questions in every step and run, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen.runs.manifest import read_manifest
from sharpen.runs.streams import stream
from sharpen.studio.episodes import Sampled, read, rows_in, sampled_steps, take, told, verdicts
from sharpen.studio.matches import some_plays
from sharpen.studio.overview import is_measuring
from sharpen.studio.pieces import Pieces
from sharpen.studio.words import spread

SIBLINGS = 16
"""Of a group at most so many are shown."""
TOKENS = 120_000
"""Tokens shown of all runs together: what keeps a report small."""
PLAYS = 12
"""Games shown of a step."""
ROUNDS = 40
"""Rounds shown: of a run of more, measured ones and others in turn, the first and the last among them."""


def chosen(folder: Path, n: int, tokens: int = TOKENS) -> dict[str, Any]:
    """A sample of a run's episodes: ``rows`` (see ``episodes.told``), ``shown``, ``of`` (how many there are),
    ``steps`` (what is known of each step shown) and ``plays`` by step.

    Steps give groups in turn, the last and the first round before those between, until ``n`` episodes or so
    many ``tokens`` are there. The order of questions is drawn from a stream with a name of its own, so it is
    the same for equal steps.
    """
    manifest = read_manifest(folder)
    every = sampled_steps(manifest)
    steps = _some_rounds(every, ROUNDS)
    taken = _taken(_in_turn(steps), n, tokens)
    pieces = Pieces(folder, manifest.steps)
    rows = []
    for step in steps:
        rows += _rows(step, taken.get(step.key, {}), pieces)
    return {
        "rows": rows,
        "shown": len(rows),
        "of": sum(s.rows for s in every),
        "steps": {s.key: {"name": s.name, "round": s.round, **s.about} for s in steps if taken.get(s.key)},
        **_games(steps, every),
    }


def _some_rounds(steps: Sequence[Sampled], most: int) -> list[Sampled]:
    """The steps of at most so many rounds, half of them such as measured something, evenly spread."""
    measured = {s.round for s in steps if is_measuring(s.key)}
    rounds = {s.round for s in steps}
    shown = set(spread(sorted(measured), most // 2))
    shown |= set(spread(sorted(rounds - shown), most - len(shown)))
    return [s for s in steps if s.round in shown]


def _in_turn(steps: Sequence[Sampled]) -> list[Sampled]:
    """The steps, ends first: last round, first round, and so on inwards."""
    rounds = sorted({s.round for s in steps})
    order: list[int] = []
    while rounds:
        order.append(rounds.pop())
        if rounds:
            order.append(rounds.pop(0))
    return sorted((s for s in steps if s.parts), key=lambda s: order.index(s.round))


Places = dict[int, list[int]]
"""Unit file of a step (by position) -> rows in it."""


def _taken(steps: Sequence[Sampled], n: int, tokens: int) -> dict[str, Places]:
    groups = {s.key: _groups(s) for s in steps}
    out: dict[str, Places] = {}
    while n > 0 and tokens > 0 and any(groups.values()):
        for step in steps:
            if not groups[step.key]:
                continue
            group = groups[step.key].pop()[:SIBLINGS][: max(n, 0)]
            size = sum(t for _, _, t in group)
            if not group or size > tokens:
                groups[step.key] = []
                continue
            n, tokens = n - len(group), tokens - size
            for part, row, _ in group:
                out.setdefault(step.key, {}).setdefault(part, []).append(row)
    return out


def _groups(step: Sampled) -> list[list[tuple[int, int, int]]]:
    """(part, row, tokens) of each question's episodes; the group to show first comes last."""
    held: dict[str, list[tuple[int, int, int]]] = {}
    for i, path in enumerate(step.parts):
        table = read(path, ["task_id", "n_sampled"])
        rows = zip(table["task_id"].to_pylist(), table["n_sampled"].to_pylist(), strict=True)
        for k, (task, n) in enumerate(rows):
            held.setdefault(task, []).append((i, k, (n or 0) + 1))
    # a question's place is a draw of its own: other questions of the step do not enter
    return [held[t] for t in sorted(held, key=lambda t: (stream("report", t).key, t), reverse=True)]


def _rows(step: Sampled, places: Places, pieces: Pieces) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part, at in sorted(places.items()):
        rows += take(read(step.parts[part]), sorted(at)).to_pylist()
    known = verdicts(step, [r["key"] for r in rows])
    return [told(step, row, known.get(row["key"], []), pieces) for row in rows]


def _games(steps: Sequence[Sampled], every: Sequence[Sampled]) -> dict[str, Any]:
    if not any(s.plays for s in every):
        return {}
    plays = [p for s in steps if s.plays for p in some_plays(s.plays, s.key, s.round, PLAYS)]
    return {"plays": plays, "plays_of": sum(rows_in(p) for s in every for p in s.plays)}
