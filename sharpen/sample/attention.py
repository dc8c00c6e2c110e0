"""Our attention inside the library's models, registered with transformers under the name ``sharpen``.

A model called as ``module(ids, position_ids=..., attend=context)`` hands ``context`` down to every
attention layer. The context says which positions see which: a pack of sequences (``Pack``), a batch
of whole prompts (``Causal``) or one new token a row against a cache (``cache.Decode``). The library
builds no masks at all for an implementation that it does not know, so nothing is done twice; and as
the context is an argument, nothing global can leak out of a failed call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "sharpen"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one attention layer asks for: its index, scale, window (keys seen, None for all), the cap
    of its scores and its dropout."""

    index: int
    scale: float
    window: int | None
    softcap: float | None
    dropout: float


class Context(Protocol):
    """Says who sees whom. ``q`` is ``(B, heads, T, D)``, ``k`` and ``v`` ``(B, kv_heads, T, D)``; the
    result is ``(B, T, heads, D)``."""

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attention output."""
        ...


def causal(layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of sequences that are padded, if at all, on the right.

    ``q`` ``(B, heads, T, D)``, ``k`` and ``v`` ``(B, kv_heads, T, D)``; gives ``(B, heads, T, D)``.
    Real tokens precede the padding, so causality alone hides it.
    """
    length, shared = q.shape[2], q.shape[1] != k.shape[1]
    if layer.softcap is None:
        narrow = layer.window is not None and layer.window < length
        band = _band(length, layer.window, q) if narrow else None
        return F.scaled_dot_product_attention(
            q, k, v, band, layer.dropout, is_causal=not narrow, scale=layer.scale, enable_gqa=shared
        )
    if shared:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = cap(q @ k.mT * layer.scale, layer.softcap) + _band(length, layer.window, q)
    return F.dropout(torch.softmax(scores, dim=-1), layer.dropout, training=True) @ v


def cap(scores: Tensor, limit: float) -> Tensor:
    """Scores squeezed smoothly into ``(-limit, limit)`` (Gemma 2)."""
    return torch.tanh(scores / limit) * limit


def _band(length: int, window: int | None, like: Tensor) -> Tensor:
    """The additive causal mask ``(length, length)``: each query sees itself and the ``window - 1``
    tokens before it."""
    seen = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return torch.zeros(length, length, dtype=like.dtype, device=like.device).masked_fill(~seen, -math.inf)


class Causal:
    """A batch of whole sequences, right-padded."""

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Context``."""
        return causal(layer, q, k, v).transpose(1, 2)


class Pack:
    """Sequences laid end to end in one row; each sees only itself.

    The linear layers of the model run over the row, which has no padding. For attention, sequences of
    similar length are gathered into padded blocks, so its cost is that of each sequence alone and not
    of the row squared.

    Args:
        lengths: of the sequences, in order.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)

    @cached_property
    def _blocks(self) -> tuple[list[tuple[Tensor, int, int]], Tensor]:
        """Blocks as (row index of each padded cell, sequences, padded length), and where each token of
        the row lies in the blocks' outputs laid end to end."""
        starts = torch.tensor((0, *self.lengths)).cumsum(0)
        members: dict[int, list[int]] = {}
        for i, length in enumerate(self.lengths):
            members.setdefault(_padded(length), []).append(i)
        back = torch.empty(int(starts[-1]), dtype=torch.long)
        blocks, offset = [], 0
        for width, chosen in sorted(members.items()):
            width = max(self.lengths[i] for i in chosen)
            cells = starts[torch.tensor(chosen)][:, None] + torch.arange(width)
            real = torch.arange(width) < torch.tensor([self.lengths[i] for i in chosen])[:, None]
            at = offset + torch.arange(cells.numel()).view_as(cells)
            back[cells[real]] = at[real]
            # padding repeats the row's first token: finite, and hidden by causality
            blocks.append((cells.masked_fill(~real, 0).flatten(), len(chosen), width))
            offset += cells.numel()
        return blocks, back

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Context``; ``B`` is 1 and ``T`` the sum of the lengths."""
        blocks, back = self._blocks
        q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))
        outputs = []
        for cells, n, width in blocks:
            block = (x[cells].unflatten(0, (n, width)).transpose(1, 2) for x in (q, k, v))
            outputs.append(causal(layer, *block).transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs)[back][None]


def _padded(length: int) -> int:
    """The block that a sequence belongs to: lengths within about an eighth of each other share one."""
    step = max(8, 1 << max(0, length.bit_length() - 3))
    return -(-length // step) * step


_CAUSAL = Causal()


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    attend: Context = _CAUSAL,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in each attention layer; see its ``AttentionInterface``."""
    assert attention_mask is None, "padding masks do not reach this attention: pass a context instead"
    layer = Layer(
        index=int(module.layer_idx),  # type: ignore[arg-type]
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=kwargs.get("sliding_window"),
        softcap=kwargs.get("softcap"),
        dropout=dropout,
    )
    return attend.attend(layer, query, key, value), None


AttentionInterface.register(NAME, attention)
