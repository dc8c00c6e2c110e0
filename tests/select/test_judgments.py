"""Which judgments make pairs: the specification's sets, and who may see gold."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.select.judgments import Sides, by_gold, by_majority, by_rating, drawn

SCORES = (4, 4, 5, 2, None, 4)
scores = st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=8)


def test_the_sets_of_the_specification():
    assert by_gold(SCORES, 4, margin=1) == Sides((0, 1, 5), (2, 3))
    assert by_gold(SCORES, 4, margin=2) == Sides((0, 1, 5), (3,))
    assert by_majority(SCORES) == Sides((0, 1, 5), (2, 3))
    assert by_majority((2, 2, 4, 4)).why == "tie"
    pairs = [(i, j) for i in (0, 1, 5) for j in (2, 3)]
    assert sorted(drawn(by_gold(SCORES, 4, margin=1), SCORES, "abcdef", stream("s"), most=9)) == pairs


def test_no_pair_and_why():
    assert by_gold((4, 4), 4).why == "all_right"
    assert by_gold((1, 2, None), 4).why == "all_wrong"
    assert by_gold((None, None), 4).why == "unread"
    assert by_gold((), 4).why == "unread"
    assert by_gold((4, 5, 3), 4).why == "no_margin"
    assert by_majority((None, 3)).why == "too_few"
    assert by_majority((None,)).why == "unread"
    assert by_majority((3, 3)).why == "all_right"
    with pytest.raises(SharpenError, match="margin=0"):
        by_gold((1,), 1, margin=0)


@given(scores, st.integers(1, 5), st.integers(1, 4))
def test_chosen_are_right_and_rejected_miss_by_the_margin_on_either_side(said, gold, margin):
    found = by_gold(said, gold, margin=margin)
    assert all(said[k] == gold for k in found.chosen)
    assert all(said[k] is not None and abs(said[k] - gold) >= margin for k in found.rejected)
    if found.chosen or found.rejected:
        assert {*found.chosen} == {k for k, s in enumerate(said) if s == gold}
        missed = {k for k, s in enumerate(said) if s is not None and abs(s - gold) >= margin}
        assert {*found.rejected} == missed
    else:
        assert found.why
    both = by_gold((1, 3, 5), 3, margin=2)
    assert both.rejected == (0, 2)


def test_a_meta_judge_rates_and_what_it_did_not_rate_is_in_no_pair():
    assert by_rating([3, None, 5, 4]) == [(2, 0), (2, 3), (3, 0)]
    assert by_rating([3, None, 5, 4], margin=2) == [(2, 0)]
    assert by_rating([None, None]) == []


@given(scores, st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_pairs_are_drawn_without_replacement_and_with_different_wrong_scores_first(said, gold, most, seed):
    sides = by_gold(said, gold, margin=1)
    texts = [f"text {k}" for k in range(len(said))]
    found = drawn(sides, said, texts, stream("draw", seed), most=most)
    assert len(found) == min(most, len(sides.chosen) * len(sides.rejected)) == len(set(found))
    wrong = {said[j] for j in sides.rejected}
    assert len({said[j] for _, j in found}) == min(len(found), len(wrong))
    counts = Counter(said[j] for _, j in found)
    if found and len(found) <= len(wrong):
        assert max(counts.values()) == 1


def test_equal_texts_are_no_pair():
    assert drawn(Sides((0,), (1,)), (4, 1), ("a", "a"), stream("s")) == []
    assert drawn([(0, 1), (2, 1)], (4, 1, 5), ("a", "a", "b"), stream("s")) == [(2, 1)]
