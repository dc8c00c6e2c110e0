"""Strategies at equal token budgets: ``python experiments/strategies.py [--out DIR] [--jobs N]``.

Two families, three seeds: each is one run of ``sharpen eval`` on the base nano-2, which knows the roles that
the strategies ask. Every question may cost the same number of sampled tokens; a strategy that samples and
votes draws as many as fit. Controls: the majority of samples, and best of N with the task's own verifier.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from launch import base_of, perform, side_by_side, today, write
from regions import RESULTS

from sharpen.studio.strategies import read_strategies

BASE, SEEDS, QUESTIONS = "nano-2", 3, 300
LONG = "chain:level=3,min_ops=8,max_ops=10"
FAMILIES = {LONG: (192, 1536), "countdown:level=2": (64, 768)}
"""The families where they leave room (nano-2's card: chains of level 3 are nearly mastered, those of level 4
hardly begun, so these stand between), the longest reply and the budget, in tokens."""
MANY = 64
"""More samples than the budget has room for."""
BOTH = (
    "greedy",
    "direct",
    "zero_shot_cot",
    f"self_consistency:samples={MANY}",
    f"best_of_n:samples={MANY}",
    f"best_of_n:samples={MANY},by=logprob",
    f"borda:samples={MANY},power=1.2",
    "progressive_hint",
    "self_refine",
    "self_prm:samples=8",
    "stated_confidence",
    f"verified:samples={MANY}",
)
OF = {
    LONG: (
        "least_to_most",
        "self_verification:samples=4,checks=2",
        "program_of_thoughts",
        "pal:samples=8",
        "react:steps=14",
        "guided_beam:samples=4,levels=12",
    ),
    "countdown:level=2": (
        "tree_of_thoughts:thoughts=4,beam=3,votes=1",
        "tree_of_thoughts:thoughts=4,beam=3,by=random",
        "guided_beam:samples=4",
    ),
}


def command(tasks: str, folder: Path, seed: int) -> list[str]:
    """The run as a user would type it."""
    named = [word for s in (*BOTH, *OF[tasks]) for word in ("--strategy", s)]
    longest, budget = FAMILIES[tasks]
    settings = ["temperature=1", f"max_new_tokens={longest}", f"budget_tokens={budget}"]
    return [
        "sharpen", "eval", BASE, "--tasks", tasks, *named, "-n", str(QUESTIONS), *settings,
        "--out", str(folder), "--seed", str(seed),
    ]  # fmt: skip


def result(tasks: str, out: Path) -> dict[str, Any]:
    """One family's lines over all seeds."""
    folders = [folder_of(tasks, out, seed) for seed in range(SEEDS)]
    return {
        "tasks": tasks,
        "base": base_of(folders[0]),
        "command": shlex.join(command(tasks, Path("DIR"), 0)),
        "questions": QUESTIONS,
        "seeds": SEEDS,
        "budget": FAMILIES[tasks][1],
        "strategies": [line.to_json() for line in read_strategies(folders)],
    }


def folder_of(tasks: str, out: Path, seed: int) -> Path:
    """Where a run lies."""
    return out / f"{tasks.replace(':', '-')}-{seed}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    args = parser.parse_args()

    def one(job: tuple[str, int]) -> None:
        folder = folder_of(job[0], args.out, job[1])
        perform(command(job[0], folder, job[1]), folder)

    side_by_side([(tasks, seed) for seed in range(SEEDS) for tasks in FAMILIES], args.jobs, one)
    found = {
        "made_by": "python experiments/strategies.py",
        "date": today(),
        "families": [result(tasks, args.out) for tasks in FAMILIES],
    }
    write(RESULTS / f"strategies-{BASE}.json", found)


if __name__ == "__main__":
    main()
