"""A recipe in small, and a server that runs it in forked processes which may be killed.

Reads one job a line from standard input, ``{"folder", "fault", "rounds", "threshold"}``, runs it in a child
and answers ``{"status", "error"}``: the exit status (minus the signal when killed) and the error's text.
With the arguments FOLDER it runs the recipe once, in this process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from sharpen.errors import SharpenError
from sharpen.runs import faults
from sharpen.runs.journal import Journal
from sharpen.runs.step import Step
from sharpen.runs.store import kept

HEADER = {"recipe": "tiny", "seed": 7, "code": "c0", "versions": {"numpy": "1"}}
ENVIRONMENT = {"code": "c0", "versions": {"numpy": "1"}}
UNITS = 2
SAVES = 3


def sample(journal: Journal, weights: np.ndarray, name: str | None = None) -> tuple[Step, list[float]]:
    step = journal.begin("sample", {"weights": float(weights.sum()), "units": UNITS}, name=name)
    stream = step.stream(journal.header["seed"])
    values: list[float] = []
    for i in range(UNITS):
        table = step.unit(i)
        if table is None:
            draws = [float(stream.child(f"task-{i}", n).generator().random() + weights[0]) for n in range(3)]
            keys = [f"{step.key}/task-{i}/{n}" for n in range(3)]
            table = pa.table({"key": keys, "value": draws, "tokens": [[i, n] for n in range(3)]})
            step.write_unit(i, table)
        values += table["value"].to_pylist()
    if step.result is None:
        step.finish({"mean": float(np.mean(values))}, metrics=[{"mean": float(np.mean(values))}])
    return step, values


def learn(journal: Journal, weights: np.ndarray, values: list[float], threshold: float) -> np.ndarray:
    step = journal.begin("learn", {"values": values, "selection": {"threshold": threshold}})
    done, losses = 0, []
    if step.result is None:
        for tag in reversed(step.checkpoints()):
            if folder := step.load_checkpoint(tag):
                state = json.loads((folder / "state.json").read_text())
                done, losses = state["done"], state["losses"]
                weights = np.load(folder / "model" / "weights.npy")
                break
        for i in range(done, SAVES):
            noise = step.stream(journal.header["seed"]).child("dropout", i).generator().normal(size=4)
            weights = weights + noise * np.mean([v for v in values if v > threshold] or [0.0])
            losses.append(float(np.square(weights).sum()))
            faults.point("learn.microbatch")
            faults.point("learn.update.after")

            def write(folder: Path, weights: np.ndarray = weights, done: int = i + 1) -> None:
                (folder / "model").mkdir()
                np.save(folder / "model" / "weights.npy", weights)
                (folder / "state.json").write_text(json.dumps({"done": done, "losses": losses}))

            step.checkpoint(f"step-{i + 1}", write)
            step.drop_checkpoints(kept("last_2", step.checkpoints()))
        step.drop_checkpoints(kept("last_2", step.checkpoints()))
        metrics = [{"step": i, "loss": loss} for i, loss in enumerate(losses)]
        step.finish({"tag": f"step-{SAVES}"}, metrics=metrics)
    step.drop_checkpoints(kept("last_1", step.checkpoints()))
    folder = step.load_checkpoint((step.result or {})["tag"])
    if folder is None:
        raise SharpenError("damaged: resume")
    return np.load(folder / "model" / "weights.npy")


def recipe(journal: Journal, rounds: int = 2, threshold: float = 0.5) -> None:
    weights = np.zeros(4)
    for r in range(1, rounds + 1):
        with journal.scope(f"round-{r:04d}"):
            with journal.scope("balance"):
                sample(journal, weights, name="probe")
            _, values = sample(journal, weights)
            cut = journal.compute("cut", lambda v, t: min(max(v), t), values, threshold)
            weights = learn(journal, weights, values, cut)
            journal.observe("stop", lambda: False)


def start(folder: Path) -> Journal:
    """Create the run or take it up: what ``run`` and ``resume`` do."""
    if (folder / "manifest.jsonl").exists():
        return Journal.open(folder, environment=ENVIRONMENT)
    return Journal.create(folder, HEADER, "rounds = 2\n")


def run(folder: Path, **settings: float) -> None:
    with start(folder) as journal:
        recipe(journal, **settings)


def serve() -> None:
    pa.table({"warm": [1]})  # pulls in what pyarrow imports late, once instead of in every child
    np.random.Generator(np.random.Philox(key=0))
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            status = 1
            try:
                faults.arm(job.get("fault"))
                run(Path(job["folder"]), **job.get("settings", {}))
                status = 0
            except SharpenError as error:
                os.write(writer, str(error).encode())
                status = 2
            except BaseException as error:
                os.write(writer, repr(error).encode())
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as text:
            error = text.read()
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "error": error}), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1])) if len(sys.argv) > 1 else serve()
