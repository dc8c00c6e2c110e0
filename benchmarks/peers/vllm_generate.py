"""vLLM, its CPU build: float32, prefix cache on, n samples a prompt, everything in this process.

Settings: ``eager`` turns its compiler off (on CPUs it costs minutes at start and is tuned for other sizes).
Its own sampler draws; nothing but the ids is asked for.
"""

import os
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
    threads = side.threads()
    set_threads = torch.set_num_threads
    longest = max(map(len, job["prompts"])) + job["max_new_tokens"]
    model = LLM(
        job["model"],
        dtype=job.get("dtype", "float32"),
        max_model_len=longest + 8,
        max_num_seqs=job.get("batch", 256),
        max_num_batched_tokens=8192,
        enable_prefix_caching=True,
        enforce_eager=job["eager"],
        skip_tokenizer_init=True,
        disable_log_stats=True,
        seed=job["seed"],
    )
    # on CPUs vLLM replaces this function, and leaves another number of threads
    torch.set_num_threads = set_threads
    torch.set_num_threads(threads)
    sample(model, side.warm(job))
    model.reset_prefix_cache()
    clock = side.Clock()
    done = sample(model, job)
    return {**clock.read(), "unit": "tokens", "work": side.counts(job, done)}


if __name__ == "__main__":
    side.run(main)
