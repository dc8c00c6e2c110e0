"""Pairs for a corrector."""

from dataclasses import replace

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.verdict import Status
from sharpen.select.corrections import alike, corrections, pair_weights
from tests.scored import group, table, verdict


def test_weights_grow_with_gain_and_likeness():
    assert pair_weights([0.2, 0.6], [0.3, 0.9], 2, 0) == pytest.approx([0.3100255, 0.6899745], abs=1e-7)
    assert pair_weights([1, 1], [0.5, 1.0], 0, 2)[1] == pytest.approx(np.e / (1 + np.e))
    assert pair_weights([1e4, 0], [0, 0], 1, 1).tolist() == [1, 0]
    assert pair_weights([], [], 1, 1).size == 0
    assert (alike("abcd", "abcd"), alike("abcd", "xyz")) == (1, 0)


def ask(task, worse):
    return replace(task, prompt=f"revise {task.prompt}{worse}\n")


def chosen(*scores, n=9, **more):
    held = group("q", [(f"text {k}", verdict(float(s))) for k, s in enumerate(scores)])
    return corrections(table(held), ask, stream("pairs"), per_query=n, **more)


def test_the_better_answer_is_learnt_as_the_reply_to_the_worse():
    found = chosen(0, 1, 0.5)
    pairs = [(i.task.prompt.split("\n")[1], i.text) for i in found]
    assert pairs == [("text 0", "text 1"), ("text 0", "text 2"), ("text 2", "text 1")]
    assert all(i.reprompted for i in found)
    assert found.ledger == {"sampled": 4, "gold": 0, "not_drawn": 1, "kept": 3}
    assert len(chosen(1, 1)) == len(chosen(0, 0)) == len(chosen()) == 0


def test_as_many_as_asked_for_the_same_each_time_and_by_weight():
    assert len(chosen(0, 0, 0, 1, 1, n=2)) == 2
    assert chosen(0, 0, 1, 1, n=2).digest == chosen(0, 0, 1, 1, n=2).digest
    # the largest gain, where gains weigh a lot
    assert [i.score for i in chosen(0, 0.1, 1, 0.2, n=1, alpha=1e3, beta=0)] == [1.0]
    with pytest.raises(SharpenError, match="per_query=0"):
        chosen(0, 1, n=0)


def test_unknown_scores_and_equal_texts_make_no_pair():
    held = group("q", [("a", verdict(0.0)), ("a", verdict(0.0)), ("b", verdict(1.0)), ("b", verdict(1.0)),
                       ("c", verdict(0.0, status=Status.TIMEOUT))])  # fmt: skip
    found = corrections(table(held), ask, stream("pairs"))
    assert [(i.group, i.sample) for i in found] == [(0, 2)]
