"""Which judgments make pairs: the specification's sets, and who may see gold."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.select.judgments import Judged, Sides, by_gold, by_majority, by_rating, drawn, paired

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


def item(key, said, gold=None, ratings=()):
    return Judged(key, said, [f"{key}{k}" for k in range(len(said))], gold, ratings)


def test_pairs_of_many_items_and_where_each_went():
    items = [item("a", SCORES, 4), item("b", (4, 4), 4), item("c", (1, 2), 4), item("d", (None,), 4)]
    found = paired("gold", items, stream("s"), most=2)
    assert found.ledger == {"items": 4, "paired": 1, "pairs": 2, "all_right": 1, "all_wrong": 1, "unread": 1}
    assert {(g, j) for g, _, j in found.pairs} == {(0, 3)}
    turned = paired("swapped", items, stream("s"), most=2)
    assert turned.pairs == tuple((g, j, i) for g, i, j in found.pairs)
    assert turned.ledger == found.ledger


@given(st.lists(scores, min_size=1, max_size=5), st.lists(st.integers(1, 5), min_size=5, max_size=5))
def test_no_rule_without_gold_reads_it_and_every_ledger_adds_up(many, gold):
    for rule in ("majority", "meta", "random"):
        ratings = [[s and 6 - s for s in said] for said in many]
        blind, seeing = (
            [item(str(g), said, gold[g] if seen else None, ratings[g]) for g, said in enumerate(many)]
            for seen in (False, True)
        )
        found = paired(rule, blind, stream("s"), margin=1)
        assert found == paired(rule, seeing, stream("s"), margin=1)
        others = sum(n for name, n in found.ledger.items() if name not in ("items", "pairs"))
        assert found.ledger["items"] == others == len(many)
        assert all(many[g][i] is not None and many[g][j] is not None for g, i, j in found.pairs)
    for rule in ("gold", "swapped"):
        with pytest.raises(SharpenError, match="gold score"):
            paired(rule, [item("a", (1, 2))], stream("s"))


def test_the_pairs_of_an_item_do_not_hang_on_the_others():
    a, b = item("a", (4, 1, 2, 1, 4), 4), item("b", SCORES, 4)
    alone, behind = (paired("gold", given, stream("s"), most=3).pairs for given in ([a], [b, a]))
    assert [pair[1:] for pair in behind if pair[0] == 1] == [pair[1:] for pair in alone]


def test_random_pairs_prefer_nothing():
    said = (5, 1)
    first = [paired("random", [item(f"i{k}", said)], stream("s"), most=1).pairs[0][1:] for k in range(200)]
    assert 60 < Counter(first)[0, 1] < 140
