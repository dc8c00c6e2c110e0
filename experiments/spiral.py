"""SPIRAL's testbed: ``python experiments/spiral.py [--out DIR] [--jobs N] [--only ARM]``.

Claim A (a baseline for each role matters) and B (self-play against fixed opponents), on one hand of Kuhn
poker, which can be solved, and on tic-tac-toe, whose seats are worth very different amounts; five seeds an
arm, the same number of games in each. Controls: returns shuffled over games, and an expert's games learnt.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from regions import RESULTS

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.runs.manifest import read_manifest
from sharpen.runs.streams import stream

BASE, SEEDS = "nano", 5
KUHN = ("game=kuhn",)
TICTACTOE = (
    "game=tictactoe", "replies=0", 'measured_against=["random", "minimax:epsilon=0.3"]', "max_new_tokens=4",
    "warmup_thoughts=false",
)  # fmt: skip
ARMS: dict[str, tuple[str, ...]] = {
    "kuhn, RAE": KUHN,
    "kuhn, shared baseline": (*KUHN, "baseline=shared"),
    "kuhn, no baseline": (*KUHN, "baseline=none"),
    "kuhn, against random": (*KUHN, "opponent=random"),
    "kuhn, against itself as it began": (*KUHN, "opponent=frozen"),
    "kuhn, returns shuffled": (*KUHN, "control=shuffled"),
    "kuhn, an equilibrium's winning games": (
        *KUHN, "warmup_player=nash", "warmup_winners=true", "warmup_games=4000", "rounds=1",
    ),
    "tictactoe, RAE": TICTACTOE,
    "tictactoe, shared baseline": (*TICTACTOE, "baseline=shared"),
    "tictactoe, no baseline": (*TICTACTOE, "baseline=none"),
    "tictactoe, against random": (*TICTACTOE, "opponent=random"),
}  # fmt: skip
"""By name: what differs from the defaults."""
MEASURES = ("nash_conv", "nash_conv_average", "value", "random/won", "random/invalid", "frozen/won")
MEASURES += ("minimax:epsilon=0.3/won", "minimax:epsilon=0.3/drawn", "illegal")


def command(arm: str, folder: Path, seed: int) -> list[str]:
    """The run as a user would type it."""
    return [
        "sharpen",
        "run",
        "spiral",
        f"model={BASE}",
        *ARMS[arm],
        "--out",
        str(folder),
        "--seed",
        str(seed),
    ]


def folder_of(arm: str, seed: int, out: Path) -> Path:
    """Where a run lies."""
    return out / f"{arm.replace(', ', '-').replace(' ', '_')}-{seed}"


def perform(arm: str, seed: int, out: Path) -> None:
    """Run it, or resume it; a finished one costs nothing."""
    folder = folder_of(arm, seed, out)
    words = command(arm, folder, seed)
    if (folder / "manifest.jsonl").exists():
        words = ["sharpen", "resume", str(folder)]
    subprocess.run([sys.executable, "-m", *words, "--plain", "--threads", "1"], check=True)


def told(arm: str, seed: int, out: Path) -> dict[str, Any]:
    """What a run measured: its first and last contest, all contests by round, and how it learnt."""
    metrics = read_manifest(folder_of(arm, seed, out)).metrics
    rows = {
        name: [row for row in metrics if row["name"] == name] for name in ("contest", "self_play", "learn")
    }
    norms = np.array([row["grad_norm"] for row in rows["learn"] if row["round"] > 0])
    return {
        "seed": seed,
        "contests": rows["contest"],
        "length": [row["length"] for row in rows["self_play"]],
        "invalid": [row["invalid_share"] for row in rows["self_play"]],
        "entropy": [row["entropy"] for row in rows["self_play"]],
        # of its relative size: arms whose advantages are larger have larger gradients
        "grad_norm_mean": float(norms.mean()) if len(norms) else None,
        "grad_norm_variation": float(norms.std() / norms.mean()) if len(norms) else None,
    }


def summary(arm: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds at the end, with intervals, of everything that was measured."""
    found: dict[str, Any] = {}
    for name in MEASURES:
        first, last = ([run["contests"][i].get(name) for run in runs] for i in (0, -1))
        if any(v is None for v in last):
            continue
        before = [v for v in first if v is not None]
        found[name] = {"first": float(np.mean(before)) if before else None, **estimate(last, arm, name)}
    for name in ("length", "invalid", "entropy"):
        found[name] = estimate([float(np.mean(run[name][-20:])) for run in runs], arm, name)
    for name in ("grad_norm_mean", "grad_norm_variation"):
        found[name] = estimate([run[name] for run in runs], arm, name)
    return found


def estimate(values: list[Any], *names: str) -> dict[str, Any]:
    """Mean over seeds with its bootstrap interval, and the seeds' values."""
    array = np.array(values, dtype=np.float64)[:, None]
    mean, low, high = hierarchical_bootstrap(array, n=4000, stream=stream("spiral", *names))
    return {"mean": mean, "low": low, "high": high, "seeds": array[:, 0].tolist()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/spiral"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--only", action="append", choices=sorted(ARMS), help="run these arms alone")
    args = parser.parse_args()
    arms = args.only or list(ARMS)
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [(arm, seed) for seed in range(SEEDS) for arm in arms]
        list(pool.map(lambda job: perform(job[0], job[1], args.out), jobs))
    if args.only:
        return
    found = {
        "made_by": "python experiments/spiral.py",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "base": BASE,
        "arms": [
            {
                "arm": arm,
                "command": shlex.join(command(arm, Path("DIR"), 0)),
                "runs": (runs := [told(arm, seed, args.out) for seed in range(SEEDS)]),
                "summary": summary(arm, runs),
            }
            for arm in ARMS
        ],
    }
    path = RESULTS / f"spiral-{BASE}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
