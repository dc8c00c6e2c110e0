"""Teacher-forced forwards: packed sequences in; hidden states, log-probabilities and signals out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sharpen.errors import SharpenError
from sharpen.sample.attention import Pack, cap
from sharpen.sample.decode import adjusted, truncated
from sharpen.sample.episode import Ids
from sharpen.sample.law import SamplingLaw

Kept = Sequence[Ids | None]
"""For each position the ids that the law kept there; None where it cut nothing."""

CHUNK = 1 << 24
"""Logits held at once (64 MiB of float32); what needs more is made, used and dropped piece by piece. With
fewer, the weights of a head of 262,144 words would be read more often than they are worked with."""


def packed_hidden(
    module: nn.Module, sequences: Sequence[Tensor], parents: Sequence[int] | None = None
) -> Tensor:
    """Final hidden states of several sequences laid end to end, without padding in any linear layer.

    Args:
        module: a causal language model with our attention (``Policy.module()`` or a copy of it).
        sequences: int64 ``(T_i,)`` each; every one starts at position 0 and sees only itself.
        parents: of each the place of the sequence that it goes on from, whose tokens it sees before its own,
            or -1; that one goes on from none.

    Returns:
        ``(sum T_i, H)`` in the model's dtype; differentiable.
    """
    return _decode(module, sequences, parents).last_hidden_state[0]


def packed_layers(module: nn.Module, sequences: Sequence[Tensor]) -> Tensor:
    """As ``packed_hidden``, after each layer: ``(layers, sum T_i, H)``, the last one normalised."""
    states = _decode(module, sequences, output_hidden_states=True).hidden_states
    return torch.stack([h[0] for h in states[1:]])


def _decode(  # noqa: ANN202 (library type)
    module: nn.Module, sequences: Sequence[Tensor], parents: Sequence[int] | None = None, **options: bool
):
    pack = Pack([len(s) for s in sequences], parents)
    ids = torch.cat(list(sequences))
    return decoder(module)(
        ids[None],
        position_ids=pack.positions.to(ids.device)[None],
        use_cache=False,
        attend=pack,
        **options,
    )


def decoder(module: nn.Module) -> nn.Module:
    """The stack of layers under the head."""
    return module.get_decoder()  # type: ignore[operator]


def head_logits(module: nn.Module, hidden: Tensor) -> Tensor:
    """Next-token logits ``(N, V)`` of final hidden states ``(N, H)``.

    What some models do to their logits is done here too: Gemma's soft cap, Cohere's and Granite's scales.
    """
    logits = module.get_output_embeddings()(hidden)  # type: ignore[operator]
    config = module.config.get_text_config()  # type: ignore[union-attr, operator]
    if (limit := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = cap(logits, limit)
    if (factor := getattr(config, "logit_scale", None)) is not None:
        logits = logits * factor
    if (divisor := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / divisor
    return logits


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Of N tokens, ``(N,)`` each, nats; see ``Completion`` for what they mean."""

    logprobs: Tensor
    raw_logprobs: Tensor
    entropy: Tensor
    certainty: Tensor


def token_scores(
    module: nn.Module,
    hidden: Tensor,
    targets: Tensor,
    law: SamplingLaw | None = None,
    kept: Kept | None = None,
    chunk: int = CHUNK,
) -> TokenScores:
    """Score ``targets`` as the tokens that follow ``hidden``; differentiable.

    Args:
        hidden: ``(N, H)``, the state before each target.
        targets: int64 ``(N,)``.
        law: under which ``logprobs`` are; without penalties, which hang on the whole sequence.
        kept: the sets that a law kept when it sampled, replayed; without them a truncating law cuts
            anew (and a target outside has ``-inf``).
        chunk: logits alive at once; beyond it the backward pass computes them again.

    Raises:
        SharpenError: the law penalises.
    """
    law = law or SamplingLaw()
    if law.penalises:
        raise SharpenError(f"a law with penalties cannot score given text: {law.spec}")
    size = max(1, chunk // int(module.get_output_embeddings().weight.shape[0]))  # type: ignore[operator]
    parts = []
    for at in range(0, len(hidden), size):
        rows = slice(at, at + size)
        args = (module, hidden[rows], targets[rows], law, None if kept is None else kept[rows])
        if len(hidden) > size and torch.is_grad_enabled():
            parts.append(checkpoint(_score, *args, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(_score(*args))
    return TokenScores(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(TokenScores)))


def _score(
    module: nn.Module, hidden: Tensor, targets: Tensor, law: SamplingLaw, kept: Kept | None
) -> TokenScores:
    logits = head_logits(module, hidden)
    raw = logits.log_softmax(-1)
    at = targets[:, None]
    raw_logprobs = raw.gather(1, at)[:, 0]
    entropy = -(raw.exp() * raw).sum(-1)
    certainty = -raw.mean(-1) - math.log(raw.shape[1])
    if law.greedy:
        return TokenScores(torch.zeros_like(entropy), raw_logprobs, entropy, certainty)
    scores = adjusted(logits, law)
    if kept is not None:
        scores = scores.masked_fill(~_mask(kept, logits), -math.inf)
    elif law.truncates:
        scores = scores.masked_fill(~truncated(scores.detach().softmax(-1), law), -math.inf)
    logprobs = raw_logprobs if scores is logits else scores.log_softmax(-1).gather(1, at)[:, 0]
    return TokenScores(logprobs, raw_logprobs, entropy, certainty)


def _mask(kept: Kept, like: Tensor) -> Tensor:
    mask = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    for row, ids in enumerate(kept):
        mask[row, slice(None) if ids is None else torch.from_numpy(ids).long()] = True
    return mask
