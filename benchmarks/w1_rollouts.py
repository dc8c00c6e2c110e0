"""W1 and W1b, rollouts: prompts x samples from a model, natural ends, temperature 1; W8 is made of it too."""

from __future__ import annotations

from functools import cache
from typing import Any

import inputs
import numpy as np
from measuring import Clock, run_side
from peers.side import counts, warm
from workload import Job, Workload, ours, peer


def requests(policy: Any, job: Job, seed: int | None = None) -> list[Any]:
    """One request a sample; those of a prompt side by side."""
    from sharpen.runs.streams import stream
    from sharpen.sample.episode import Request
    from sharpen.sample.law import SamplingLaw

    name = stream("bench", job["seed"] if seed is None else seed)
    law, new = SamplingLaw(), job["max_new_tokens"]
    return [
        Request(np.array(prompt, np.int32), name.child(i, k), law, new, policy.eos_ids)
        for i, prompt in enumerate(job["prompts"])
        for k in range(job["samples"])
    ]


@cache
def loaded(folder: str) -> Any:
    """The policy, kept from job to job."""
    from sharpen.sample.policy import load_policy

    return load_policy(folder)


def main(job: Job) -> dict[str, Any]:
    """Our side: the native engine, exact, with all its signals."""
    from sharpen.sample.native import NativeEngine

    policy = loaded(job["model"])
    engine = NativeEngine(**job.get("engine", {}))
    engine.generate(policy, requests(policy, warm(job), -1))
    clock = Clock()
    done = engine.generate(policy, requests(policy, job), batch=job.get("batch"))
    spent = clock.read()
    work = counts(job, [c.tokens for c in done])
    fill = engine.fill.rows / max(1, engine.fill.seats)
    return {**spent, "unit": "tokens", "work": work, "exact": engine.exact, "fill": round(fill, 3)}


def job(
    smoke: bool, repeat: int, *, prompts: tuple[int, int, int], samples: int, new: int, model: str = ""
) -> Job:
    """Prompts (how many, shortest, longest) x samples; a smoke job is of the same form, small."""
    if smoke:
        folder, prompts, samples, new = inputs.model("smoke", inputs.SMOKE), (3, *prompts[1:]), 2, 6
    else:
        folder = model or inputs.model("small", inputs.SMALL)
    return {
        "model": str(folder),
        "prompts": inputs.prompts(*prompts, seed=repeat),
        "samples": samples,
        "max_new_tokens": new,
        "eos": [inputs.EOS],
        "pad": inputs.PAD,
        "seed": repeat,
    }


BATCHES = ({"batch": 256}, {"batch": 128}, {"batch": 64})
PEERS = (
    peer("transformers", "generate.py", "trl", *BATCHES, cache="default"),
    peer("transformers, static cache", "generate.py", "trl", *BATCHES, cache="static"),
    peer("vLLM", "vllm_generate.py", "vllm", {"eager": True}, {"eager": False}),
)
SAME = ("prompts", "completions", "prompt_tokens", "most_new_tokens")

W1 = Workload(
    "W1",
    "rollouts: 32 prompts of 24-40 tokens x 8 samples, up to 96 new tokens, 4.7M Llama shape",
    lambda smoke, k, n: job(smoke, k, prompts=(32, 24, 40), samples=8, new=96),
    ours("w1_rollouts.py"),
    PEERS,
    dict(zip([p.name for p in PEERS], (4.0, 2.5, 2.5), strict=True)),
    SAME,
)
W1B = Workload(
    "W1b",
    "the same, prompts of 256 tokens, up to 64 new tokens",
    lambda smoke, k, n: job(smoke, k, prompts=(32, 256, 256), samples=8, new=64),
    ours("w1_rollouts.py"),
    PEERS,
    dict(zip([p.name for p in PEERS], (6.0, 4.0, 2.5), strict=True)),
    SAME,
)

if __name__ == "__main__":
    run_side(main)
