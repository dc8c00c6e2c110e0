"""The threshold rule: strict, capped, without duplicates, and every sample accounted for."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.score.group import Groups
from sharpen.score.verdict import Status
from sharpen.select.above import LARGEST_CAP, above
from sharpen.select.selection import Selection, joined, under
from tests.scored import group, scored, table, task, verdict

SCORE = st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0, 1.5, 2.0])
SAMPLE = st.tuples(st.sampled_from("abcde"), st.builds(verdict, SCORE, st.booleans())) | st.tuples(
    st.sampled_from("abcde"), st.just(verdict(0.0, status=Status.TIMEOUT))
)
TABLES = st.lists(st.lists(SAMPLE, max_size=6), max_size=4).map(
    lambda rows: Groups([group(f"q{i}", r, solution="gold" if i % 2 else None) for i, r in enumerate(rows)])
)


def kept(selection):
    return [(i.task.id, i.sample, i.score) for i in selection]


def test_oracle_5_the_cap_rule():
    groups = table(scored("A", [1.4, 1.2, 0.9]), scored("B", [1.1]))
    selection = above(groups, 1.0, total=3)
    assert selection.m == 2
    assert kept(selection) == [("A", 0, 1.4), ("A", 1, 1.2), ("B", 0, 1.1)]
    assert kept(above(groups, 1.0, total=2)) == [("A", 0, 1.4), ("B", 0, 1.1)]


def test_too_few_to_reach_the_total_does_not_loop():
    groups = table(scored("A", [2.0] * 70), scored("B", [2.0]))
    selection = above(groups, 1.0, total=1000)
    assert selection.m == LARGEST_CAP + 1
    assert len(selection) == 66


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.999])
def test_binary_reward_any_threshold_below_one_takes_the_correct(threshold):
    selection = above(table(scored("A", [1, 0, 1]), scored("B", [0, 0])), threshold)
    assert kept(selection) == [("A", 0, 1), ("A", 2, 1)]
    assert selection.accuracy == 1.0
    assert len(above(table(scored("A", [1, 0, 1])), 1.0)) == 0
    assert above(table(scored("A", [1, 0, 1])), -0.1).accuracy == 2 / 3


def test_wrong_with_a_good_process_passes():
    selection = above(table(group("A", [("x", verdict(0.9, correct=False))])), 0.5)
    assert [i.correct for i in selection] == [False]


def test_ties_keep_sample_order_and_gold_comes_last_of_equals():
    groups = table(
        group("A", [("x", verdict(1.0)), ("y", verdict(1.0)), ("z", verdict(1.2))], solution="gold")
    )
    assert [i.text for i in above(groups, 0.0, gold=1.0)] == ["z", "x", "y", "gold"]
    assert [i.text for i in above(groups, 0.0, per_query=2, gold=1.0)] == ["z", "x"]


def test_all_wrong():
    groups = table(group("A", [("x", verdict(0.0)), ("y", verdict(0.0))], solution="gold"))
    assert len(above(groups, 0.0)) == 0
    [item] = above(groups, 0.0, gold=1.0)
    assert (item.text, item.correct, item.score, item.episode, item.gold) == ("gold", True, 1.0, None, True)
    assert len(above(groups, 1.0, gold=1.0)) == 0


def test_a_sample_equal_to_gold_is_kept_once():
    groups = table(group("A", [("gold", verdict(1.5))], solution="gold"))
    selection = above(groups, 0.0, gold=1.0)
    assert [i.gold for i in selection] == [False]
    assert selection.ledger["duplicate"] == 1


def test_duplicates_count_towards_the_cap():
    # as in the released code: the best m are taken, then copies among them removed
    groups = table(group("A", [("x", verdict(1.5)), ("x", verdict(1.5)), ("y", verdict(1.0))]))
    assert [i.text for i in above(groups, 0.0, per_query=2)] == ["x"]
    assert [i.text for i in above(groups, 0.0, total=2)] == ["x", "y"]


def test_equal_texts_of_different_queries_both_stay():
    groups = table(group("A", [("x", verdict(1.0))]), group("B", [("x", verdict(1.0))]))
    assert kept(above(groups, 0.0)) == [("A", 0, 1.0), ("B", 0, 1.0)]


def test_groups_of_one_task_are_one_query():
    one = group("A", [("x", verdict(1.0)), ("y", verdict(1.2))])
    two = group("A", [("x", verdict(1.5))])
    selection = above(table(one, two), 0.0)
    assert [(i.text, i.group, i.sample) for i in selection] == [("x", 1, 0), ("y", 0, 1)]


def test_markerless_is_dropped_before_scoring():
    groups = table(group("A", [("", verdict(1.9)), ("no", verdict(1.9)), ("Answer: 1", verdict(1.0))]))
    selection = above(groups, 0.0, has_answer=lambda t: "Answer" in t)
    assert [i.text for i in selection] == ["Answer: 1"]
    assert selection.ledger["no_answer"] == 2


def test_unknown_is_left_out_at_any_threshold():
    groups = table(group("A", [("x", verdict(0.0, status=Status.CRASH)), ("y", verdict(0.0))]))
    selection = above(groups, -1.0)
    assert [i.text for i in selection] == ["y"]
    assert selection.ledger["unknown"] == 1


def test_another_identity():
    groups = table(group("A", [("1+2", verdict(1.0)), ("2+1", verdict(1.0)), ("?", verdict(1.0))]))

    def canonical(task, text):
        return "".join(sorted(text)) if "+" in text else None

    assert [i.text for i in above(groups, 0.0, unique=canonical)] == ["1+2", "?"]


def test_empty_is_fine():
    assert len(above(Groups(), 0.0, total=5)) == 0
    assert above(Groups(), 0.0).accuracy is None


@pytest.mark.parametrize(
    "bad", [{"per_query": 1, "total": 1}, {"per_query": 0}, {"total": -1}, {"gold": math.nan}]
)
def test_bad_settings(bad):
    with pytest.raises(SharpenError, match="selection"):
        above(Groups(), 0.0, **bad)
    with pytest.raises(SharpenError, match="threshold"):
        above(Groups(), math.nan)


@given(TABLES, SCORE, st.none() | st.integers(1, 4), st.none() | SCORE)
def test_strict_capped_unique_and_accounted_for(groups, threshold, cap, gold):
    selection = above(groups, threshold, per_query=cap, gold=gold)
    assert all(i.score > threshold for i in selection)
    names = [(i.task.id, i.text) for i in selection]
    assert len(set(names)) == len(names)
    for c in groups.columns:
        of = [i for i in selection if i.task.id == c.task.id]
        assert cap is None or len(of) <= cap
        assert [i.score for i in of] == sorted((i.score for i in of), reverse=True)
    ledger = dict(selection.ledger)
    assert ledger["sampled"] == groups.n_samples
    assert ledger.pop("sampled") + ledger.pop("gold") == sum(ledger.values())
    for item in selection:
        if not item.gold:
            assert item.episode.text == item.text
            verdict = groups[item.group].verdicts[item.sample]
            assert (verdict.score, verdict.correct) == (item.score, item.correct)
    json.dumps(selection.spec)


@given(TABLES, SCORE, st.integers(1, 12))
def test_the_smallest_cap_that_reaches_the_total(groups, threshold, total):
    selection = above(groups, threshold, total=total)
    if len(selection) >= total:
        assert selection.m == 1 or len(above(groups, threshold, per_query=selection.m - 1)) < total
    else:
        assert selection.m == LARGEST_CAP + 1
        assert len(selection) == len(above(groups, threshold))
    assert kept(selection) == kept(above(groups, threshold, per_query=selection.m))


@given(TABLES, st.randoms(use_true_random=False))
def test_permuting_queries_permutes_the_selection(groups, random):
    order = list(range(len(groups)))
    random.shuffle(order)
    plain, moved = (
        above(groups, 0.0, per_query=2, gold=1.0),
        above(groups.pick(order), 0.0, per_query=2, gold=1.0),
    )
    assert sorted(kept(plain), key=str) == sorted(kept(moved), key=str)
    assert plain.ledger == moved.ledger


@given(TABLES, SCORE, SCORE)
def test_a_higher_threshold_keeps_a_subset(groups, a, b):
    low, high = sorted((a, b))
    assert set(kept(above(groups, high))) <= set(kept(above(groups, low)))


def test_a_ledger_that_does_not_add_up_is_refused():
    with pytest.raises(SharpenError, match="does not add up"):
        Selection((), {}, None, {"sampled": 3, "kept": 0})


def test_digest_sees_scores_and_rule():
    groups = table(scored("A", [1.4, 1.2]))
    assert above(groups, 1.0).digest == above(groups, 1.0).digest
    assert above(groups, 1.0).digest != above(groups, 0.9).digest
    assert above(groups, 1.0).digest != above(table(scored("A", [1.4, 1.3])), 1.0).digest


def test_joined_and_under():
    groups = table(scored("A", [1.0, 1.0]))
    both = joined(above(groups, 0.0, per_query=1), above(groups, 0.0))
    assert len(both) == 3
    assert both.ledger["kept"] == 3
    plain = above(groups, 0.0)
    assert not plain.items[0].reprompted
    other = task("A")
    moved = under(plain, {"A": type(other)(other.id, "asked otherwise", other.answer)})
    assert all(i.reprompted and i.task.prompt == "asked otherwise" for i in moved)
    assert moved.items[0].episode is plain.items[0].episode
    with pytest.raises(SharpenError, match="'A'"):
        under(plain, {})
