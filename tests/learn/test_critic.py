"""The value function: a head on frozen hidden states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.learn.config import CriticConfig, OptimizerConfig
from sharpen.learn.critic import fit, value_loss, values
from sharpen.learn.row import Row
from sharpen.runs.streams import stream
from tests.shapes import tiny

BUDGET = 4096


def told(n: int, name: str) -> list[Row]:
    """Rows whose return is 1 after an even second token, else 0; the first two tokens are the prompt."""
    draw, rows = stream(name).generator(), []
    for i in range(n):
        tokens = draw.integers(4, 10, size=draw.integers(5, 12)).astype(np.int32)
        weight = np.r_[0, 0, np.ones(len(tokens) - 2)].astype(np.float32)
        back = weight * (tokens[1] % 2 == 0)
        arrays = {"weight": weight, "return": back, "value": np.zeros_like(weight)}
        rows.append(Row(tokens, arrays, key=str(i)))
    return rows


def valued(rows: list[Row], head) -> list[Row]:
    found = values(tiny("llama"), head, rows, BUDGET)
    return [replace(r, arrays={**r.arrays, "value": v}) for r, v in zip(rows, found, strict=True)]


def test_it_learns_what_to_expect_and_its_report_says_so():
    policy, config = tiny("llama"), CriticConfig(epochs=30, value_clip=0.0)
    before = {n: t.clone() for n, t in policy.weights.items()}
    head = fit(policy, None, told(400, "train"), config=config, budget=BUDGET, stream=stream("critic"))
    assert head.report["explained_variance"] == pytest.approx(0)
    assert head.report["value_loss_after"] < head.report["value_loss"] / 4
    unseen = valued(told(60, "test"), head)
    first = np.array([r.arrays["value"][2] for r in unseen])  # before the first learnt token
    truth = np.array([r.arrays["return"][2] for r in unseen])
    assert np.mean((first > 0.5) == (truth > 0.5)) > 0.8
    again = fit(policy, head, unseen, config=config, budget=BUDGET, stream=stream("critic", 2))
    assert again.report["explained_variance"] > 0.2
    assert all(torch.equal(t, before[n]) for n, t in policy.weights.items())


def test_values_lie_before_learnt_tokens_and_see_nothing_later():
    head = fit(
        tiny("llama"), None, told(20, "a"), config=CriticConfig(), budget=BUDGET, stream=stream("critic")
    )
    rows = told(6, "b")
    found = values(tiny("llama"), head, rows, BUDGET)
    small = values(tiny("llama"), head, rows, 20)
    for row, v, other in zip(rows, found, small, strict=True):
        assert v.shape == row.tokens.shape
        assert (v[row.arrays["weight"] == 0] == 0).all()
        assert np.allclose(v, other, atol=1e-5)
        changed = row.tokens.copy()
        changed[4:] = 30
        [w] = values(tiny("llama"), head, [replace(row, tokens=changed)], BUDGET)
        assert np.allclose(w[:5], v[:5], atol=1e-5)
        assert not np.allclose(w[5:], v[5:], atol=1e-3) or len(v) == 5
    assert all((v == 0).all() for v in values(tiny("llama"), None, rows, BUDGET))


def test_a_clipped_value_gains_nothing_from_moving_further():
    returns, old = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 0.9])
    v = torch.tensor([0.1, 0.7, 1.0], requires_grad=True)
    loss = value_loss(v, returns, old, clip=0.2)
    # inside; beyond the clip, where the clipped error 0.8 is the larger; inside
    assert float(loss.detach()) == pytest.approx((0.9**2 + 0.8**2 + 0.0) / 6)
    [g] = torch.autograd.grad(loss, [v])
    assert g.tolist() == pytest.approx([-0.9 / 3, 0.0, 0.0])
    plain = value_loss(v, returns, old)
    assert float(plain.detach()) == pytest.approx((0.9**2 + 0.3**2) / 6)
    away = torch.tensor([-0.7], requires_grad=True)  # moved away beyond the clip: the gradient is whole
    [g] = torch.autograd.grad(value_loss(away, returns[:1], old[:1], clip=0.2), [away])
    assert g.tolist() == pytest.approx([-1.7])


def test_equal_fits_are_bit_equal_and_a_clip_holds_a_later_one_back():
    rows, policy = told(30, "c"), tiny("gpt2")
    config = CriticConfig(epochs=2, optimizer=OptimizerConfig(lr=1e-2))

    def fitted(head, given, **changes):
        return fit(
            policy, head, given, config=config.model_copy(update=changes), budget=BUDGET, stream=stream("c")
        )

    one, two = fitted(None, rows), fitted(None, rows)
    assert all(torch.equal(t, two.weights[n]) for n, t in one.weights.items())
    found = values(policy, one, rows, BUDGET)
    known = [replace(r, arrays={**r.arrays, "value": v}) for r, v in zip(rows, found, strict=True)]
    held = fitted(one, known, value_clip=0.01, epochs=20)
    free = fitted(one, known, value_clip=0.0, epochs=20)
    assert torch.equal(held.weights["mean"], one.weights["mean"])
    assert held.report["value_loss_after"] > 1.5 * free.report["value_loss_after"]
