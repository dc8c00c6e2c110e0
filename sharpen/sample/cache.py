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
PATIENCE = 8
"""Readings of a shelf that cost as much as a change of its width."""
BLOCK = 32
"""Matrices that move at once where the width changes."""
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


class Shelf:
    """Keys and values of one layer: for every place and key head a matrix ``(positions, D)`` of each.

    Positions are cut into stretches of ``SPLIT``, and in each the matrices of all places follow one another
    without a gap, as wide as they are read: measured, MKL multiplies them three to four times as fast as
    matrices with room between them. A change of width moves them within their memory.
    """

    def __init__(self, places: int, heads: int, length: int, size: int) -> None:
        self._heads, self._stretch = heads, places * heads * SPLIT
        self._widths = [0] * -(-length // SPLIT)
        self._excess = 0
        # zeros, as masked positions are multiplied by 0, which NaN would survive; numpy's cost nothing
        # until they are touched
        shape = (len(self._widths) * self._stretch, size)
        self._keys, self._values = (torch.from_numpy(np.zeros(shape, np.float32)) for _ in "kv")

    @property
    def width(self) -> int:
        """Positions of each matrix that have a place now."""
        return sum(self._widths)

    def fit(self, width: int, used: int) -> int:
        """Let matrices be at least so wide, and say how wide they are.

        They get narrower only when reading them too wide has cost as much as moving them does: the longest
        row often ends just before another one is as long.
        """
        self._excess = self._excess + self.width - width if width < self.width else 0
        if width > self.width or self._excess > PATIENCE * self.width:
            self.lay(width, used)
            self._excess = 0
        return self.width

    def lay(self, width: int, used: int) -> None:
        """Let matrices be so wide. What the first ``used`` places hold stays, as far as it fits."""
        for i, have in enumerate(self._widths):
            want = min(max(width - i * SPLIT, 0), SPLIT)
            if have and want and have != want:
                for room in (self._keys, self._values):
                    _spread(room[i * self._stretch :], used * self._heads, have, want)
            self._widths[i] = want

    @property
    def geometry(self) -> tuple[int, ...]:
        """Shelves of one store that agree in this have the same cells."""
        return self._heads, *self._widths

    def cells(self, places: Tensor, positions: Tensor) -> Tensor:
        """Where positions of places lie, ``(n, heads, T)`` for ``places`` ``(n,)`` and ``positions``
        ``(n, T)``, which are less than ``width``."""
        i = positions // SPLIT
        matrices = places[:, None] * self._heads + torch.arange(self._heads)
        widths = torch.tensor(self._widths)[i][:, None]
        return (i * self._stretch + positions % SPLIT)[:, None] + matrices[:, :, None] * widths

    def write(self, cells: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put keys and values ``(n, heads, T, D)`` into these cells."""
        where = cells.flatten().numpy()
        for room, given in ((self._keys, keys), (self._values, values)):
            # by numpy: torch's index_copy_ takes five times as long
            room.numpy()[where] = given.flatten(0, 2).numpy()

    def move(self, given: Tensor, where: Tensor) -> None:
        """Copy what these cells hold to others."""
        source, target = given.flatten().numpy(), where.flatten().numpy()
        for room in (self._keys.numpy(), self._values.numpy()):
            room[target] = room[source]

    def read(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the first ``n`` places by stretch, ``(n * heads, positions, D)`` each."""
        found = []
        for i, width in enumerate(self._widths):
            if width:
                cells = slice(i * self._stretch, i * self._stretch + n * self._heads * width)
                k, v = (room[cells].unflatten(0, (-1, width)) for room in (self._keys, self._values))
                found.append((k, v))
        return found


def _spread(room: Tensor, n: int, have: int, want: int) -> None:
    """Let ``n`` matrices of ``have`` rows, one behind the other, have ``want`` rows, in place."""
    kept = min(have, want)
    old, new = (room[: n * width].unflatten(0, (n, width)) for width in (have, want))
    starts = range(0, n, BLOCK)
    # a matrix never lands on one that was not yet moved
    for at in reversed(starts) if want > have else starts:
        new[at : at + BLOCK, :kept] = old[at : at + BLOCK, :kept].clone()


class Store:
    """The shelves of all layers, for ``places`` of up to ``length`` positions; made when a layer first
    writes."""

    def __init__(self, places: int, length: int) -> None:
        self._places, self._length = places, length
        self.shelves: dict[int, Shelf] = {}

    def shelf(self, index: int, like: Tensor) -> Shelf:
        """That of one layer, whose heads and head size are those of ``like`` ``(B, heads, T, D)``."""
        if index not in self.shelves:
            self.shelves[index] = Shelf(self._places, like.shape[1], self._length, like.shape[3])
        return self.shelves[index]

    def insert(self, source: Prefill, pairs: Sequence[tuple[int, int]], used: int) -> None:
        """Copy rows of ``source`` to the front of places, given as (row, place); the first ``used`` places
        hold something, these among them. Padding comes along: it is finite, and masked until something is
        written over it."""
        given, places = (torch.tensor(x) for x in zip(*pairs, strict=True))
        cells: dict[tuple[int, ...], Tensor] = {}
        for index, k in source.keys.items():
            shelf = self.shelf(index, k)
            width = min(k.shape[2], self._length)
            shelf.lay(max(shelf.width, width), used)
            if shelf.geometry not in cells:
                cells[shelf.geometry] = shelf.cells(places, torch.arange(width).expand(len(places), -1))
            shelf.write(cells[shelf.geometry], k[given, :, :width], source.values[index][given, :, :width])

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first ``length`` positions of places to others, none of which is a source."""
        cells: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        positions = torch.arange(length).expand(len(sources), -1)
        for shelf in self.shelves.values():
            if shelf.geometry not in cells:
                given, where = (shelf.cells(torch.tensor(p), positions) for p in (sources, targets))
                cells[shelf.geometry] = given, where
            shelf.move(*cells[shelf.geometry])


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
        used = np.flatnonzero(alive).tolist() + [slot for slot, _, _ in seated]
        for source, pairs in rows.items():
            self.own.insert(source, pairs, max(used) + 1)
        for source, pairs in tiles.items():
            self.prompts.insert(source, pairs, len(self._on))

    def move(self, sources: list[int], targets: list[int], lengths: NDArray[np.int64]) -> None:
        """Rows of so many cached tokens take other slots, none of which is a source."""
        self.own.move(sources, targets, int((lengths - self.begun[sources]).max()))
        self.tile[targets], self.begun[targets] = self.tile[sources], self.begun[sources]

    def compact(self, alive: NDArray[np.bool_]) -> None:
        """Let the last tiles fill the places of those that no row reads any more."""
        alive = alive & (self.begun > 0)
        read = np.bincount(self.tile[alive], minlength=len(self._on)) > 0
        used = int(read.sum())
        for hole in np.flatnonzero(~read[:used]).tolist():
            last = int(np.flatnonzero(read)[-1])
            rows = (self.tile == last) & alive
            self.prompts.move([last], [hole], int(self.begun[rows].max()))
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
        self._cells: dict[tuple[int, ...], Tensor] = {}
        self._masks: dict[tuple[int | None, int, int], Tensor] = {}

    def attend(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attention.Context``; ``T`` is 1."""
        n, heads, size = len(q), k.shape[1], q.shape[3]
        group = q.shape[1] // heads
        before, own = self._widths(group, size)
        shelf = self._laid(layer.index, k, v, own)
        rows, own = shelf.read(n), shelf.width
        # one matrix a row and key head, so that the heads that share it read it once
        q = (q * layer.scale).view(n, heads, group, size)
        scores = _scores(q.view(n * heads, group, size), rows).view(n, heads, group, own)
        prompts = []
        if before:
            shelf = self._cache.prompts.shelf(layer.index, k)
            before = shelf.fit(before, self._tiles)
            prompts = shelf.read(self._tiles)
            scores = torch.cat([self._back(_scores(self._tiled(q), prompts), heads, group), scores], -1)
        if layer.softcap is not None:
            scores = cap(scores, layer.softcap)
        scores.view(n, -1, before + own).add_(self._mask(layer.window, before, own, scores))
        weights = torch.softmax(scores, dim=-1)
        out = _summed(weights[..., before:].reshape(n * heads, group, own), rows)
        out = out.view(n, heads, group, size)
        if prompts:
            read = self._back(_summed(self._tiled(weights[..., :before]), prompts), heads, group)
            read[self._without] = 0  # they have no seat, and were given another's
            out = out + read
        return out.reshape(n, 1, -1, size)

    def _laid(self, index: int, k: Tensor, v: Tensor, own: int) -> Shelf:
        """The rows' shelf of a layer, at least so wide and with the new keys and values in it."""
        shelf = self._cache.own.shelf(index, k)
        shelf.fit(own, len(k))
        if shelf.geometry not in self._cells:
            self._cells[shelf.geometry] = shelf.cells(self._rows, self._own[:, None])
        shelf.write(self._cells[shelf.geometry], k, v)
        return shelf

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


def _scores(queries: Tensor, stretches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """``(M, Q, D)`` times the keys of all stretches: ``(M, Q, positions)``."""
    parts = [torch.bmm(queries, keys.mT) for keys, _ in stretches]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _summed(weights: Tensor, stretches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """``(M, Q, positions)`` times the values, stretch by stretch (see the module): ``(M, Q, D)``."""
    parts = weights.split(SPLIT, -1)
    out = torch.bmm(parts[0], stretches[0][1])
    for part, (_, values) in zip(parts[1:], stretches[1:], strict=True):
        out.baddbmm_(part, values)
    return out
