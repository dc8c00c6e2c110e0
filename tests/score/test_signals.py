"""Self-certainty and its relatives: the checklist and the oracles of their source (arXiv 2502.18581)."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharpen.errors import SharpenError
from sharpen.score.group import Group
from sharpen.score.signals import (
    approximate_certainty,
    column_scores,
    empirical,
    episode_scores,
    rankable,
    response_rows,
    self_certainty,
    sentence,
    token_logprobs,
    token_signal,
)
from tests.scored import episode, task

rows = arrays(np.float64, st.tuples(st.integers(1, 5), st.just(7)), elements=st.floats(-30, 30))


def certainty(*p):
    return token_signal(np.log([p]), "certainty", vocabulary=len(p))[0]


def test_oracles_of_the_token_score():
    assert certainty(0.7, 0.1, 0.1, 0.1) == pytest.approx(0.4298132, abs=1e-7)
    assert certainty(0.4, 0.3, 0.2, 0.1) == pytest.approx(0.1217773, abs=1e-7)
    assert certainty(0.25, 0.25, 0.25, 0.25) == pytest.approx(0, abs=1e-12)
    assert token_signal([[2, 0, 0, -1]], "certainty", vocabulary=4)[0] == pytest.approx(0.6416840, abs=1e-7)
    # the other direction, KL(p || uniform), would be this
    reverse = token_signal(np.log([[0.7, 0.1, 0.1, 0.1]]), "entropy", vocabulary=4)[0] + math.log(4)
    assert reverse == pytest.approx(0.4458464, abs=1e-7)


def test_oracle_of_the_sentence_score():
    logits = np.log([[0.25] * 4, [0.7, 0.1, 0.1, 0.1], [0.97, 0.01, 0.01, 0.01]])
    assert self_certainty(logits, prompt=1, length=2, vocabulary=4) == pytest.approx(0.2149066, abs=1e-7)


@pytest.mark.parametrize(("y", "slope"), [(0, 0.12), (1, -0.08), (2, -0.18)])
def test_oracle_of_the_gradient(y, slope):
    p = np.array([0.5, 0.3, 0.2])
    gradient = np.eye(3)[y] - p  # of log p_y by the logits
    h = 1e-5
    both = token_signal(np.log(p) + np.array([[h], [-h]]) * gradient, "certainty", vocabulary=3)
    assert (both[0] - both[1]) / (2 * h) == pytest.approx(slope, abs=1e-8)


def test_relatives_by_hand():
    z = np.log([[0.5, 0.25, 0.25]])
    entropy = 1.5 * math.log(2)
    assert token_signal(z, "entropy", vocabulary=3)[0] == pytest.approx(-entropy)
    assert token_signal(z, "gini", vocabulary=3)[0] == pytest.approx(0.375)
    assert token_signal(z, "perplexity", vocabulary=3)[0] == pytest.approx(-math.exp(entropy))
    kl = token_signal(z, "kl", vocabulary=3, reference=empirical([0, 0, 0, 1], vocabulary=3))[0]
    assert kl == pytest.approx(0.75 * math.log(1.5))
    assert token_logprobs(z + 3, [2], vocabulary=3)[0] == pytest.approx(math.log(0.25))


@given(rows, st.floats(-100, 100))
def test_a_constant_added_to_the_logits_changes_nothing(z, c):
    for measure in ("certainty", "entropy", "gini", "perplexity"):
        plain = token_signal(z, measure, vocabulary=7)
        np.testing.assert_allclose(token_signal(z + c, measure, vocabulary=7), plain, atol=1e-9)
    assert (token_signal(z, "certainty", vocabulary=7) >= -1e-9).all()


@given(rows)
def test_the_uniform_reference_gives_self_certainty(z):
    uniform = np.full(7, 1 / 7)
    kl = token_signal(z, "kl", vocabulary=7, reference=uniform)
    np.testing.assert_allclose(kl, token_signal(z, "certainty", vocabulary=7), atol=1e-9)


def test_logits_and_log_probabilities_agree_and_half_precision_is_upcast():
    z = np.random.default_rng(0).normal(0, 4, (6, 30_000)).astype(np.float32)
    exact = token_signal(z, "certainty", vocabulary=30_000)
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    np.testing.assert_allclose(token_signal(logp, "certainty", vocabulary=30_000), exact, atol=1e-5)
    # a sum of 30,000 halves would overflow at 65,504
    half = z.astype(np.float16)
    np.testing.assert_array_equal(
        token_signal(half, "certainty", vocabulary=30_000),
        token_signal(half.astype(np.float64), "certainty", vocabulary=30_000),
    )


def test_prompt_and_padding_never_enter():
    rng = np.random.default_rng(1)
    alone = rng.normal(size=(7, 5))
    padded = np.concatenate([alone, np.full((4, 5), np.nan)])
    padded[:2] = -99.0 + rng.normal(size=(2, 5))  # rows of the prompt before its last
    args = {"prompt": 3, "length": 4, "vocabulary": 5}
    assert self_certainty(padded, **args) == self_certainty(alone, **args)


def test_which_rows_score_a_response():
    marks = np.arange(8.0)[:, None]
    assert response_rows(marks, prompt=3, length=4)[:, 0].tolist() == [2, 3, 4, 5]
    assert response_rows(marks, prompt=3, length=4, align="repo")[:, 0].tolist() == [3, 4, 5, 6]
    with pytest.raises(SharpenError, match="hold no"):
        response_rows(marks, prompt=5, length=4, align="repo")
    with pytest.raises(SharpenError, match="did you mean 'paper'"):
        response_rows(marks, prompt=3, length=4, align="papr")


def test_refused():
    cut = np.array([[0.0, 1.0, -np.inf]])
    with pytest.raises(SharpenError, match="-inf"):
        token_signal(cut, "certainty", vocabulary=3)
    with pytest.raises(SharpenError, match="whole vocabulary"):
        token_signal(np.zeros((2, 20)), "certainty", vocabulary=32_000)
    with pytest.raises(SharpenError, match="reference"):
        token_signal(np.zeros((1, 3)), "kl", vocabulary=3)
    with pytest.raises(SharpenError, match="add up to 1"):
        token_signal(np.zeros((1, 3)), "kl", vocabulary=3, reference=[0.5, 0.5, 0.5])
    with pytest.raises(SharpenError, match="certainty"):
        token_signal(np.zeros((1, 3)), "certanty", vocabulary=3)  # pyright: ignore


@given(rows, st.integers(1, 6))
def test_the_approximation_is_a_lower_bound(z, k):
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    top = -np.sort(-logp, axis=-1)[:, :k]
    exact = token_signal(z, "certainty", vocabulary=7)
    assert (approximate_certainty(top, vocabulary=7) <= exact + 1e-6).all()
    if k == 6:  # one token is missing: its mass is known, up to what float32 resolves
        seen = np.exp(logp.min(-1)) > 1e-6
        np.testing.assert_allclose(approximate_certainty(top, vocabulary=7)[seen], exact[seen], atol=1e-3)


def test_the_approximation_needs_a_part_of_the_vocabulary():
    with pytest.raises(SharpenError, match="k <"):
        approximate_certainty(np.zeros((1, 7)), vocabulary=7)


def test_sentences_that_cannot_be_scored():
    assert sentence([]) == -math.inf
    scores = rankable([0.5, math.nan, math.nan], [3, 2, 0])
    assert scores.values.tolist() == [0.5, -math.inf, -math.inf]
    assert (scores.unscored, scores.empty) == (1, 1)
    nan = token_signal(np.array([[np.nan, 1.0]]), "certainty", vocabulary=2)
    assert np.isnan(nan).all()


def changed(e, **arrays):
    span = e.spans[1]
    return replace(e, spans=(e.spans[0], replace(span, sampled=replace(span.sampled, **arrays))))


def test_scores_of_stored_tokens():
    one, empty = episode("a"), episode("b", length=0)
    broken = changed(episode("c"), certainty=np.array([1, np.nan, 1], np.float32))
    scores = episode_scores([one, empty, broken], "certainty")
    assert scores.values.tolist() == [1.0, -math.inf, -math.inf]
    assert (scores.unscored, scores.empty) == (1, 1)
    assert episode_scores([one], "entropy").values.tolist() == [-0.5]
    # the raw log-probability, not the one under the sampling law
    cold = changed(one, logprobs=np.zeros(3, np.float32))
    assert episode_scores([cold], "logprob").values.tolist() == [-0.5]
    with pytest.raises(SharpenError, match="signal 'logprobs'"):
        episode_scores([one], "logprobs")  # pyright: ignore


def test_an_engine_that_does_not_tell_is_refused():
    unknown = np.full(3, np.nan, np.float32)
    blind = [changed(episode("a", sample=k), certainty=unknown, entropy=unknown) for k in range(2)]
    for signal in ("certainty", "entropy"):
        with pytest.raises(SharpenError, match="whole vocabulary"):
            episode_scores(blind, signal)
        with pytest.raises(SharpenError, match="whole vocabulary"):
            column_scores(Group(task(), tuple(blind)).columns(), signal)


def test_columns_give_the_same_without_tokens():
    held = (episode("a"), episode("b", sample=1, length=0), episode("c", sample=2, length=5))
    columns = Group(task(), held).columns()
    for signal in ("certainty", "entropy"):
        assert column_scores(columns, signal).values.tolist() == episode_scores(held, signal).values.tolist()
        assert column_scores(columns, signal).empty == 1
    with pytest.raises(SharpenError, match="needs the tokens"):
        column_scores(columns, "logprob")  # pyright: ignore
