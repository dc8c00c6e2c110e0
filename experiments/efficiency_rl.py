"""Self-rewarded efficiency RL on the base with redundant checks: ``python experiments/efficiency_rl.py``.

Trains the base where it is missing, runs every arm over the seeds, and writes
``results/self_efficiency_rl-checks.json``, from which ``tables.py`` fills the page. Runs are those of
``run.py``: a finished one is not run again, a stopped one is resumed.
"""

from __future__ import annotations

import argparse
import datetime
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from regions import RESULTS, markdown
from run import Arm, command, perform
from steering import trained

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
Row = dict[str, Any]
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
    seconds = [json.loads(line)["seconds"] for line in (folder / "timing.jsonl").read_text().splitlines()]
    practice = [r for r in manifest.metrics if r["name"] == "practice"]
    return {
        "arm": arm.name,
        "seed": seed,
        "command": " ".join(["sharpen", *command(arm, (), Path("RUN"), seed)]),
        "base": manifest.steps["policy:0"]["result"]["version"],
        "code": manifest.header["code"],
        "seconds": round(sum(seconds)),
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
    base = trained(args.base or args.runs.parent / "efficiency_steering" / "checks")
    jobs = [(arm, seed) for seed in range(args.seeds) for arm in arms(base)]

    def folder(arm: Arm, seed: int) -> Path:
        return args.runs / arm.name.replace(" ", "_") / f"seed-{seed}"

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: perform(job[0], (), folder(*job), job[1]), jobs))
    result = {
        "command": f"python experiments/efficiency_rl.py --seeds {args.seeds}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "runs": [collect(arm, folder(arm, seed), seed) for arm, seed in jobs],
    }
    RESULT.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(f"{RESULT} is written: now run tables.py")


# tables ----------------------------------------------------------------------------------------------
@cache
def read() -> Row | None:
    """The result file, None where nothing was run."""
    return json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else None


def each(runs: list[Row], end: str, name: str) -> Values:
    """``name`` an answer, by seed and question."""
    return np.array([np.array(r["counts"][end][name]) / r["counts"][end]["samples"] for r in runs])


def table() -> str:
    """Accuracy and tokens of every arm: on all held-out questions, and where a check is needed."""
    found = read()
    if found is None:
        return "Not measured yet: run `python experiments/efficiency_rl.py`."
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


REGIONS = {"efficiency_rl": table}
"""The region of ``docs/methods/self_efficiency.md``."""


if __name__ == "__main__":
    main()
