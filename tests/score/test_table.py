"""Tables hold episodes and verdicts to the bit, DuckDB reads them, and tokens load only when asked for."""

from dataclasses import fields, replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sharpen.errors import SharpenError
from sharpen.sample.episode import Completion, Episode, Finish, Span
from sharpen.score.group import Group, Groups, Unit
from sharpen.score.table import (
    LIGHT,
    PARQUET,
    episodes_to_table,
    table_to_episodes,
    table_to_verdicts,
    table_unit,
    verdicts_to_table,
)
from sharpen.score.verdict import Status, Verdict
from tests.scored import episode, task, verdict

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# any bit pattern: NaNs of every kind, infinities, both zeros, subnormals
BITS = st.integers(0, 2**32 - 1)
IDS = hnp.arrays(np.int32, st.integers(0, 4), elements=st.integers(-(2**31), 2**31 - 1))


def float_bits(n):
    return hnp.arrays(np.uint32, n, elements=BITS).map(lambda a: a.view(np.float32))


@st.composite
def spans(draw):
    tokens = draw(IDS)
    n = len(tokens)
    sampled = None
    if draw(st.booleans()):
        kept = tuple(draw(IDS) for _ in range(n)) if draw(st.booleans()) else None
        signals = [draw(float_bits(n)) for _ in range(4)]
        sampled = Completion(tokens, *signals, draw(st.sampled_from(Finish)), kept)
    return Span(draw(TEXT), tokens, draw(st.booleans()), draw(TEXT), sampled, draw(TEXT))


EPISODES = st.builds(
    Episode,
    key=TEXT,
    task_id=TEXT,
    sample=st.integers(0, 2**31 - 1),
    spans=st.lists(spans(), max_size=3).map(tuple),
    finish=st.sampled_from(Finish),
    text=TEXT,
    prefill=TEXT,
)


def same(a, b):
    """Equal types, fields and bits."""
    if isinstance(a, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, Episode | Span | Completion):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=25, deadline=None)
@given(st.lists(EPISODES, max_size=4))
def test_episodes_come_back_to_the_bit(tmp_path_factory, episodes):
    table = episodes_to_table(episodes)
    assert all(map(same, episodes, table_to_episodes(table)))
    path = tmp_path_factory.mktemp("unit") / "part.parquet"
    pq.write_table(table, path, **PARQUET)
    back = table_to_episodes(pq.read_table(path))
    assert len(back) == len(episodes)
    assert all(map(same, episodes, back))


@settings(max_examples=20, deadline=None)
@given(st.lists(EPISODES, min_size=2, max_size=4))
def test_slices_and_chunks_come_back(episodes):
    table = episodes_to_table(episodes)
    assert all(map(same, episodes[1:], table_to_episodes(table.slice(1))))
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert all(map(same, episodes, table_to_episodes(chunked)))


def test_read_arrays_are_writable():
    [back] = table_to_episodes(episodes_to_table([episode("x")]))
    back.tokens[0] = 1
    back.spans[1].tokens[0] = 1


def test_a_span_unlike_its_completion_is_refused():
    good = episode("x")
    bad = replace(good.spans[1], tokens=good.spans[1].tokens[:-1])
    with pytest.raises(SharpenError, match="round/sample:0/q/0"):
        episodes_to_table([replace(good, spans=(good.spans[0], bad))])


FINITE = st.floats(allow_nan=False, allow_infinity=False)
VERDICTS = st.builds(
    Verdict,
    score=FINITE,
    status=st.sampled_from(Status),
    by=TEXT,
    on=st.sampled_from(["episode", "seat", "turn", "step", "pair"]),
    detail=TEXT,
    parts=st.dictionaries(TEXT, FINITE, max_size=3),
    steps=st.lists(FINITE, max_size=3).map(tuple),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(VERDICTS, max_size=4))
def test_verdicts_come_back(tmp_path_factory, verdicts):
    keys = [f"k{i}" for i in range(len(verdicts))]
    table = verdicts_to_table(keys, verdicts)
    assert table_to_verdicts(table) == list(zip(keys, verdicts, strict=True))
    path = tmp_path_factory.mktemp("unit") / "part.parquet"
    pq.write_table(table, path, **PARQUET)
    assert table_to_verdicts(pq.read_table(path)) == list(zip(keys, verdicts, strict=True))
    assert pq.read_table(path)["correct"].to_pylist() == [v.correct for v in verdicts]


def test_duckdb_reads_them(tmp_path):
    kept = (np.array([1, 2], np.int32), np.array([3], np.int32))
    one = episode("a", length=2)
    done = replace(one.spans[1].sampled, kept=kept)
    one = replace(one, spans=(one.spans[0], replace(one.spans[1], sampled=done)))
    episodes = [one, episode("b", sample=1, length=1)]
    pq.write_table(episodes_to_table(episodes), tmp_path / "e.parquet", **PARQUET)
    verdicts = [Verdict(1.5, parts={"correct": 1.0, "process": 0.5}), Verdict(0.0, Status.CRASH)]
    pq.write_table(verdicts_to_table([e.key for e in episodes], verdicts), tmp_path / "v.parquet", **PARQUET)
    rows = duckdb.sql(
        f"select text, tokens, kept, logprob, parts['process'] from '{tmp_path}/e.parquet' "
        f"join '{tmp_path}/v.parquet' using (key) where status = 'ok'"
    ).fetchall()
    assert rows == [("a", [7, 8, 0, 1], [[1, 2], [3]], [-0.5, -0.5], 0.5)]


class Store:
    """Two stored units that count their reads."""

    def __init__(self):
        self.reads = []
        self.held = {
            i: [Group(task(n), tuple(episode(f"{n}{k}", of=n, sample=k) for k in range(2))) for n in names]
            for i, names in enumerate((("a", "b"), ("c",)))
        }

    def unit(self, i, *, with_verdicts=False):
        table = episodes_to_table([e for g in self.held[i] for e in g.episodes])
        keys = table["key"].to_pylist()
        verdicts = verdicts_to_table(keys, [verdict(float(k % 2)) for k in range(len(keys))])

        def load(columns):
            self.reads.append((i, "columns" if columns == LIGHT else "tokens"))
            return table if columns is None else table.select(columns)

        tasks = [g.task for g in self.held[i]]
        return table_unit(tasks, load, (lambda: verdicts) if with_verdicts else None)


def test_columns_load_no_tokens():
    store = Store()
    groups = Groups.from_units([store.unit(0, with_verdicts=True), store.unit(1, with_verdicts=True)])
    assert len(groups) == 3
    assert store.reads == []
    assert groups.texts == [("a0", "a1"), ("b0", "b1"), ("c0", "c1")]
    assert [list(s) for s in groups.scores] == [[0.0, 1.0]] * 3
    assert [list(n) for n in groups.lengths] == [[3, 3]] * 3
    assert groups.columns[0].entropy[0] == 0.5
    assert groups.n_samples == 6
    again = groups.with_verdicts([[verdict(2.0)] * 2] * 3)
    assert [list(s) for s in again.scores] == [[2.0, 2.0]] * 3
    assert store.reads == [(0, "columns"), (1, "columns")]
    assert same(groups[2].episodes, store.held[1][0].episodes)
    assert store.reads[2:] == [(1, "tokens")]
    assert again[2].verdicts[0].score == 2.0
    assert same(again[2].episodes, groups[2].episodes)


def test_groups_are_a_sequence():
    store = Store()
    groups = Groups.from_units([store.unit(0), store.unit(1)])
    assert [g.task.id for g in groups] == ["a", "b", "c"]
    assert groups[-1].task.id == "c"
    assert groups[1:].tasks == [task("b"), task("c")]
    assert groups[1:][0].episodes[1].text == "b1"
    with pytest.raises(IndexError):
        groups[3]
    with pytest.raises(SharpenError, match="score the groups first"):
        _ = groups.scores
    assert len(Groups()) == 0
    assert Groups().columns == ()


def test_in_memory_groups_agree_with_stored_ones():
    store = Store()
    lazy = Groups.from_units([store.unit(0), store.unit(1)])
    held = Groups(store.held[0] + store.held[1])
    assert held.texts == lazy.texts
    for a, b in zip(held.columns, lazy.columns, strict=True):
        assert a.keys == b.keys
        assert a.finish == b.finish
        assert a.entropy.tobytes() == b.entropy.tobytes()
        assert a.certainty.tobytes() == b.certainty.tobytes()


def test_a_unit_that_is_not_whole_is_noticed():
    one = Group(task("a"), (episode("x", of="a"),))
    short = Groups.from_units([Unit(2, lambda: [one.columns()], lambda: [one])])
    with pytest.raises(SharpenError, match="announced"):
        _ = short.columns
    with pytest.raises(SharpenError, match="announced"):
        _ = short[0]
    store = Store()
    table = episodes_to_table([episode("x", of="stranger")])
    with pytest.raises(SharpenError, match="stranger"):
        table_unit([task("a")], lambda c: table.select(c) if c else table).columns()
    none = verdicts_to_table([], [])
    whole = episodes_to_table(list(store.held[0][0].episodes))
    with pytest.raises(SharpenError, match="no verdict"):
        table_unit([task("a")], lambda c: whole.select(c) if c else whole, lambda: none).columns()


def test_mismatched_groups_are_refused():
    with pytest.raises(SharpenError, match="not an attempt"):
        Group(task("a"), (episode("x", of="b"),))
    with pytest.raises(SharpenError, match="2 verdicts for 1"):
        Group(task("q"), (episode("x"),), (verdict(1.0), verdict(0.0)))
    with pytest.raises(SharpenError, match="verdicts for"):
        Groups([Group(task("q"), (episode("x"),))]).with_verdicts([])


def test_unknown_scores_cannot_be_summed():
    group = Group(
        task("q"), (episode("x"), episode("y", sample=1)), (verdict(1.0), verdict(0.0, status=Status.TIMEOUT))
    )
    assert np.isnan(group.columns().scores).tolist() == [False, True]
