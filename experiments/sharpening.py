"""Does a model get better by learning what it finds likeliest itself?

``python experiments/sharpening.py [--base nano] [--jobs 2] [--seeds 3] [--arms "a;b"]``

For each seed two bases are warmed up: one whose thoughts are said in one way, so that its likeliest answer
is mostly a thought, and right; and an anti-aligned one whose thoughts begin with meaningless digits, so that
no thought is likely. Every arm starts from one of them. Runs are those of ``run.py``: one that is finished is
not run again, a stopped one is resumed. Writes ``results/sharpening-BASE.json``, from which
``sharpening_tables.py`` fills the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from launch import Arm, Settings, chosen, command, heading, perform, side_by_side, today, warmed, write
from regions import RESULTS

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


ONLINE = ("algorithm=online", "samples=1", "rounds=4", "steps=100")


def collect(arm: Arm, extra: Settings, folder: Path, seed: int) -> dict[str, Any]:
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
    return {
        "arm": arm.name,
        **heading(folder, seed),
        "command": " ".join(command(arm, extra, Path("RUN"), seed)),
        "rows": rows,
        "counts": counts,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="nano")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    args = parser.parse_args()
    compared = chosen(parser, arms(), args.arms)
    needed = {arm.after[0] for arm in compared if arm.after}
    before = [arm for arm in bases(args.base) if arm.name in needed]

    def folder(name: str, seed: int) -> Path:
        plain = "".join(c for c in name.replace(" ", "_") if c not in ",:=")
        return args.runs / args.base / "sharpening" / plain / f"seed-{seed}"

    def extra(arm: Arm, seed: int) -> Settings:
        return arm.after[1](folder(arm.after[0], seed), seed) if arm.after else ()

    def one(job: tuple[Arm, int]) -> None:
        place = folder(job[0].name, job[1])
        perform(command(job[0], extra(*job), place, job[1]), place)

    for some in (before, compared):
        side_by_side([(arm, seed) for seed in range(args.seeds) for arm in some], args.jobs, one)
    found = [collect(a, extra(a, s), folder(a.name, s), s) for a in compared for s in range(args.seeds)]
    given = f"--base {args.base} --seeds {args.seeds}" + (f" --arms '{args.arms}'" if args.arms else "")
    result = {
        "experiment": "sharpening",
        "base": args.base,
        "command": f"python experiments/sharpening.py {given}",
        "date": today(),
        "runs": found,
    }
    write(RESULTS / f"sharpening-{args.base}.json", result)


if __name__ == "__main__":
    main()
