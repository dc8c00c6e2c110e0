"""A run of 1,000,000 rollouts: opened, listed, queried and replayed, each in a process of its own.

The run is written once by the verbs that every recipe uses, over an engine that answers from a script, and
kept. Reading counts how often columns of tokens were asked for; a replay must not.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import inputs
import numpy as np
from measuring import HERE, OURS, Clock, Side, once, run_side, summary
from workload import Job

TASKS, SAMPLES, ROUNDS, TOKENS = 2_500, 16, 25, 12
LIMITS = {"open": 2.0, "list": 2.0, "query": 2.0, "replay": 10.0}
"""Seconds that each may take."""
MOST_MIB = 1024


def recipe(run: Any, job: Job) -> dict[str, int]:
    """Rounds of sampling, scoring and selecting; what selecting reads are columns."""
    from sharpen.sample.law import SamplingLaw
    from sharpen.select.above import above
    from sharpen.tasks.task import Task
    from sharpen.verbs.asking import Asking

    policy = run.policy(job["model"])
    asking, kept = Asking(max_new_tokens=TOKENS), 0
    verifier = EvenLength()
    for r in run.rounds(job["rounds"]):
        tasks = [Task(f"r{r}-{i}", f"question {i} of round {r}: ", "x") for i in range(job["tasks"])]
        groups = run.sample(policy, tasks, n=job["samples"], law=SamplingLaw(), asking=asking)
        groups = run.score(groups, verifier)
        kept += len(above(groups, 0.5, per_query=4))
    return {"rollouts": job["rounds"] * job["tasks"] * job["samples"], "selected": kept}


class EvenLength:
    """Right where the answer has an even length."""

    name = "even_length"

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": self.name}

    def __call__(self, *, task: Any, episode: Any) -> Any:
        from sharpen.score.verdict import Verdict

        return Verdict(float(len(episode.text) % 2 == 0), by=self.name)


def scripted() -> Any:
    """An engine that answers with letters from each request's own stream."""
    from sharpen.sample.episode import Completion, Finish

    class Scripted:
        exact, rounding = True, None

        def generate(self, policy: Any, requests: Any, *, batch: Any = None, on_progress: Any = None) -> Any:
            draw = requests[0].stream.generator()  # of a unit: cheap, and the same on every machine
            ids = draw.integers(40, 90, (len(requests), TOKENS)).astype(np.int32)
            sizes = draw.integers(2, TOKENS + 1, len(requests))
            numbers = np.full(TOKENS, -1.0, np.float32)
            return [
                Completion(row[:n], *(numbers[:n] for _ in range(4)), finish=Finish.LENGTH)
                for row, n in zip(ids, sizes.tolist(), strict=True)
            ]

        def annotate(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    return Scripted()


def performed(job: Job, *, fresh: bool) -> dict[str, int]:
    """Run the recipe in the folder, or run it again."""
    from sharpen.runs.journal import Journal
    from sharpen.verbs import sampling
    from sharpen.verbs.run import Run

    asked: list[Any] = []
    read = sampling.read_unit

    def counted(step: Any, i: int, columns: list[str] | None) -> Any:
        asked.append(columns)
        return read(step, i, columns)

    folder = Path(job["folder"])
    journal = (
        Journal.create(folder, {"recipe": "million", "seed": 0}, "")
        if fresh
        else Journal.open(folder, environment={})
    )
    # what stored groups read goes through here
    with journal, patch.object(sampling, "read_unit", counted), patch.object(sampling, "CHECKED", 0):
        done = recipe(Run(journal, seed=0, engine=scripted()), job)
    whole = sum(columns is None or "tokens" in columns for columns in asked)
    return {**done, "token_reads": whole, "column_reads": len(asked) - whole}


def query(job: Job) -> dict[str, Any]:
    """Rewards and lengths by round, and the longest right answer."""
    from sharpen.runs.store import rollouts

    table = rollouts(job["folder"])
    rows = table.aggregate("split_part(key, '/', 1) r, count(*) n, avg(score) score, avg(n_sampled) length")
    best = table.filter("score = 1").aggregate("max(n_sampled)").fetchall()
    return {"rounds": len(rows.fetchall()), "longest": best[0][0]}


def main(job: Job) -> dict[str, Any]:
    """One of: write, open, list, query, replay; libraries that every resume loads are loaded before."""
    verbs = job["what"] in ("write", "replay")
    if verbs:
        import sharpen.verbs.run  # noqa: F401
        from sharpen.runs.process import settle

        settle()  # as the command does
    clock = Clock()
    if verbs:
        found: dict[str, Any] = performed(job, fresh=job["what"] == "write")
    elif job["what"] == "open":
        from sharpen.runs.manifest import read_manifest

        found = {"steps": len(read_manifest(Path(job["folder"])).steps)}
    elif job["what"] == "list":
        from sharpen.runs.store import list_runs

        found = {"runs": len(list_runs(Path(job["folder"]).parent))}
    else:
        found = query(job)
    return {**clock.read(), **found}


def job(smoke: bool) -> Job:
    """The run's form and place."""
    tasks, rounds = (40, 2) if smoke else (TASKS, ROUNDS)
    folder = inputs.CACHE / "million" / ("smoke" if smoke else "full") / "run"
    model = str(inputs.model("smoke", inputs.SMOKE))
    return {"folder": str(folder), "model": model, "tasks": tasks, "samples": SAMPLES, "rounds": rounds}


def written(given: Job, threads: int) -> float | None:
    """Write the run where it is not there; the seconds that took."""
    done = Path(given["folder"]).parent / "done"
    if done.exists():
        return None
    shutil.rmtree(given["folder"], ignore_errors=True)
    Path(given["folder"]).parent.mkdir(parents=True, exist_ok=True)
    run = once(Side(OURS, HERE / "million.py"), {**given, "what": "write"}, threads=threads)
    done.touch()
    return run["seconds"]


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Each reading ``repeats`` times."""
    given = job(smoke)
    found: dict[str, Any] = {"rollouts": given["rounds"] * given["tasks"] * SAMPLES, "limits": LIMITS}
    found["write_seconds"] = written(given, threads)
    for what in LIMITS:
        turn = {**given, "what": what}
        runs = [once(Side(OURS, HERE / "million.py"), turn, threads=threads) for _ in range(repeats)]
        at, peak = summary([r["seconds"] for r in runs]), max(r["peak_mib"] for r in runs)
        print(
            f"million: {what} {at.median:.2f} s ({at.low:.2f} to {at.high:.2f}), {peak:,.0f} MiB", flush=True
        )
        found[what] = runs
    return found


if __name__ == "__main__":
    run_side(main)
