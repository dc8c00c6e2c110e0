"""Tiny random models of every shape the engine must agree on, with a character tokenizer."""

from __future__ import annotations

from functools import cache

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto import AutoModelForCausalLM

from sharpen.runs.streams import stream
from sharpen.sample.policy import Policy, policy_from

CHARACTERS = "\n 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ+-*/=().,:;?!<>é∀"
PAD, BOS, EOS, END = 0, 1, 2, 3


@cache
def char_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character; ids 0-3 are <pad>, <bos>, <eos>, <end>."""
    words = ["<pad>", "<bos>", "<eos>", "<end>", *CHARACTERS]
    words += [chr(0x4E00 + i) for i in range(5 - len(words) % 2)]
    backend = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    backend.pre_tokenizer = Split(Regex("."), "isolated")  # type: ignore[assignment]
    backend.decoder = Fuse()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def _configs(vocab: int, wide: bool = False) -> dict[str, PreTrainedConfig]:
    # some shapes state the size of their heads, and may state one that is not hidden / heads
    head, stated = (32, 32) if wide else (12, 16)
    size = {"vocab_size": vocab, "hidden_size": 4 * head, "num_hidden_layers": 2, "num_attention_heads": 4}
    size |= {"num_key_value_heads": 2, "intermediate_size": 88, "max_position_embeddings": 256}
    size |= {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    tied = {"tie_word_embeddings": True}
    return {
        "llama": LlamaConfig(**size, **tied),
        "qwen2": Qwen2Config(**size),
        "qwen3": Qwen3Config(**size, head_dim=stated),
        "mistral": MistralConfig(**size, sliding_window=12),
        "gemma2": Gemma2Config(
            **size, head_dim=stated, sliding_window=12, query_pre_attn_scalar=16, final_logit_softcapping=5.0
        ),
        "gemma3": Gemma3TextConfig(
            **size,
            head_dim=stated,
            sliding_window=12,
            query_pre_attn_scalar=16,
            layer_types=["sliding_attention", "full_attention"],
            final_logit_softcapping=5.0,
        ),
        "gpt2": GPT2Config(
            vocab_size=vocab,
            n_embd=4 * head,
            n_layer=2,
            n_head=4,
            n_positions=256,
            bos_token_id=BOS,
            eos_token_id=EOS,
            attn_pdrop=0.1,  # the only dropout of the shapes, and only in training
            embd_pdrop=0.0,
            resid_pdrop=0.0,
        ),
    }


SHAPES = tuple(_configs(8))


@cache
def tiny(shape: str, wide: bool = False) -> Policy:
    """A random policy of one of ``SHAPES``, where ``wide`` with heads of 32, as vLLM needs. Its weights are
    drawn wide, so that next-token distributions are far from uniform and completions of one prompt
    differ."""
    tokenizer = char_tokenizer()
    config = _configs(len(tokenizer), wide)[shape]
    module = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    draw = torch.Generator().manual_seed(stream("shapes", shape).seed())
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
            else:
                wide = 0.3 if "embed" in name or "head" in name or "wte" in name else 0.15
                parameter.copy_(wide * torch.randn(parameter.shape, generator=draw))
    return policy_from(module, tokenizer, shape)
