"""The balance score and its search, against the numbers of methods worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.score.group import Groups
from sharpen.score.verdict import Verdict
from sharpen.select.above import above
from sharpen.select.balance import balance_score, n_star, query_scores, search, selection_balance
from tests.scored import group, scored, table, verdict


def test_oracle_1_the_score():
    scores = query_scores([64, 2, 8, 0], [16, 2, 6, 0], 6)
    assert list(scores) == pytest.approx([0.25, 1 / 3, 0.75, 0.0])
    assert balance_score([64, 2, 8], [16, 2, 6], 6) == pytest.approx(0.444444, abs=1e-6)
    assert balance_score([], [], 6) == 0.0


def test_oracle_2_n_star():
    assert n_star(67_500, 11_500) == 6
    assert n_star(13_500, 2_627) == 6
    assert n_star(12, 6) == 2
    with pytest.raises(SharpenError):
        n_star(10, 0)


def composed(name, pairs):
    """Samples as (correct, process reward), texts distinct."""
    return group(
        name,
        [
            (f"{name}{k}", Verdict(c + p, parts={"correct": float(c), "process": p}))
            for k, (c, p) in enumerate(pairs)
        ],
    )


ORACLE = {
    "q1": [(1, 0.4), (1, -0.2), (0, 0.7), (0, -0.5)],
    "q2": [(1, -0.6), (0, 0.1), (0, -0.3)],
}


def test_oracle_3_the_search():
    groups = table(*(composed(n, p) for n, p in ORACLE.items()))
    found = search({1.0: groups}, [-1.0, -0.4, 0.0, 0.3, 0.5, 1.0], 2)
    assert [c.score for c in found.table] == pytest.approx([1 / 3, 5 / 12, 11 / 24, 7 / 12, 1 / 3, 1 / 4])
    assert (found.temperature, found.threshold) == (1.0, 0.3)
    assert found.score == pytest.approx(0.58333, abs=1e-5)
    best = above(groups, 0.3)
    assert [i.score for i in best if i.task.id == "q1"] == pytest.approx([1.4, 0.8, 0.7])
    assert selection_balance(best, ["q1"], 2) == pytest.approx(2 / 3)
    assert selection_balance(best, ["q2"], 2) == pytest.approx(1 / 2)


def test_of_equal_cells_the_first_in_grid_order():
    one, two = table(scored("A", [1.0])), table(scored("A", [1.0]))
    found = search({0.7: one, 0.5: two}, [0.2, 0.1], 1)
    assert (found.temperature, found.threshold) == (0.7, 0.2)
    assert len(found.table) == 4


def test_every_temperature_s_samples_are_used_as_given():
    calls = []

    def select(groups, threshold):
        calls.append((groups, threshold))
        return above(groups, threshold)

    drawn = {0.5: table(scored("A", [0.0])), 1.0: table(scored("A", [1.0]))}
    found = search(drawn, [0.0, 0.5], 1, select=select)
    assert found.temperature == 1.0
    assert [(id(g), t) for g, t in calls] == [(id(g), t) for g in drawn.values() for t in (0.0, 0.5)]


def test_queries_without_a_selected_response_count():
    groups = table(scored("A", [1.0]), scored("B", [0.0]))
    assert search({1.0: groups}, [0.0], 1).score == 0.5


def test_all_right_and_identical():
    groups = table(group("A", [("same", verdict(1.0))] * 8))
    assert search({1.0: groups}, [0.0], 6).score == pytest.approx(1 / 6)


def test_gold_counts_where_selected():
    groups = table(group("A", [("x", verdict(0.0))], solution="gold"))
    found = search({1.0: groups}, [0.5], 1, select=lambda g, t: above(g, t, gold=1.0))
    assert found.score == 1.0


def test_correct_ones_count_once_by_their_identity():
    groups = table(group("A", [("1+2", verdict(1.0)), ("2+1", verdict(1.0))]))
    found = search({1.0: groups}, [0.0], 2, unique=lambda task, text: "".join(sorted(text)))
    assert found.score == pytest.approx(0.25)  # n = 2, n' = 1


def test_an_empty_grid_is_refused():
    with pytest.raises(SharpenError, match="empty"):
        search({}, [0.0], 1)
    with pytest.raises(SharpenError, match="empty"):
        search({1.0: Groups()}, [], 1)


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), min_size=1), st.integers(1, 8))
def test_scores_lie_between_0_and_1(pairs, target):
    n, right = [max(p) for p in pairs], [min(p) for p in pairs]
    scores = query_scores(n, right, target)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert all(s == 1 for s, a, b in zip(scores, n, right, strict=True) if a == b >= target)
