"""Episodes to rows, and the batches that learners see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.learn.batch import micro_batches, plan, units_of
from sharpen.learn.row import Row
from sharpen.learn.rows import (
    LEAST,
    RowLedger,
    check_rows,
    distinct,
    kept_rows,
    laid,
    row_of,
    row_of_text,
)
from sharpen.runs.streams import stream
from sharpen.sample.episode import Completion, Episode, Finish, Span


def completion(tokens, finish=Finish.EOS) -> Completion:
    values = np.linspace(-1, -2, len(tokens)).astype(np.float32)
    return Completion(np.array(tokens, dtype=np.int32), values, values, -values, values, finish)


def span(role, tokens, sampled=None, trainable=False) -> Span:
    return Span(role, np.array(tokens, dtype=np.int32), trainable, sampled=sampled)


def row(n, unit="", key="", weight=1.0) -> Row:
    return Row(
        np.arange(n, dtype=np.int32), {"weight": np.full(n, weight, dtype=np.float32)}, unit=unit, key=key
    )


def test_weight_lies_on_what_a_trainable_seat_sampled():
    first, other, last = completion([4, 5], Finish.STOP), completion([8, 9]), completion([6, 2])
    episode = Episode(
        "k",
        "t",
        0,
        (
            span("prompt", [1, 3]),
            span("prefill", [7], trainable=True),
            span("assistant", [4, 5], first, trainable=True),
            span("assistant", [8, 9], other),
            span("tool", [10]),
            span("assistant", [6, 2], last, trainable=True),
        ),
        Finish.EOS,
        "",
    )
    made = row_of(episode, weight=0.5)
    assert made.tokens.tolist() == [1, 3, 7, 4, 5, 8, 9, 10, 6, 2]
    assert made.key == "k"
    assert made.arrays["weight"].tolist() == [0, 0, 0, 0.5, 0.5, 0, 0, 0, 0.5, 0.5]
    assert made.arrays["old_logprob"].tolist() == [0, 0, 0, -1, -2, -1, -2, 0, -1, -2]
    assert made.tokens.dtype == np.int32
    assert made.arrays["weight"].dtype == np.float32


def test_a_row_has_no_log_probabilities_where_the_engine_did_not_tell_all():
    told = completion([4, 5])
    untold = Completion(told.tokens, *[np.full(2, np.nan, np.float32)] * 4, finish=Finish.EOS)
    spans = (
        span("prompt", [1, 3]),
        span("assistant", [4, 5], told, True),
        span("assistant", [4, 5], untold, True),
    )
    made = row_of(Episode("k", "t", 0, spans, Finish.EOS, ""))
    assert list(made.arrays) == ["weight"]
    assert made.arrays["weight"].tolist() == [0, 0, 1, 1, 1, 1]
    check_rows([made], vocabulary=10, context=10)


def test_long_and_empty_rows_are_named_and_counted():
    rows = [row(5, key="a"), row(9, key="b"), row(4, key="c", weight=0.0), row(8, key="d")]
    with pytest.raises(SharpenError, match="'b' has 9 tokens, the limit is 8"):
        kept_rows(rows, max_tokens=8)
    kept, ledger = kept_rows(rows, max_tokens=8, on_long="skip")
    assert [r.key for r in kept] == ["a", "d"]
    assert ledger == RowLedger(4, 2, ("b",), ("c",))
    with pytest.raises(AssertionError):
        RowLedger(4, 2, ("b",))


def test_a_unit_is_skipped_as_a_whole():
    rows = [row(5, unit="p", key="chosen"), row(9, unit="p", key="rejected"), row(5, unit="q", key="other")]
    kept, ledger = kept_rows(rows, max_tokens=8, on_long="skip")
    assert [r.key for r in kept] == ["other"]
    assert ledger.too_long == ("chosen", "rejected")


def test_malformed_rows_are_named():
    with pytest.raises(SharpenError, match="at least one token"):
        row_of_text([], [4, 5])
    good = row(4, key="x")
    check_rows([good], vocabulary=4, context=4)
    short = Row(good.tokens, {"weight": np.ones(3, dtype=np.float32)}, key="x")
    bad = Row(good.tokens, {**good.arrays, "advantage": np.full(4, np.nan, dtype=np.float32)}, key="x")
    bare = Row(good.tokens, {}, key="x")
    for made, vocabulary, context in [(good, 3, 9), (good, 9, 3), (row(1, key="x"), 9, 9)]:
        with pytest.raises(SharpenError, match="'x'"):
            check_rows([made], vocabulary=vocabulary, context=context)
    for made in (short, bad, bare):
        with pytest.raises(SharpenError, match="'x'"):
            check_rows([made], vocabulary=9, context=9)


table = st.lists(
    st.tuples(st.integers(2, 30), st.sampled_from(["", "", "p", "q", "r"])), min_size=1, max_size=12
)


@given(table, st.integers(1, 8), st.integers(1, 6), st.integers(1, 80))
@settings(max_examples=150, deadline=None)
def test_every_row_is_used_as_planned_and_units_stay_together(shapes, batch_rows, steps, budget):
    rows = [row(n, unit) for n, unit in shapes]
    units = units_of(rows)
    assert sorted(i for u in units for i in u) == list(range(len(rows)))
    batches = plan(rows, stream(0), steps=steps, batch_rows=batch_rows)
    assert len(batches) == steps
    uses: Counter[int] = Counter()
    for batch in batches:
        largest = max(len(u) for u in units)
        assert batch_rows <= sum(len(u) for u in batch) < batch_rows + largest
        micro = micro_batches(rows, batch, tokens_per_microbatch=budget)
        uses.update(i for m in micro for i in m)
        assert Counter(i for m in micro for i in m) == Counter(i for u in batch for i in u)
        for m in micro:
            assert m
            found = Counter(m)
            for unit in units:
                assert len({found[i] for i in unit}) == 1, "a unit was torn apart"
            # over budget only where a single unit is
            tokens = sum(len(rows[i].tokens) for i in m)
            assert tokens <= budget or len(m) == len(next(u for u in units if m[0] in u))
    assert max(uses[i] for i in range(len(rows))) - min(uses[i] for i in range(len(rows))) <= 1


def answers_to(prompts: Sequence[int], n: int) -> list[Row]:
    draw = stream("answers").generator()
    texts = [np.arange(length) % 7 for length in prompts]
    return [
        row_of_text(text, draw.integers(0, 9, int(draw.integers(1, 20))), key=f"{p}/{k}")
        for k in range(n)
        for p, text in enumerate(texts)
    ]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5, unique=True), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_every_token_of_a_row_is_found_where_it_was_laid(prompts, n):
    rows = answers_to(prompts, n)
    for shared in (True, False):
        found = laid(rows, shared=shared)
        flat = np.concatenate(found.sequences)
        for i, one in enumerate(rows):
            assert np.array_equal(flat[found.places(i, np.arange(len(one.tokens)))], one.tokens)
        once = sum(p for p in prompts if p >= LEAST) if shared and n > 1 else 0
        several = sum(p for p in prompts if p >= LEAST) * n if once else 0
        assert len(flat) == sum(len(r.tokens) for r in rows) - several + once
        assert all(p == -1 or found.parents[p] == -1 for p in found.parents)


def test_answers_to_one_prompt_share_a_micro_batch_and_its_tokens_count_once():
    rows = answers_to((30, 29, 28), 4)
    units = [(i,) for i in range(len(rows))]
    together = micro_batches(rows, units, tokens_per_microbatch=120)
    for m in together:
        prompts = [int(rows[i].key.partition("/")[0]) for i in m]
        assert len(list(groupby(prompts))) == len(set(prompts))  # each prompt's answers follow each other
        sequences = laid([rows[i] for i in m]).sequences
        assert sum(map(len, sequences)) <= 120
    assert len(together) <= 3
    assert sorted(i for m in together for i in m) == list(range(len(rows)))


def test_a_plan_is_epochs_of_permutations_and_a_longer_one_begins_alike():
    rows = [row(4) for _ in range(10)]
    long = plan(rows, stream(3), steps=25, batch_rows=4)
    assert plan(rows, stream(3), steps=7, batch_rows=4) == long[:7]
    assert plan(rows, stream(4), steps=7, batch_rows=4) != long[:7]
    flat = [u[0] for batch in long for u in batch]
    epochs = [flat[i : i + 10] for i in range(0, 100, 10)]
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 10


def test_no_rows_is_an_error():
    with pytest.raises(SharpenError, match="no rows"):
        plan([], stream(0), steps=1, batch_rows=1)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), max_size=12))
def test_rows_alike_are_found_once(texts):
    ones = [np.ones(len(t), np.float32) for t in texts]
    rows = [
        Row(np.array(t, np.int32), {"weight": w}, key=str(i))
        for i, (t, w) in enumerate(zip(texts, ones, strict=True))
    ]
    once, places = distinct(rows)
    assert [once[p].tokens.tolist() for p in places] == texts
    assert len({tuple(r.tokens) for r in once}) == len(once)
    assert [texts.index(texts[int(r.key)]) for r in once] == [int(r.key) for r in once]
