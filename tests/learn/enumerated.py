"""A model over four tokens whose every completion can be listed, and exact numbers about it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import GPT2Config, PreTrainedTokenizerFast
from transformers.models.auto import AutoModelForCausalLM

from sharpen.learn.learner import accumulate
from sharpen.learn.row import Row
from sharpen.sample.decode import truncated
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy, policy_from

VOCABULARY, END, LONGEST = 4, 0, 3
PROMPT = (1, 3)


@cache
def policy(seed: int) -> Policy:
    """A random one-layer policy, its distributions far from uniform."""
    # no norm of GPT-2 rounds to float32 inside
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=16,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    module = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            wide = 1.0 if "wte" in name else 0.4
            parameter.copy_(
                wide * torch.randn(parameter.shape, generator=draw)
                if parameter.ndim > 1
                else torch.ones_like(parameter)
            )
    words = Tokenizer(WordLevel({"<end>": END, "a": 1, "b": 2, "c": 3}, unk_token="a"))
    return policy_from(module, PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>"), "four")


def model(seed: int = 0):
    """Its module in float64, to be differentiated."""
    return copy.deepcopy(policy(seed).module()).double().requires_grad_(True)


@dataclass(frozen=True)
class Sequence_:
    """A completion: its tokens, and the log-probability of each under the law, differentiable."""

    tokens: tuple[int, ...]
    logprobs: Tensor
    kept: tuple[np.ndarray | None, ...]

    @property
    def probability(self) -> float:
        return math.exp(float(self.logprobs.detach().sum()))


def completions(module, law: SamplingLaw, longest: int = LONGEST) -> list[Sequence_]:
    """Every completion that the law can sample, from the library's own logits."""
    found = []
    for tokens in _all(longest):
        ids = torch.tensor([[*PROMPT, *tokens]])
        z = module(ids, use_cache=False).logits[0, len(PROMPT) - 1 : -1] / law.temperature
        if law.banned:
            z = z.index_fill(1, torch.tensor(law.banned), -torch.inf)
        keeps = truncated(z.detach().softmax(-1), law) if law.truncates else torch.ones_like(z).bool()
        logprobs = z.masked_fill(~keeps, -torch.inf).log_softmax(-1)
        own = logprobs[range(len(tokens)), list(tokens)]
        if torch.isfinite(own).all():
            kept = [np.flatnonzero(k).astype(np.int32) for k in keeps.numpy()] if law.truncates else []
            sets = (*[None] * len(PROMPT), *kept) if kept else ()
            found.append(Sequence_(tokens, own, sets))
    return found


def _all(longest: int) -> list[tuple[int, ...]]:
    words = []
    for n in range(1, longest + 1):
        for tokens in product(range(VOCABULARY), repeat=n):
            if END not in tokens[:-1] and (n == longest or tokens[-1] == END):
                words.append(tokens)
    return words


def reward(tokens: tuple[int, ...]) -> float:
    """Some reward that tells tokens, places and lengths apart."""
    return sum((t + 1) * (0.7, -1.1, 0.4)[i] for i, t in enumerate(tokens)) + (tokens[-1] == END)


def row(sequence: Sequence_, weight: float, old: Sequence[float], **arrays: Sequence[float]) -> Row:
    """The row of a completion; arrays are float64 here, so that nothing is lost."""

    def whole(values: Sequence[float]) -> np.ndarray:
        return np.concatenate([np.zeros(len(PROMPT)), np.asarray(values, np.float64)])

    n = len(sequence.tokens)
    given = {"weight": [weight] * n, "old_logprob": old, **arrays}
    return Row(
        np.array([*PROMPT, *sequence.tokens], np.int32),
        {name: whole(values) for name, values in given.items()},  # type: ignore[misc]
        kept=sequence.kept or None,
    )


def gradient_of(module, value: Tensor) -> Tensor:
    """The gradient of a scalar, flat."""
    grads = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
    pairs = zip(grads, module.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def learnt(module, rows: Sequence[Row], objective) -> tuple[dict[str, float], dict[str, float], Tensor]:
    """The objective's terms and monitors over a batch, and the gradient that the learner would use."""
    module.zero_grad()
    terms, seen = accumulate(module, [rows[i : i + 7] for i in range(0, len(rows), 7)], objective)
    return terms, seen, torch.cat([p.grad.flatten() for p in module.parameters()])


def expected(all_of: Sequence[Sequence_], value: Callable[[Sequence_], Tensor | float]) -> Tensor:
    """The exact mean over completions, differentiable in probabilities and values."""
    return torch.stack([s.logprobs.sum().exp() * value(s) for s in all_of]).sum()


def with_weights(rows: Sequence[Row], factor: float) -> list[Row]:
    """The same rows, their weights times ``factor``."""
    return [replace(r, arrays={**r.arrays, "weight": r.arrays["weight"] * factor}) for r in rows]
