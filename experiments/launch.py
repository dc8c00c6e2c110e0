"""Runs of the command, each one process of one thread: begun, resumed, told of in a result file."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from regions import Row

from sharpen.runs.manifest import read_manifest

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
Settings = tuple[str, ...]
Job = TypeVar("Job")


@dataclass(frozen=True)
class Arm:
    """A recipe with settings; ``after`` computes further settings from another arm's finished run; where
    ``served``, vLLM's server has the base model and ``api.url`` is added."""

    name: str
    recipe: str
    settings: Settings = ()
    after: tuple[str, Callable[[Path, int], Settings]] | None = None
    served: bool = False


def command(arm: Arm, extra: Settings, folder: Path, seed: int) -> list[str]:
    """An arm's run as a user would type it."""
    words = ["sharpen", "run", arm.recipe, *arm.settings, *extra]
    return [*words, "--seed", str(seed), "--out", str(folder)]


def warmed(folder: Path, seed: int) -> Settings:
    """The settings that start from the warmed-up base of a finished run."""
    (policy,) = (folder / "checkpoints").glob("*warmup*learn*/final/policy")
    return (f"model={policy}", "warmup.steps=0")


def call(module: str, *arguments: str) -> str:
    """What a module's command prints, on one thread. SystemExit with its last lines where it fails."""
    argv = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def trained(folder: Path, *model: str) -> Path:
    """The folder of a model that ``sharpen.models.make`` trains; it is trained where it is missing."""
    if not (folder / "made.json").exists():
        call("sharpen.models.make", *model, "--out", str(folder))
    return folder


def mark_of(folder: Path) -> Path:
    """The mark of a finished run."""
    return folder.with_name(f"{folder.name}.done")


def perform(words: Sequence[str], folder: Path, *, again: Settings = ()) -> Path:
    """The run of ``words`` in ``folder``: begun, or resumed with the settings ``again``, unless finished."""
    mark = mark_of(folder)
    if mark.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (folder / "manifest.jsonl").exists():
        words = ["sharpen", "resume", str(folder), *again]
    call(*words, "--plain", "--threads", "1")
    mark.touch()
    print(f"{folder} {_last(folder)}", flush=True)
    return folder


def _last(folder: Path) -> str:
    """The held-out accuracies, for whoever watches."""
    rows = [row for row in read_manifest(folder).metrics if row.get("name") == "held_out"]
    return " ".join(f"{100 * row['accuracy_greedy']:.1f}" for row in rows if "accuracy_greedy" in row)


def side_by_side(jobs: Sequence[Job], n: int, one: Callable[[Job], object]) -> None:
    """``one`` on every job, ``n`` at a time."""
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(one, jobs))


def chosen(parser: ArgumentParser, arms: Sequence[Arm], names: str) -> tuple[Arm, ...]:
    """The arms of these names, separated by semicolons; all without a name. Exits where one is unknown."""
    known = {arm.name: arm for arm in arms}
    wanted = names.split(";") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"unknown arm {unknown[0]!r}: {'; '.join(known)}")
    return tuple(known[name] for name in wanted)


def base_of(folder: Path) -> str:
    """The version of the model that a run begins with."""
    steps = read_manifest(folder).steps
    return next(line["result"]["version"] for key, line in steps.items() if key.startswith("policy:"))


def seconds_of(folder: Path) -> int:
    """What a run's steps took, or those of all runs below a folder."""
    lines = [line for path in folder.rglob("timing.jsonl") for line in path.read_text().splitlines()]
    return round(sum(json.loads(line)["seconds"] for line in lines))


def heading(folder: Path, seed: int) -> Row:
    """What is told of every run."""
    code = read_manifest(folder).header["code"]
    return {"seed": seed, "base": base_of(folder), "code": code, "seconds": seconds_of(folder)}


def today() -> str:
    """The date of a result, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def write(path: Path, result: dict[str, Any]) -> None:
    """A result file, from which ``tables.py`` fills the pages."""
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n", "utf-8")
    print(f"{path} is written: now run tables.py")
