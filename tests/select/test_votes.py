"""Votes: ties are settled by who came first; ranks decide, and nothing else of the scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.select.votes import best, borda, classes, first, majority, tally, weighted

answer_lists = st.lists(st.none() | st.sampled_from("abc"), min_size=1, max_size=12)
pairs = st.lists(
    st.tuples(st.none() | st.sampled_from("abc"), st.integers(-5, 5)), min_size=1, max_size=12
).map(lambda rows: ([a for a, _ in rows], [s for _, s in rows]))
PAPER = ([64, 12.5, 12.5, 12.5, None], [17.8, 17.1, 16.9, 16.0, 15.5])


def test_first():
    assert first(["", "b", "a"]) == 1
    assert first([None, None]) == 0


def test_best():
    assert best([0.1, 0.5, 0.5]) == 1
    assert best([math.nan, -1.0]) == 1
    assert best([math.nan, math.nan]) == 0
    assert best([-math.inf, -3.0]) == 1  # an empty response never wins
    assert best([-math.inf, -math.inf]) == 0


def test_best_prefers_those_with_an_answer():
    assert best([9, 5, 7], [None, "a", "b"]) == 2
    assert best([9, math.nan], [None, "a"]) == 1
    assert best([1, 9], [None, None]) == 1
    with pytest.raises(SharpenError, match="2 scores for 1"):
        best([1, 2], ["a"])


def test_nothing_to_choose_from():
    for choose in (lambda: first([]), lambda: best([]), lambda: majority([]), lambda: borda([], [], 1)):
        with pytest.raises(SharpenError, match="no sample"):
            choose()


def test_majority():
    assert majority(["a", "b", "b"]).index == 1
    assert majority([None, None, "a"]).index == 2
    assert majority([None, None]).index == 0
    # both have two; a appeared first
    assert majority(["a", "b", "b", "a"]).index == 0
    vote = majority(["18", "18", "20", " 18\n", "25"])
    assert (vote.members, vote.totals) == ((0, 2, 4), (3, 1, 1))


def test_classes():
    assert classes(["1 2", "1\n2", None, "", "12"]) == [0, 0, None, None, 1]
    close = lambda a, b: abs(a - b) <= 1  # noqa: E731
    # 2 is close to both 1 and 3: it joins the class that appeared first
    assert classes([1, 3, 2], close) == [0, 1, 0]
    asked = []
    classes(["a", "b", "a", "b"], lambda x, y: bool(asked.append((x, y))))
    assert asked == [("a", "b")]


def test_majority_by_equivalence():
    same = lambda a, b: eval_free(a) == eval_free(b)  # noqa: E731
    assert majority(["0.5", "7", "1/2", "2/4", "7"], same=same).index == 0


def eval_free(text):
    over, _, under = text.partition("/")
    return float(over) / float(under or 1)


def test_weighted():
    answers, scores = ["12", "12", "15", "15", "15"], [0.9, 0.2, 0.8, 0.1, 0.15]
    vote = weighted(answers, scores)
    assert vote.index == 0
    assert vote.totals == pytest.approx((1.10, 1.05))
    assert majority(answers).index == 2
    assert weighted(["a", "a", "b"], [3, 1, 2.5], by="mean").index == 2
    assert weighted(["a", "b", "a"], [math.nan, 1, 0.5]).totals == (0.5, 1)
    # an answer whose samples have no score at all loses to any other
    assert weighted(["a", "b"], [math.nan, -9]).index == 1
    assert weighted(["a", "b"], [math.nan, math.nan]).index == 0
    with pytest.raises(SharpenError, match="weighting 'avg'"):
        weighted(["a"], [1], by="avg")  # pyright: ignore


@pytest.mark.parametrize(
    ("p", "totals"),
    [(0, (1, 3)), (0.5, (2.236, 5.146)), (1.2, (6.899, 11.313)), (2, (25, 29)), (3, (125, 99))],
)
def test_borda_oracle(p, totals):
    answers, scores = PAPER
    vote = borda(answers, scores, p)
    assert vote.totals == pytest.approx(totals, abs=5e-4)
    assert answers[vote.index] == (64 if p == 3 else 12.5)


def test_borda_oracle_of_two_pairs():
    answers, scores = ["A", "A", "B", "B"], [9, 8, 2, 1]
    assert borda(answers, scores, 0).totals == (2, 2)
    assert borda(answers, scores, 0).index == 0
    assert borda(answers, scores, 0.3).totals == pytest.approx((2.9061, 2.2311), abs=1e-4)


def test_an_answerless_sample_keeps_its_rank():
    # without rank 1 of the answerless sample the votes would be 2 and 1
    assert borda([None, "a", "b"], [3, 2, 1], 2).totals == (4, 1)


def test_borda_has_no_vote_without_answers():
    vote = borda([None, None], [1, 2], 1)
    assert (vote.index, vote.totals) == (0, ())


@pytest.mark.parametrize("p", [50, 500, 1e6, math.inf])
def test_a_large_power_is_the_best_answered_sample(p):
    n = 64
    answers = [None, "a", *["b"] * (n - 2)]
    vote = borda(answers, -np.arange(n), p)
    assert vote.index == 1
    assert all(math.isfinite(x) for x in vote.totals)
    # ranks 1 to 3 without an answer must not make all others vanish
    assert borda([None, None, None, "x", "y"], [9, 8, 7, 1, 2], p).index == 4


def test_equal_scores_favour_earlier_samples():
    assert borda(["a", "b", "b", "a"], [1, 1, 1, 1], 1).totals == (5, 5)
    assert borda(["a", "b"], [1, 1], 0.3).index == 0
    assert borda(["b", "a", "a"], [7, 7, 7], 5).index == 0


def test_a_power_below_zero_is_refused():
    for p in (-1, math.nan):
        with pytest.raises(SharpenError, match="at least 0"):
            borda(["a"], [1], p)


@given(answer_lists)
def test_majority_wins_by_count_and_first_occurrence(answers):
    vote = majority(answers)
    votes = [a for a in answers if a is not None]
    if votes:
        won = answers[vote.index]
        assert answers.index(won) == vote.index
        rivals = {a for a in votes if votes.count(a) == max(map(votes.count, votes))}
        assert won == next(a for a in votes if a in rivals)


@given(pairs)
def test_power_zero_is_the_majority(given_pairs):
    answers, scores = given_pairs
    assert borda(answers, scores, 0) == majority(answers)


@given(pairs, st.floats(0, 60), st.sampled_from([lambda x: 3 * x + 7, np.exp, lambda x: x**3, np.arctan]))
def test_only_ranks_count(given_pairs, p, rising):
    answers, scores = given_pairs
    moved = rising(np.array(scores, float))
    assert borda(answers, scores, p) == borda(answers, moved, p)
    assert best(scores) == best(moved)
    assert best(scores, answers) == best(moved, answers)


@given(pairs)
def test_a_score_that_is_no_number_ranks_last(given_pairs):
    answers, scores = given_pairs
    holed = [math.nan if s == 5 else float(s) for s in scores]
    low = [-99.0 if s == 5 else float(s) for s in scores]
    assert borda(answers, holed, 1.2) == borda(answers, low, 1.2)
    assert best(holed, answers) == best(low, answers)


@given(pairs, st.randoms(use_true_random=False), st.sampled_from([0, 0.3, 1.2, 3]))
def test_permuted_samples_give_the_same_totals(given_pairs, rng, p):
    answers, _ = given_pairs
    scores = [float(x) for x in range(len(answers))]  # distinct: ranks do not hang on order
    rng.shuffle(scores)
    order = list(range(len(answers)))
    rng.shuffle(order)
    moved = [answers[i] for i in order]

    def totals(vote, said):
        return {said[m]: t for m, t in zip(vote.members, vote.totals, strict=True)}

    here = totals(borda(answers, scores, p), answers)
    assert totals(borda(moved, [scores[i] for i in order], p), moved) == here


@given(st.none() | st.sampled_from(["a", ""]), st.floats(allow_nan=True), st.floats(0, 100))
def test_one_sample_is_chosen_by_every_method(answer, score, p):
    assert first([answer]) == best([score], [answer]) == majority([answer]).index == 0
    assert borda([answer], [score], p).index == weighted([answer], [score]).index == 0
    assert weighted([answer], [score], by="mean").index == 0


def test_shuffled_scores_fall_back_to_the_majority():
    # over all orders of the scores, each answer's expected total is its count times the mean vote
    from itertools import permutations

    answers = ["a", "b", "b", None]
    totals = np.mean([borda(answers, s, 1.2).totals for s in permutations([4, 3, 2, 1])], axis=0)
    assert totals[1] == pytest.approx(2 * totals[0])
    picks = [best(s, answers) for s in permutations([4, 3, 2, 1])]
    assert {picks.count(k) for k in range(3)} == {8}


def test_a_tally_is_free_of_rounding_order():
    assert tally(["a"] * 3 + ["b"] * 3, [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]).index == 0
