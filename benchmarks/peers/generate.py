"""``transformers.generate``: float32, sdpa attention, prompts padded on the left and sorted into batches.

Settings: ``cache`` is ``default`` (a growing one) or ``static``; ``batch`` sequences at a time. Top-k, which
``generate`` sets to 50 unasked, is off. Models are compiled by ``generate`` on GPUs alone.
"""

from functools import cache
from typing import Any

import side
import torch
from transformers import AutoModelForCausalLM, GenerationConfig


@cache
def load(folder: str, dtype: str, device: str) -> Any:
    """The model, for sampling; kept from job to job."""
    kind = getattr(torch, dtype)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="sdpa")
    return model.to(device).eval()


def settings(job: dict[str, Any]) -> GenerationConfig:
    """Plain sampling from the model itself."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=job["max_new_tokens"],
        eos_token_id=job["eos"],
        pad_token_id=job["pad"],
        use_cache=True,
        cache_implementation=None if job["cache"] == "default" else job["cache"],
    )


@torch.inference_mode()
def sample(model: Any, job: dict[str, Any]) -> list[list[int]]:
    """Sampled ids, up to and with the end token; prompts of like lengths share a batch."""
    rows = sorted((p for p in job["prompts"] for _ in range(job["samples"])), key=len)
    size = job.get("batch", 256)
    found: list[list[int]] = []
    for at in range(0, len(rows), size):
        batch = rows[at : at + size]
        width = max(map(len, batch))
        ids = torch.tensor([[job["pad"]] * (width - len(r)) + r for r in batch], device=model.device)
        seen = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in batch], device=model.device)
        out = model.generate(ids, attention_mask=seen, generation_config=settings(job))
        found += [cut(row, job["eos"]) for row in out[:, width:].tolist()]
    return found


def cut(ids: list[int], ends: list[int]) -> list[int]:
    """Up to and with the first end token."""
    at = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: at + 1]


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, time."""
    model = load(job["model"], job.get("dtype", "float32"), job.get("device", "cpu"))
    torch.manual_seed(job["seed"])
    sample(model, side.warm(job))
    clock = side.Clock()
    done = sample(model, job)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return {**clock.read(), "unit": "tokens", "work": side.counts(job, done)}


if __name__ == "__main__":
    side.run(main)
