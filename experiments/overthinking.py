"""Overthinking on the broken register machine: ``python experiments/overthinking.py [--seeds 3]``.

Trains the base where it is missing (a quarter of an hour on one core). Each knob value and seed is one run
of ``sharpen eval``; its attempts are read back from the store, and all selectors are computed from them.
Writes ``results/overthinking-machine.json``, from which ``tables.py`` fills the page. A finished run is not
repeated.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attempts import Stored, Try, stored_calls, tries
from launch import heading, perform, today, trained, write
from numpy.typing import NDArray
from regions import RESULTS

from sharpen.measure.overthinking import lowest_at_k
from sharpen.measure.passk import pass_at_k
from sharpen.models.machines import TASKS
from sharpen.runs.streams import Stream
from sharpen.strategies.words import MACHINES
from sharpen.tasks.machine import Machine

RESULT = RESULTS / "overthinking-machine.json"
TRAINING = ("machines",)
MAIN, QUESTIONS, ATTEMPTS = 5, 500, 4
"""The policy of the within-policy test, its questions, and attempts at each."""
OTHERS, FEWER = (1, 3, 7, 9), 100
"""Further policies for the line between policies, and their questions, attempted once each."""
STOP = ("\n",)
STEPS = 12


def strategy(knob: int) -> str:
    """What a policy is asked by."""
    return f"least_overthinking:attempts={ATTEMPTS if knob == MAIN else 1}"


def command(base: str, knob: int, seed: int, folder: Path, split: str = "test") -> list[str]:
    """The run as a user would type it."""
    n = QUESTIONS if knob == MAIN else FEWER
    return [
        "sharpen", "eval", base, "--tasks", TASKS, "--strategy", strategy(knob), "-n", str(n),
        f"system={knob}", "words=machines", "temperature=1", "max_new_tokens=64", f"stop={json.dumps(STOP)}",
        f"split={split}", "--out", str(folder), "--seed", str(seed),
    ]  # fmt: skip


def collect(base: Path, folder: Path, knob: int, seed: int, split: str) -> dict[str, Any]:
    """A run's attempts, and what it is."""
    from sharpen.sample.policy import load_policy

    policy, source = load_policy(str(base)), Machine(level=1)
    found, stored = [], stored_calls(folder, strategy(knob))
    n = ATTEMPTS if knob == MAIN else 1
    for task in source.take(split, QUESTIONS if knob == MAIN else FEWER):
        desk = Stored(policy, stored[task.id], str(knob), STOP)
        found.append(tries(task, source, desk, MACHINES, steps=STEPS, n=n))
    columns = {name: [[getattr(t, name) for t in row] for row in found] for name in Try._fields}
    return {**heading(folder, seed), "knob": knob, "split": split, "attempts": columns}


# what is computed from the attempts ----------------------------------------------------------------
Table = Mapping[str, Any]
"""A run's attempts: per column of ``Try`` a list over questions of lists over attempts."""
SELECTORS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "overthinking": lambda t: t["score"],
    "disengaged alone": lambda t: t["disengaged"],
    "shortest": lambda t: t["turns"],
    "fewest reasoning tokens": lambda t: t["reasoning"],
    "reasoning per action": lambda t: t["ratio"],
    "log-probability": lambda t: [-x for x in t["logprob"]],
    "random": lambda t: [0] * len(t["right"]),
}
"""Scores of a question's attempts; the lowest is taken."""


def chosen_at(attempts: Table, k: int, selector: str, shuffle: Stream | None = None) -> NDArray[np.float64]:
    """Each question's expected success of the attempt that a selector takes of k, float64 ``(questions,)``.

    Args:
        shuffle: permutes each question's scores over its attempts: a control.
    """
    rng = shuffle.generator() if shuffle else None
    out = []
    for i in range(len(attempts["right"])):
        row = {name: values[i] for name, values in attempts.items()}
        scores = list(SELECTORS[selector](row))
        if rng is not None:
            scores = [scores[j] for j in rng.permutation(len(scores))]
        out.append(lowest_at_k(scores, row["right"], k))
    return np.array(out)


def any_of(attempts: Table, k: int) -> NDArray[np.float64]:
    """Each question's pass@k, float64 ``(questions,)``."""
    return np.array([pass_at_k(len(row), sum(row), k) for row in attempts["right"]])


def bands(runs: Sequence[Table]) -> list[tuple[str, int, int, int]]:
    """Attempts and successes by band of the score: (name, lowest score, attempts, right)."""
    pairs = [(s, r) for t in runs for ss, rs in zip(t["score"], t["right"], strict=True)
             for s, r in zip(ss, rs, strict=True)]  # fmt: skip
    found = []
    for low, high in ((0, 3), (4, 7), (8, 10)):
        inside = [r for s, r in pairs if low <= s <= high]
        found.append((f"{low} to {high}", low, len(inside), sum(inside)))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments/overthinking"))
    parser.add_argument("--base", type=Path, help="a folder with the base, already trained")
    parser.add_argument("--split", choices=("test", "dev"), default="test")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    base = trained(args.base or args.runs / "machines")
    found = []
    for seed in range(args.seeds):
        for knob in (MAIN, *OTHERS):
            folder = args.runs / f"{args.split}-knob-{knob}-seed-{seed}"
            perform(command(str(base), knob, seed, folder, args.split), folder)
            found.append(collect(base, folder, knob, seed, args.split))
    result = {
        "command": f"python experiments/overthinking.py --seeds {args.seeds}",
        "training": f"python -m sharpen.models.make {' '.join(TRAINING)}",
        "run": shlex.join(command("machines", MAIN, 0, Path("DIR"))),
        "date": today(),
        "runs": found,
    }
    write(args.out, result)


if __name__ == "__main__":
    main()
