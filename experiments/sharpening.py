"""Does a model get better by learning what it finds likeliest itself?

``python experiments/sharpening.py [--base nano] [--jobs 2] [--seeds 3] [--arms "a;b"]``

For each seed two bases are warmed up: one whose thoughts are said in one way, so that its likeliest answer
is mostly a thought, and right; and an anti-aligned one whose thoughts begin with meaningless digits, so that
no thought is likely. Every arm starts from one of them. Runs are those of ``run.py``: one that is finished is
not run again, a stopped one is resumed. Writes ``results/sharpening-BASE.json``, from which
``sharpening_tables.py`` fills the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from launch import Arm, arguments, chosen, study_of, warmed

from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
ALIGNED, ANTI = "warm-up", "warm-up, anti-aligned"
BASES = {
    ALIGNED: ("warmup.think=0.4",),
    ANTI: ("warmup.think=0.6", "warmup.scratch=3"),
}
"""Warmed-up bases."""


def bases(model: str) -> tuple[Arm, ...]:
    """The warmed-up bases: an update follows, which no one goes on from."""
    short = ("queries=2", "samples=1", "steps=1", "sharp_questions=0", "held_out=10", "keep=all")
    return tuple(Arm(name, "sharpening", (f"model={model}", *short, *how)) for name, how in BASES.items())


def arms() -> tuple[Arm, ...]:
    """What is compared."""
    aligned, anti = (ALIGNED, warmed), (ANTI, warmed)
    return (
        Arm("SFT", "sharpening", (), aligned),
        Arm("SFT, N=8", "sharpening", ("samples=8",), aligned),
        Arm("SFT, N=1", "sharpening", ("samples=1",), aligned),
        Arm("SFT, random of like lengths", "sharpening", ("control=random",), aligned),
        Arm("SFT by lennorm", "sharpening", ("by=lennorm",), aligned),
        Arm("SFT by majority", "sharpening", ("by=majority",), aligned),
        Arm("adaptive", "sharpening", ("algorithm=adaptive", "samples=128"), aligned),
        Arm("offline", "sharpening", ("algorithm=offline", "samples=8"), aligned),
        Arm("online", "sharpening", (*ONLINE, "preference.optimism=0.001"), aligned),
        Arm("online, no optimism", "sharpening", ONLINE, aligned),
        Arm("anti-aligned: SFT", "sharpening", (), anti),
        Arm("anti-aligned: SFT by lennorm", "sharpening", ("by=lennorm",), anti),
        Arm("anti-aligned: SFT by majority", "sharpening", ("by=majority",), anti),
    )


ONLINE = ("algorithm=online", "samples=1", "rounds=4", "steps=150")


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: its rows, and shares of right answers by held-out question."""
    keep = ("sharpness", "best_of", "cooled", "labels", "adaptive", "validation")
    drop = ("key", "step")
    rows = [
        {k: v for k, v in r.items() if k not in drop}
        for r in read_manifest(folder).metrics
        if r["name"] in keep
    ]
    counts = {}
    for key, files in unit_files(folder).items():
        scope, _, verb = key.rpartition("/")
        if verb.startswith("sharpness:") and scope.startswith(("base-held_out", "sharpened-held_out")):
            counts[scope.partition("-")[0]] = pq.read_table(files[0]).drop(["task_id"]).to_pydict()
    return {"rows": rows, "counts": counts}


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="nano", seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(), args.arms)
    needed = {arm.after[0] for arm in compared if arm.after}
    study = study_of("sharpening", args)
    study.perform([arm for arm in bases(args.base) if arm.name in needed], compared)
    study.record(args, arms(), runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
