"""Tokens a second as a share of what the machine multiplies at best: for sampling and for learning.

The ceiling is the best rate of a float32 matrix product over a few large and model-sized shapes, measured
before and after the work in the same process. A token sampled costs two operations for each weight of a
matrix, and for each cached position; a token learnt costs three times as much.
"""

from __future__ import annotations

import time
from typing import Any

import inputs
import w1_rollouts
import w4_sft
from measuring import HERE, OURS, Clock, Side, once, run_side, summary
from workload import Job

SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (256, 256, 672), (4096, 672, 256))


def ceiling(smoke: bool) -> dict[str, float]:
    """The best rate of each product, in GFLOPS."""
    import torch

    found = {}
    for m, k, n in ((64, 64, 64),) if smoke else SHAPES:
        a, b = torch.randn(m, k), torch.randn(k, n)
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(5):
                a @ b
            best = min(best, (time.perf_counter() - start) / 5)
        found[f"{m}x{k}x{n}"] = round(2 * m * k * n / best / 1e9, 1)
    return found


def matrices(policy: Any) -> int:
    """Weights that every token is multiplied with: all matrices, a tied head once, no embedding."""
    config = policy.config
    inside = sum(w.numel() for name, w in policy.weights.items() if w.ndim == 2 and "embed" not in name)
    head = 0 if any("lm_head" in name for name in policy.weights) else config.vocab_size * config.hidden_size
    return inside + head


def attended(policy: Any, positions: float) -> float:
    """Operations of one token's attention over so many positions."""
    config = policy.config
    return 4.0 * config.num_hidden_layers * config.hidden_size * positions


def sampling(policy: Any, job: Job) -> dict[str, float]:
    """Operations a second of W1, prefill included; padding and finished rows are no work."""
    from sharpen.sample.native import NativeEngine

    engine = NativeEngine()
    engine.generate(policy, w1_rollouts.requests(policy, w1_rollouts.warm(job), -1))
    clock = Clock()
    done = engine.generate(policy, w1_rollouts.requests(policy, job))
    seconds = clock.read()["seconds"]
    prompts = [len(p) for p in job["prompts"]]
    own = [(len(c.tokens), prompts[i // job["samples"]]) for i, c in enumerate(done)]
    passes = sum(prompts) + sum(n for n, _ in own)
    work = passes * 2.0 * matrices(policy) + sum(n * attended(policy, p + n / 2) for n, p in own)
    work += sum(p * attended(policy, p / 2) for p in prompts)
    return {"tokens_per_second": sum(n for n, _ in own) / seconds, "gflops": work / seconds / 1e9}


def learning(policy: Any, job: Job) -> dict[str, float]:
    """Operations a second of W4."""
    from sharpen.learn.sft import SFT

    rows = w4_sft.rows_of(job)
    w4_sft.trained({**job, "batch_rows": 2}, rows[:2], SFT(), policy=policy)
    clock = Clock()
    w4_sft.trained(job, rows, SFT(), policy=policy)
    seconds = clock.read()["seconds"]
    lengths = [len(r.tokens) for r in rows]
    work = 3 * sum(n * (2.0 * matrices(policy) + attended(policy, n / 2)) for n in lengths)
    return {"tokens_per_second": sum(lengths) / seconds, "gflops": work / seconds / 1e9}


def main(job: Job) -> dict[str, Any]:
    """One measurement."""
    from sharpen.sample.policy import load_policy

    before = ceiling(job["smoke"])
    policy = load_policy(job["sampling"]["model"])
    found = {"sampling": sampling(policy, job["sampling"]), "learning": learning(policy, job["learning"])}
    after = ceiling(job["smoke"])
    best = max(*before.values(), *after.values())
    for part in found.values():
        part["share"] = part["gflops"] / best
    return {"ceiling": best, "products": before, **found}


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Each repeat a process."""
    runs = []
    for k in range(repeats):
        job = {
            "smoke": smoke,
            "sampling": w1_rollouts.W1.job(smoke, k, repeats),
            "learning": w4_sft.job(smoke, k, 2 * repeats),
        }
        runs.append(once(Side(OURS, HERE / "roofline.py"), job, threads=threads))
        print(f"roofline {k + 1}/{repeats}: ceiling {runs[-1]['ceiling']:.0f} GFLOPS", flush=True)
    for part in ("sampling", "learning"):
        at = summary([r[part]["share"] for r in runs])
        print(f"roofline {part}: {at.median:.0%} of the ceiling ({at.low:.0%} to {at.high:.0%})", flush=True)
    return {"repeats": runs, "parameters": inputs.SMALL}


if __name__ == "__main__":
    run_side(main)
