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
from dataclasses import dataclass, field
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
    length = q.shape[2]
    if layer.softcap is None and (layer.window is None or layer.window >= length):
        shared = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(
            q, k, v, None, layer.dropout, is_causal=True, scale=layer.scale, enable_gqa=shared
        )
    places = torch.arange(length, device=q.device)
    return masked(layer, q, k, v, hiding(places[:, None], places, layer.window, q))


def masked(layer: Layer, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of queries ``(B, heads, T, D)`` to keys and values ``(B, kv_heads, K, D)`` under an additive
    mask that broadcasts to ``(B, heads, T, K)``."""
    shared = q.shape[1] != k.shape[1]
    if layer.softcap is None:
        return F.scaled_dot_product_attention(
            q, k, v, mask, layer.dropout, scale=layer.scale, enable_gqa=shared
        )
    if shared:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = cap(q @ k.mT * layer.scale, layer.softcap) + mask
    return F.dropout(torch.softmax(scores, dim=-1), layer.dropout, training=True) @ v


def hiding(queries: Tensor, keys: Tensor, window: int | None, like: Tensor) -> Tensor:
    """The additive mask of queries and keys at these positions: each query sees itself and what is before it,
    of that the last ``window - 1``. Keys at negative positions are not there."""
    seen = (keys <= queries) & (keys >= 0)
    if window is not None:
        seen &= keys > queries - window
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, -math.inf)


def cap(scores: Tensor, limit: float) -> Tensor:
    """Scores squeezed smoothly into ``(-limit, limit)`` (Gemma 2)."""
    return torch.tanh(scores / limit) * limit


class Causal:
    """A batch of whole sequences, right-padded."""

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Context``."""
        return causal(layer, q, k, v).transpose(1, 2)


@dataclass(eq=False)
class _Block:
    """Sequences of a pack whose attention is computed together, padded on the right.

    Attributes:
        n: sequences.
        queries, keys: padded places of all of them.
        positions: of queries ``(n, T)`` and of keys ``(n, K)``, where these are others; padding between keys
            has -1.
        masks: additive ones by window, made when a layer first asks.
    """

    n: int
    queries: int
    keys: int
    positions: tuple[Tensor, Tensor] | None = None
    masks: dict[int | None, Tensor] = field(default_factory=dict)

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """``q`` ``(queries, heads, D)``, ``k`` and ``v`` ``(keys, kv_heads, D)``; gives what ``q`` is."""
        q, k, v = (x.unflatten(0, (self.n, -1)).transpose(1, 2) for x in (q, k, v))
        if self.positions is None:
            out = causal(layer, q, k, v)
        else:
            if layer.window not in self.masks:
                queries, keys = (p.to(q.device) for p in self.positions)
                mask = hiding(queries[:, :, None], keys[:, None], layer.window, q)
                self.masks[layer.window] = mask[:, None]
            out = masked(layer, q, k, v, self.masks[layer.window])
        return out.transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class _Layout:
    """How a pack's row is cut into blocks.

    Attributes:
        cells, seen: of every padded query and key of all blocks, laid end to end, the place in the row.
        back: where each token of the row lies in the blocks' outputs, laid end to end.
    """

    blocks: tuple[_Block, ...]
    cells: Tensor
    seen: Tensor
    back: Tensor


class Pack:
    """Sequences laid end to end in one row; each sees only itself, and the one that it goes on from.

    The linear layers of the model run over the row, which has no padding. For attention, sequences of
    similar length are gathered into padded blocks, so its cost is that of each sequence alone and not
    of the row squared.

    Args:
        lengths: of the sequences, in order.
        parents: of each the place of the sequence that it goes on from, which goes on from none; -1: none.
            So a prompt stands once before all its answers.
    """

    def __init__(self, lengths: Sequence[int], parents: Sequence[int] | None = None) -> None:
        self.lengths = tuple(lengths)
        self.parents = tuple(parents) if parents is not None else (-1,) * len(self.lengths)

    @property
    def positions(self) -> Tensor:
        """The position of each token in its text, ``(sum T,)``."""
        begins = [self.lengths[p] if p >= 0 else 0 for p in self.parents]
        return torch.cat([torch.arange(b, b + n) for b, n in zip(begins, self.lengths, strict=True)])

    @cached_property
    def _layout(self) -> _Layout:
        starts = torch.tensor((0, *self.lengths)).cumsum(0)
        members: dict[tuple[int, int], list[int]] = {}
        for i, (length, parent) in enumerate(zip(self.lengths, self.parents, strict=True)):
            before = _padded(self.lengths[parent]) if parent >= 0 else 0
            members.setdefault((before, _padded(length)), []).append(i)
        back = torch.empty(int(starts[-1]), dtype=torch.long)
        blocks: list[_Block] = []
        all_cells: list[Tensor] = []
        all_seen: list[Tensor] = []
        offset = 0
        for (before, _), chosen in sorted(members.items()):
            cells, real = _cells(starts, self.lengths, chosen)
            at = offset + torch.arange(cells.numel()).view_as(cells)
            back[cells[real]] = at[real]
            offset += cells.numel()
            seen, positions = cells, None
            if before:
                parents = [self.parents[i] for i in chosen]
                first, held = _cells(starts, self.lengths, parents)
                begins = torch.tensor([self.lengths[p] for p in parents])[:, None]
                own = begins + torch.arange(cells.shape[1])
                known = torch.arange(first.shape[1]).expand_as(first).masked_fill(~held, -1)
                seen, positions = torch.cat([first, cells], 1), (own, torch.cat([known, own], 1))
            blocks.append(_Block(len(chosen), cells.numel(), seen.numel(), positions))
            all_cells.append(cells.flatten())
            all_seen.append(seen.flatten())
        return _Layout(tuple(blocks), torch.cat(all_cells), torch.cat(all_seen), back)

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``Context``; ``B`` is 1 and ``T`` the sum of the lengths."""
        at = self._layout
        q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))
        # all at once: the gradient of each gather is as large as the row
        queries = q.index_select(0, at.cells.to(q.device)).split([b.queries for b in at.blocks])
        seen = at.seen.to(q.device)
        keys, values = (x.index_select(0, seen).split([b.keys for b in at.blocks]) for x in (k, v))
        given = zip(at.blocks, queries, keys, values, strict=True)
        outputs = torch.cat([block.attend(layer, *parts) for block, *parts in given])
        return outputs.index_select(0, at.back.to(outputs.device))[None]


def _cells(starts: Tensor, lengths: Sequence[int], chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Of sequences padded to the longest, ``(n, T)``: places in the row, and which are no padding."""
    width = max(lengths[i] for i in chosen)
    real = torch.arange(width) < torch.tensor([lengths[i] for i in chosen])[:, None]
    cells = starts[torch.tensor(chosen)][:, None] + torch.arange(width)
    # padding repeats the row's first token: finite, and hidden
    return cells.masked_fill(~real, 0), real


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
