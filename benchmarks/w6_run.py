"""W6, a whole default run: ``sharpen run b_star`` against the same recipe in one plain script.

Both are timed from the start of the process to its end, everything included: imports, questions, sampling,
verifying, selecting, learning, held-out exams; ours also writes its journal, rollouts and checkpoints.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from measuring import Clock, run_side
from workload import Job, Workload, ours, peer


def command(job: Job, folder: Path) -> list[str]:
    """What a user types."""
    tiny = ["--tiny"] if job["smoke"] else []
    seed = ["--seed", str(job["seed"])]
    return [sys.executable, "-m", "sharpen", "run", "b_star", "--out", str(folder), "--plain", *seed, *tiny]


def main(job: Job) -> dict[str, Any]:
    """Our side."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        folder = Path(name) / "run"
        clock = Clock()
        subprocess.run(command(job, folder), check=True)
        spent = clock.read()
        return {**spent, "unit": "runs", "work": done(folder), "ledger": ledger(folder)}


def done(folder: Path) -> dict[str, Any]:
    """What the run did, counted from its journal."""
    from sharpen.runs.manifest import read_manifest

    manifest, work = read_manifest(folder), defaultdict(int)
    for key, line in manifest.steps.items():
        verb, result = key.rpartition("/")[2].partition(":")[0], line["result"]
        if verb == "sample":
            work["answers"] += result["samples"]
            work["tokens"] += result["tokens"]
        if verb == "learn":
            work["updates"] += line["inputs"]["learn"]["steps"]
            work["rows"] += line["inputs"]["learn"]["steps"] * line["inputs"]["learn"]["batch_rows"]
    scores = [row["accuracy_greedy"] for row in manifest.metrics if row.get("name") == "held_out"]
    return {"runs": 1, **work, "base": scores[0], "final": scores[-1]}


def ledger(folder: Path) -> dict[str, float]:
    """Seconds of the run by verb, from its ``timing.jsonl``."""
    import json

    spent: dict[str, float] = defaultdict(float)
    for line in (folder / "timing.jsonl").read_text().splitlines():
        row = json.loads(line)
        verb = row["key"].rpartition("/")[2].partition(":")[0]
        held_out = "held_out" in row["key"].split("/")
        spent[f"{verb} (held out)" if held_out and verb != "measure" else verb] += row["seconds"]
    return {verb: round(s, 3) for verb, s in spent.items()}


def job(smoke: bool, repeat: int, repeats: int) -> Job:
    """The recipe's own settings, for the script to follow."""
    from sharpen.recipes.b_star import Settings
    from sharpen.runs.config import load
    from sharpen.sample.policy import shipped

    config = load(Settings, tiny=smoke)
    model = str(shipped()[config.model])
    return {"smoke": smoke, "seed": repeat, "model": model, "config": config.model_dump(mode="json")}


def short(smoke: bool, repeat: int, repeats: int) -> Job:
    """One round of it: enough to compare batches by."""
    given = job(smoke, repeat, repeats)
    return {**given, "config": {**given["config"], "rounds": 1}}


CHOICES = tuple(
    {"batch": batch, "cache": cache, "pack": pack}
    for batch, cache, pack in (
        (256, "static", 2048),
        (128, "static", 2048),
        (512, "static", 2048),
        (256, "default", 2048),
        (256, "static", 1024),
        (256, "static", 4096),
        (256, "static", 0),
    )
)
"""Sequences sampled at a time, the cache, and tokens of a packed row; 0 pads instead."""

W6 = Workload(
    "W6",
    "a whole default run: `sharpen run b_star`",
    job,
    ours("w6_run.py"),
    (peer("one plain script", "plain_b_star.py", "trl", *CHOICES),),
    {"one plain script": 2.0},
    ("answers", "updates", "rows"),
    tuned_on=short,
    fresh=True,
)

if __name__ == "__main__":
    run_side(main)
