"""Sampling laws against plain slow references written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.sample.decode import History, draw, inverse, permitted, truncated
from sharpen.sample.law import GREEDY, SamplingLaw

VOCABULARY = 11


def reference(z, law, u, seen, counts):
    """(id, log-probability under the law, kept ids) of one row, in float64, one step after the other."""
    z = [float(x) for x in z]
    for i in range(len(z)):
        if i in seen:
            z[i] = z[i] / law.repetition_penalty if z[i] > 0 else z[i] * law.repetition_penalty
        z[i] -= law.presence_penalty * (counts[i] > 0) + law.frequency_penalty * counts[i]
        if i in law.banned or (law.allowed is not None and i not in law.allowed):
            z[i] = -math.inf
    if law.temperature == 0:
        return z.index(max(z)), 0.0, None
    top = max(z)
    weights = [math.exp((x - top) / law.temperature) for x in z]
    order = sorted((i for i in range(len(z)) if weights[i] > 0), key=lambda i: (-weights[i], i))
    if law.top_k:
        order = order[: law.top_k]
    if law.top_p < 1:
        total, mass, keep = sum(weights[i] for i in order), 0.0, []
        for i in order:
            if mass >= law.top_p * total:
                break
            keep.append(i)
            mass += weights[i]
        order = keep
    order = [i for i in order if weights[i] >= law.min_p * weights[order[0]]]
    total, mass = sum(weights[i] for i in order), 0.0
    for i in sorted(order):
        mass += weights[i]
        if mass > u * total:
            break
    return i, math.log(weights[i] / total), sorted(order)


# halves and quarters: ties are frequent, and no cut falls within rounding of an edge
logits = st.lists(st.integers(-12, 12).map(lambda x: x / 4), min_size=VOCABULARY, max_size=VOCABULARY)
laws = st.builds(
    SamplingLaw,
    temperature=st.sampled_from([0.0, 0.6, 1.0, 1.3]),
    top_k=st.sampled_from([0, 1, 3, 20]),
    top_p=st.sampled_from([1.0, 0.83, 0.31]),
    min_p=st.sampled_from([0.0, 0.0413]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.4]),
    frequency_penalty=st.sampled_from([0.0, 0.3]),
    allowed=st.sampled_from([None, (1, 2, 3, 5, 8)]),
    banned=st.sampled_from([(), (3, 7)]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(logits, min_size=1, max_size=5), laws, st.randoms(use_true_random=False))
def test_a_draw_follows_the_law(rows, law, random):
    u = np.array([random.random() for _ in rows])
    sampled = [[random.randrange(VOCABULARY) for _ in range(4)] for _ in rows]
    seen = torch.zeros(len(rows), VOCABULARY, dtype=torch.bool)
    counts = torch.zeros(len(rows), VOCABULARY)
    for i, ids in enumerate(sampled):
        for token in ids[1:]:
            counts[i, token] += 1
        seen[i, ids] = True  # the first one stands for a prompt
    got = draw(torch.tensor(rows), law, u, History(seen, counts))
    assert (got.kept is None) == (not law.truncates or law.greedy)
    for i, row in enumerate(rows):
        token, logprob, kept = reference(row, law, u[i], set(sampled[i]), counts[i].tolist())
        assert got.ids[i] == token
        assert got.logprobs[i] == pytest.approx(logprob, abs=2e-6)
        if got.kept is not None:
            assert got.kept[i].tolist() == kept
        z = torch.tensor(row, dtype=torch.float64)
        raw = z.log_softmax(-1)
        assert got.raw_logprobs[i] == pytest.approx(raw[token].item(), abs=2e-6)
        assert got.entropy[i] == pytest.approx(-(raw.exp() * raw).sum().item(), abs=2e-6)
        certainty = (z.logsumexp(0) - z.mean()).item() - math.log(VOCABULARY)
        assert got.certainty[i] == pytest.approx(certainty, abs=2e-6)


@pytest.mark.parametrize("vocabulary", [99, 1000, 5000])
def test_the_frequency_of_ids_is_their_probability(vocabulary):
    p = torch.rand(1, vocabulary, generator=torch.Generator().manual_seed(1)) ** 8
    p[0, 5:20] = 0
    n = 4000
    # evenly spread uniforms give each id its share to within one
    ids, mass = inverse(p.expand(n, -1), (np.arange(n) + 0.5) / n)
    share = np.bincount(ids, minlength=vocabulary)
    want = (p[0].double() / p[0].double().sum()).numpy() * n
    assert np.abs(share - want).max() <= 1
    assert not share[5:20].any()
    assert mass[0] == pytest.approx(p.double().sum().item())


@pytest.mark.parametrize("vocabulary", [99, 1000])
def test_edges_of_the_unit_interval_never_give_an_impossible_id(vocabulary):
    p = torch.zeros(2, vocabulary)
    p[:, 40] = 1e-30
    p[:, 60] = 0.7
    first, last = 0.0, np.nextafter(1.0, 0.0)
    assert inverse(p, np.array([first, last]))[0].tolist() == [40, 60]


def test_ties_go_to_the_lowest_ids():
    p = torch.full((1, 8), 0.125)
    assert truncated(p, SamplingLaw(top_k=3))[0].nonzero()[:, 0].tolist() == [0, 1, 2]
    assert truncated(p, SamplingLaw(top_p=0.5))[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    assert draw(torch.zeros(1, 8), GREEDY, np.zeros(1), None).ids[0] == 0


@pytest.mark.parametrize("law", [SamplingLaw(), SamplingLaw(temperature=0.7, top_p=0.9, min_p=0.01)])
def test_bits_of_a_row_do_not_depend_on_its_company(law):
    z = 3 * torch.randn(64, 33000, generator=torch.Generator().manual_seed(2))
    u = np.random.Generator(np.random.Philox(key=1)).random(64)
    whole = draw(z.clone(), law, u, None)
    for rows in ([*range(8)], [*range(56, 64)], [5, 3, 60, 1, 2, 9, 33, 20], [63] * 8):
        part = draw(z[rows].clone(), law, u[rows], None)
        for name in ("ids", "logprobs", "raw_logprobs", "entropy", "certainty"):
            assert np.array_equal(getattr(part, name), getattr(whole, name)[rows]), name


def test_a_law_that_leaves_nothing_or_names_no_token_is_refused():
    with pytest.raises(SharpenError, match="token 11 is not in the vocabulary"):
        permitted(SamplingLaw(banned=(11,)), 11)
    with pytest.raises(SharpenError, match="leave nothing"):
        permitted(SamplingLaw(allowed=(3,), banned=(3,)), 11)


def test_the_pieces_that_a_large_vocabulary_is_cut_into_do_not_show():
    rows, vocabulary = 20, 40_000
    z = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(4))
    u = np.random.default_rng(4).random(rows)
    for law in (SamplingLaw(), SamplingLaw(top_k=3), SamplingLaw(temperature=0.0, top_k=3)):
        at_once = draw(z.clone(), law, u, None)
        for i in range(rows):
            alone = draw(z[i : i + 1].clone(), law, u[i : i + 1], None)
            for name in ("ids", "logprobs", "raw_logprobs", "entropy", "certainty"):
                assert getattr(at_once, name)[i] == getattr(alone, name)[0]
            assert (at_once.kept is None) == (alone.kept is None) == (law.greedy or not law.truncates)
            assert at_once.kept is None or at_once.kept[i].tolist() == alone.kept[0].tolist()
