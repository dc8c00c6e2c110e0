"""The keys and values of sequences being decoded: rows in slots, sliced and never re-padded.

Bit-exactness: a row's result must not depend on the other rows, so not on the width that the longest of
them gives the attention. Measured with MKL_CBWR=AVX2,STRICT: with one query a key head, columns masked
to exactly 0 change no bit at any width; with several queries a key head multiplied at once they do
(from 256 columns on the product is split elsewhere). Hence grouped heads are left to the flash kernel,
which takes them one by one, and are not packed into one product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpen.sample.attention import Layer, causal, scaled_dot_product

WIDTH = 32
"""Attention spans a multiple of this many positions, so the shape of a step changes rarely."""


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
    """The cached positions of one prompt, to be shared by all its samples.

    Attributes:
        source: the prefill it lies in.
        row: which of its prompts.
        length: how many positions are real.
    """

    source: Prefill
    row: int
    length: int


class Cache:
    """Room for ``slots`` sequences of up to ``length`` tokens; tensors are made when a layer first writes.

    ``keys[layer]`` and ``values[layer]`` are ``(slots, kv_heads, length, D)``.
    """

    def __init__(self, slots: int, length: int) -> None:
        self.slots = slots
        self.length = -(-length // WIDTH) * WIDTH
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors of one layer, whose heads and head size are those of ``like`` ``(B, heads, T, D)``."""
        if index not in self.keys:
            shape = (self.slots, like.shape[1], self.length, like.shape[3])
            # zeros and not empty: masked positions are multiplied by 0, which NaN would survive
            self.keys[index], self.values[index] = like.new_zeros(shape), like.new_zeros(shape)
        return self.keys[index], self.values[index]

    def insert(self, prefix: Prefix, slots: Sequence[int]) -> None:
        """Copy a prompt's positions to the front of some slots."""
        if prefix.length == 0:
            return
        where = torch.tensor(slots)
        for index, k in prefix.source.keys.items():
            keys, values = self.layer(index, k)
            keys[where, :, : prefix.length] = k[prefix.row, :, : prefix.length]
            values[where, :, : prefix.length] = prefix.source.values[index][prefix.row, :, : prefix.length]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of one slot to another."""
        for tensors in (self.keys, self.values):
            for tensor in tensors.values():
                tensor[target, :, :length] = tensor[source, :, :length]


class Decode:
    """Attention of one new token a row over the first rows of a cache.

    Args:
        cache: holds the rows in slots ``0 .. B-1``.
        positions: where each row's new token goes, ``(B,)``; the row sees up to and including it.
    """

    def __init__(self, cache: Cache, positions: NDArray[np.int64]) -> None:
        self._cache = cache
        self._rows = torch.arange(len(positions))
        self._positions = torch.from_numpy(positions)
        width = -(-(int(positions.max()) + 1) // WIDTH) * WIDTH
        self._columns = torch.arange(width)
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attention.Context``; ``T`` is 1."""
        keys, values = self._cache.layer(layer.index, k)
        keys[self._rows, :, self._positions] = k[:, :, 0]
        values[self._rows, :, self._positions] = v[:, :, 0]
        n, width = len(self._rows), len(self._columns)
        mask = self._mask(layer.window, q)
        return scaled_dot_product(layer, q, keys[:n, :, :width], values[:n, :, :width], mask).transpose(1, 2)

    def _mask(self, window: int | None, like: Tensor) -> Tensor:
        if window not in self._masks:
            last = self._positions[:, None]
            seen = self._columns <= last
            if window is not None:
                seen &= self._columns > last - window
            mask = like.new_zeros(seen.shape).masked_fill_(~seen, -math.inf)
            self._masks[window] = mask[:, None, None]
        return self._masks[window]
