"""Samples drawn again by their rewards, beside themselves."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.verdict import Status
from sharpen.select.resampling import all_refused, resampled, softmax
from tests.scored import group, table, verdict

ORACLE = [1, -1, 0.332279, -0.519494]


def said(score, text):
    if score == 1:
        return text, verdict(1.0, True)
    return text, verdict(score, False, Status.OK if score == -1 else Status.REFUSED)


def held(*rows):
    return table(*(group(f"q{i}", [said(s, f"t{k}") for k, s in enumerate(r)]) for i, r in enumerate(rows)))


def drawn(groups, tau=0.5, seed=0, **more):
    return resampled(groups, tau, stream(seed), **more)


def test_the_softmax_of_the_paper():
    assert softmax(ORACLE, 0.5) == pytest.approx([0.7523, 0.0138, 0.1979, 0.0360], abs=5e-5)
    assert softmax([1e6, -1e6], 1e-3).tolist() == [1, 0]
    assert softmax([], 0.5).size == 0
    for tau in (0.0, -0.5, float("nan")):
        with pytest.raises(SharpenError, match="tau"):
            softmax([1.0], tau)
        with pytest.raises(SharpenError, match="tau"):
            drawn(held(ORACLE), tau)


def test_as_many_are_kept_as_expected():
    sizes = [len(drawn(held(ORACLE), seed=i)) for i in range(1500)]
    assert np.mean(sizes) == pytest.approx(6.945, abs=0.03)


def test_wrong_answers_never_enter_and_short_refusals_do():
    found = drawn(held(ORACLE))
    assert all(i.score > -1 for i in found)
    assert {0, 2, 3} <= {i.sample for i in found}  # each kept sample at least once
    without = drawn(held(ORACLE), drop_negative_idk=True)
    assert {i.sample for i in without} <= {0, 2}
    assert without.ledger["short_refusal"] >= 1
    assert drawn(held([-1] * 4)).ledger == {
        "sampled": 8, "unknown": 0, "duplicate": 0, "wrong": 8, "short_refusal": 0, "kept": 0,
    }  # fmt: skip


def test_all_right_and_all_refused_are_there_twice_over():
    assert len(drawn(held([1] * 4))) == 8
    assert len(drawn(held([-0.5] * 4))) == 8
    assert len(drawn(held([1, 1, -1, 0.2]), tau=-1)) == 3


def test_equal_texts_may_count_once():
    same = table(group("q", [said(1, "a")] * 3 + [said(-1, "b")]))
    assert len(drawn(same, dedup=True)) <= 3
    assert drawn(same, dedup=True).ledger["duplicate"] == 2
    assert len(drawn(same, tau=-1, dedup=True)) == 1
    assert len(drawn(same, tau=-1)) == 3


def test_unknown_verdicts_are_neither_learnt_nor_drawn():
    held_ = table(group("q", [("a", verdict(0.0, status=Status.TIMEOUT)), said(1, "b")]))
    found = drawn(held_)
    assert [i.text for i in found] == ["b", "b"]
    assert (found.ledger["unknown"], found.ledger["sampled"]) == (1, 3)
    assert len(drawn(table(group("q", [("a", verdict(0.0, status=Status.CRASH))])))) == 0


def test_the_draws_are_named_and_written_down():
    groups = held(ORACLE, ORACLE, [1, 0.3, 0.2, 0.1])
    assert drawn(groups).digest == drawn(groups).digest != drawn(groups, seed=1).digest
    assert drawn(groups).spec["tau"] == 0.5
    order = [(i.group, i.sample) for i in drawn(groups) if i.group == 2]
    assert order[:4] == [(2, 0), (2, 1), (2, 2), (2, 3)]  # the samples, then the copies


REWARDS = st.lists(st.sampled_from([1.0, -1.0, -0.6, -0.1, 0.4]), min_size=1, max_size=9)


@given(
    st.lists(REWARDS, min_size=1, max_size=4),
    st.sampled_from([0.05, 0.5, 5.0, -1.0]),
    st.booleans(),
    st.booleans(),
)
def test_every_sample_and_every_copy_is_accounted_for(rows, tau, drop, dedup):
    groups = held(*rows)
    found = drawn(groups, tau, drop_negative_idk=drop, dedup=dedup)
    n = sum(len(r) for r in rows)
    assert found.ledger["sampled"] == (n if tau == -1 else 2 * n)  # texts differ: dedup changes nothing
    assert found.ledger["kept"] == len(found)
    times = Counter((i.group, i.sample) for i in found)
    for g, row in enumerate(rows):
        for k, score in enumerate(row):
            kept = score > -1 and not (drop and score not in (1, 0.4))
            assert (times[g, k] >= 1) == kept
        assert sum(times[g, k] for k in range(len(row))) <= 2 * len(row)


def test_giving_up_is_seen():
    assert all_refused(held([-0.5, 0.2], [1, 0.2], [-1]).columns) == pytest.approx(1 / 3)
    assert all_refused([]) == 0
