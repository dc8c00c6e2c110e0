"""Whether this process can promise bit-equal rows, and what the promise rests on."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from sharpen.sample import products

# inputs x outputs of matrix products, in the sizes of small and middling models; large ones in both ways
_PRODUCTS = ((48, 88), (256, 672), (672, 256), (640, 2048), (256, 99))

# positions x head sizes of prompts that several rows read together
_TILES = ((64, 16), (272, 64), (96, 256))


@cache
def probe() -> bool:
    """Whether a row's bits are the same however many rows share a batch.

    Multiplies 64 rows at once and then 7 of them (and 8, 24 and 40, as batches are padded to multiples
    of 8), has 64 queries read a tile at once and fewer of them, and takes the activations whose last elements
    another formula computes. False where any bit differs, or where MKL's reproducible mode is not asked
    for, as small products may then agree by luck.
    """
    if not os.environ.get("MKL_CBWR", "").endswith(",STRICT") or not torch.backends.mkl.is_available():
        return False
    draw = torch.Generator().manual_seed(0)
    for inputs, outputs in _PRODUCTS:
        x = torch.randn(64, inputs, generator=draw)
        w = torch.randn(outputs, inputs, generator=draw)
        bias = torch.randn(outputs, generator=draw)
        ways: list[Callable[[Tensor], Tensor]] = [partial(F.linear, weight=w, bias=b) for b in (None, bias)]
        if products.available() and w.numel() >= products.LEAST:
            ways += [products.Product(w, b) for b in (None, bias)]
        if not all(_stable(x, way) for way in ways):
            return False
    if not all(_read_alike(*shape, draw) for shape in _TILES):
        return False
    wide = torch.randn(64, 1024, generator=draw)
    return all(
        torch.equal(f(wide)[:8], f(wide[:8])) for f in (F.silu, F.gelu, torch.tanh, lambda t: t.softmax(-1))
    )


@torch.inference_mode()
def _stable(x: Tensor, product: Callable[[Tensor], Tensor]) -> bool:
    whole = product(x)
    return all(torch.equal(whole[:m], product(x[:m])) for m in (7, 8, 24, 40))


def _read_alike(positions: int, size: int, draw: torch.Generator) -> bool:
    queries, keys = (torch.randn(3, n, size, generator=draw) for n in (64, positions))
    scores = torch.bmm(queries, keys.mT)[..., :64]
    read = torch.bmm(scores, keys[:, :64])
    for n in (4, 5, 8, 33):
        some = torch.bmm(queries[:, :n], keys.mT)[..., :64]
        if not (torch.equal(some, scores[:, :n]) and torch.equal(torch.bmm(some, keys[:, :64]), read[:, :n])):
            return False
    return True


def environment() -> dict[str, Any]:
    """What bits depend on, for a manifest: instruction set, threads, library versions and exact mode.
    Two runs can be compared byte for byte where these are equal. Names no host, path or process."""
    return {
        "isa": torch.backends.cpu.get_cpu_capability(),
        "mkl_cbwr": os.environ.get("MKL_CBWR", ""),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "exact": probe(),
    }
