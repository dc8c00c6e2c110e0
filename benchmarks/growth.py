"""How time and memory grow with samples, length and vocabulary: near linear, or something is computed twice.

Each point is a process of its own. ``exponent`` is the slope of seconds over size, both logarithmic: 1 is
linear.
"""

from __future__ import annotations

from typing import Any

import inputs
import numpy as np
import w1_rollouts
import w2_grpo
from measuring import HERE, OURS, Clock, Side, once, run_side, summary
from workload import Job

SIZES = {
    "samples": (4, 8, 16, 32),
    "length": (64, 128, 256, 512),
    "vocabulary": (4_096, 16_384, 65_536, 131_072),
}
SMOKE_SIZES = {"samples": (2, 4), "length": (4, 8), "vocabulary": (256, 512)}
KINDS = ("sampling", "learning")


def job(axis: str, size: int, smoke: bool) -> Job:
    """W1's form with one thing changed; nothing ends before its limit, so that sizes are what they say."""
    shape = {"prompts": (16, 32, 32), "samples": 8, "new": 48}
    if axis == "samples":
        shape["samples"] = size
    if axis == "length":
        shape |= {"prompts": (4, 32, 32), "new": size}
    if axis == "vocabulary":
        shape |= {"prompts": (4, 32, 32), "new": 16}
    given = w1_rollouts.job(smoke, 0, **shape)
    if smoke and axis in ("samples", "length"):
        given["samples" if axis == "samples" else "max_new_tokens"] = size
    if axis == "vocabulary":
        name, of = ("smoke-", inputs.SMOKE) if smoke else ("", inputs.SMALL)
        given["model"] = str(inputs.model(f"{name}vocabulary-{size}", of, vocabulary=size))
    return {**given, "eos": [], "lr": 1e-6, "tokens_per_microbatch": 4096}


def endless(policy: Any) -> Any:
    """The policy without end tokens."""
    from dataclasses import replace

    return replace(policy, eos_ids=())


def main(job: Job) -> dict[str, Any]:
    """Sample, and where asked learn one GRPO update of it; seconds of what ``kind`` says."""
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.policy import load_policy

    policy, engine = endless(load_policy(job["model"])), NativeEngine()
    if job["kind"] == "learning":
        return w2_grpo.step(policy, engine, job)
    engine.generate(policy, w1_rollouts.requests(policy, w1_rollouts.warm(job), -1))
    clock = Clock()
    done = engine.generate(policy, w1_rollouts.requests(policy, job))
    work = w1_rollouts.counts(job, [c.tokens for c in done])
    return {**clock.read(), "unit": "tokens", "work": work}


def seconds_of(run: dict[str, Any]) -> float:
    """Of sampling, or of the update alone."""
    return run["parts"]["learn"] if "parts" in run else run["seconds"]


def exponent(sizes: Any, seconds: Any) -> float:
    """The slope in logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Every axis, twice at most: the points are many and the question is a shape."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        for axis, sizes in (SMOKE_SIZES if smoke else SIZES).items():
            points = []
            for size in sizes:
                given = {**job(axis, size, smoke), "kind": kind}
                runs = [
                    once(Side(OURS, HERE / "growth.py"), given, threads=threads)
                    for _ in range(min(repeats, 2))
                ]
                at = summary([seconds_of(r) for r in runs])
                tokens = runs[0]["work"]["tokens"]
                peak = max(r["peak_mib"] for r in runs)
                points.append({"size": size, "seconds": at.median, "tokens": tokens, "peak_mib": peak})
            slope = exponent(sizes, [p["seconds"] for p in points])
            found[f"{kind}/{axis}"] = {"points": points, "exponent": round(slope, 3)}
            print(f"growth of {kind} with {axis}: exponent {slope:.2f}", flush=True)
    return {"growth": found}


if __name__ == "__main__":
    run_side(main)
