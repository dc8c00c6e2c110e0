"""Products with large weights by oneDNN, which lays a matrix out once for all products with it.

torch's own product packs the matrix anew each time, which is most of the work where rows are few, and in
MKL's reproducible mode it leaves half of a wide register unused. The bits of a row are the same beside any
number of others and on any number of threads, which ``exact.probe`` looks at. Where torch has no oneDNN, all
stays as it was.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

LEAST = 100_000
"""Weights of a matrix at least; with fewer nothing is gained."""


def available() -> bool:
    """Whether torch has these products here."""
    ops = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(ops, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


class Product(nn.Module):
    """A linear layer ``(..., I)`` to ``(..., O)``, float32, that cannot be trained.

    Args:
        weight: ``(O, I)``; not copied, and must not change.
        bias: ``(O,)`` or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self._laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        """``x @ weight.T + bias``."""
        return torch.ops.mkldnn._linear_pointwise(x, self._laid_out, self.bias, "none", [], "")


def laid_out(module: PreTrainedModel) -> PreTrainedModel:
    """A model for sampling alone: it shares all tensors with ``module``, and its large linear layers are
    ``Product``. The model itself where it has none, or torch has not."""
    layers = [m for m in module.modules() if type(m) is nn.Linear and m.weight.numel() >= LEAST]
    if not (layers and available()):
        return module
    shared = {id(t): t for t in (*module.parameters(), *module.buffers())}
    copied = cast(PreTrainedModel, copy.deepcopy(module, shared))
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and child.weight.numel() >= LEAST:
                setattr(parent, name, Product(child.weight, child.bias))
    return copied
