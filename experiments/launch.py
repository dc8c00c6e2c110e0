"""Runs of the command, each one process of one thread: begun, resumed, told of in a result file."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from regions import RESULTS, Row

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


def seeds_of(text: str) -> range:
    """``5`` is the seeds 0 to 4, ``3-4`` the seeds 3 and 4. ArgumentTypeError for anything else."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)", text)
    if found is None or not range(int(found[1] or 0), int(found[2]) + bool(found[1])):
        raise ArgumentTypeError(f"{text!r} is neither a number of seeds nor a range such as 3-4")
    return range(int(found[1] or 0), int(found[2]) + bool(found[1]))


def study_of(name: str, args: Namespace) -> Study:
    """The study that the arguments describe."""
    return Study(args.runs / args.base / name, args.seeds, args.jobs)


def arguments(about: str | None, *, base: str, seeds: int) -> ArgumentParser:
    """The options of every study of arms and seeds."""
    parser = ArgumentParser(description=about)
    parser.add_argument("--base", default=base)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seeds", type=seeds_of, default=range(seeds), metavar="N|FIRST-LAST")
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    return parser


@dataclass(frozen=True)
class Study:
    """Runs of arms, for each seed, below ``root``: one that is finished is not run again, a stopped one is
    resumed."""

    root: Path
    seeds: Sequence[int]
    jobs: int = 1

    def folder(self, name: str, seed: int) -> Path:
        """Where an arm's run lies."""
        return self.root / re.sub(r"[^\w.+-]+", "_", name) / f"seed-{seed}"

    def extra(self, arm: Arm, seed: int) -> Settings:
        """The settings that come of the run before it."""
        return arm.after[1](self.folder(arm.after[0], seed), seed) if arm.after else ()

    def perform(self, *phases: Sequence[Arm]) -> None:
        """The arms of each phase, when those of the phase before are finished."""

        def one(job: tuple[Arm, int]) -> None:
            folder = self.folder(job[0].name, job[1])
            perform(command(job[0], self.extra(*job), folder, job[1]), folder)

        for arms in phases:
            side_by_side([(arm, seed) for seed in self.seeds for arm in arms], self.jobs, one)

    def record(self, args: Namespace, arms: Sequence[Arm], **told: Any) -> None:
        """Write the result file ``NAME-BASE.json``, named like the study's folder; see ``joined``."""
        name = self.root.name
        head = {"experiment": name, "base": args.base, "command": typed(name, args), "date": today()}
        add(RESULTS / f"{name}-{args.base}.json", {**head, **told}, arms)

    def told(self, arms: Sequence[Arm], collect: Callable[[Path], dict[str, Any]]) -> list[Row]:
        """What a result file keeps of every run: its arm, its heading, its command, what is collected."""
        return [
            {
                "arm": arm.name,
                **heading(self.folder(arm.name, seed), seed),
                "command": " ".join(command(arm, self.extra(arm, seed), Path("RUN"), seed)),
                **collect(self.folder(arm.name, seed)),
            }
            for arm in arms
            for seed in self.seeds
        ]


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


def joined(path: Path, result: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """``result`` with the runs that an earlier result file on the same base tells of and this one does not:
    arms and seeds may be run at different times. Every run says which code made it; arms are in ``order``."""
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if before.get("base") != result["base"]:
        return result
    both = dict(result)
    for name, runs in result.items():
        if isinstance(runs, list) and all("arm" in run for run in runs):
            new = {(run["arm"], run["seed"]) for run in runs}
            kept = [run for run in before.get(name, ()) if (run["arm"], run["seed"]) not in new]
            known = [run for run in (*kept, *runs) if run["arm"] in order]
            both[name] = sorted(known, key=lambda run: (order.index(run["arm"]), run["seed"]))
    commands = [before["command"], result["command"]]
    both["command"] = " && ".join(dict.fromkeys(" && ".join(commands).split(" && ")))
    return both


def typed(script: str, args: Namespace, *first: str) -> str:
    """The command as it was typed, but for where runs lie and how many at a time."""
    some = (f"--arms={args.arms}",) if args.arms else ()
    span = args.seeds
    seeds = str(len(span)) if span.start == 0 else f"{span.start}-{span.stop - 1}"
    words = [*first, f"--base={args.base}", f"--seeds={seeds}", *some]
    return shlex.join(["python", f"experiments/{script}.py", *words])


def write(path: Path, result: dict[str, Any]) -> None:
    """A result file, from which ``tables.py`` fills the pages."""
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n", "utf-8")
    print(f"{path} is written: now run tables.py")


def add(path: Path, result: dict[str, Any], arms: Sequence[Arm]) -> None:
    """A result file, with what an earlier one tells of other arms and seeds; see ``joined``."""
    write(path, joined(path, result, [arm.name for arm in arms]))
