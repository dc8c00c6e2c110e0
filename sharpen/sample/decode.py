"""From logits to a sampled token: pure functions, one row independent of the others.

Bit-exactness: the bits of a row must not depend on how many rows share the batch. Elementwise kernels
with an approximation inside (exp, silu, gelu) compute the last few elements of a tensor by another
formula, so here ``exp`` is only taken inside row kernels (softmax), and everything else is exact
arithmetic or a reduction along a row. Numbers that exist once a row are finished in float64 by numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.sample.episode import Floats, Ids
from sharpen.sample.law import SamplingLaw

_BLOCK = 256
_CACHED = 1 << 18  # logits worked on at once: 1 MiB of float32 stays in a core's second-level cache


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token a row. Arrays have one entry a row; their meaning is that of ``Completion``'s.

    A row whose logits were not all finite has a ``certainty`` that is not.
    """

    ids: Ids
    logprobs: Floats
    raw_logprobs: Floats
    entropy: Floats
    certainty: Floats
    kept: list[Ids] | None


@dataclass(frozen=True, slots=True)
class History:
    """What penalties need to know, one row a sequence.

    Attributes:
        seen: bool ``(N, V)``, tokens in the prompt or sampled.
        counts: float32 ``(N, V)``, how often each was sampled.
    """

    seen: Tensor
    counts: Tensor


def draw(logits: Tensor, law: SamplingLaw, uniforms: NDArray[np.float64], history: History | None) -> Drawn:
    """Sample one token a row by inverse transform: the first id whose cumulative probability (float64)
    exceeds the row's uniform.

    Args:
        logits: float32 ``(N, V)``; overwritten.
        law: how to sample.
        uniforms: ``(N,)`` in [0, 1).
        history: for laws that penalise, of the same rows.
    """
    size = max(8, _CACHED // logits.shape[1] // 8 * 8)
    parts = []
    for at in range(0, len(logits), size):
        rows = slice(at, at + size)
        past = history and History(history.seen[rows], history.counts[rows])
        parts.append(_draw(logits[rows], law, uniforms[rows], past))
    if len(parts) == 1:
        return parts[0]
    names = ("ids", "logprobs", "raw_logprobs", "entropy", "certainty")
    numbers = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
    return Drawn(**numbers, kept=[k for p in parts for k in p.kept] if law.truncates else None)


def _draw(z: Tensor, law: SamplingLaw, uniforms: NDArray[np.float64], history: History | None) -> Drawn:
    # the repetition penalty asks for the sign of the model's own logits; nothing else does
    own = z.clone() if law.repetition_penalty != 1 else z
    z -= z.amax(-1, keepdim=True)
    raw = torch.softmax(z, -1)
    logsum = _logsum(raw)
    rows, vocabulary = np.arange(len(z)), z.shape[1]
    certainty = logsum - z.sum(-1).double().numpy() / vocabulary - math.log(vocabulary)
    kept = None
    if law.greedy:
        ids = torch.argmax(adjusted(own, law, history), -1).numpy()
        logprobs = np.zeros(len(z))
    else:
        scores = adjusted(own, law, history)
        p, base = raw, logsum
        if scores is not z:
            # back to a maximum of 0, so that the softmax's largest entry gives its log-sum
            scores = scores - scores.amax(-1, keepdim=True)
            p = torch.softmax(scores, -1)
            base = _logsum(p)
        if law.truncates:
            p = p.masked_fill(~truncated(p, law), 0.0)
            # what counts as kept is what can be drawn
            found, where = (p > 0).nonzero().numpy().astype(np.int32).T
            kept = np.split(where, np.searchsorted(found, rows[1:]))
        ids, mass = inverse(p, uniforms)
        logprobs = (
            scores.numpy()[rows, ids].astype(np.float64) - base - (np.log(mass) if law.truncates else 0)
        )
    raws = z.numpy()[rows, ids].astype(np.float64) - logsum
    entropy = logsum - raw.mul_(z).sum(-1).double().numpy()  # in place, as nothing reads it any more
    numbers = [x.astype(np.float32) for x in (logprobs, raws, entropy, certainty)]
    return Drawn(ids.astype(np.int32), *numbers, kept=kept)  # pyright: ignore[reportCallIssue]


def _logsum(p: Tensor) -> NDArray[np.float64]:
    """``logsumexp`` of scores whose maximum is 0, from their softmax: its largest entry is 1 / sum."""
    return -np.log(p.amax(-1).double().numpy())


def adjusted(z: Tensor, law: SamplingLaw, history: History | None = None) -> Tensor:
    """Scores ``(N, V)`` after penalties, banned and allowed tokens and temperature; ``z`` itself, not a
    copy, where the law does none of it. At temperature 0 they are not divided."""
    if law.penalises:
        assert history is not None, "a law that penalises needs the history"
        r = law.repetition_penalty
        z = torch.where(history.seen, torch.where(z > 0, z / r, z * r), z)
        z = z - law.presence_penalty * (history.counts > 0) - law.frequency_penalty * history.counts
    if law.allowed is not None or law.banned:
        z = z.masked_fill(~permitted(law, z.shape[1]), -math.inf)
    if law.temperature not in (0.0, 1.0):
        z = z / law.temperature
    return z


def permitted(law: SamplingLaw, vocabulary: int) -> Tensor:
    """Which ids the law's allowed and banned tokens let through, bool ``(V,)``.

    Raises SharpenError when an id is outside the vocabulary or nothing is left.
    """
    for token in (*(law.allowed or ()), *law.banned):
        if not 0 <= token < vocabulary:
            raise SharpenError(f"sampling law: token {token} is not in the vocabulary of {vocabulary}")
    mask = torch.full((vocabulary,), law.allowed is None)
    mask[list(law.allowed or ())] = True
    mask[list(law.banned)] = False
    if not mask.any():
        raise SharpenError("sampling law: allowed and banned tokens leave nothing to sample")
    return mask


def truncated(p: Tensor, law: SamplingLaw) -> Tensor:
    """Which tokens top-k, top-p and min-p keep of probabilities ``p`` ``(N, V)``: bool ``(N, V)``.

    Each cut works on what the one before left, renormalised. Of equally probable tokens at an edge the
    lowest ids stay.
    """
    keep = torch.ones_like(p, dtype=torch.bool)
    if 0 < law.top_k < p.shape[1]:
        edge = torch.topk(p, law.top_k).values[:, -1:]
        above, ties = p > edge, p == edge
        keep = above | (ties & (ties.cumsum(-1) <= law.top_k - above.sum(-1, keepdim=True)))
    if law.top_p < 1:
        kept = p.masked_fill(~keep, 0.0)
        ordered, ids = torch.sort(kept, dim=-1, descending=True, stable=True)
        mass = ordered.cumsum(-1, dtype=torch.float64)
        needed = mass - ordered < law.top_p * mass[:, -1:]
        keep &= torch.zeros_like(keep).scatter(1, ids, needed)
    if law.min_p > 0:
        keep &= p >= law.min_p * p.amax(-1, keepdim=True)
    return keep


def inverse(p: Tensor, uniforms: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first id of each row whose cumulative weight exceeds ``uniform * total``, and the total.

    ``p`` is float32 ``(N, V)``, not negative; sums are float64. Large vocabularies are walked in two
    levels, blocks, whose own sums are float32, and then the one block hit. An id of weight 0 is never
    returned.
    """
    if p.shape[1] > 2 * _BLOCK:
        if p.shape[1] % _BLOCK:
            p = torch.nn.functional.pad(p, (0, -p.shape[1] % _BLOCK))
        blocks = p.unflatten(1, (-1, _BLOCK))
        # float64 inside a block would copy the whole vocabulary; a pad of nothing would too
        sums = blocks.sum(-1).cumsum(-1, dtype=torch.float64)
        target = torch.from_numpy(uniforms) * sums[:, -1]
        block = (sums <= target[:, None]).sum(-1).clamp(max=sums.shape[1] - 1)
        rows = torch.arange(len(p))
        before = torch.where(block > 0, sums[rows, block - 1], 0.0)
        inner = blocks[rows, block]
        inside = inner.cumsum(-1, dtype=torch.float64)
        return (block * _BLOCK + _first(inner, inside, target - before)).numpy(), sums[:, -1].numpy()
    sums = p.cumsum(-1, dtype=torch.float64)
    return _first(p, sums, torch.from_numpy(uniforms) * sums[:, -1]).numpy(), sums[:, -1].numpy()


def _first(p: Tensor, sums: Tensor, target: Tensor) -> Tensor:
    """The first column whose cumulative weight ``sums`` exceeds ``target``; the last of positive weight
    where rounding leaves none."""
    column = (sums <= target[:, None]).sum(-1)
    last = p.shape[1] - 1 - (p > 0).flip(-1).int().argmax(-1)
    return torch.minimum(column, last)
