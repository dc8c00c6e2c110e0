"""Losses on pairs and on single answers: known numbers, plain loops, finite differences, any split."""

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
from sharpen.learn.config import LearnConfig
from sharpen.learn.kto import KTO, KTOConfig
from sharpen.learn.learner import accumulate, learn
from sharpen.learn.objective import Forward
from sharpen.learn.preference import Preference, PreferenceConfig, pair_loss
from sharpen.learn.row import Row
from sharpen.learn.state import TrainState
from sharpen.runs.streams import stream
from tests.learn import enumerated as exact
from tests.shapes import tiny


def loss(margin: float, gap: float | None = None, **config) -> float:
    given = torch.tensor([margin], dtype=torch.float64)
    asked = None if gap is None else torch.tensor([gap], dtype=torch.float64)
    return float(pair_loss(PreferenceConfig(**config), given, asked))


# known numbers ---------------------------------------------------------------------------------------


def test_the_numbers_of_self_rationalization():
    chosen = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor(-9.0, dtype=torch.float64, requires_grad=True)
    value = pair_loss(PreferenceConfig(beta=0.1), (chosen + 12) - (rejected + 8))
    value.backward()
    assert float(value.detach()) == pytest.approx(0.554355, abs=1e-6)
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert float(chosen.grad) == pytest.approx(-0.0425557, abs=1e-7)
    assert float(rejected.grad) == pytest.approx(0.0425557, abs=1e-7)
    for beta in (0.01, 0.1, 5.0):
        assert loss(0.0, beta=beta) == pytest.approx(math.log(2), abs=1e-12)


def test_the_numbers_of_sharpening():
    # probabilities .5 and .2 under the base, the self-reward their logarithm
    gap = math.log(2.5)
    for beta in (0.1, 0.5, 3.0):
        assert loss(0.0, gap, kind="regression", beta=beta) == pytest.approx(0.839589, abs=1e-6)
    base = np.array([0.5, 0.3, 0.2])
    for beta in (0.25, 0.5, 1.0):
        best = base ** (1 + 1 / beta) / (base ** (1 + 1 / beta)).sum()
        away = np.log(best / base)
        assert loss(away[0] - away[2], gap, kind="regression", beta=beta) == pytest.approx(0, abs=1e-20)
    assert loss(0.0, 0.0, kind="regression") == 0  # an answer against itself


def test_label_smoothing_and_ipo():
    assert loss(2.0, label_smoothing=0.3, beta=1.0) == pytest.approx(
        0.7 * loss(2.0, beta=1.0) + 0.3 * loss(-2.0, beta=1.0)
    )
    # the smoothed loss has its least value where the odds are (1 - e) / e
    best = math.log(0.7 / 0.3)
    assert loss(best, label_smoothing=0.3, beta=1.0) < min(
        loss(best + d, label_smoothing=0.3, beta=1.0) for d in (-0.1, 0.1)
    )
    assert loss(5.0, kind="ipo", beta=0.1) == 0
    assert loss(4.0, kind="ipo", beta=0.1) == pytest.approx(1)


@settings(max_examples=50)
@given(margin=st.floats(-20, 20), gap=st.floats(-5, 5), shift=st.floats(-9, 9))
def test_a_constant_of_the_question_changes_nothing(margin, gap, shift):
    a, b = 1.5 + shift, 1.5 - gap + shift  # rewards of the two answers
    assert loss(margin, a - b, kind="regression") == pytest.approx(
        loss(margin, gap, kind="regression"), rel=1e-9, abs=1e-9
    )


# plain loops -----------------------------------------------------------------------------------------


def some_rows(n: int = 4, name: str = "pairs") -> list[Row]:
    """``n`` pairs, of which the second answer is preferred in every other; within rows, some tokens are not
    what the preference is about."""
    draw = stream(name).generator()
    module, rows = tiny("llama").module(), []
    for i in range(2 * n):
        tokens = draw.integers(4, 60, size=draw.integers(6, 40)).astype(np.int32)
        weight = np.ones(len(tokens), np.float32)
        weight[: draw.integers(1, 4)] = 0
        weight[4] = 0
        weight[5:7] = 0.5
        with torch.no_grad():
            logits = module(torch.as_tensor(tokens, dtype=torch.long)[None], use_cache=False).logits[0]
        now = logits.log_softmax(-1)[np.arange(len(tokens) - 1), tokens[1:]].numpy()
        ref = np.concatenate([[0], now + draw.normal(0, 0.5, len(now))]).astype(np.float32)
        scalars = {
            "preferred": float((i + i // 2) % 2 == 0),
            "reward": float(draw.normal()),
            "explored": float(i % 2),
        }
        rows.append(Row(tokens, {"weight": weight, "ref_logprob": ref}, scalars, f"pair-{i // 2}", str(i)))
    return rows


CONFIGS = [
    PreferenceConfig(),
    PreferenceConfig(beta=0.5, label_smoothing=0.2),
    PreferenceConfig(length_normalised=True, sft_coef=0.3),
    PreferenceConfig(kind="ipo", beta=0.2),
    PreferenceConfig(kind="ipo", length_normalised=True),
    PreferenceConfig(kind="regression", beta=0.5),
    PreferenceConfig(kind="regression", beta=0.5, optimism=0.05),
    PreferenceConfig(kind="regression", sft_coef=1.0, length_normalised=True),
]
configs = pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))


def gains(row: Row, module) -> tuple[float, float, float]:
    """Of a row, by a loop: its gain over the reference, its log-probability, its weight."""
    logits = module(torch.as_tensor(row.tokens, dtype=torch.long)[None], use_cache=False).logits[0]
    away = whole = weight = 0.0
    for t in range(1, len(row.tokens)):
        now = float(logits[t - 1].detach().double().log_softmax(-1)[row.tokens[t]])
        w = float(row.arrays["weight"][t])
        away += w * (now - float(row.arrays["ref_logprob"][t]))
        whole += w * now
        weight += w
    return away, whole, weight


@configs
def test_the_loss_is_that_of_a_loop(config):
    rows, module = some_rows(), tiny("llama").module()
    pairs, sft, tokens, seen = [], 0.0, 0.0, 0.0
    hits = []
    for a, b in zip(rows[::2], rows[1::2], strict=True):
        better, worse = (a, b) if a.scalars["preferred"] or not config.ranks else (b, a)
        (up, whole, n), (down, _, m) = gains(better, module), gains(worse, module)
        sft, tokens = sft - whole, tokens + n
        margin = up / n - down / m if config.length_normalised else up - down
        gap = better.scalars["reward"] - worse.scalars["reward"]
        hits.append(margin * (gap if config.kind == "regression" else 1) > 0)
        if config.kind == "dpo":
            p = 1 / (1 + math.exp(-config.beta * margin))
            pairs.append(
                -(1 - config.label_smoothing) * math.log(p) - config.label_smoothing * math.log(1 - p)
            )
        elif config.kind == "ipo":
            pairs.append((margin - 0.5 / config.beta) ** 2)
        else:
            pairs.append((config.beta * margin - gap) ** 2)
        seen += sum(gains(r, module)[1] for r in (a, b) if r.scalars["explored"])
    wanted = {"preference": float(np.mean(pairs))}
    if config.sft_coef:
        wanted["sft"] = sft / tokens
    if config.optimism:
        wanted["optimism"] = seen / len(pairs)
    found, told = accumulate(copy.deepcopy(module).requires_grad_(True), [rows], Preference(config))
    assert found == {term: pytest.approx(v, rel=1e-4, abs=1e-6) for term, v in wanted.items()}
    assert told["reward_accuracy"] == pytest.approx(np.mean(hits))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def gradient(module, micro, objective) -> tuple[torch.Tensor, dict[str, float]]:
    module.zero_grad()
    terms, seen = accumulate(module, micro, objective)
    return torch.cat([p.grad.flatten() for p in module.parameters()]), {**terms, **seen}


@configs
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_split_order_and_packing_change_rounding_only(config, dtype, bound):
    rows, objective = some_rows(), Preference(config)
    module = copy.deepcopy(tiny("llama").module()).to(dtype).requires_grad_(True)
    pairs = [rows[i : i + 2] for i in range(0, len(rows), 2)]
    ways = [
        [rows],
        [[*pairs[2], *pairs[0]], [*pairs[3]], [*pairs[1]]],
        [[row for pair in pairs for row in pair[::-1]]] if config.kind != "regression" else [rows],
    ]
    reference, told = gradient(module, pairs, objective)
    for micro in ways:
        found, numbers = gradient(module, micro, objective)
        assert distance(found, reference) <= bound
        assert numbers == {k: pytest.approx(v, rel=1e-4, abs=1e-6) for k, v in told.items()}


def test_what_the_preference_is_not_about_has_no_gradient():
    rows = some_rows()
    module = copy.deepcopy(tiny("llama").module()).requires_grad_(True)
    reference, _ = gradient(module, [rows], Preference(PreferenceConfig()))
    noisy = [
        replace(
            r,
            arrays={
                **r.arrays,
                "ref_logprob": np.where(r.arrays["weight"] == 0, -7, r.arrays["ref_logprob"]).astype("f4"),
            },
        )
        for r in rows
    ]
    assert torch.equal(gradient(module, [noisy], Preference(PreferenceConfig()))[0], reference)


# finite differences ----------------------------------------------------------------------------------


def listed(n: int = 8) -> list[Row]:
    """Pairs of completions of the model whose completions can be listed, in float64."""
    module, other = exact.model(), exact.model(seed=1)
    law = exact.SamplingLaw()
    mine, theirs = exact.completions(module, law)[3::5], exact.completions(other, law)[3::5]
    rows = []
    for i, (s, ref) in enumerate(zip(mine[:n], theirs[:n], strict=True)):
        row = exact.row(s, 1.0, [0.0] * len(s.tokens), ref_logprob=ref.logprobs.detach().tolist())
        scalars = {"preferred": float(i % 2 == 0), "reward": exact.reward(s.tokens), "explored": float(i % 2)}
        rows.append(replace(row, scalars=scalars, unit=f"pair-{i // 2}"))
    return rows


def value(module, rows, objective) -> float:
    terms, _ = accumulate(module, [rows], objective)
    return sum(objective.weights[t] * v for t, v in terms.items())


@pytest.mark.parametrize(
    "objective",
    [*map(Preference, CONFIGS), KTO(KTOConfig(beta=0.3, undesirable=1.5), z=0.2)],
    ids=lambda o: str(o.spec),
)
def test_the_gradient_is_that_of_finite_differences(objective):
    module, rows = exact.model(), listed()
    if isinstance(objective, KTO):
        rows = [replace(r, unit="", scalars={"desirable": r.scalars["preferred"]}) for r in rows]
    found, _ = gradient(module, [rows], objective)
    draw = torch.Generator().manual_seed(0)
    step = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()

    def at(h: float) -> float:
        torch.nn.utils.vector_to_parameters(start + h * step, module.parameters())
        return value(module, rows, replace(objective))

    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    assert slope == pytest.approx(float(found @ step), rel=1e-6, abs=1e-9)


# learning --------------------------------------------------------------------------------------------


def learnt(rows, objective, steps: int = 1):
    config = LearnConfig(steps=steps, batch_rows=len(rows))
    return learn(TrainState.start(tiny("llama")), rows, objective=objective, config=config, stream=stream(0))


def at_the_reference(rows: list[Row]) -> list[Row]:
    module, found = tiny("llama").module(), []
    for row in rows:
        logits = module(torch.as_tensor(row.tokens, dtype=torch.long)[None], use_cache=False).logits[0]
        now = logits.detach().log_softmax(-1)[np.arange(len(row.tokens) - 1), row.tokens[1:]].numpy()
        found.append(replace(row, arrays={**row.arrays, "ref_logprob": np.concatenate([[0], now])}))
    return found


def test_at_the_reference_the_loss_is_ln_2_and_an_update_parts_the_two():
    rows = at_the_reference(some_rows())
    _, metrics = learnt(rows, Preference(PreferenceConfig()), steps=2)
    assert metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics[0]["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert metrics[1]["chosen_gain"] > metrics[1]["rejected_gain"]
    assert metrics[1]["reward_accuracy"] > 0.5


def test_regression_at_the_reference_is_the_mean_squared_difference_of_rewards():
    rows = at_the_reference(some_rows())
    gaps = [a.scalars["reward"] - b.scalars["reward"] for a, b in zip(rows[::2], rows[1::2], strict=True)]
    _, metrics = learnt(rows, Preference(PreferenceConfig(kind="regression")))
    assert metrics[0]["loss"] == pytest.approx(np.mean(np.square(gaps)), rel=1e-4)


def test_optimism_makes_what_the_reference_sampled_less_likely():
    """XPO's sign: the term is minimised as it stands."""
    rows = [replace(r, scalars={**r.scalars, "reward": 0.0}) for r in at_the_reference(some_rows())]
    after, _ = learnt(rows, Preference(PreferenceConfig(kind="regression", beta=1e-6, optimism=1.0)))
    explored = [r for r in rows if r.scalars["explored"]]
    with torch.no_grad():
        change = [
            float(Forward(after.policy.module(), [r]).logprobs().sum())
            - float(Forward(tiny("llama").module(), [r]).logprobs().sum())
            for r in explored
        ]
    assert np.mean(change) < 0


# kto -------------------------------------------------------------------------------------------------


def single(n: int = 6) -> list[Row]:
    """Wanted and unwanted answers, each with a mismatched one."""
    found = []
    for i, row in enumerate(some_rows(n)):
        role = {"mismatched": 1.0} if i % 2 else {"desirable": float(i % 4 == 0)}
        found.append(replace(row, scalars=role))
    return found


def test_kto_is_that_of_a_loop():
    rows, module = single(), tiny("llama").module()
    config = KTOConfig(beta=0.2, desirable=1.3, undesirable=0.7)
    odd = [gains(r, module)[0] for r in rows if r.scalars.get("mismatched")]
    for shift in (0.0, 3.0):  # with z = 0, and above it
        moved = [
            replace(r, arrays={**r.arrays, "ref_logprob": r.arrays["ref_logprob"] - np.float32(shift)})
            for r in rows
        ]
        z = max(0.0, float(np.mean([gains(r, module)[0] for r in moved if r.scalars.get("mismatched")])))
        assert (z > 0) == (shift > 0 or np.mean(odd) > 0)
        wanted = []
        for r in moved:
            if r.scalars.get("mismatched"):
                continue
            sign, w = (1, 1.3) if r.scalars["desirable"] else (-1, 0.7)
            wanted.append(w * (1 - 1 / (1 + math.exp(-sign * 0.2 * (gains(r, module)[0] - z)))))
        own = copy.deepcopy(module).requires_grad_(True)
        terms, seen = accumulate(own, [moved[:5], moved[5:]], KTO(config))
        assert terms["kto"] == pytest.approx(np.mean(wanted), rel=1e-4)
        assert seen["z"] == pytest.approx(z, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_the_survey_sees_the_whole_batch_however_it_is_split(dtype, bound):
    rows = [
        replace(r, arrays={**r.arrays, "ref_logprob": r.arrays["ref_logprob"] - np.float32(0.4)})
        for r in single()
    ]
    module = copy.deepcopy(tiny("llama").module()).to(dtype).requires_grad_(True)
    reference, told = gradient(module, [rows], KTO(KTOConfig()))
    assert told["z"] > 0
    for micro in ([[r] for r in rows], [rows[::-1]], [rows[:5], rows[5:]]):
        found, numbers = gradient(module, micro, KTO(KTOConfig()))
        assert distance(found, reference) <= bound
        assert numbers == {k: pytest.approx(v, rel=1e-4, abs=1e-6) for k, v in told.items()}


def test_mismatched_answers_are_not_learnt():
    rows = [r for r in single() if not r.scalars.get("mismatched")]
    module = copy.deepcopy(tiny("llama").module()).requires_grad_(True)
    alone, told = gradient(module, [rows], KTO(KTOConfig()))
    assert told["z"] == 0
    low = [
        replace(r, arrays={**r.arrays, "ref_logprob": np.zeros_like(r.arrays["ref_logprob"])})
        for r in single()
        if r.scalars.get("mismatched")
    ]  # gains far below 0, so that z stays 0
    found, _ = gradient(module, [[*rows, *low]], KTO(KTOConfig()))
    assert distance(found, alone) <= 1e-6


# refusals --------------------------------------------------------------------------------------------


def test_rows_that_are_no_pairs_are_named():
    rows = some_rows()
    both = [replace(r, scalars={**r.scalars, "preferred": 1.0}) for r in rows]
    bare = [replace(r, scalars={"preferred": r.scalars["preferred"]}) for r in rows]
    untold = [replace(r, arrays={"weight": r.arrays["weight"]}) for r in rows]
    cases = [
        (rows[:3], {}, "no partner"),
        ([rows[0], rows[2]], {}, "no partner"),
        (both, {}, "is preferred, not"),
        (bare, {"kind": "regression"}, "no 'reward'"),
        (bare, {"optimism": 0.1}, "no 'explored'"),
        (untold, {}, "no 'ref_logprob'"),
    ]
    for given_rows, config, message in cases:
        with pytest.raises(SharpenError, match=message):
            accumulate(
                copy.deepcopy(tiny("llama").module()).requires_grad_(True),
                [given_rows],
                Preference(PreferenceConfig(**config)),
            )
    with pytest.raises(SharpenError, match="'desirable'"):
        KTO(KTOConfig())(Forward(tiny("llama").module(), bare), bare)
