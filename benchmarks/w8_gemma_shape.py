"""W8, a larger vocabulary and model: the shape of Gemma 3 270M with random weights, W1's form."""

from __future__ import annotations

from typing import Any

import inputs
import w1_rollouts
from measuring import run_side
from workload import Job, Workload, ours, peer

VOCABULARY = 262_144
SMOKE = {**inputs.GEMMA, "hidden_size": 64, "num_hidden_layers": 6, "head_dim": 32, "intermediate_size": 96}


def job(smoke: bool, repeat: int, repeats: int) -> Job:
    """8 prompts of 32 tokens x 8 samples x 64 tokens."""
    given = w1_rollouts.job(smoke, repeat, prompts=(8, 32, 32), samples=8, new=64, model="later")
    name, shape, words = ("smoke-gemma", SMOKE, 512) if smoke else ("gemma", inputs.GEMMA, VOCABULARY)
    return {**given, "model": str(inputs.model(name, shape, vocabulary=words, kind="gemma"))}


CHOICES: tuple[dict[str, Any], ...] = tuple(
    {"cache": cache, "batch": batch} for cache in ("static", "default") for batch in (64, 32)
)

W8 = Workload(
    "W8",
    "Gemma 3 270M's shape: 8 prompts of 32 tokens x 8 samples, up to 64 new tokens, vocabulary 262,144",
    job,
    ours("w1_rollouts.py"),
    (
        peer("transformers", "generate.py", "trl", *CHOICES),
        peer("vLLM", "vllm_generate.py", "vllm", {"eager": True}, batch=64),
    ),
    {"transformers": 2.5, "vLLM": 1.0},
    w1_rollouts.SAME,
)

if __name__ == "__main__":
    run_side(w1_rollouts.main)
