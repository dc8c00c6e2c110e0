"""Does a reward for brevity shorten, and spare what is needed? ``python experiments/efficiency_rl.py``

``[--base checks] [--jobs 2] [--seeds 3] [--arms "a;b"]``. The base with redundant checks is trained where it
is missing; every arm starts from it: the reward with brevity and its other forms, right answers alone, a
fixed price of a token, the shortest right answers learnt, and the controls. Runs are those of ``run.py``:
one that is finished is not run again, a stopped one is resumed. Writes ``results/efficiency_rl-checks.json``,
from which ``efficiency_rl_tables.py`` fills the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, arguments, chosen, study_of, trained
from steering import TRAINING

from sharpen.models.checks import TASKS
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
TRIED = 400
OURS, ALONE = "efficiency", "correctness alone"
SETTINGS = (
    f"tasks={TASKS}", "template=plain", "prefill=", "max_new_tokens=192", "queries=24", f"tried={TRIED}",
    "held_out=50", "held_out_sampled=10",  # each round's exam: the table rests on what is tried at the ends
)  # fmt: skip


def arms(base: Path) -> tuple[Arm, ...]:
    """What is compared."""
    kinds = {
        OURS: (),
        ALONE: ("form=none",),
        "price 0.002": ("form=penalty", "per_token=0.002"),
        "SFT on the shortest": ("learn=shortest",),
        "DPO, shortest against longest": ("learn=pairs", "optimizer.lr=5e-5"),
        "shuffled rewards": ("control=shuffled",),
        "not gated": ("gate=false",),
        "ratio": ("form=ratio",),
        "zscore": ("form=zscore",),
    }
    common = (f"model={base}", *SETTINGS)
    return tuple(Arm(name, "self_efficiency_rl", (*common, *more)) for name, more in kinds.items())


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: each round's accuracy and lengths, and counts by held-out question
    before and after."""
    counts = {}
    for key, files in unit_files(folder).items():
        if "/efficiency:" in key:
            table = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
            counts[key.split("/")[0].removeprefix("weighed-")] = {
                k: v for k, v in table.items() if k in ("samples", "right", "tokens", "degenerate")
            }
    practice = [r for r in read_manifest(folder).metrics if r["name"] == "practice"]
    return {
        "practice": [{k: r[k] for k in ("accuracy", "length", "ratio")} for r in practice],
        "counts": counts,
    }


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="checks", seeds=SEEDS)
    args = parser.parse_args()
    if args.base != "checks":
        parser.error(f"--base {args.base}: redundant checks are those of the base checks alone")
    base = trained(args.runs / "efficiency_steering" / "checks", *TRAINING)
    compared = chosen(parser, arms(base), args.arms)
    study = study_of("efficiency_rl", args)
    study.perform(compared)
    study.record(args, arms(base), runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
