"""Dropout whose masks come from a named stream, never from the global generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream

# what attention and MLP blocks are called inside a decoder layer of `transformers`
BRANCHES = ("self_attn", "attn", "mlp")


@contextmanager
def residual_dropout(module: nn.Module, rate: float, stream: Stream) -> Iterator[None]:
    """Inside, what each attention and MLP block adds to the residual stream is dropped with probability
    ``rate`` and the rest scaled by ``1 / (1 - rate)`` (arXiv 1706.03762 section 5.4).

    The model's own dropout stays off. The masks are a function of ``stream`` and of the order and shapes
    of the forward passes made inside. ``rate`` 0 does nothing.

    Raises:
        SharpenError: no such block was found in the module.
    """
    if rate == 0:
        yield
        return
    device = next(module.parameters()).device
    generator = torch.Generator(device).manual_seed(stream.seed())

    def drop(_module: nn.Module, _args: Any, output: Any) -> Any:
        value = output[0] if isinstance(output, tuple) else output
        keep = torch.empty_like(value).bernoulli_(1 - rate, generator=generator) / (1 - rate)
        dropped: Tensor = value * keep
        return (dropped, *output[1:]) if isinstance(output, tuple) else dropped

    blocks = [m for name, m in module.named_modules() if name.rpartition(".")[2] in BRANCHES]
    if not blocks:
        raise SharpenError(f"dropout: no block called {', '.join(BRANCHES)} in {type(module).__name__}")
    handles = [block.register_forward_hook(drop) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
