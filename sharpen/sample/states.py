"""Hidden states of given text, pooled while they are computed: what directions are built from.

A state is the residual stream after a block (the block's output, before any final norm), without the
embedding layer. Only means over the asked positions are kept, so memory does not grow with the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample.episode import Episode, Ids
from sharpen.sample.forward import packed_hidden
from sharpen.sample.native import check_sequences, packs
from sharpen.sample.policy import Policy
from sharpen.sample.steering import blocks, output_state

Positions = NDArray[np.int64]


@torch.inference_mode()
def pooled_states(
    policy: Policy, sequences: Sequence[Ids], positions: Sequence[Sequence[Positions]]
) -> NDArray[np.float32]:
    """The mean state over each set of positions of each sequence.

    Args:
        policy: unsteered.
        sequences: ids, ``(T_i,)`` each, at most the context.
        positions: for each sequence as many sets as for every other, none of them empty.

    Returns:
        ``(sequences, sets, layers, H)``; sums are float64.

    Raises:
        SharpenError: an empty set, a sequence that is too long. NotFinite: a state is not a number.
    """
    check_sequences(policy, sequences)
    for i, (ids, sets) in enumerate(zip(sequences, positions, strict=True)):
        if not all(len(p) and p.min() >= 0 and p.max() < len(ids) for p in sets):
            raise SharpenError(f"sequence {i}: a set of positions is empty or outside its {len(ids)} tokens")
    module = policy.module()
    parts = []
    for chosen in packs([len(s) for s in sequences]):
        sets, start = [], 0
        for i in chosen:
            sets += [torch.from_numpy(p + start) for p in positions[i]]
            start += len(sequences[i])
        with _pooling(module, sets) as found:
            packed_hidden(module, [torch.from_numpy(sequences[i]).long() for i in chosen])
        # (layers, sequences * sets, H)
        pooled = torch.stack(found).unflatten(1, (len(chosen), -1)).movedim(0, 2)
        bad = (~torch.isfinite(pooled)).flatten(1).any(1)
        if bad.any():
            raise NotFinite(f"policy {policy.version}: states of sequence {chosen[int(bad.nonzero()[0])]}"
                            " are not finite")  # fmt: skip
        parts.append(pooled.float().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 0, 0, 0), np.float32)


@contextmanager
def _pooling(module: nn.Module, sets: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Collect, block by block, the float64 mean of each set of a pack's positions; hooks go in any case."""
    rows = torch.cat(list(sets))
    which = torch.repeat_interleave(torch.arange(len(sets)), torch.tensor([len(s) for s in sets]))
    counts = torch.bincount(which, minlength=len(sets))[:, None]
    found: list[Tensor] = []

    def hook(_: nn.Module, __: Any, output: Any) -> None:
        state = output_state(output)[0]
        total = torch.zeros(len(sets), state.shape[-1], dtype=torch.float64)
        found.append(total.index_add_(0, which, state[rows].double()) / counts)

    handles = []
    try:
        for block in blocks(module):
            handles.append(block.register_forward_hook(hook))
        yield found
    finally:
        for handle in handles:
            handle.remove()


# where to look in a trace ----------------------------------------------------------------------------
def trace_positions(policy: Policy, episode: Episode) -> tuple[Positions, Positions]:
    """Positions, in the episode's tokens, of its reasoning and of the ends of the reasoning's steps.

    Reasoning is what was sampled between ``<think>`` and ``</think>``: from the start where the prompt opened
    it, to the end where it never closes. Without tags, or with nothing between them, it is all that was
    sampled but the end token. A step ends at a token with a line break, and at the last one.
    """
    tokenizer: Any = policy.tokenizer
    start, sampled = _sampled(episode)
    pieces = [tokenizer.decode([int(t)]) for t in sampled]
    ends = np.cumsum([len(p) for p in pieces])
    text = "".join(pieces)
    opened, closed = text.find("<think>"), text.find("</think>")
    last = len(sampled) - (len(sampled) > 1 and int(sampled[-1]) in policy.eos_ids)
    inside = np.arange(last)
    if opened >= 0 or closed >= 0:
        first = opened + len("<think>") if opened >= 0 else 0
        stop = closed if closed >= 0 else len(text)
        begins = ends - np.array([len(p) for p in pieces])
        found = inside[(begins[:last] >= first) & (ends[:last] <= stop)]
        if any(pieces[i].strip() for i in found):
            inside = found
    steps = [i for i in inside if "\n" in pieces[i]]
    if not steps or steps[-1] != inside[-1]:
        steps.append(inside[-1])
    return inside + start, np.array(steps, dtype=np.int64) + start


def _sampled(episode: Episode) -> tuple[int, Ids]:
    """Where the one sampled span begins, and its tokens."""
    start = 0
    for span in episode.spans:
        if span.sampled is not None:
            return start, span.tokens
        start += len(span.tokens)
    raise SharpenError(f"episode {episode.key!r} has no sampled tokens")
