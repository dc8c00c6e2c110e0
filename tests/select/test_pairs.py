"""Pairs of the shortest and the longest right answer (self-efficiency oracle 5, checklist 1, 2, 15, 16)."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Columns
from sharpen.score.verdict import Status, Verdict
from sharpen.select.pairs import efficiency_pairs, shortest_longest, usable
from sharpen.tasks.task import Task


class Table:
    """All that pairs read of a table."""

    def __init__(self, *columns):
        self.columns = columns


def row(name, lengths, correct, finish=None, texts=None, status=Status.OK):
    n = len(lengths)
    zeros = np.zeros(n)
    return Columns(
        Task(name, "?", "1"),
        tuple(f"{name}/{k}" for k in range(n)),
        tuple(texts or ["x"] * n),
        tuple(finish or [Finish.EOS] * n),
        np.array(lengths),
        zeros,
        zeros,
        tuple(Verdict(float(c), status) for c in correct),
    )


def test_oracle():
    lengths, correct = (300, 120, 80, 500, 120), (1, 1, 0, 1, 1)
    assert shortest_longest(lengths, correct) == (1, 3)
    (pair,) = efficiency_pairs(Table(row("a", lengths, correct)))
    assert (pair.short, pair.long, pair.lengths, pair.task_id) == (1, 3, (120, 500), "a")
    assert pair.ratio == pytest.approx(0.24)


@pytest.mark.parametrize(
    ("lengths", "correct"),
    [((5, 9), (0, 0)), ((5, 9), (1, 0)), ((5, 5, 9), (1, 1, 0)), ((7, 7, 7), (1, 1, 1)), ((), ())],
)
def test_no_pair_without_two_right_answers_of_different_length(lengths, correct):
    assert shortest_longest(lengths, correct) is None


def test_ties_go_to_the_first_and_a_pair_is_never_one_sample_twice():
    assert shortest_longest((9, 4, 4, 9), (1, 1, 1, 1)) == (1, 0)
    assert shortest_longest((4, 9, 9, 4), (0, 1, 1, 1)) == (3, 1)
    draw = np.random.default_rng(0)
    for _ in range(200):
        lengths, correct = draw.integers(1, 5, 6), draw.random(6) < 0.5
        if found := shortest_longest(lengths, correct):
            short, long = found
            assert short != long
            assert correct[short]
            assert correct[long]
            assert lengths[short] < lengths[long]


def test_truncated_empty_and_unknown_are_never_right():
    finish = [Finish.EOS, Finish.LENGTH, Finish.STOP, Finish.EOS]
    assert usable(row("a", (1, 2, 3, 4), (1, 1, 1, 0), finish)).tolist() == [True, False, True, False]
    assert usable(row("a", (1, 2), (1, 1), texts=["", " \n"])).tolist() == [False, False]
    assert not usable(row("a", (1, 2), (1, 1), status=Status.TIMEOUT)).any()
    assert efficiency_pairs(Table(row("a", (1, 2, 3), (1, 0, 1), [*finish[:2], Finish.LENGTH]))) == []


def test_the_ratio_filter_and_the_limit():
    table = Table(row("a", (7, 10), (1, 1)), row("b", (8, 10), (1, 1)), row("c", (1, 10), (1, 1)))
    assert [p.task_id for p in efficiency_pairs(table)] == ["a", "b", "c"]
    assert [(p.task_id, p.group) for p in efficiency_pairs(table, max_ratio=0.7)] == [("a", 0), ("c", 2)]
    assert [p.task_id for p in efficiency_pairs(table, n=2)] == ["a", "b"]


def test_lengths_and_outcomes_must_match():
    with pytest.raises(SharpenError, match="2 lengths, 1 outcomes"):
        shortest_longest((1, 2), (1,))
