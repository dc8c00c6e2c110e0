"""Where our time goes, and what would be left if nothing but the products with weights took any.

The work of a row of the table is done three times. On all cores: how many of them it keeps busy. On one core,
where seconds of the wall and of the processor are the same: how long it takes, and then under torch's
profiler, which says what of it are products with weights (torch's and oneDNN's), attention (``bmm`` and the
fused kernel), other operations, and Python between operations. Profiling slows small operations and Python
alone, so of these two only their proportion is taken from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import w1_rollouts
import w2_grpo
import w4_sft
import w8_gemma_shape
from measuring import HERE, OURS, Clock, Side, once, run_side
from workload import Job

WEIGHTS = {"aten::mm", "aten::addmm", "mkldnn::_linear_pointwise"}
ATTENTION = {
    "aten::bmm",
    "aten::baddbmm",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
}
WORKLOADS = {w.key: w for w in (w1_rollouts.W1, w1_rollouts.W1B, w2_grpo.W2, w4_sft.W4, w8_gemma_shape.W8)}
Work = Callable[[], int]
"""Does the work; gives the tokens that its row counts."""


def rollouts(policy: Any, job: Job) -> Work:
    """W1, W1b and W8, set up."""
    from sharpen.sample.native import NativeEngine

    engine = NativeEngine()
    engine.generate(policy, w1_rollouts.requests(policy, w1_rollouts.warm(job), -1))

    def work() -> int:
        done = engine.generate(policy, w1_rollouts.requests(policy, job))
        return sum(len(c.tokens) for c in done)

    return work


def step(policy: Any, job: Job) -> Work:
    """W2, set up."""
    from sharpen.sample.native import NativeEngine

    engine = NativeEngine()
    w2_grpo.step(policy, engine, {**w1_rollouts.warm(job), "drop_dead": False})
    return lambda: w2_grpo.step(policy, engine, job)["work"]["tokens"]


def training(policy: Any, job: Job) -> Work:
    """W4, set up."""
    from sharpen.learn.sft import SFT

    rows = w4_sft.rows_of(job)
    w4_sft.trained({**job, "batch_rows": 2}, rows[:2], SFT(), policy=policy)

    def work() -> int:
        _, metrics = w4_sft.trained(job, rows, SFT(), policy=policy)
        return int(sum(m["tokens"] for m in metrics))

    return work


SET_UP: dict[str, Callable[[Any, Job], Work]] = {"W2": step, "W4": training}
"""Of the others the work is sampling alone."""


def profiled(work: Work) -> dict[str, float]:
    """Seconds of the work on one core by kind."""
    from torch.profiler import ProfilerActivity, profile

    clock = Clock()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        work()
        whole = clock.read()["seconds"]
    own = {e.key: e.self_cpu_time_total / 1e6 for e in watched.key_averages()}
    weights, attention = (sum(own.get(name, 0.0) for name in names) for names in (WEIGHTS, ATTENTION))
    others = sum(s for name, s in own.items() if name not in WEIGHTS | ATTENTION)
    python = max(0.0, whole - weights - attention - others)
    return {"weights": weights, "attention": attention, "others": others, "python": python}


def main(job: Job) -> dict[str, Any]:
    """One of the three, as ``what`` says."""
    from sharpen.sample.policy import load_policy

    work = SET_UP.get(job["key"], rollouts)(load_policy(job["model"]), job)
    clock = Clock()
    tokens = work()
    spent = clock.read()
    found = {**spent, "unit": "tokens", "work": {"tokens": tokens}}
    return found | ({"profile": profiled(work)} if job["profiled"] else {})


def shares(alone: dict[str, Any]) -> dict[str, float]:
    """Of the seconds on one core, by kind; they sum to 1."""
    told, whole = alone["profile"], alone["seconds"]
    large = {kind: told[kind] / whole for kind in ("weights", "attention")}
    rest = max(0.0, 1.0 - sum(large.values()))
    small = told["others"] + told["python"]
    return {**large, **{kind: rest * told[kind] / small for kind in ("others", "python")}}


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Once each: the shares of a profile hardly change from run to run."""
    found = {}
    side = Side(OURS, HERE / "where.py")
    for key, workload in WORKLOADS.items():
        given = {**workload.job(smoke, 0, workload.repeats), "key": key}
        whole = once(side, {**given, "profiled": False}, threads=threads)
        alone = once(side, {**given, "profiled": True}, threads=1)
        parts = shares(alone)
        print(f"{key} keeps {whole['cpu_seconds'] / whole['seconds']:.2f} of {threads} cores busy; on one: "
              + ", ".join(f"{kind} {share:.0%}" for kind, share in parts.items()), flush=True)  # fmt: skip
        found[key] = {"all": whole, "one": alone, "shares": parts}
    return {"where": found}


if __name__ == "__main__":
    run_side(main)
