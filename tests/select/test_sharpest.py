"""Best-of-N by a number and the adaptive rule, against the specification's numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status, Verdict
from sharpen.select.sharpest import best_of, stops_at
from sharpen.tasks.task import Task
from tests.scored import episode

CUT = Status.TRUNCATED


def table(*rows):
    """Groups of (score, status) or scores."""
    groups = []
    for g, row in enumerate(rows):
        task = Task(f"t{g}", "?", "1")
        given_ = [(v, Status.OK) if not isinstance(v, tuple) else v for v in row]
        episodes = tuple(episode(str(k), of=task.id, sample=k) for k in range(len(row)))
        groups.append(Group(task, episodes, tuple(Verdict(float(s), status) for s, status in given_)))
    return Groups(groups)


def picks(selection):
    return [(item.group, item.sample) for item in selection]


def test_the_highest_score_and_of_equals_the_first():
    found = best_of(table([-3, -1, -1, -2], [0, 0]))
    assert picks(found) == [(0, 1), (1, 0)]
    assert found.ledger == {"sampled": 6, "not_drawn": 0, "not_best": 4, "kept": 2}


def test_a_truncated_answer_is_picked_only_where_all_are():
    assert picks(best_of(table([(9, CUT), -5], [(1, CUT), (2, CUT)]))) == [(0, 1), (1, 1)]
    # unparsable and unknown ones are no answers
    nothing = best_of(table([(1, Status.UNPARSABLE), (2, Status.CRASH)]))
    assert picks(nothing) == []
    assert nothing.ledger == {"sampled": 2, "not_drawn": 0, "not_best": 2, "kept": 0}


def test_only_the_first_samples_are_looked_at():
    rows = table([-3, -1, -2], [-1, -2, -3])
    assert picks(best_of(rows, first=1)) == [(0, 0), (1, 0)]
    assert picks(best_of(rows, first=[2, 1])) == [(0, 1), (1, 0)]
    assert best_of(rows, first=[2, 1]).ledger == {"sampled": 6, "not_drawn": 3, "not_best": 1, "kept": 2}
    # of those the one that is whole, whatever comes later
    assert picks(best_of(table([(-3, CUT), (-2, CUT), -9]), first=2)) == [(0, 1)]
    for n in (0, 4):
        with pytest.raises(SharpenError, match="has 3 samples"):
            best_of(rows, first=n)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=20))
def test_on_a_nested_pool_the_best_reward_never_falls_with_n(scores):
    rows = table(scores)
    best = [best_of(rows, first=n).items[0].score for n in range(1, len(scores) + 1)]
    assert best == sorted(best)
    assert best[-1] == max(scores)
    # copies of what is there change no pick
    assert picks(best_of(table([*scores, *scores]))) == picks(best_of(rows))


def test_the_adaptive_rule_stops_where_it_should():
    mu = math.log(2 / 0.2)
    assert mu == pytest.approx(2.302585, abs=1e-6)
    for p, k in ((0.5, 5), (0.1, 24)):
        drawn = [math.log(p)] * 40
        assert stops_at(drawn, mu) == k
        assert stops_at(drawn[: k - 1], mu) is None
    # it counts from the first sample, whenever the best one comes
    assert stops_at([math.log(0.01)] * 4 + [math.log(0.5)], mu) == 5
    assert stops_at([math.log(0.01)] * 9 + [math.log(0.5)], mu) == 10
    # what may not be picked counts as drawn, not as best
    assert stops_at([-math.inf] * 4 + [math.log(0.5)], mu) == 5
    assert stops_at([-math.inf] * 40, mu) is None
    assert stops_at([], mu) is None
    with pytest.raises(SharpenError, match="mu"):
        stops_at([0.0], 0.0)


@given(st.lists(st.floats(-9, 0), min_size=1, max_size=200), st.floats(0.1, 5))
def test_the_adaptive_rule_is_that_of_a_loop(logliks, mu):
    wanted = next(
        (
            k
            for k in range(1, len(logliks) + 1)
            if 1 / max(np.exp(logliks[:k])) <= k / mu * (1 + 1e-9)
        ),
        None,
    )  # fmt: skip
    assert stops_at(logliks, mu) == wanted
