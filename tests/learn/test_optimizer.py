"""AdamW against torch's, and learning rates."""

from __future__ import annotations

import copy
import math

import pydantic
import pytest
import torch
from torch import nn

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.config import OptimizerConfig
from sharpen.learn.optimizer import AdamW


class Toy(nn.Module):
    """An embedding tied to the head, a matrix, a norm and a bias."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.linear = nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.norm(self.linear(self.embed(ids))))


def toy(dtype=torch.float64) -> Toy:
    module = Toy().to(dtype)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=dtype))
    return module


def test_it_is_torchs_adamw_with_decay_on_matrices_only():
    ours, theirs = toy(), toy()
    config = OptimizerConfig(
        lr=0.02,
        weight_decay=0.3,
        clip=0.5,
        schedule="cosine",
        warmup_steps=3,
        total_steps=12,
        betas=(0.8, 0.95),
    )
    optimizer = AdamW(ours, {})
    plain = [p for n, p in theirs.named_parameters() if n != "linear.weight"]
    groups = [{"params": [theirs.linear.weight], "weight_decay": 0.3}, {"params": plain, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.02, betas=(0.8, 0.95))
    draw = torch.Generator().manual_seed(1)
    for position in range(15):
        ids = torch.randint(7, (9,), generator=draw)
        for module in (ours, theirs):
            nn.functional.cross_entropy(module(ids), ids.roll(1)).backward()
        norm = optimizer.grad_norm()
        found = float(torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm())
        assert found == pytest.approx(norm, rel=1e-12)
        # not torch's own clipping, which divides by norm + 1e-6
        for p in theirs.parameters():
            p.grad.mul_(min(1.0, 0.5 / found))
        lr = optimizer.update(config, position, norm)
        for group in reference.param_groups:
            group["lr"] = lr
        reference.step()
        optimizer.zero_grad()
        reference.zero_grad()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-10, atol=1e-12), name
    moments = optimizer.moments()
    assert torch.allclose(
        moments["second/norm.bias"], reference.state[theirs.norm.bias]["exp_avg_sq"], rtol=1e-5
    )


def test_moments_by_name_carry_on():
    config, whole = OptimizerConfig(lr=0.1), toy()
    optimizer = AdamW(whole, {})
    halves: Toy | None = None
    for position in range(4):
        if position == 2:
            halves = copy.deepcopy(whole)
            for p in halves.parameters():
                p.grad = None
            second = AdamW(halves, optimizer.moments())
        for module, opt in ((whole, optimizer), (halves, second if halves else None)):
            if module is not None and opt is not None:
                opt.zero_grad()
                module(torch.arange(7)).square().mean().backward()
                opt.update(config, position, opt.grad_norm())
    assert halves is not None
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), halves.parameters(), strict=True))


def test_foreign_moments_and_frozen_models_are_errors():
    with pytest.raises(SharpenError, match="fresh_optimizer"):
        AdamW(toy(), {"first/other": torch.zeros(1)})
    with pytest.raises(SharpenError, match="nothing to train"):
        AdamW(toy().requires_grad_(False), {})


def test_numbers_that_are_not_finite_are_named():
    module = toy()
    optimizer = AdamW(module, {})
    module.norm.bias.grad[2] = math.inf
    with pytest.raises(NotFinite, match=r"gradient.*norm\.bias"):
        optimizer.grad_norm()
    optimizer.zero_grad()
    with torch.no_grad():
        module.linear.bias[0] = math.nan
    with pytest.raises(NotFinite, match=r"weight.*linear\.bias"):
        optimizer.update(OptimizerConfig(), 0, 0.0)


def test_learning_rates():
    flat = OptimizerConfig(lr=2.0, warmup_steps=4)
    assert [flat.lr_at(k) for k in (0, 1, 3, 4, 900)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    falls = {"lr": 2.0, "min_lr": 1.0, "warmup_steps": 2, "total_steps": 12}
    linear = OptimizerConfig(schedule="linear", **falls)
    assert [linear.lr_at(k) for k in (1, 2, 7, 12, 50)] == pytest.approx([2.0, 2.0, 1.5, 1.0, 1.0])
    cosine = OptimizerConfig(schedule="cosine", **falls)
    rates = [cosine.lr_at(k) for k in (2, 4, 7, 12, 50)]
    assert rates == pytest.approx([2.0, 1.5 + 0.5 * math.cos(math.pi * 0.2), 1.5, 1.0, 1.0])
    with pytest.raises(pydantic.ValidationError, match="total_steps"):
        OptimizerConfig(schedule="cosine")
    with pytest.raises(pydantic.ValidationError):
        OptimizerConfig.model_validate({"learning_rate": 1})
