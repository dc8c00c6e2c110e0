"""W4, supervised fine-tuning: 2,000 texts of log-normal length, one pass, 40 texts an update."""

from __future__ import annotations

from typing import Any

import inputs
from measuring import Clock, run_side
from workload import Job, Workload, ours, peer

LR = 1e-4
EXAMPLES, BATCH = 2_000, 40


def rows_of(job: Job) -> list[Any]:
    """One row an example; every token behind the first, or behind the example's ``cuts``, is learnt."""
    from sharpen.learn.rows import row_of_text

    cuts = job.get("cuts") or [1] * len(job["examples"])
    cut = zip(job["examples"], cuts, strict=True)
    return [row_of_text(ids[:n], ids[n:], key=str(i)) for i, (ids, n) in enumerate(cut)]


def trained(
    job: Job, rows: list[Any], objective: Any, *, policy: Any = None
) -> tuple[Any, list[dict[str, float]]]:
    """One pass over the rows."""
    from sharpen.learn.config import LearnConfig, OptimizerConfig
    from sharpen.learn.learner import learn
    from sharpen.learn.state import TrainState
    from sharpen.runs.streams import stream

    config = LearnConfig(
        steps=-(-len(rows) // job["batch_rows"]),
        batch_rows=job["batch_rows"],
        tokens_per_microbatch=job["tokens_per_microbatch"],
    )
    state = TrainState.start(policy, OptimizerConfig(lr=job["lr"]))
    name = stream("bench", "learn", job["seed"])
    return learn(state, rows, objective=objective, config=config, stream=name)


def main(job: Job) -> dict[str, Any]:
    """Our side: packed micro-batches, the whole learn step from rows to a new state."""
    from sharpen.learn.sft import SFT
    from sharpen.sample.policy import load_policy

    policy = load_policy(job["model"])
    rows = rows_of(job)
    trained({**job, "batch_rows": 2}, rows[:2], SFT(), policy=policy)
    clock = Clock()
    _, metrics = trained(job, rows, SFT(), policy=policy)
    spent = clock.read()
    tokens = int(sum(m["tokens"] for m in metrics))
    work = {"examples": len(rows), "tokens": tokens, "updates": len(metrics)}
    return {**spent, "unit": "tokens", "work": work, "loss": round(metrics[0]["loss"], 4)}


def job(smoke: bool, repeat: int, repeats: int) -> Job:
    """Each repeat takes its share of the examples; together they go through all of them once."""
    folder = inputs.model("smoke", inputs.SMOKE) if smoke else inputs.model("small", inputs.SMALL)
    examples = inputs.examples(40, longest=60) if smoke else inputs.examples(EXAMPLES)
    chosen = inputs.part(examples, repeat, repeats)
    return {
        "model": str(folder),
        "examples": chosen,
        "batch_rows": min(BATCH, len(chosen)),
        "tokens_per_microbatch": 4096,
        "lr": LR,
        "seed": repeat,
    }


def padded(*sizes: int) -> tuple[dict[str, Any], ...]:
    orders = ("random", "group_by_length")
    return tuple({"rows": rows, "order": order} for order in orders for rows in sizes)


W4 = Workload(
    "W4",
    "SFT: 2,000 examples, log-normal lengths (median 60, 95th percentile 300), one pass",
    job,
    ours("w4_sft.py"),
    (
        peer("TRL SFTTrainer, padded", "trl_sft.py", "trl", *padded(1, 2, 5, 10, 20), packing=False),
        peer(
            "TRL SFTTrainer, packed", "trl_sft.py", "trl", {"rows": 1}, {"rows": 2}, {"rows": 4}, packing=True
        ),
    ),
    {"TRL SFTTrainer, padded": 1.5, "TRL SFTTrainer, packed": 1.5},
    ("examples", "tokens"),
)

if __name__ == "__main__":
    run_side(main)
