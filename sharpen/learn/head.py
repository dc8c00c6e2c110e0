"""A scalar head on frozen hidden states: the process reward model of B-STaR (arXiv 2412.17256).

The paper fine-tunes a whole model for it; here the backbone stays frozen and a small MLP (or, at width 0,
a linear probe) reads its last hidden states. That costs one forward pass over the labelled rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.batch import micro_batches
from sharpen.learn.config import OptimizerConfig
from sharpen.learn.optimizer import AdamW
from sharpen.learn.row import Row
from sharpen.runs.streams import Stream
from sharpen.sample.forward import packed_hidden
from sharpen.sample.policy import Policy


class HeadConfig(BaseModel):
    """A head's shape and training."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    width: Annotated[int, Field(ge=0)] = 64
    """Hidden units of the MLP; 0 is a linear head."""
    epochs: Annotated[int, Field(gt=0)] = 20
    """Passes over the labelled tokens."""
    batch_labels: Annotated[int, Field(gt=0)] = 256
    """Labelled tokens per optimizer step."""
    tokens_per_microbatch: Annotated[int, Field(gt=0)] = 4096
    """Tokens per forward pass of the frozen model; changes speed and memory only."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-3, weight_decay=0.01)
    """AdamW for the head."""


@dataclass(frozen=True, slots=True)
class Head:
    """A scalar read off a hidden state.

    Attributes:
        weights: ``mean`` and ``scale`` ``(H,)`` standardise the input; ``out.weight`` ``(1, W)`` and
            ``out.bias`` ``(1,)``; with a hidden layer also ``in.weight`` ``(W, H)`` and ``in.bias`` ``(W,)``.
        report: how training ended: ``loss``, ``accuracy``, ``positive`` (share), ``labels`` (count).
    """

    weights: Mapping[str, Tensor]
    report: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits ``(N,)`` of hidden states ``(N, H)``."""
        return apply(self.weights, (hidden - self.weights["mean"]) / self.weights["scale"])


def train_head(policy: Policy, rows: Sequence[Row], *, config: HeadConfig, stream: Stream) -> Head:
    """Fit a head by masked binary cross-entropy; the policy is not changed.

    Args:
        rows: array ``label`` in [0, 1] (Monte-Carlo estimates may be fractions) counts at the tokens whose
            ``weight`` is above 0. Entry t belongs to the hidden state *after* token t has been read, for
            instance the last token of a reasoning step.
        stream: names the initial weights and the order of visits.

    Raises:
        SharpenError: no labelled token, or a label outside [0, 1].
        NotFinite: the loss or a weight became NaN or infinite.
    """
    where = [np.flatnonzero(r.arrays["weight"] > 0) for r in rows]
    labels = np.concatenate([r.arrays["label"][w] for r, w in zip(rows, where, strict=True)] or [np.zeros(0)])
    weight = np.concatenate(
        [r.arrays["weight"][w] for r, w in zip(rows, where, strict=True)] or [np.zeros(0)]
    )
    if len(labels) == 0:
        raise SharpenError("a step-score head needs at least one labelled token")
    if not ((labels >= 0) & (labels <= 1)).all():
        raise SharpenError("labels of a step-score head lie in [0, 1]")
    found = hidden_at(policy, [r.tokens for r in rows], where, config.tokens_per_microbatch)
    x = torch.cat(found)
    y, w = (torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in (labels, weight))
    mean, scale = x.mean(0), x.std(0, correction=0).clamp_min(1e-6)
    weights = _fit((x - mean) / scale, y, w, config, stream)
    head = Head({"mean": mean, "scale": scale, **weights})
    logits = head(x)
    report = {
        "loss": float(_loss(logits, y, w)),
        "accuracy": float(((logits > 0) == (y > 0.5)).double().mean()),
        "positive": float((y > 0.5).double().mean()),
        "labels": float(len(y)),
    }
    return Head(head.weights, report)


def score(
    policy: Policy,
    head: Head,
    sequences: Sequence[ArrayLike],
    positions: Sequence[ArrayLike],
    *,
    tokens_per_microbatch: int = 4096,
) -> list[Tensor]:
    """Logits of a head, read after the tokens at ``positions[i]`` of ``sequences[i]``.

    Args:
        sequences: ids, ints ``(T_i,)``.
        positions: ints ``(P_i,)`` in ``0 .. T_i - 1``.

    Returns:
        One float tensor ``(P_i,)`` a sequence, on the policy's device.
    """
    ids = [np.asarray(s, dtype=np.int32) for s in sequences]
    where = [np.asarray(p, dtype=np.int64) for p in positions]
    return [head(h) for h in hidden_at(policy, ids, where, tokens_per_microbatch)]


@torch.no_grad()
def hidden_at(
    policy: Policy, ids: Sequence[np.ndarray], where: Sequence[np.ndarray], budget: int
) -> list[Tensor]:
    """The frozen model's last hidden states at the wanted positions of each sequence."""
    module = policy.module()
    device = next(module.parameters()).device
    out: list[Tensor | None] = [None] * len(ids)
    rows = [Row(i, {}) for i in ids]
    for batch in micro_batches(rows, [(i,) for i in range(len(rows))], tokens_per_microbatch=budget):
        sequences = [torch.as_tensor(ids[i], dtype=torch.int64, device=device) for i in batch]
        parts = packed_hidden(module, sequences).split([len(s) for s in sequences])
        for i, part in zip(batch, parts, strict=True):
            out[i] = part[torch.as_tensor(where[i], device=device)]
    return [h for h in out if h is not None]


def _fit(x: Tensor, y: Tensor, w: Tensor, config: HeadConfig, stream: Stream) -> dict[str, Tensor]:
    module = HeadWeights(x.shape[1], config.width, stream.child("init"), x)
    optimizer = AdamW(module, {})
    step = 0
    for epoch in range(config.epochs):
        order = torch.from_numpy(stream.child("epoch", epoch).generator().permutation(len(y)))
        for batch in order.split(config.batch_labels):
            optimizer.zero_grad()
            loss = _loss(apply(module.named(), x[batch]), y[batch], w[batch])
            if not bool(loss.isfinite()):
                raise NotFinite(f"loss of the step-score head is {float(loss)} in step {step}")
            torch.autograd.backward(loss)
            optimizer.update(config.optimizer, step, optimizer.grad_norm())
            step += 1
    return {name: p.detach().clone() for name, p in module.named().items()}


def _loss(logits: Tensor, y: Tensor, w: Tensor) -> Tensor:
    losses = nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return (losses * w).sum() / w.sum()


def apply(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What a head with these weights says of standardised hidden states ``(N, H)``: ``(N,)``."""
    if "in.weight" in weights:
        x = nn.functional.gelu(nn.functional.linear(x, weights["in.weight"], weights["in.bias"]))
    return nn.functional.linear(x, weights["out.weight"], weights["out.bias"]).squeeze(-1)


class HeadWeights(nn.Module):
    """A head's trainable tensors, drawn uniformly in +-1/sqrt(fan in), biases 0."""

    def __init__(self, inputs: int, width: int, stream: Stream, like: Tensor) -> None:
        super().__init__()
        shapes = {"out.weight": (1, width or inputs), "out.bias": (1,)}
        if width:
            shapes |= {"in.weight": (width, inputs), "in.bias": (width,)}
        for name, shape in shapes.items():
            bound = 1 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.0
            values = stream.child(name).generator().uniform(-bound, bound, size=shape)
            tensor = torch.as_tensor(values, dtype=like.dtype, device=like.device)
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor))

    def named(self) -> dict[str, Tensor]:
        """The tensors by the names that ``Head.weights`` has."""
        return {name.replace("_", "."): p for name, p in self.named_parameters()}
