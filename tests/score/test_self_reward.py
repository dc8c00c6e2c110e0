"""Self-rewards: which number, of whom, and what is never looked at."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Group, Groups
from sharpen.score.self_reward import KINDS, loglik, rewards_of, self_rewarded
from sharpen.score.verdict import Status
from sharpen.select.sharpest import best_of
from sharpen.tasks.task import Task, hidden
from tests.scored import episode


def said(text, logprobs, sample=0, finish=Finish.EOS):
    """An episode whose sampled tokens, the end token the last, have these raw log-probabilities."""
    whole = episode(text, of="t", sample=sample)
    span = whole.spans[-1]
    n = len(logprobs)
    sampled = replace(
        span.sampled,
        tokens=np.zeros(n, np.int32),
        raw_logprobs=np.array(logprobs, np.float32),
        logprobs=np.full(n, -9, np.float32),
    )
    spans = (*whole.spans[:-1], replace(span, tokens=sampled.tokens, sampled=sampled))
    return replace(whole, spans=spans, finish=finish)


def test_the_whole_answer_counts_with_its_end_token_under_the_model_itself():
    assert loglik(said("ab", [-1, -2, -0.5])) == pytest.approx(-3.5)  # whatever the sampling law said
    assert loglik(said("", [])) == 0
    with pytest.raises(SharpenError, match="did not tell"):
        loglik(said("a", [math.nan, -1]))


def test_length_matters():
    logliks, lengths = [-6, -8], [3, 8]
    assert int(rewards_of("loglik", logliks, lengths, [None, None]).argmax()) == 0
    assert int(rewards_of("lennorm", logliks, lengths, [None, None]).argmax()) == 1
    assert rewards_of("lennorm", [-2.0], [0], [None]).tolist() == [-2.0]  # nothing is divided by 0
    assert rewards_of("lennorm", [-2.0], [1], [None]).tolist() == [-2.0]


def test_the_majority_is_counted_among_answers():
    found = rewards_of("majority", [-1, -2, -3, -4], [1] * 4, ["7", None, "8", "7"])
    assert found == pytest.approx([math.log(2), -math.inf, 0, math.log(2)])
    # no answer anywhere: as likely as it is
    assert rewards_of("majority", [-2, -1], [1, 1], [None, None]).tolist() == [-2, -1]


def test_what_is_not_finite_is_an_error():
    for kind in KINDS:
        for bad in (math.nan, -math.inf):
            with pytest.raises(NotFinite, match="self-reward"):
                rewards_of(kind, [bad, -1], [1, 1], ["1", "2"])


def group(*episodes):
    return Groups([Group(hidden([Task("t", "?", "gold")])[0], episodes)])


def read(text):
    return text.partition("=")[2] or None


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_read(kind):
    # the task's gold is out of reach: reading it would raise
    scored = self_rewarded(
        group(said("a=1", [-1, -1]), said("b=1", [-3], 1), said("c=2", [-2], 2)), kind, read
    )
    assert len(best_of(scored)) == 1
    assert {v.by for v in scored.columns[0].judged} == {f"self:{kind}"}


def test_truncated_and_unparsable_answers_have_their_status():
    cut = said("a=1", [-0.1], finish=Finish.LENGTH)
    rows = group(cut, said("b=1", [-3], 1), said("nothing", [-1], 2))
    assert self_rewarded(rows, "loglik", read).columns[0].status == (Status.TRUNCATED, Status.OK, Status.OK)
    assert best_of(self_rewarded(rows, "loglik", read)).items[0].sample == 2
    scored = self_rewarded(rows, "majority", read)
    assert scored.columns[0].status == (Status.TRUNCATED, Status.OK, Status.UNPARSABLE)
    assert best_of(scored).items[0].sample == 1
    none = group(said("x", [-3]), said("y", [-1], 1))
    assert best_of(self_rewarded(none, "majority", read)).items[0].sample == 1


def test_rewards_are_the_bases_whoever_sampled():
    rows = group(said("a", [-1]), said("b", [-5], 1))
    assert best_of(self_rewarded(rows, "loglik", read)).items[0].sample == 0
    given = self_rewarded(rows, "loglik", read, logliks=[[-9.0, -2.0]])
    assert [v.score for v in given.columns[0].judged] == [-9.0, -2.0]
    assert best_of(given).items[0].sample == 1
