"""Episodes and verdicts as Arrow tables: exact both ways, and plain enough for DuckDB.

One row an episode. Per-token numbers (``logprob``, ``raw_logprob``, ``entropy``, ``certainty``, ``kept``)
run over the sampled tokens of all spans, one after the other; ``tokens`` runs over all spans.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.sample.episode import Completion, Episode, Finish, Span
from sharpen.score.group import Columns, Group, Unit, mean_signal
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.task import Task

Name = TypeVar("Name", Status, Finish)

_SIGNALS = {
    "logprob": "logprobs",
    "raw_logprob": "raw_logprobs",
    "entropy": "entropy",
    "certainty": "certainty",
}
_INTS, _FLOATS, _STRINGS = pa.list_(pa.int32()), pa.list_(pa.float32()), pa.list_(pa.string())

EPISODE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("task_id", pa.string()),
        ("sample", pa.int32()),
        ("text", pa.string()),
        ("prefill", pa.string()),
        ("finish", pa.string()),
        ("n_sampled", pa.int32()),
        ("mean_entropy", pa.float64()),
        ("mean_certainty", pa.float64()),
        ("tokens", _INTS),
        ("span_role", _STRINGS),
        ("span_length", _INTS),
        ("span_trainable", pa.list_(pa.bool_())),
        ("span_seat", _STRINGS),
        ("span_version", _STRINGS),
        ("span_turn", _INTS),
        ("span_finish", _STRINGS),  # null where the span is authored
        ("span_truncated", pa.list_(pa.bool_())),  # the law kept a part of the vocabulary: ``kept`` holds it
        *[(name, _FLOATS) for name in _SIGNALS],
        ("kept", pa.list_(_INTS)),
    ]
)
LIGHT = [
    "key",
    "task_id",
    "sample",
    "text",
    "prefill",
    "finish",
    "n_sampled",
    "mean_entropy",
    "mean_certainty",
]
"""The columns without tokens."""

VERDICT_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("score", pa.float64()),
        ("status", pa.string()),
        ("by", pa.string()),
        ("on", pa.string()),
        ("detail", pa.string()),
        ("correct", pa.bool_()),
        ("parts", pa.map_(pa.string(), pa.float64())),
        ("steps", pa.list_(pa.float64())),
    ]
)

PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": [
        "task_id",
        "finish",
        "status",
        "by",
        "on",
    ],  # never floats: it may merge their NaN bits
    "write_statistics": False,
}
"""Options for ``pyarrow.parquet.write_table`` under which the tables come back bit for bit."""


# episodes -------------------------------------------------------------------------------------
def episodes_to_table(episodes: Sequence[Episode]) -> pa.Table:
    """One row an episode (``EPISODE_SCHEMA``). SharpenError, naming the episode, where a span's tokens are
    not those of its completion or a per-token array has another length."""
    for episode in episodes:
        _check(episode)
    sampled = [[s.sampled for s in e.spans if s.sampled is not None] for e in episodes]
    columns: dict[str, Any] = {
        "key": [e.key for e in episodes],
        "task_id": [e.task_id for e in episodes],
        "sample": [e.sample for e in episodes],
        "text": [e.text for e in episodes],
        "prefill": [e.prefill for e in episodes],
        "finish": [str(e.finish) for e in episodes],
        "n_sampled": [e.n_sampled for e in episodes],
        "mean_entropy": [mean_signal(e, "entropy") for e in episodes],
        "mean_certainty": [mean_signal(e, "certainty") for e in episodes],
        "tokens": _ragged([[s.tokens for s in e.spans] for e in episodes], np.int32),
        "span_role": [[s.role for s in e.spans] for e in episodes],
        "span_length": [[len(s.tokens) for s in e.spans] for e in episodes],
        "span_trainable": [[s.trainable for s in e.spans] for e in episodes],
        "span_seat": [[s.seat for s in e.spans] for e in episodes],
        "span_version": [[s.version for s in e.spans] for e in episodes],
        "span_turn": [[s.turn for s in e.spans] for e in episodes],
        "span_finish": [[s.sampled and str(s.sampled.finish) for s in e.spans] for e in episodes],
        "span_truncated": [
            [s.sampled is not None and s.sampled.kept is not None for s in e.spans] for e in episodes
        ],
        "kept": _kept(sampled),
    }
    for name, attribute in _SIGNALS.items():
        columns[name] = _ragged([[getattr(c, attribute) for c in row] for row in sampled], np.float32)
    arrays = [
        columns[f.name] if isinstance(columns[f.name], pa.Array) else pa.array(columns[f.name], f.type)
        for f in EPISODE_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=EPISODE_SCHEMA)


def _check(episode: Episode) -> None:
    for span in episode.spans:
        done = span.sampled
        if done is None:
            continue
        n = len(span.tokens)
        same = np.array_equal(span.tokens, done.tokens)
        lengths = [len(getattr(done, a)) for a in _SIGNALS.values()]
        if not same or lengths != [n] * 4 or (done.kept is not None and len(done.kept) != n):
            raise SharpenError(f"episode {episode.key!r}: a span's arrays do not match its {n} tokens")


def _ragged(rows: Sequence[Sequence[NDArray[Any]]], dtype: type[np.generic]) -> pa.Array:
    """A list array with one row per entry: the concatenation of its parts, bits untouched."""
    ends = np.cumsum([0, *[sum(len(p) for p in parts) for parts in rows]], dtype=np.int32)
    flat = [np.asarray(p, dtype=dtype) for parts in rows for p in parts]
    values = np.concatenate(flat) if flat else np.zeros(0, dtype)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values))


def _kept(sampled: Sequence[Sequence[Completion]]) -> pa.Array:
    """list<list<int32>>: kept sets of the truncating spans' tokens, one list a token."""
    rows = [[ids for c in row if c.kept is not None for ids in c.kept] for row in sampled]
    ends = np.cumsum([0, *[len(row) for row in rows]], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), _ragged([[ids] for row in rows for ids in row], np.int32))


def table_to_episodes(table: pa.Table) -> list[Episode]:
    """The episodes of an ``EPISODE_SCHEMA`` table, equal to those written in every field and bit."""
    table = table.combine_chunks()
    rows = table.select([n for n in table.column_names if n not in ("tokens", "kept", *_SIGNALS)]).to_pylist()
    tokens = _split(table["tokens"], np.int32)
    signals = {name: _split(table[name], np.float32) for name in _SIGNALS}
    kept = _split_kept(table["kept"])
    episodes = []
    for i, row in enumerate(rows):
        arrays = {attribute: signals[name][i] for name, attribute in _SIGNALS.items()}
        spans = _spans(row, tokens[i], arrays, kept[i])
        episodes.append(
            Episode(
                key=row["key"],
                task_id=row["task_id"],
                sample=row["sample"],
                spans=spans,
                finish=Finish(row["finish"]),
                text=row["text"],
                prefill=row["prefill"],
            )
        )
    return episodes


def _spans(
    row: dict[str, Any], tokens: NDArray[np.int32], signals: dict[str, NDArray[np.float32]], kept: list[Any]
) -> tuple[Span, ...]:
    spans: list[Span] = []
    at = sampled_at = kept_at = 0
    for k, n in enumerate(row["span_length"]):
        ids, finish, done = tokens[at : at + n], row["span_finish"][k], None
        at += n
        if finish is not None:
            sets = None
            if row["span_truncated"][k]:
                sets = tuple(kept[kept_at : kept_at + n])
                kept_at += n
            parts = {name: array[sampled_at : sampled_at + n] for name, array in signals.items()}
            sampled_at += n
            done = Completion(tokens=ids, finish=Finish(finish), kept=sets, **parts)
        spans.append(
            Span(
                role=row["span_role"][k],
                tokens=ids,
                trainable=row["span_trainable"][k],
                seat=row["span_seat"][k],
                sampled=done,
                version=row["span_version"][k],
                turn=row["span_turn"][k] if "span_turn" in row else 0,  # runs of earlier versions have none
            )
        )
    return tuple(spans)


def _list_array(column: pa.ChunkedArray) -> pa.ListArray:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _split(column: pa.ChunkedArray, dtype: type[np.generic]) -> list[NDArray[Any]]:
    return _split_array(_list_array(column), dtype) if len(column) else []


def _split_array(array: pa.ListArray, dtype: type[np.generic]) -> list[NDArray[Any]]:
    """Rows of a list array as numpy arrays; copied once, so that they are writable and own their memory."""
    ends = array.offsets.to_numpy()
    values = np.array(array.values, dtype=dtype)
    return [values[ends[i] : ends[i + 1]] for i in range(len(array))]


def _split_kept(column: pa.ChunkedArray) -> list[list[NDArray[np.int32]]]:
    if not len(column):
        return []
    outer = _list_array(column)
    ends = outer.offsets.to_numpy()
    sets = _split_array(outer.values, np.int32)
    return [sets[ends[i] : ends[i + 1]] for i in range(len(outer))]


# verdicts -------------------------------------------------------------------------------------
def verdicts_to_table(keys: Sequence[str], verdicts: Sequence[Verdict]) -> pa.Table:
    """One row a verdict (``VERDICT_SCHEMA``); ``keys`` are the episodes' keys, in the same order."""
    if len(keys) != len(verdicts):
        raise SharpenError(f"{len(verdicts)} verdicts for {len(keys)} keys")
    columns: dict[str, list[Any]] = {
        "key": list(keys),
        "score": [v.score for v in verdicts],
        "status": [str(v.status) for v in verdicts],
        "by": [v.by for v in verdicts],
        "on": [v.on for v in verdicts],
        "detail": [v.detail for v in verdicts],
        "correct": [v.correct for v in verdicts],
        "parts": [list(v.parts.items()) for v in verdicts],
        "steps": [list(v.steps) for v in verdicts],
    }
    return pa.Table.from_arrays(
        [pa.array(columns[f.name], f.type) for f in VERDICT_SCHEMA], schema=VERDICT_SCHEMA
    )


def table_to_verdicts(table: pa.Table) -> list[tuple[str, Verdict]]:
    """Episode keys and verdicts, in the table's order."""
    keys, scores, states, by, on, details = (
        _plain(table[name]) for name in ("key", "score", "status", "by", "on", "detail")
    )
    # by column: a million rows as dictionaries would take most of a replay
    verdicts = map(Verdict, scores, _named(Status, states), by, on, details, _parts(table), _steps(table))
    return list(zip(keys, verdicts, strict=True))


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """A column of numbers or texts, as Python has them."""
    return column.to_numpy().tolist()


def _named(kind: type[Name], texts: Sequence[str]) -> list[Name]:
    """What each text names; each is looked up once."""
    known = {text: kind(text) for text in set(texts)}
    return [known[text] for text in texts]


def _parts(table: pa.Table) -> list[dict[str, float]]:
    if not len(table):
        return []
    array = _list_array(table["parts"])
    names, values = array.keys.to_pylist(), array.items.to_numpy().tolist()
    none: dict[str, float] = {}
    ends = pairwise(array.offsets.to_numpy().tolist())
    return [dict(zip(names[a:b], values[a:b], strict=True)) if a < b else none for a, b in ends]


def _steps(table: pa.Table) -> list[tuple[float, ...]]:
    if not len(table):
        return []
    array = _list_array(table["steps"])
    values = array.values.to_numpy().tolist()
    return [tuple(values[a:b]) for a, b in pairwise(array.offsets.to_numpy().tolist())]


# lazy units -----------------------------------------------------------------------------------
Load = Callable[[list[str] | None], pa.Table]
"""Reads the named columns of a stored episode table (None: all of them)."""


def table_unit(tasks: Sequence[Task], episodes: Load, verdicts: Callable[[], pa.Table] | None = None) -> Unit:
    """A lazy unit of one group a task, in the tasks' order, over stored tables.

    Rows belong to the task that they name; their order within it is the samples'. Rows of other tasks
    raise SharpenError, and so does an episode without verdict where ``verdicts`` is given.
    """
    order = {task.id: i for i, task in enumerate(tasks)}
    if len(order) != len(tasks):
        raise SharpenError("a unit names one task twice")

    def judged() -> dict[str, Verdict] | None:
        return None if verdicts is None else dict(table_to_verdicts(verdicts()))

    def columns() -> list[Columns]:
        table = episodes(LIGHT)
        column = {name: _plain(table[name]) for name in LIGHT}
        column["finish"] = _named(Finish, column["finish"])
        rows = _by_task(range(len(table)), order, column["task_id"].__getitem__, column["sample"].__getitem__)
        known = judged()
        return [_columns(task, column, rows[i], known) for i, task in enumerate(tasks)]

    def groups() -> list[Group]:
        whole = table_to_episodes(episodes(None))
        held = _by_task(whole, order, lambda e: e.task_id, lambda e: e.sample)
        known = judged()
        return [
            Group(task, tuple(held[i]), _verdicts(known, [e.key for e in held[i]]))
            for i, task in enumerate(tasks)
        ]

    return Unit(len(tasks), columns, groups)


def _by_task(
    items: Iterable[Any],
    order: dict[str, int],
    task_of: Callable[[Any], str],
    sample_of: Callable[[Any], int],
) -> list[list[Any]]:
    held: list[list[Any]] = [[] for _ in order]
    for item in items:
        if task_of(item) not in order:
            raise SharpenError(f"stored episode of task {task_of(item)!r}, which is not in this unit")
        held[order[task_of(item)]].append(item)
    return [sorted(rows, key=sample_of) for rows in held]


def _verdicts(known: dict[str, Verdict] | None, keys: list[str]) -> tuple[Verdict, ...] | None:
    if known is None:
        return None
    missing = [k for k in keys if k not in known]
    if missing:
        raise SharpenError(f"stored episode {missing[0]!r} has no verdict")
    return tuple(known[k] for k in keys)


def _columns(
    task: Task, column: Mapping[str, list[Any]], rows: Sequence[int], known: dict[str, Verdict] | None
) -> Columns:
    """What the light columns say of a task, whose rows are these."""
    keys, prefill, text, finish, lengths, entropy, certainty = (
        [column[name][row] for row in rows]
        for name in ("key", "prefill", "text", "finish", "n_sampled", "mean_entropy", "mean_certainty")
    )
    return Columns(
        task=task,
        keys=tuple(keys),
        texts=tuple(map(operator.add, prefill, text)),
        finish=tuple(finish),
        lengths=np.array(lengths, dtype=np.int64),
        entropy=np.array(entropy, dtype=np.float64),
        certainty=np.array(certainty, dtype=np.float64),
        verdicts=_verdicts(known, keys),
    )
