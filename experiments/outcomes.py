"""Result files read back: runs by arm, outcomes by seed and question, changes and paired differences."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from regions import RESULTS

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.runs.streams import stream

GREEDY, T1 = "accuracy_greedy", "accuracy_t1"
VARIED = "pass_k_4"
"""Pass@K-4 of a question with K attempts: 1 where four different ones are right."""

Interval = tuple[float, float, float]
"""Mean, low, high (95 %)."""
End = Literal["base", "final"]


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one arm, by seed."""

    name: str
    runs: tuple[dict[str, Any], ...]

    @property
    def seeds(self) -> list[int]:
        return [run["seed"] for run in self.runs]

    def outcomes(self, measure: str, end: End) -> NDArray[np.float64]:
        """``(seeds, questions)``, in 0 .. 1."""
        if measure == VARIED:
            return (self._counted("unique_correct", end) >= 4).astype(np.float64)
        return self._counted(measure, end)

    def _counted(self, measure: str, end: End) -> NDArray[np.float64]:
        rows = [
            [int(d, 36) / run["items"][measure]["of"] for d in run["items"][measure][end]]
            for run in self.runs
        ]
        return np.array(rows, dtype=np.float64)

    def rows(self, name: str) -> list[list[dict[str, Any]]]:
        """Each seed's metrics rows of this name, in the order of rounds."""
        return [[row for row in run["rounds"] if row["name"] == name] for run in self.runs]

    def mean(self, value: Callable[[dict[str, Any]], float]) -> float:
        """The mean over seeds of a number of a run."""
        return float(np.mean([value(run) for run in self.runs]))

    @property
    def final(self) -> float:
        """Mean final greedy accuracy."""
        return float(self.outcomes(GREEDY, "final").mean())

    @property
    def schedule(self) -> list[tuple[float, float]]:
        """The (temperature, threshold) pairs that the command gives; empty where it gives none."""
        found = re.search(r"schedule=(\[\[.*?\]\])", self.runs[0]["command"])
        return [tuple(pair) for pair in json.loads(found[1])] if found else []


@dataclass(frozen=True)
class Result:
    """One result file."""

    experiment: str
    base: str
    checksum: str
    command: str
    date: str
    arms: tuple[Arm, ...]

    @property
    def caption(self) -> str:
        """Where the numbers come from."""
        seeds = {len(arm.runs) for arm in self.arms}
        told = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{min(seeds)} seeds"
        told = "1 seed" if seeds == {1} else told
        row = self.arms[0].rows("held_out")[0][0]
        sampled = len(self.arms[0].runs[0]["items"][T1]["base"])
        exam = f"{row['n_questions']:,} held-out questions, {sampled:,} of them at T=1"
        return f"`{self.command}`, {told}, {exam}, base {self.base} ({self.checksum[:8]}), {self.date}."

    def arm(self, name: str) -> Arm:
        """The arm of this name. KeyError where there is none."""
        return {arm.name: arm for arm in self.arms}[name]


@cache
def read(experiment: str, base: str) -> Result | None:
    """A result file, None where the experiment has not been run on this base.

    ValueError where its runs do not start from one and the same base.
    """
    path = RESULTS / f"{experiment}-{base}.json"
    return result_of(json.loads(path.read_text("utf-8"))) if path.exists() else None


def result_of(found: dict[str, Any]) -> Result:
    """See ``read``."""
    bases = {run["base"] for run in found["runs"]}
    if len(bases) != 1:
        raise ValueError(f"{found['experiment']}: its runs start from {len(bases)} different bases")
    names = dict.fromkeys(run["arm"] for run in found["runs"])
    arms = tuple(Arm(name, tuple(r for r in found["runs"] if r["arm"] == name)) for name in names)
    return Result(found["experiment"], found["base"], bases.pop(), found["command"], found["date"], arms)


def change(arm: Arm, measure: str) -> Interval:
    """Final minus base, over seeds and questions."""
    return INTERVALS.of(arm.outcomes(measure, "final") - arm.outcomes(measure, "base"), measure)


def difference(a: Arm, b: Arm, measure: str) -> Interval:
    """Final value of ``a`` minus that of ``b``, paired by seed and question."""
    if a.seeds != b.seeds:
        raise ValueError(f"{a.name} and {b.name} were not run with the same seeds")
    return INTERVALS.of(a.outcomes(measure, "final") - b.outcomes(measure, "final"), measure)


class Intervals:
    """Bootstrap intervals by the digest of their values, kept in a file: each takes a second or more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, list[float]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.used: dict[str, list[float]] = {}

    def of(self, values: NDArray[np.float64], measure: str) -> Interval:
        """Mean, low and high over ``values`` ``(seeds, questions)``."""
        h = hashlib.blake2b(f"{measure} {values.shape} ".encode() + values.tobytes(), digest_size=16)
        key = h.hexdigest()
        if key not in self.used:
            self.used[key] = self.known.get(key) or compute(values, measure)
        mean, low, high = self.used[key]
        return mean, low, high

    def save(self) -> None:
        """Keep those that were asked for."""
        self.path.write_text(json.dumps(self.used, indent=0, sort_keys=True) + "\n", "utf-8")


def compute(values: NDArray[np.float64], measure: str) -> list[float]:
    """A bootstrap over seeds and questions. One stream, so the same draws for all arms."""
    return list(hierarchical_bootstrap(values, stream=stream("tables", measure)))


INTERVALS = Intervals(RESULTS / "intervals.json")


def samples(run: dict[str, Any]) -> tuple[int, int]:
    """Attempts drawn for training, and those drawn for anything else but the held-out questions (balance
    search, rationalization, validation, step labels)."""
    training = sum(row["n_samples"] for row in run["rounds"] if row["name"] == "score")
    held_out = sum(
        row["n_questions"] + row["n_samples"] for row in run["rounds"] if row["name"] == "held_out"
    )
    return training, run["samples"] - training - held_out


def learnt(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics rows of a run's learn steps."""
    return [row for row in run["rounds"] if row["name"] == "learn"]


def last(run: dict[str, Any], measure: str) -> float | None:
    """A held-out measure after the last round, None where it was not taken."""
    return [row for row in run["rounds"] if row["name"] == "held_out"][-1].get(measure)


def best_round(run: dict[str, Any]) -> float:
    """The highest held-out greedy accuracy of any round; round 0 is the base and does not count."""
    return max(row[GREEDY] for row in run["rounds"] if row["name"] == "held_out" and row["round"] > 0)


def fixed(arms: Sequence[Arm]) -> list[Arm]:
    """The arms with one (temperature, threshold) for all rounds."""
    return [arm for arm in arms if len(arm.schedule) == 1]
