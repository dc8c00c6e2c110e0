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
    pieces, kept = [], []
    for at in range(0, len(logits), size):
        rows = slice(at, at + size)
        past = history and History(history.seen[rows], history.counts[rows])
        piece, sets = _draw(logits[rows], law, uniforms[rows], past)
        pieces.append(piece)
        kept += sets
    joined = pieces[0] if len(pieces) == 1 else [torch.cat(column) for column in zip(*pieces, strict=True)]
    ids, *numbers = [column.numpy() for column in joined]
    peak, total, mixed, chosen, score, score_peak, mass = [x.astype(np.float64) for x in numbers]
    # of scores whose maximum is 0 the softmax's largest entry is 1 / sum
    logsum = -np.log(peak)
    logprobs = score + np.log(score_peak) - (np.log(mass) if law.truncates else 0)
    certainty = logsum - total / logits.shape[1] - math.log(logits.shape[1])
    return Drawn(
        ids.astype(np.int32),
        np.zeros(len(ids), np.float32) if law.greedy else logprobs.astype(np.float32),
        (chosen - logsum).astype(np.float32),
        (logsum - mixed).astype(np.float32),
        certainty.astype(np.float32),
        kept or None,
    )


def _draw(
    z: Tensor, law: SamplingLaw, uniforms: NDArray[np.float64], history: History | None
) -> tuple[list[Tensor], list[Ids]]:
    """What needs the whole vocabulary; ``draw`` finishes it for all rows at once.

    Returns one number a row of: the sampled id; the largest probability; the sums of the logits and of
    probability times logit, and the sampled id's logit, all from a maximum of 0; its score after the law,
    likewise, the scores' largest probability, and the mass that was drawn from. And the sets kept.
    """
    # the repetition penalty asks for the sign of the model's own logits; nothing else does
    own = z.clone() if law.repetition_penalty != 1 else z
    z -= z.amax(-1, keepdim=True)
    raw = torch.softmax(z, -1)
    peak, total = raw.amax(-1), z.sum(-1)
    rows, kept = torch.arange(len(z)), []
    if law.greedy:
        ids = torch.argmax(adjusted(own, law, history), -1)
        chosen = z[rows, ids]
        drawn = [chosen, peak, peak]  # not read: greedy decoding has nothing to be probable
    else:
        scores = adjusted(own, law, history)
        p, top = raw, peak
        if scores is not z:
            # back to a maximum of 0, so that the softmax's largest entry gives its log-sum
            scores = scores - scores.amax(-1, keepdim=True)
            p = torch.softmax(scores, -1)
            top = p.amax(-1)
        if law.truncates:
            p = p.masked_fill(~truncated(p, law), 0.0)
            # what counts as kept is what can be drawn
            found, where = (p > 0).nonzero().numpy().astype(np.int32).T
            kept = np.split(where, np.searchsorted(found, np.arange(1, len(z))))
        ids, mass = inverse(p, uniforms)
        chosen = z[rows, ids]
        drawn = [chosen if scores is z else scores[rows, ids], top, mass]
    mixed = raw.mul_(z).sum(-1)  # in place, as nothing reads the probabilities any more
    return [ids, peak, total, mixed, chosen, *drawn], kept


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


def inverse(p: Tensor, uniforms: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
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
        return block * _BLOCK + _first(inner, inside, target - before), sums[:, -1]
    sums = p.cumsum(-1, dtype=torch.float64)
    return _first(p, sums, torch.from_numpy(uniforms) * sums[:, -1]), sums[:, -1]


def _first(p: Tensor, sums: Tensor, target: Tensor) -> Tensor:
    """The first column whose cumulative weight ``sums`` exceeds ``target``; the last of positive weight
    where rounding leaves none."""
    column = (sums <= target[:, None]).sum(-1)
    last = p.shape[1] - 1 - (p > 0).flip(-1).int().argmax(-1)
    return torch.minimum(column, last)
