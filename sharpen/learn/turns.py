"""Rows of an episode of several turns: one for each sequence that its model saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sharpen.learn.row import Row
from sharpen.learn.rows import row_of
from sharpen.sample.episode import Episode, Finish


def turn_rows(episode: Episode, scalars: Mapping[str, float] | None = None) -> list[Row]:
    """The rows of an episode, in the order of its turns; ``scalars`` go with each.

    A row is keyed by its first turn. Sequences without a sampled token (a turn that was never taken) give
    none.
    """
    rows = []
    for spans in episode.sequences:
        if not any(s.trainable and s.sampled is not None and len(s.tokens) for s in spans):
            continue
        row = row_of(replace(episode, spans=spans))
        rows.append(
            replace(row, key=f"{episode.key}#{spans[0].turn}", scalars={**row.scalars, **(scalars or {})})
        )
    return rows


def was_cut(episode: Episode, row: Row) -> bool:
    """Whether a reply in one of ``turn_rows`` ended at its limit, without an end token."""
    first = int(row.key.rpartition("#")[2])
    (spans,) = [spans for spans in episode.sequences if spans[0].turn == first]
    return any(s.sampled is not None and s.sampled.finish is Finish.LENGTH for s in spans)


def with_advantage(row: Row, advantage: float) -> Row:
    """The row with one advantage at all its learnt tokens."""
    each = np.where(row.arrays["weight"] != 0, np.float32(advantage), np.float32(0.0))
    scalars = {**row.scalars, "advantage": advantage}
    return replace(row, arrays={**row.arrays, "advantage": each}, scalars=scalars)
