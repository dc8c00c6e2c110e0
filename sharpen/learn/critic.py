"""The value function of PPO: a head on the frozen base model's hidden states, trained apart from the policy.

PPO's authors share layers between policy and value function or train two networks. Here the value reads what
the base model, which never changes, says of the tokens so far. So its inputs do not move while the policy
learns, no coefficient weighs the two losses against each other, the policy's gradient is the surrogate's
alone, and a round costs one forward pass more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpen.errors import NotFinite
from sharpen.learn.config import CriticConfig
from sharpen.learn.head import Head, HeadWeights, apply, hidden_at
from sharpen.learn.optimizer import AdamW
from sharpen.learn.rollouts import targets_of
from sharpen.learn.row import Row
from sharpen.runs.streams import Stream
from sharpen.sample.policy import Policy


def values(policy: Policy, head: Head | None, rows: Sequence[Row], budget: int) -> list[NDArray[np.float32]]:
    """The value of the state before each learnt token, ``(T,)`` a row and 0 elsewhere; all 0 without a head.

    Args:
        policy: whose hidden states the head reads.
        budget: tokens per forward pass.
    """
    found = [np.zeros(len(row.tokens), np.float32) for row in rows]
    if head is not None:
        for value, row, hidden in zip(found, rows, _states(policy, rows, budget), strict=True):
            value[targets_of(row)] = head(hidden).cpu().numpy()
    return found


def fit(
    policy: Policy,
    head: Head | None,
    rows: Sequence[Row],
    *,
    config: CriticConfig,
    budget: int,
    stream: Stream,
) -> Head:
    """``head`` trained on: its squared error from the rows' ``return`` at each learnt token, clipped around
    their ``value`` (there is nothing to clip around without a head).

    Returns:
        The head, with a report: ``value_loss`` before and ``value_loss_after`` (unclipped), and
        ``explained_variance`` of the returns by ``value``.

    Raises:
        NotFinite: a loss or weight became NaN or infinite.
    """
    x = torch.cat(_states(policy, rows, budget))
    returns, old = (
        torch.as_tensor(np.concatenate([r.arrays[name][targets_of(r)] for r in rows])).to(x)
        for name in ("return", "value")
    )
    mean, scale = (
        (x.mean(0), x.std(0, correction=0).clamp_min(1e-6))
        if head is None
        else (head.weights["mean"], head.weights["scale"])
    )
    clip = config.value_clip if head is not None else 0.0
    module = HeadWeights(x.shape[1], config.width, stream.child("init"), x)
    if head is not None:
        with torch.no_grad():
            for name, parameter in module.named().items():
                parameter.copy_(head.weights[name])
    _train(module, (x - mean) / scale, returns, old, clip, config, stream)
    made = Head({"mean": mean, "scale": scale, **{n: p.detach().clone() for n, p in module.named().items()}})
    spread = float(returns.var(correction=0))
    report = {
        "value_loss": float(value_loss(old, returns, old)),
        "value_loss_after": float(value_loss(made(x), returns, old)),
        "explained_variance": 1 - float((returns - old).var(correction=0)) / spread if spread else 0.0,
    }
    return Head(made.weights, report)


def value_loss(value: Tensor, returns: Tensor, old: Tensor, clip: float = 0.0) -> Tensor:
    """Half the mean squared error of ``(S,)`` values; with ``clip``, the larger of it and that of the value
    held within ``clip`` of ``old`` (OpenAI baselines' ppo2)."""
    error = (value - returns) ** 2
    if clip:
        error = error.maximum((old + (value - old).clamp(-clip, clip) - returns) ** 2)
    return error.mean() / 2


def _states(policy: Policy, rows: Sequence[Row], budget: int) -> list[Tensor]:
    """The hidden state before each learnt token, ``(S_i, H)`` a row."""
    return hidden_at(policy, [row.tokens for row in rows], [targets_of(row) - 1 for row in rows], budget)


def _train(
    module: HeadWeights,
    x: Tensor,
    returns: Tensor,
    old: Tensor,
    clip: float,
    config: CriticConfig,
    stream: Stream,
) -> None:
    optimizer = AdamW(module, {})
    step = 0
    for epoch in range(config.epochs):
        order = torch.from_numpy(stream.child("epoch", epoch).generator().permutation(len(x)))
        for batch in order.split(config.batch_tokens):
            optimizer.zero_grad()
            loss = value_loss(apply(module.named(), x[batch]), returns[batch], old[batch], clip)
            if not bool(loss.isfinite()):
                raise NotFinite(f"value loss is {float(loss)} in step {step}")
            torch.autograd.backward(loss)
            optimizer.update(config.optimizer, step, optimizer.grad_norm())
            step += 1
