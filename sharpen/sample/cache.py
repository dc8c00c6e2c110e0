"""The keys and values of sequences being decoded: rows in slots, sliced and never re-padded.

Bit-exactness: a row's result must not depend on the other rows, so not on the width that the longest of
them gives the attention. Measured with MKL_CBWR=AVX2,STRICT: weights of exactly 0 beyond a row's end
change no bit in a product over up to 192 positions; from 224 on, where several query heads share a key
head, MKL splits the sum at a place that depends on the width. Hence the product of weights and values is
summed over stretches of ``SPLIT`` positions. And torch multiplies matrices with fewer than 400 products
by a loop of its own, so tiny heads always span at least ``SPLIT`` positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpen.sample.attention import Layer, cap, causal

WIDTH = 16
"""Attention spans a multiple of this many positions, so the shape of a step changes rarely."""
SPLIT = 128
"""Positions in one product of weights and values; see above."""


@dataclass(eq=False)
class Prefill:
    """Attention over whole prompts ``(n, T)``, right-padded to one length, which keeps what it saw.

    Attributes:
        keys, values: by layer, ``(n, kv_heads, T, D)``.
    """

    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attention.Context``."""
        self.keys[layer.index], self.values[layer.index] = k, v
        return causal(layer, q, k, v).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The cached positions of one prompt, to be shared by all its samples: row ``row`` of ``source``."""

    source: Prefill
    row: int


class Cache:
    """Room for ``slots`` sequences of up to ``length`` tokens; tensors are made when a layer first writes.

    ``keys[layer]`` and ``values[layer]`` are ``(slots, kv_heads, length, D)``.
    """

    def __init__(self, slots: int, length: int) -> None:
        self.slots = slots
        self.length = -(-length // SPLIT) * SPLIT
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors of one layer, whose heads and head size are those of ``like`` ``(B, heads, T, D)``."""
        if index not in self.keys:
            shape = (self.slots, like.shape[1], self.length, like.shape[3])
            # zeros, as masked positions are multiplied by 0, which NaN would survive; numpy's cost nothing
            # until they are touched
            self.keys[index], self.values[index] = (
                torch.from_numpy(np.zeros(shape, np.float32)) for _ in "kv"
            )
        return self.keys[index], self.values[index]

    def insert(self, source: Prefill, rows: Sequence[int], slots: Sequence[int]) -> None:
        """Copy prompts, given by their rows of ``source``, to the front of slots, one a slot.

        Their padding comes along: it is finite, and masked until decoding writes over it.
        """
        given, where = torch.tensor(rows), torch.tensor(slots)
        for index, k in source.keys.items():
            keys, values = self.layer(index, k)
            keys[where, :, : k.shape[2]] = k[given]
            values[where, :, : k.shape[2]] = source.values[index][given]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of one slot to another."""
        for tensors in (self.keys, self.values):
            for tensor in tensors.values():
                tensor[target, :, :length] = tensor[source, :, :length]


class Decode:
    """Attention of one new token a row over the first rows of a cache.

    Two batched products per layer; on the processors measured they take a half to a quarter of the
    flash kernel's time, which is made for many queries.

    Args:
        cache: holds the rows in slots ``0 .. B-1``.
        positions: where each row's new token goes, ``(B,)``; the row sees up to and including it.
    """

    def __init__(self, cache: Cache, positions: NDArray[np.int64]) -> None:
        self._cache = cache
        self._rows = torch.arange(len(positions))
        self._positions = torch.from_numpy(positions)
        self._longest = int(positions.max()) + 1
        self._masks: dict[tuple[int | None, int], Tensor] = {}

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attention.Context``; ``T`` is 1."""
        keys, values = self._cache.layer(layer.index, k)
        keys[self._rows, :, self._positions] = k[:, :, 0]
        values[self._rows, :, self._positions] = v[:, :, 0]
        n, heads = len(q), k.shape[1]
        step = WIDTH if WIDTH * q.shape[1] // heads * q.shape[3] >= 400 else SPLIT
        width = -(-self._longest // step) * step
        # one matrix a row and key head, so that the heads that share it read it once
        keys, values = (x[:n, :, :width].flatten(0, 1) for x in (keys, values))
        scores = torch.bmm((q * layer.scale).view(n * heads, -1, q.shape[3]), keys.mT)
        if layer.softcap is not None:
            scores = cap(scores, layer.softcap)
        scores.view(n, -1, width).add_(self._mask(layer.window, width))
        weights = torch.softmax(scores, dim=-1)
        out = torch.bmm(weights[:, :, :SPLIT], values[:, :SPLIT])
        for at in range(SPLIT, width, SPLIT):
            out.baddbmm_(weights[:, :, at : at + SPLIT], values[:, at : at + SPLIT])
        return out.view(n, 1, -1, values.shape[-1])

    def _mask(self, window: int | None, width: int) -> Tensor:
        """``(B, 1, width)``, 0 where a row sees and -inf elsewhere."""
        if (window, width) not in self._masks:
            columns, last = torch.arange(width), self._positions[:, None]
            seen = columns <= last
            if window is not None:
                seen &= columns > last - window
            self._masks[window, width] = torch.zeros(seen.shape).masked_fill_(~seen, -math.inf)[:, None]
        return self._masks[window, width]
