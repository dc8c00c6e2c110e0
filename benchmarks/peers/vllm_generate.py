"""vLLM, its CPU build: float32, prefix cache on, n samples a prompt, everything in this process.

Settings: ``eager`` turns its compiler off (on CPUs it costs minutes at start and is tuned for other sizes).
Its own sampler draws; nothing but the ids is asked for.
"""

import os
from functools import cache
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import side
import torch
from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt


@cache
def load(folder: str, dtype: str, longest: int, batch: int, eager: bool) -> LLM:
    """The engine, kept from job to job: it takes long to start. Its generator goes on from job to job too, as
    seeds of requests would slow its sampler.
    """
    set_threads = torch.set_num_threads
    model = LLM(
        folder,
        dtype=dtype,
        max_model_len=longest,
        max_num_seqs=batch,
        max_num_batched_tokens=8192,
        enable_prefix_caching=True,
        enforce_eager=eager,
        skip_tokenizer_init=True,
        disable_log_stats=True,
        seed=0,
    )
    # on CPUs vLLM replaces this function, and leaves another number of threads
    torch.set_num_threads = set_threads
    torch.set_num_threads(side.threads())
    return model


def sample(model: LLM, job: dict[str, Any]) -> list[list[int]]:
    """Sampled ids, up to and with the end token."""
    law = SamplingParams(
        n=job["samples"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_tokens=job["max_new_tokens"],
        stop_token_ids=job["eos"],
        ignore_eos=True,
        detokenize=False,
    )
    prompts = [TokensPrompt(prompt_token_ids=p) for p in job["prompts"]]
    outputs = model.generate(prompts, law, use_tqdm=False)
    return [list(c.token_ids) for o in outputs for c in o.outputs]


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, time."""
    longest = max(map(len, job["prompts"])) + job["max_new_tokens"]
    longest = 64 * (longest // 64 + 1)  # the same for all repeats, whose prompts differ in length
    model = load(job["model"], job.get("dtype", "float32"), longest, job.get("batch", 256), job["eager"])
    sample(model, side.warm(job))
    assert model.reset_prefix_cache()  # no prompt is known from the warm-up or from another repeat
    clock = side.Clock()
    done = sample(model, job)
    return {**clock.read(), "unit": "tokens", "work": side.counts(job, done)}


if __name__ == "__main__":
    side.run(main)
