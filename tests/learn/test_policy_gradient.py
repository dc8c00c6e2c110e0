"""The policy-gradient objective: exact against enumeration, against plain loops, and whatever the batch."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.learn.advantages import leave_one_out, mean_centred
from sharpen.learn.batch import micro_batches
from sharpen.learn.config import LearnConfig
from sharpen.learn.learner import accumulate, learn
from sharpen.learn.objective import Forward
from sharpen.learn.policy_gradient import LossConfig, PolicyGradient
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of
from sharpen.learn.state import TrainState
from sharpen.runs.streams import stream
from sharpen.sample.episode import Episode, Request, Span
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from tests.learn import enumerated as exact
from tests.shapes import EOS, tiny

LAWS = {
    "plain": SamplingLaw(),
    "hot": SamplingLaw(temperature=1.3),
    "cold, one token banned": SamplingLaw(temperature=0.6, banned=(2,)),
    "top k": SamplingLaw(top_k=2),
    "top p": SamplingLaw(temperature=1.2, top_p=0.8),
}
law_names = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
both = pytest.mark.parametrize("surrogate", ["reinforce", "ppo"])


def one_each(**settings) -> LossConfig:
    """A loss whose denominator is the number of rows."""
    return LossConfig(normaliser="constant", length=1, **settings)


def own(sequence) -> list[float]:
    return sequence.logprobs.detach().tolist()


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


# exact enumeration -----------------------------------------------------------------------------------


@law_names
@both
def test_the_expected_gradient_is_that_of_the_expected_reward(surrogate, law):
    module = exact.model()
    every = exact.completions(module, law)
    assert sum(s.probability for s in every) == pytest.approx(1, abs=1e-12)
    truth = exact.gradient_of(module, -exact.expected(every, lambda s: exact.reward(s.tokens)))
    for baseline in (0.0, 0.8):  # which changes the noise, not the mean
        rows = [
            exact.row(s, s.probability, own(s), advantage=[exact.reward(s.tokens) - baseline] * len(s.tokens))
            for s in every
        ]
        terms, seen, found = exact.learnt(module, rows, PolicyGradient(one_each(surrogate=surrogate), law))
        assert distance(found * len(rows), truth) < 1e-9
        value = 0.0
        for r in rows:
            gain = r.arrays["old_logprob"] if surrogate == "reinforce" else 1.0
            value -= float((r.arrays["weight"] * r.arrays["advantage"] * gain).sum())
        assert terms["policy"] * len(rows) == pytest.approx(value, rel=1e-9)
        assert seen["ratio_mean"] == pytest.approx(1, abs=1e-9)
        assert seen["ess"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("rule", "scale"), [(leave_one_out, 1.0), (mean_centred, 1 / 2)])
def test_group_baselines_keep_the_gradient_up_to_a_known_factor(rule, scale):
    # all pairs of completions are all groups of two
    module, law = exact.model(), SamplingLaw()
    every = exact.completions(module, law)
    truth = exact.gradient_of(module, -exact.expected(every, lambda s: exact.reward(s.tokens)))
    rewards = [exact.reward(s.tokens) for s in every]
    mean = [
        sum(b.probability * rule([r, other])[0] for b, other in zip(every, rewards, strict=True))
        for r in rewards
    ]
    rows = [
        exact.row(s, s.probability, own(s), advantage=[a] * len(s.tokens))
        for s, a in zip(every, mean, strict=True)
    ]
    _, _, found = exact.learnt(module, rows, PolicyGradient(one_each(), law))
    assert distance(found * len(rows), scale * truth) < 1e-9


def test_off_policy_the_unclipped_surrogate_is_the_new_policys_mean():
    # of one token: then the ratio of a token is that of the whole completion
    module, law = exact.model(), SamplingLaw()
    old = {s.tokens: s for s in exact.completions(exact.model(seed=1), law, longest=1)}
    every = exact.completions(module, law, longest=1)
    mean = exact.expected(every, lambda s: exact.reward(s.tokens))
    rows = [
        exact.row(s, old[s.tokens].probability, own(old[s.tokens]), advantage=[exact.reward(s.tokens)])
        for s in every
    ]
    loose = one_each(clip_low=1.0, clip_high=1e9)
    terms, seen, found = exact.learnt(module, rows, PolicyGradient(loose, law))
    assert terms["policy"] * len(rows) == pytest.approx(-float(mean.detach()), rel=1e-9)
    assert distance(found * len(rows), exact.gradient_of(module, -mean)) < 1e-9
    assert seen["clip_share"] == 0


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_a_divergence_term_has_the_value_and_the_gradient_that_is_written(estimator):
    module, law = exact.model(), SamplingLaw()
    every = exact.completions(module, law)
    other = {s.tokens: s for s in exact.completions(exact.model(seed=1), law)}
    rows = [
        exact.row(s, s.probability, own(s), advantage=[0.0] * len(s.tokens), ref_logprob=own(other[s.tokens]))
        for s in every
    ]
    config = one_each(kl_coef=1.0, kl_estimator=estimator)
    terms, _, found = exact.learnt(module, rows, PolicyGradient(config, law))
    value, truth = divergence(module, exact.model(seed=1), reverse=estimator != "k3")
    if estimator == "k2":  # not the divergence itself
        value = sum(s.probability * sum((np.subtract(own(s), own(other[s.tokens]))) ** 2) / 2 for s in every)
    assert terms["kl"] * len(rows) == pytest.approx(value, rel=1e-9)
    assert distance(found * len(rows), truth) < 1e-9


def divergence(module, other, *, reverse: bool) -> tuple[float, torch.Tensor]:
    """KL(p, q) over completions, and the gradient over each next token, earlier ones being given: of
    KL(p, q), or of KL(q, p)."""
    value, total = 0.0, []
    prefixes = {s.tokens[:i] for s in exact.completions(module, SamplingLaw()) for i in range(len(s.tokens))}
    for prefix in sorted(prefixes):
        ids = torch.tensor([[*exact.PROMPT, *prefix]])
        logp = module(ids, use_cache=False).logits[0, len(exact.PROMPT) - 1 :].log_softmax(-1)
        logq = other(ids, use_cache=False).logits[0, -1].log_softmax(-1).detach()
        reach = math.exp(sum(float(logp[i, t]) for i, t in enumerate(prefix)))
        p, last = logp[-1].exp(), logp[-1]
        value += reach * (p * (last - logq)).sum().item()
        total.append(reach * ((p * (last - logq)) if reverse else (logq.exp() * (logq - last))).sum())
    return value, exact.gradient_of(module, torch.stack(total).sum())


def test_k1_off_the_reward_gives_the_gradient_of_the_divergence_of_whole_completions():
    module, law = exact.model(), SamplingLaw()
    every = exact.completions(module, law)
    other = {s.tokens: s.logprobs.detach() for s in exact.completions(exact.model(seed=1), law)}
    truth = exact.gradient_of(
        module,
        -exact.expected(every, lambda s: exact.reward(s.tokens) - 0.3 * (s.logprobs - other[s.tokens]).sum()),
    )
    penalised = {
        s.tokens: exact.reward(s.tokens) - 0.3 * float((s.logprobs - other[s.tokens]).sum()) for s in every
    }
    rows = [
        exact.row(s, s.probability, own(s), advantage=[penalised[s.tokens]] * len(s.tokens)) for s in every
    ]
    _, _, found = exact.learnt(module, rows, PolicyGradient(one_each(), law))
    assert distance(found * len(rows), truth) < 1e-9


def test_the_entropy_term_is_the_mean_entropy():
    module, law = exact.model(), SamplingLaw()
    every = exact.completions(module, law)
    rows = [exact.row(s, 1.0, own(s), advantage=[0.0] * len(s.tokens)) for s in every]
    terms, seen, found = exact.learnt(module, rows, PolicyGradient(LossConfig(entropy_coef=0.5), law))
    entropies = []
    for s in every:
        ids = torch.tensor([[*exact.PROMPT, *s.tokens]])
        logits = module(ids, use_cache=False).logits[0, len(exact.PROMPT) - 1 : -1]
        entropies.append(torch.distributions.Categorical(logits=logits).entropy())
    mean = torch.cat(entropies).mean()
    assert terms["entropy"] == pytest.approx(float(mean), rel=1e-9)
    assert seen["entropy"] == pytest.approx(float(mean), rel=1e-9)
    assert distance(found, exact.gradient_of(module, -0.5 * mean)) < 1e-9


# plain loops -----------------------------------------------------------------------------------------


def some_rows(n: int = 7, name: str = "pg rows") -> list[Row]:
    """Rows with arrays far from on-policy, so that clips bite; two of their turns are not learnt from."""
    draw = stream(name).generator()
    module, rows = tiny("llama").module(), []
    for i in range(n):
        tokens = draw.integers(4, 60, size=draw.integers(6, 40)).astype(np.int32)
        weight = np.ones(len(tokens), np.float32)
        weight[: draw.integers(1, 4)] = 0
        weight[4] = 0
        with torch.no_grad():
            logits = module(torch.as_tensor(tokens, dtype=torch.long)[None], use_cache=False).logits[0]
        now = logits.log_softmax(-1)[np.arange(len(tokens) - 1), tokens[1:]].numpy()
        old, ref = (
            np.concatenate([[0], now + draw.normal(0, s, len(now))]).astype(np.float32) for s in (0.3, 0.5)
        )
        advantage = draw.normal(0, 1, len(tokens)).astype(np.float32)
        arrays = {"weight": weight, "old_logprob": old, "ref_logprob": ref, "advantage": advantage}
        rows.append(Row(tokens, arrays, key=str(i)))
    return rows


CONFIGS = [
    LossConfig(),
    LossConfig(surrogate="reinforce", normaliser="sequences"),
    LossConfig(clip_low=0.1, clip_high=0.28, normaliser="sequences"),
    LossConfig(clip_high=0.28, dual_clip=1.5, normaliser="constant", length=50),
    LossConfig(kl_coef=0.1, kl_estimator="k1", entropy_coef=0.02),
    LossConfig(kl_coef=0.1, kl_estimator="k2", normaliser="sequences", entropy_coef=0.02),
    LossConfig(kl_coef=0.1, kl_estimator="k3", normaliser="constant", length=9),
    LossConfig(kl_coef=0.1, kl_in="reward"),
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))


@configs
def test_the_loss_is_that_of_a_loop_over_tokens(config):
    rows, module = some_rows(), tiny("llama").module()
    per_row, totals = [], {"policy": 0.0, "kl": 0.0, "entropy": 0.0}
    clipped = tokens = 0
    for row in rows:
        logits = module(torch.as_tensor(row.tokens, dtype=torch.long)[None], use_cache=False).logits[0]
        sums, n = dict.fromkeys(totals, 0.0), 0
        for t in range(1, len(row.tokens)):
            if row.arrays["weight"][t] == 0:
                continue
            n += 1
            dist = logits[t - 1].detach().double().log_softmax(-1)
            now = float(dist[row.tokens[t]])
            a, old, ref = (float(row.arrays[k][t]) for k in ("advantage", "old_logprob", "ref_logprob"))
            r = math.exp(now - old)
            if config.surrogate == "reinforce":
                gain = a * now
            else:
                gain = min(r * a, min(max(r, 1 - config.clip_low), 1 + config.clip_high) * a)
                if config.dual_clip and a < 0:
                    gain = max(gain, config.dual_clip * a)
                clipped += gain != r * a
            sums["policy"] -= gain
            d = now - ref
            sums["kl"] += {"k1": d, "k2": d * d / 2, "k3": math.exp(-d) - 1 + d}[config.kl_estimator]
            sums["entropy"] -= float((dist.exp() * dist).sum())
        tokens += n
        per_row.append((sums, n))
    for term in totals:
        if config.normaliser == "tokens":
            totals[term] = sum(s[term] for s, _ in per_row) / tokens
        elif config.normaliser == "sequences":
            totals[term] = float(np.mean([s[term] / n for s, n in per_row]))
        else:
            totals[term] = float(np.mean([s[term] / config.length for s, _ in per_row]))
    wanted = {"policy"} | ({"kl"} if config.regularised else set())
    wanted |= {"entropy"} if config.entropy_coef else set()
    found, seen = accumulate(copy.deepcopy(module).requires_grad_(True), [rows], PolicyGradient(config))
    assert found == {term: pytest.approx(totals[term], rel=1e-4, abs=1e-6) for term in wanted}
    if config.surrogate == "ppo":
        assert seen["clip_share"] == pytest.approx(clipped / tokens)
        assert 0.1 < seen["clip_share"] < 0.9


def test_the_monitors_are_those_of_a_loop():
    rows, module = some_rows(), copy.deepcopy(tiny("llama").module()).requires_grad_(True)
    _, seen = accumulate(module, [rows[:3], rows[3:]], PolicyGradient(LossConfig(kl_coef=0.1)))
    logs, away = [], []
    for row in rows:
        at = np.flatnonzero(row.arrays["weight"][1:]) + 1
        logits = module(torch.as_tensor(row.tokens, dtype=torch.long)[None], use_cache=False).logits[0]
        now = logits.detach().log_softmax(-1)[at - 1, row.tokens[at]].double().numpy()
        logs += list(now - row.arrays["old_logprob"][at])
        away += list(now - row.arrays["ref_logprob"][at])
    ratio, d = np.exp(logs), np.array(away)
    expected = {
        "ratio_mean": ratio.mean(),
        "ratio_max": ratio.max(),
        "ess": 1 / (len(ratio) * ((ratio / ratio.sum()) ** 2).sum()),
        "approx_kl": (ratio - 1 - np.array(logs)).mean(),
        "kl": (np.exp(-d) - 1 + d).mean(),
    }
    assert {k: seen[k] for k in expected} == {k: pytest.approx(v, rel=1e-4) for k, v in expected.items()}


def one(advantage: float, ratio: float, n: int = 1, **settings) -> float:
    """The loss of one row of ``n`` tokens with this ratio."""
    module, ids = tiny("llama").module(), np.arange(4, 5 + n, dtype=np.int32)
    row = Row(ids, {"weight": np.array([0, *[1] * n], np.float32)})
    now = Forward(module, [row]).logprobs().detach().numpy()
    old = np.concatenate([[0], now - math.log(ratio)])
    full = {**row.arrays, "old_logprob": old, "advantage": np.full(n + 1, advantage, np.float32)}
    objective = PolicyGradient(LossConfig(**settings))
    rows = [replace(row, arrays=full)]
    return float(objective(Forward(module, rows), rows)["policy"]) / objective.denominators(rows)["policy"]


def test_the_numbers_of_spirals_loss():
    constant = {"normaliser": "constant", "length": 4096}
    assert one(0.5, 1.0, 3, **constant) == pytest.approx(-3.662109375e-4, rel=1e-5)
    assert one(0.5, 1.5) == pytest.approx(-0.6, rel=1e-5)  # clipped
    assert one(-0.5, 1.5) == pytest.approx(0.75, rel=1e-5)  # not clipped
    assert one(0.5, 1.5, clip_high=0.28) == pytest.approx(-0.64, rel=1e-5)
    assert one(-0.5, 0.5) == pytest.approx(0.4, rel=1e-5)
    assert one(-0.5, 5.0, dual_clip=3.0) == pytest.approx(1.5, rel=1e-5)


# whatever the batch ----------------------------------------------------------------------------------


def gradient(module, micro, objective) -> tuple[torch.Tensor, dict[str, float]]:
    module.zero_grad()
    terms, seen = accumulate(module, micro, objective)
    return torch.cat([p.grad.flatten() for p in module.parameters()]), {**terms, **seen}


@configs
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_split_order_and_packing_change_rounding_only(config, dtype, bound):
    rows, objective = some_rows(), PolicyGradient(config)
    module = copy.deepcopy(tiny("llama").module()).to(dtype).requires_grad_(True)
    packed = micro_batches(rows, [(i,) for i in range(len(rows))], tokens_per_microbatch=60)
    ways = [
        [rows],
        [rows[::-1]],
        [[rows[i] for i in part] for part in packed],
        [[rows[3], rows[0]], [rows[6]], [rows[5], rows[1]], [rows[2], rows[4]]],
    ]
    reference, told = gradient(module, [[row] for row in rows], objective)
    for micro in ways:
        found, numbers = gradient(module, micro, objective)
        assert distance(found, reference) <= bound
        assert numbers == {k: pytest.approx(v, rel=bound, abs=bound) for k, v in told.items()}


def test_only_learnt_tokens_reach_the_gradient():
    rows = some_rows(3)
    module = copy.deepcopy(tiny("llama").module()).requires_grad_(True)
    reference, _ = gradient(module, [rows], PolicyGradient(LossConfig(kl_coef=0.1)))
    # whatever stands in the arrays of prompts and observations
    noisy = []
    for row in rows:
        off = row.arrays["weight"] == 0
        arrays = {k: np.where(off & (k != "weight"), 9, v).astype("f4") for k, v in row.arrays.items()}
        noisy.append(replace(row, arrays=arrays))
    assert torch.equal(gradient(module, [noisy], PolicyGradient(LossConfig(kl_coef=0.1)))[0], reference)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    normaliser=st.sampled_from(["tokens", "sequences", "constant"]),
)
def test_what_a_longer_attempt_weighs(lengths, normaliser):
    """Attempt 0 twice as long: under ``tokens`` its share of the loss grows as its tokens do, under
    ``constant`` it doubles exactly, under ``sequences`` it stays."""
    objective = PolicyGradient(LossConfig(normaliser=normaliser, length=20))
    share = []
    for first in (lengths[0], 2 * lengths[0]):
        sizes = [first, *lengths[1:]]
        rows = [flat(n) for n in sizes]
        denominator = objective.denominators(rows)["policy"]
        alone = objective(Forward(tiny("llama").module(), rows[:1]), rows[:1])["policy"]
        share.append(float(alone) / denominator)
        per_token = {"tokens": 1 / sum(sizes), "sequences": 1 / (len(sizes) * first)}
        assert share[-1] == pytest.approx(-first * per_token.get(normaliser, 1 / (20 * len(sizes))), rel=1e-4)
    if normaliser == "constant":
        assert share[1] == pytest.approx(2 * share[0], rel=1e-4)
    elif normaliser == "sequences":
        assert share[1] == pytest.approx(share[0], rel=1e-4)


def flat(n: int) -> Row:
    """A row of ``n`` learnt tokens with advantage 1 and ratio 1."""
    row = Row(np.full(n + 1, 9, np.int32), {"weight": np.array([0, *[1] * n], np.float32)})
    old = np.concatenate([[0], Forward(tiny("llama").module(), [row]).logprobs().detach().numpy()])
    return replace(row, arrays={**row.arrays, "old_logprob": old, "advantage": np.ones(n + 1, np.float32)})


# with the engine -------------------------------------------------------------------------------------


def sampled(law: SamplingLaw, n: int = 6) -> list[Row]:
    policy, prompts = tiny("llama"), (np.array([1, 7, 9], np.int32), np.array([1, 12], np.int32))
    requests = [Request(prompts[i % 2], stream("pg", i), law, 12, (EOS,)) for i in range(n)]
    rows = []
    for i, (request, done) in enumerate(
        zip(requests, NativeEngine().generate(policy, requests), strict=True)
    ):
        spans = (
            Span("prompt", request.tokens),
            Span("assistant", done.tokens, trainable=True, sampled=done, version=policy.version),
        )
        row = row_of(Episode(str(i), "t", i, spans, done.finish, ""))
        arrays = {**row.arrays, "advantage": np.full(len(row.tokens), (-1.0) ** i, np.float32)}
        rows.append(replace(row, arrays=arrays))
    return rows


ENGINE_LAWS = [
    SamplingLaw(temperature=0.6),
    SamplingLaw(),
    SamplingLaw(temperature=1.3, top_p=0.8),
    SamplingLaw(top_k=5, banned=(6,)),
]


@pytest.mark.parametrize("law", ENGINE_LAWS, ids=lambda law: str(law.spec))
def test_ratios_are_one_on_the_first_inner_update_and_not_on_the_second(law):
    config = LearnConfig(steps=2, batch_rows=6, optimizer=None)
    state = TrainState.start(tiny("llama"))
    _, metrics = learn(
        state, sampled(law), objective=PolicyGradient(LossConfig(), law), config=config, stream=stream(0)
    )
    first, second = metrics
    assert abs(first["ratio_max"] - 1) < 1e-5
    assert abs(first["ratio_mean"] - 1) < 1e-5
    assert first["clip_share"] == 0
    assert first["ess"] == pytest.approx(1, abs=1e-6)
    assert first["grad_norm"] > 0  # a ratio of 1 is no absence of a gradient
    assert second["ratio_max"] > 1.001
    assert second["approx_kl"] > first["approx_kl"]
    assert second["ess"] < 1 - 1e-6


def test_another_law_than_the_one_that_sampled_is_seen_in_the_ratio():
    rows = sampled(SamplingLaw(temperature=0.6))
    state, config = TrainState.start(tiny("llama")), LearnConfig(steps=1, batch_rows=6)
    _, metrics = learn(state, rows, objective=PolicyGradient(LossConfig()), config=config, stream=stream(0))
    assert abs(metrics[0]["ratio_mean"] - 1) > 0.01


def test_one_update_makes_the_better_likelier():
    rows, state = sampled(SamplingLaw()), TrainState.start(tiny("llama"))
    for surrogate in ("reinforce", "ppo"):
        objective = PolicyGradient(LossConfig(surrogate=surrogate))
        after, _ = learn(
            state, rows, objective=objective, config=LearnConfig(steps=1, batch_rows=6), stream=stream(0)
        )
        with torch.no_grad():
            change = [
                float((Forward(after.policy.module(), [r]).logprobs()).sum() - r.arrays["old_logprob"].sum())
                for r in rows
            ]
        assert np.mean(change[0::2]) > 0 > np.mean(change[1::2])


def test_laws_without_a_gradient_and_missing_arrays_are_refused():
    for law in (GREEDY, SamplingLaw(presence_penalty=0.5)):
        with pytest.raises(SharpenError, match="no policy gradient"):
            PolicyGradient(LossConfig(), law)
    with pytest.raises(SharpenError, match="needs a length"):
        PolicyGradient(LossConfig(normaliser="constant"))
    row = sampled(SamplingLaw(), 1)[0]
    forward = Forward(tiny("llama").module(), [row])
    with pytest.raises(SharpenError, match="no kept sets"):
        PolicyGradient(LossConfig(), SamplingLaw(top_k=5))(forward, [row])
    with pytest.raises(SharpenError, match="'ref_logprob'"):
        PolicyGradient(LossConfig(kl_coef=0.1))(forward, [row])
    untold = replace(row, arrays={k: v for k, v in row.arrays.items() if k != "old_logprob"})
    with pytest.raises(SharpenError, match="'old_logprob'"):
        PolicyGradient(LossConfig())(Forward(tiny("llama").module(), [untold]), [untold])
