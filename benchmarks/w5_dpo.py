"""W5, DPO: 500 pairs of answers of log-normal length, one pass, 20 pairs an update, the reference scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import inputs
import numpy as np
from measuring import Clock, apart, run_side
from w4_sft import trained
from workload import Job, Workload, ours, peer

PAIRS, BATCH = 500, 20


def rows_of(job: Job, policy: Any) -> list[Any]:
    """Two rows a pair with the reference's log-probabilities."""
    from sharpen.learn.rows import row_of_text
    from sharpen.sample.native import NativeEngine

    rows = []
    for i, pair in enumerate(job["pairs"]):
        for side, preferred in (("chosen", 1.0), ("rejected", 0.0)):
            row = row_of_text(pair["prompt"], pair[side], key=f"{i}/{side}")
            rows.append(replace(row, unit=f"pair-{i}", scalars={"preferred": preferred}))
    notes = NativeEngine().annotate(policy, [r.tokens for r in rows])
    return [
        replace(r, arrays={**r.arrays, "ref_logprob": np.where(r.arrays["weight"] != 0, n.logprobs, 0)})
        for r, n in zip(rows, notes, strict=True)
    ]


def main(job: Job) -> dict[str, Any]:
    """Our side: the reference's log-probabilities once, then a learn step on packed pairs."""
    from sharpen.learn.preference import Preference, PreferenceConfig
    from sharpen.sample.policy import load_policy

    policy, objective = load_policy(job["model"]), Preference(PreferenceConfig(beta=0.1))
    few = {**job, "pairs": job["pairs"][:1], "batch_rows": 2}
    trained(few, rows_of(few, policy), objective, policy=policy)
    clock = Clock()
    rows = rows_of(job, policy)
    scored = clock.read()
    _, metrics = trained(job, rows, objective, policy=policy)
    end = clock.read()
    work = {
        "pairs": len(job["pairs"]),
        "tokens": int(sum(m["tokens"] for m in metrics)),
        "answer_tokens": int(sum(m["targets"] for m in metrics)),
        "updates": len(metrics),
    }
    parts = apart(reference=scored, learn=end)
    loss = round(metrics[0]["loss"], 4)
    return {**end, "unit": "tokens", "parts": parts, "work": work, "loss": loss}


def job(smoke: bool, repeat: int, repeats: int) -> Job:
    """Each repeat takes its share of the pairs."""
    folder = inputs.model("smoke", inputs.SMOKE) if smoke else inputs.model("small", inputs.SMALL)
    pairs = inputs.pairs(20, longest=40) if smoke else inputs.pairs(PAIRS)
    chosen = inputs.part(pairs, repeat, repeats)
    return {
        "model": str(folder),
        "pairs": chosen,
        "batch_rows": 2 * min(BATCH, len(chosen)),
        "tokens_per_microbatch": 4096,
        "lr": 1e-6,
        "seed": repeat,
    }


W5 = Workload(
    "W5",
    "DPO: 500 pairs, answers of the same lengths, one pass, the reference scored once",
    job,
    ours("w5_dpo.py"),
    (peer("TRL DPOTrainer", "trl_dpo.py", "trl", *({"rows": rows} for rows in (1, 2, 4, 10))),),
    {"TRL DPOTrainer": 1.5},
    ("pairs", "tokens", "answer_tokens", "updates"),
)

if __name__ == "__main__":
    run_side(main)
