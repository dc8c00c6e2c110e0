"""The keys and values of sequences being decoded: prompts on tiles, each for up to 8 rows, and what rows have
sampled in slots of their own; sliced and never re-padded.

Reading keys and values is most of what decoding costs, so rows that go on from one prompt read it together.

Bit-exactness: a row's result must not depend on the other rows, so neither on the width that the longest of
them gives the attention, nor on how many share its prompt. Measured with MKL_CBWR=AVX2,STRICT: weights of
exactly 0 beyond a row's end change no bit in a product over up to 192 positions; from 224 on, where several
query heads share a key head, MKL splits the sum at a place that depends on the width. Hence the product of
weights and values is summed over stretches of ``SPLIT`` positions. A product has the same bits for any number
of queries from ``LEAST`` on, so a tile never has fewer. And torch multiplies matrices with fewer than 400
products by a loop of its own, so tiny heads always span at least ``SPLIT`` positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpen.sample.attention import Layer, cap, causal, hiding

WIDTH = 16
"""Attention spans a multiple of this many positions, so the shape of a step changes rarely."""
SPLIT = 128
"""Positions in one product of weights and values; see above."""
SEATS = 8
"""Rows that read one tile together at most."""
LEAST = 4
"""Queries of a tile at least; see above."""
SHARED = 64
"""Shorter prompts lie in front of what each row has sampled: a tile would cost more than it saves."""


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
    """The cached positions of one prompt, to be shared by all its samples: row ``row`` of ``source``.

    ``name`` tells prompts apart.
    """

    source: Prefill
    row: int
    name: bytes


class Store:
    """Keys and values by layer, ``(places, kv_heads, length, D)``; made when a layer first writes."""

    def __init__(self, places: int, length: int) -> None:
        self.places = places
        self.length = -(-length // SPLIT) * SPLIT
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors of one layer, whose heads and head size are those of ``like`` ``(B, heads, T, D)``."""
        if index not in self.keys:
            shape = (self.places, like.shape[1], self.length, like.shape[3])
            # zeros, as masked positions are multiplied by 0, which NaN would survive; numpy's cost nothing
            # until they are touched
            self.keys[index], self.values[index] = (
                torch.from_numpy(np.zeros(shape, np.float32)) for _ in "kv"
            )
        return self.keys[index], self.values[index]

    def insert(self, source: Prefill, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy rows of ``source`` to the front of places, given as (row, place). Their padding comes along:
        it is finite, and masked until something is written over it."""
        given, where = (torch.tensor(x) for x in zip(*pairs, strict=True))
        for index, k in source.keys.items():
            keys, values = self.layer(index, k)
            keys[where, :, : k.shape[2]] = k[given]
            values[where, :, : k.shape[2]] = source.values[index][given]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` positions of one place to another."""
        for tensors in (self.keys, self.values):
            for tensor in tensors.values():
                tensor[target, :, :length] = tensor[source, :, :length]


class Cache:
    """Room for ``slots`` rows of requests.

    Args:
        lengths: of each request the tokens of its prompt that are cached, and how many more come at most.

    Attributes:
        begun: tokens of each row's prompt that lie on a tile, ``(slots,)``.
        tile: that tile, ``(slots,)``.
    """

    def __init__(self, slots: int, lengths: Sequence[tuple[int, int]]) -> None:
        self.own = Store(slots, max(new + (prompt if prompt < SHARED else 0) for prompt, new in lengths))
        self.prompts = Store(slots, max(prompt for prompt, _ in lengths))
        self.begun, self.tile = np.zeros((2, slots), np.int64)
        self._on: list[bytes] = []

    def enter(self, seated: Sequence[tuple[int, Prefix, int]], alive: NDArray[np.bool_]) -> None:
        """Seat rows, given as (slot, prompt, its tokens), beside those that are ``alive``. A long prompt is
        copied where no tile that holds it has a seat left, a short one to each row."""
        taken = np.bincount(self.tile[alive & (self.begun > 0)], minlength=len(self._on))
        latest: dict[bytes, int] = {}
        rows: dict[Prefill, list[tuple[int, int]]] = {}
        tiles: dict[Prefill, list[tuple[int, int]]] = {}
        for slot, prompt, length in seated:
            self.tile[slot] = self.begun[slot] = 0
            if length < SHARED:
                rows.setdefault(prompt.source, []).append((prompt.row, slot))
                continue
            tile = latest.get(prompt.name, -1)
            if tile < 0 or taken[tile] == SEATS:
                room = (t for t, on in enumerate(self._on) if on == prompt.name and 0 < taken[t] < SEATS)
                tile = next(room, -1)
            if tile < 0:
                tile = next((t for t, n in enumerate(taken) if not n), len(self._on))
                self._on[tile : tile + 1] = [prompt.name]
                taken = np.append(taken, 0) if tile == len(taken) else taken
                tiles.setdefault(prompt.source, []).append((prompt.row, tile))
            latest[prompt.name] = tile
            taken[tile] += 1
            self.tile[slot], self.begun[slot] = tile, length
        for store, copies in ((self.own, rows), (self.prompts, tiles)):
            for source, pairs in copies.items():
                store.insert(source, pairs)

    def move(self, source: int, target: int, length: int) -> None:
        """A row of ``length`` cached tokens takes another slot."""
        self.own.move(source, target, length - int(self.begun[source]))
        self.tile[target], self.begun[target] = self.tile[source], self.begun[source]

    def compact(self, alive: NDArray[np.bool_]) -> None:
        """Let the last tiles fill the places of those that no row reads any more."""
        alive = alive & (self.begun > 0)
        read = np.bincount(self.tile[alive], minlength=len(self._on)) > 0
        used = int(read.sum())
        for hole in np.flatnonzero(~read[:used]).tolist():
            last = int(np.flatnonzero(read)[-1])
            rows = (self.tile == last) & alive
            self.prompts.move(last, hole, int(self.begun[rows].max()))
            self.tile[rows] = hole
            self._on[hole] = self._on[last]
            read[hole], read[last] = True, False
        del self._on[used:]


class Decode:
    """Attention of one new token a row over its prompt and what it has sampled.

    Four batched products per layer; on the processors measured they take a half to a quarter of the
    flash kernel's time, which is made for many queries.

    Args:
        cache: holds the rows in slots ``0 .. B-1``.
        positions: where each row's new token goes, ``(B,)``; the row sees up to and including it.
        alive: rows that count, ``(B,)``; what the others get is finite and means nothing.
    """

    def __init__(self, cache: Cache, positions: NDArray[np.int64], alive: NDArray[np.bool_]) -> None:
        self._cache = cache
        n = len(positions)
        begun = np.where(alive, cache.begun[:n], 0)
        tile = np.where(begun > 0, cache.tile[:n], 0)
        self._rows, self._tile = torch.arange(n), torch.from_numpy(tile)
        self._begun, self._positions = torch.from_numpy(begun), torch.from_numpy(positions)
        self._own = torch.from_numpy(positions - begun)
        self._tiles = int(tile[begun > 0].max(initial=0)) + 1
        self._longest = int(begun.max()), int((positions - begun).max()) + 1
        # the rows of a tile sit in the order of their slots
        rows = np.flatnonzero(begun)
        by_tile = rows[np.argsort(tile[rows], kind="stable")]
        first = np.searchsorted(tile[by_tile], np.arange(self._tiles))
        seat = np.zeros(n, np.int64)
        seat[by_tile] = np.arange(len(by_tile)) - first[tile[by_tile]]
        self._seat, self._most = torch.from_numpy(seat), int(seat.max()) + 1
        self._with, self._without = torch.from_numpy(rows), torch.from_numpy(np.flatnonzero(begun == 0))
        self._seated: dict[int, Tensor] = {}
        self._masks: dict[tuple[int | None, int, int], Tensor] = {}

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attention.Context``; ``T`` is 1."""
        keys, values = self._cache.own.layer(layer.index, k)
        keys[self._rows, :, self._own] = k[:, :, 0]
        values[self._rows, :, self._own] = v[:, :, 0]
        n, heads, size = len(q), k.shape[1], q.shape[3]
        group = q.shape[1] // heads
        before, own = self._widths(group, size)
        # one matrix a row and key head, so that the heads that share it read it once
        q = (q * layer.scale).view(n, heads, group, size)
        keys, values = (x[:n, :, :own].flatten(0, 1) for x in (keys, values))
        scores = torch.bmm(q.view(n * heads, group, size), keys.mT).view(n, heads, group, own)
        prompts: Tensor | None = None
        if before:
            shelf, prompts = (
                x[: self._tiles, :, :before].flatten(0, 1) for x in self._cache.prompts.layer(layer.index, k)
            )
            read = self._back(torch.bmm(self._tiled(q), shelf.mT), heads, group)
            scores = torch.cat([read, scores], -1)
        if layer.softcap is not None:
            scores = cap(scores, layer.softcap)
        scores.view(n, -1, before + own).add_(self._mask(layer.window, before, own, scores))
        weights = torch.softmax(scores, dim=-1)
        out = _summed(weights[..., before:].reshape(n * heads, group, own), values)
        out = out.view(n, heads, group, size)
        if prompts is not None:
            read = self._back(_summed(self._tiled(weights[..., :before]), prompts), heads, group)
            read[self._without] = 0  # they have no seat, and were given another's
            out = out + read
        return out.reshape(n, 1, -1, size)

    def _widths(self, group: int, size: int) -> tuple[int, int]:
        """Positions that the products span: of prompts, and of rows."""
        widths = []
        for longest, queries in zip(self._longest, (LEAST, group), strict=True):
            step = WIDTH if WIDTH * queries * size >= 400 else SPLIT
            widths.append(-(-longest // step) * step)
        return widths[0], widths[1]

    def _seats(self, group: int) -> Tensor:
        """The row in each seat, tile by tile, ``(tiles * seats,)``; an empty one has some row."""
        if group not in self._seated:
            seats = max(self._most, -(-LEAST // group))
            found = torch.zeros(self._tiles * seats, dtype=torch.long)
            rows = self._with
            found[self._tile[rows] * seats + self._seat[rows]] = rows
            self._seated[group] = found
        return self._seated[group]

    def _tiled(self, x: Tensor) -> Tensor:
        """``(B, kv_heads, group, N)`` by tile: ``(tiles * kv_heads, seats * group, N)``."""
        taken = x.index_select(0, self._seats(x.shape[2])).unflatten(0, (self._tiles, -1))
        return taken.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def _back(self, x: Tensor, heads: int, group: int) -> Tensor:
        """The inverse of ``_tiled``."""
        return x.view(self._tiles, heads, -1, group, x.shape[2])[self._tile, :, self._seat]

    def _mask(self, window: int | None, before: int, own: int, like: Tensor) -> Tensor:
        """``(B, 1, before + own)``, 0 where a row sees and -inf elsewhere."""
        if (window, before, own) not in self._masks:
            begun, shelf = self._begun[:, None], torch.arange(before).expand(len(self._begun), -1)
            places = torch.cat([shelf.masked_fill(shelf >= begun, -1), begun + torch.arange(own)], 1)
            mask = hiding(self._positions[:, None], places, window, like)
            self._masks[window, before, own] = mask[:, None]
        return self._masks[window, before, own]


def _summed(weights: Tensor, values: Tensor) -> Tensor:
    """``(M, Q, N)`` times ``(M, N, D)``, stretch by stretch; see the module."""
    out = torch.bmm(weights[:, :, :SPLIT], values[:, :SPLIT])
    for at in range(SPLIT, values.shape[1], SPLIT):
        out.baddbmm_(weights[:, :, at : at + SPLIT], values[:, at : at + SPLIT])
    return out
