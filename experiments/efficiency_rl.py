"""Self-rewarded efficiency RL on the base with redundant checks: ``python experiments/efficiency_rl.py``.

Trains the base where it is missing, runs every arm over the seeds, and writes
``results/self_efficiency_rl-checks.json``, from which ``tables.py`` fills the page. Runs are those of
``run.py``: a finished one is not run again, a stopped one is resumed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, command, heading, perform, side_by_side, today, trained, write
from numpy.typing import NDArray
from regions import RESULTS, Row, markdown, regions_of
from steering import TRAINING

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.models.checks import TASKS, needs_check
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.tasks.registry import make

RESULT = RESULTS / "self_efficiency_rl-checks.json"
TRIED = 400
SETTINGS = (
    f"tasks={TASKS}", "template=plain", "prefill=", "max_new_tokens=192", "queries=24", f"tried={TRIED}",
)  # fmt: skip
Values = NDArray[np.float64]


def arms(base: Path) -> tuple[Arm, ...]:
    """What is compared."""
    settings = (f"model={base}", *SETTINGS)
    kinds = {
        "efficiency": (),
        "not gated": ("gate=false",),
        "ratio": ("form=ratio",),
        "zscore": ("form=zscore",),
        "correctness alone": ("form=none",),
        "price 0.002": ("form=penalty", "per_token=0.002"),
        "SFT on the shortest": ("learn=shortest",),
        "DPO, shortest against longest": ("learn=pairs", "optimizer.lr=5e-5"),
        "shuffled rewards": ("control=shuffled",),
    }
    return tuple(Arm(name, "self_efficiency_rl", (*settings, *more)) for name, more in kinds.items())


def collect(arm: Arm, folder: Path, seed: int) -> Row:
    """What the result file keeps of a run: its rows, and counts by held-out question before and after."""
    manifest = read_manifest(folder)
    counts = {}
    for key, files in unit_files(folder).items():
        if "/efficiency:" in key:
            table = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
            counts[key.split("/")[0].removeprefix("weighed-")] = {
                k: v for k, v in table.items() if k in ("samples", "right", "tokens", "degenerate")
            }
    practice = [r for r in manifest.metrics if r["name"] == "practice"]
    return {
        "arm": arm.name,
        **heading(folder, seed),
        "command": " ".join(command(arm, (), Path("RUN"), seed)),
        "practice": [{k: r[k] for k in ("accuracy", "length", "ratio")} for r in practice],
        "counts": counts,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments/self_efficiency_rl"))
    parser.add_argument("--base", type=Path, help="a folder with the base, already trained")
    args = parser.parse_args()
    base = trained(args.base or args.runs.parent / "efficiency_steering" / "checks", *TRAINING)
    jobs = [(arm, seed) for seed in range(args.seeds) for arm in arms(base)]

    def folder(arm: Arm, seed: int) -> Path:
        return args.runs / arm.name.replace(" ", "_") / f"seed-{seed}"

    def one(job: tuple[Arm, int]) -> None:
        perform(command(job[0], (), folder(*job), job[1]), folder(*job))

    side_by_side(jobs, args.jobs, one)
    result = {
        "command": f"python experiments/efficiency_rl.py --seeds {args.seeds}",
        "date": today(),
        "runs": [collect(arm, folder(arm, seed), seed) for arm, seed in jobs],
    }
    write(RESULT, result)


# tables ----------------------------------------------------------------------------------------------
def each(runs: list[Row], end: str, name: str) -> Values:
    """``name`` an answer, by seed and question."""
    return np.array([np.array(r["counts"][end][name]) / r["counts"][end]["samples"] for r in runs])


def table(found: Row) -> str:
    """Accuracy and tokens of every arm: on all held-out questions, and where a check is needed."""
    names = list(dict.fromkeys(run["arm"] for run in found["runs"]))
    needed = np.array([needs_check(t) for t in make(TASKS).take("test", TRIED)])
    rows = []
    for kind, mask in (("all", np.ones(TRIED, bool)), ("a check is needed", needed)):
        for name in ("untouched", *names):
            runs = [r for r in found["runs"] if r["arm"] == (names[0] if name == "untouched" else name)]
            ends = "base" if name == "untouched" else "final"
            right, tokens, bad = (each(runs, ends, k)[:, mask] for k in ("right", "tokens", "degenerate"))
            base = {k: each(runs, "base", k)[:, mask] for k in ("right", "tokens")}
            changes = ["", ""]
            if name != "untouched":
                saved = (base["tokens"] - tokens) / base["tokens"].mean()
                changes = [
                    _span(saved, f"{kind} {name} tokens"),
                    _span(right - base["right"], f"{kind} {name}"),
                ]
            numbers = [f"{tokens.mean():.1f}", changes[0], f"{100 * right.mean():.1f}", changes[1]]
            rows.append([kind, name, *numbers, f"{100 * bad.mean():.1f}"])
    heads = ["questions", "arm", "tokens", "saved, %", "accuracy, %", "change, points", "degenerate, %"]
    seeds, version = len({r["seed"] for r in found["runs"]}), found["runs"][0]["base"][:8]
    return (
        f"{markdown(heads, rows, left=2)}\n\n{TRIED} held-out questions, {int(needed.sum())} of them need a "
        "check; changes against the untouched base, paired by question, with a 95 % interval (bootstrap over "
        f"seeds and questions). `{found['command']}`, {seeds} seeds, base `checks` ({version}), "
        f"{found['date']}."
    )


def _span(values: Values, name: str) -> str:
    found = hierarchical_bootstrap(values, stream=stream("efficiency_rl", name), n=2000)
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in found))


REGIONS = regions_of(RESULT, "python experiments/efficiency_rl.py", {"efficiency_rl": table})
"""The region of ``docs/methods/self_efficiency.md``."""


if __name__ == "__main__":
    main()
