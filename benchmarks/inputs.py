"""What is worked on: random models and texts, made from names, so that every side reads the same files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT

from sharpen.runs.streams import stream

CACHE = ROOT / "runs" / "benchmarks"
PAD, BOS, EOS = 0, 1, 2
CHARACTERS = "\n" + "".join(chr(i) for i in range(32, 127))
VOCABULARY = 3 + len(CHARACTERS)  # 99
Ids = list[int]

SMALL = {
    "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 672, "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip
"""The 4.7M-parameter Llama shape."""
SMOKE = SMALL | {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 96,
}  # fmt: skip
GEMMA = {
    "hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
    "head_dim": 256, "intermediate_size": 2048, "sliding_window": 512, "max_position_embeddings": 2048,
    "query_pre_attn_scalar": 256, "tie_word_embeddings": True,
}  # fmt: skip
"""The shape of Gemma 3 270M: every sixth layer attends to everything."""


def model(name: str, shape: dict[str, Any], *, vocabulary: int = VOCABULARY, kind: str = "llama") -> Path:
    """The folder of a random model (seed 0) in the Hugging Face layout, made once."""
    folder = CACHE / "models" / name
    if (folder / "done").exists():
        return folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from sharpen.sample.policy import policy_from, save_policy

    ids = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "vocab_size": vocabulary}
    config = AutoConfig.for_model("gemma3_text" if kind == "gemma" else "llama", **shape, **ids)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    shutil.rmtree(folder, ignore_errors=True)
    save_policy(policy_from(module, tokenizer(), name), folder)
    (folder / "done").touch()
    return folder


def tokenizer() -> Any:
    """One token a character: 95 printable ones and the line end, behind <pad>, <bos> and <eos>."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<bos>", "<eos>", *CHARACTERS]
    backend = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")  # type: ignore[assignment]
    backend.decoder = Fuse()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def prompts(n: int, shortest: int, longest: int, *, seed: int = 0) -> list[Ids]:
    """``n`` prompts of ``shortest`` to ``longest`` random characters, as ids."""
    draw = stream("bench", "prompts", seed, n, shortest, longest).generator()
    return [text(draw, int(draw.integers(shortest, longest + 1))) for _ in range(n)]


def text(draw: np.random.Generator, length: int) -> Ids:
    """Ids of random characters, letters and digits above all (no white space at the ends, which chat
    software likes to strip)."""
    return draw.integers(4 + ord("0") - 32, VOCABULARY - 4, length).tolist()


def lengths(n: int, *, longest: int = 1000, seed: int = 0) -> list[int]:
    """Log-normal lengths: median 60, 95th percentile 300, cut at 4 and ``longest``."""
    draw = stream("bench", "lengths", seed).generator()
    spread = np.log(300 / 60) / 1.6448536269514722
    drawn = np.exp(np.log(60) + spread * draw.standard_normal(n))
    return np.clip(np.rint(drawn), 4, longest).astype(int).tolist()


def examples(n: int, *, longest: int = 1000) -> list[Ids]:
    """``n`` texts of such lengths."""
    draw = stream("bench", "examples").generator()
    return [text(draw, length) for length in lengths(n, longest=longest)]


def pairs(n: int, *, longest: int = 900) -> list[dict[str, Ids]]:
    """``n`` prompts of 24 to 40 tokens with two answers each, both of such lengths and with their end
    token."""
    sizes = lengths(2 * n, longest=longest, seed=1)
    draw = stream("bench", "pairs").generator()
    return [
        {
            "prompt": text(draw, int(draw.integers(24, 41))),
            "chosen": [*text(draw, sizes[2 * i] - 1), EOS],
            "rejected": [*text(draw, sizes[2 * i + 1] - 1), EOS],
        }
        for i in range(n)
    ]


def part(items: list[Any], repeat: int, of: int) -> list[Any]:
    """Repeat ``repeat``'s share of a list that ``of`` repeats work through once, together."""
    size = len(items) // of
    at = repeat % of * size
    return items[at : at + size]


def stored(name: str, value: Any) -> str:
    """A file that holds ``value`` for the sides to read; its path."""
    path = CACHE / "jobs" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)
