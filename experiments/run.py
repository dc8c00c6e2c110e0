"""Run an experiment: ``python experiments/run.py demo [--jobs 2]``; its result is a file in ``results/``.

An experiment is a set of arms (a recipe with settings) over seeds. Every run is the command that a user would
type, one process of one thread each; a finished run is not run again, a stopped one is resumed. The result
file holds the commands, the base's checksum, per-round measures and per-question outcomes, so that
``tables.py`` needs nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serve import serving

from sharpen.recipes.b_star import Settings as BStar
from sharpen.recipes.grpo import Settings as Grpo
from sharpen.runs.manifest import read_manifest
from sharpen.runs.streams import stream
from sharpen.sample.policy import shipped
from sharpen.studio.items import COLUMNS, held_out_items

HERE = Path(__file__).parent
T1, UNIQUE = "accuracy_t1", "unique_correct"
COUNTS = ("n_samples", "rows", "updates", "tokens", "targets")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
Settings = tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """A recipe with settings; ``after`` computes further settings from another arm's finished run; where
    ``served``, vLLM's server has the base model and ``api.url`` is added."""

    name: str
    recipe: str
    settings: Settings = ()
    after: tuple[str, Callable[[Path, int], Settings]] | None = None
    served: bool = False


@dataclass(frozen=True)
class Experiment:
    """Arms that are compared over the same seeds."""

    seeds: int
    arms: tuple[Arm, ...]


def schedule_of(folder: Path) -> list[tuple[float, float]]:
    """The (temperature, threshold) that a B-STaR run chose, by round."""
    rows = [row for row in read_manifest(folder).metrics if row.get("name") == "balance"]
    return [(row["temperature"], row["threshold"]) for row in rows]


def shuffled(folder: Path, seed: int) -> Settings:
    """The same run's own schedule in another order."""
    chosen = schedule_of(folder)
    order = stream(seed, "experiment", "shuffled schedule").generator().permutation(len(chosen))
    return (f"schedule={[list(chosen[int(i)]) for i in order]}",)


def random_schedule(folder: Path, seed: int) -> Settings:
    """As many points drawn from the grid."""
    grid = [(t, tau) for t in BStar().temperatures for tau in BStar().thresholds]
    rng = stream(seed, "experiment", "random schedule").generator()
    picks = [grid[int(rng.integers(len(grid)))] for _ in schedule_of(folder)]
    return (f"schedule={[list(p) for p in picks]}",)


def with_base(base: str) -> dict[str, Experiment]:
    """The experiments on one base model."""
    model = (f"model={base}",)
    # more held-out questions than by default, for narrower intervals; what is trained on is the same
    closely = (*model, "held_out=2000", "held_out_sampled=500")

    demo = (
        Arm("online_rft", "online_rft", closely),
        Arm("shuffled rewards", "online_rft", (*closely, "control=shuffled")),
        Arm("random of n", "online_rft", (*closely, "control=random")),
        Arm("gold SFT", "sft", (*closely, "gold=4096")),
    )
    kin = tuple(Arm(name, name, closely) for name in ("star", "rest_em", "rft", "iterative_rft"))
    # as many attempts in all as B-STaR draws: its search takes monitored x temperatures questions a round
    searched = BStar().monitored * len(BStar().temperatures)
    equal = (*model, f"queries={BStar().queries + searched}")
    schedules = (
        Arm("b_star", "b_star", model),
        Arm("online RFT (T=1, tau=0)", "b_star", (*equal, "schedule=[[1.0,0.0]]")),
        *(
            Arm(f"fixed T={t} tau={tau}", "b_star", (*equal, f"schedule=[[{t},{tau}]]"))
            for t, tau in ((1.0, 0.8), (1.3, 0.8))
        ),
        Arm("random schedule", "b_star", equal, ("b_star", random_schedule)),
        Arm("shuffled schedule", "b_star", equal, ("b_star", shuffled)),
    )
    # in the environment of vLLM: make install-vllm
    served = ("engine=api", f"api.model={base}", "api.weights=lora", "api.rounding=0.001")
    engines = (
        Arm("native", "online_rft", model),
        Arm("vllm", "online_rft", (*model, "engine=vllm")),
        Arm("api", "online_rft", (*model, *served), served=True),
    )
    own = Grpo()
    # as many attempts in all; Online RFT's rounds are two, with two attempts a question
    attempts = own.rounds * own.queries * own.samples
    as_many = (f"queries={attempts // 4}", f"pool={max(attempts // 2, own.pool)}")
    dapo = ("loss.clip_high=0.28", "loss.normaliser=tokens", "loss.kl_coef=0", "refill=3")
    dr_grpo = ("advantage=group_mean", "loss.normaliser=constant", "loss.kl_coef=0")
    gradients = (
        Arm("grpo", "grpo", closely),
        Arm("grpo, shuffled rewards", "grpo", (*closely, "control=shuffled")),
        *(Arm(name, name, closely) for name in ("rloo", "reinforce", "ppo")),
        Arm("ppo, shuffled rewards", "ppo", (*closely, "control=shuffled")),
        Arm("dapo", "grpo", (*closely, *dapo)),
        Arm("dr. grpo", "grpo", (*closely, *dr_grpo)),
        Arm("online_rft, as many attempts", "online_rft", (*closely, *as_many)),
    )
    # a real language model on two cores: minutes a run, so one seed
    real = ("--config", "experiments/star.toml", *model)
    star = (
        Arm("star", "star", real),
        Arm("shuffled rewards", "star", (*real, "control=shuffled")),
    )
    return {
        "demo": Experiment(3, demo),
        "engines": Experiment(3, engines),
        "methods": Experiment(3, kin),
        "gradients": Experiment(5, gradients),
        "star": Experiment(1, star),
        "b_star": Experiment(5, schedules),
    }


def command(arm: Arm, extra: Settings, folder: Path, seed: int) -> list[str]:
    """What is run."""
    if (folder / "manifest.jsonl").exists():
        return ["resume", str(folder), *extra, "--plain", "--threads", "1"]
    return ["run", arm.recipe, *arm.settings, *extra, "--seed", str(seed), "--out", str(folder), "--plain",
            "--threads", "1"]  # fmt: skip


def mark_of(folder: Path) -> Path:
    """The mark of a finished run."""
    return folder.with_name(f"{folder.name}.done")


def perform(arm: Arm, extra: Settings, folder: Path, seed: int) -> None:
    """One run, unless it is finished."""
    mark = mark_of(folder)
    if mark.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", "sharpen", *command(arm, extra, folder, seed)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    mark.touch()
    print(f"{folder} {final(folder)}", flush=True)


def final(folder: Path) -> str:
    """The last held-out line, for whoever watches."""
    rows = [r for r in read_manifest(folder).metrics if r.get("name") == "held_out"]
    return " ".join(f"{100 * r['accuracy_greedy']:.1f}" for r in rows)


def collect(arm: Arm, extra: Settings, folder: Path, seed: int) -> dict[str, Any]:
    """What the result file keeps of a run."""
    manifest = read_manifest(folder)
    keep = ("held_out", "balance", "score", "learn", "sft")
    drop = ("losses", "table", "key", "step")
    rows = [{k: v for k, v in r.items() if k not in drop} for r in manifest.metrics if r.get("name") in keep]
    rows = blocks(rows)
    seconds = [json.loads(line)["seconds"] for line in (folder / "timing.jsonl").read_text().splitlines()]
    samples = sum(s["result"]["samples"] for k, s in manifest.steps.items() if "/sample:" in f"/{k}")
    ends = held_out_items(folder, {**COLUMNS, "unique": UNIQUE})
    attempts = rows[0]["n_samples"] // len(ends[T1]["base"])
    steps = {k: s["result"] for k, s in manifest.steps.items() if s["result"]}
    gaps = {k: s["logprob_gap"] for k, s in steps.items() if "logprob_gap" in s}
    return {
        "arm": arm.name,
        "seed": seed,
        **({"gaps": gaps} if gaps else {}),
        "command": " ".join(["sharpen", *command(arm, extra, Path("RUN"), seed)]),
        "base": manifest.steps["policy:0"]["result"]["version"],
        "code": manifest.header["code"],
        "seconds": round(sum(seconds)),
        "samples": samples,
        "rounds": rows,
        "items": {m: packed(by_end, attempts if m == T1 else 1) for m, by_end in ends.items()},
    }


def blocks(rows: list[dict[str, Any]], most: int = 6) -> list[dict[str, Any]]:
    """The rows in their order, those of a name that come every round merged into ``most`` blocks where there
    are more: counts are summed, other numbers averaged, ``round`` is the last one."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        size = 1 if name not in ("score", "learn") else -(-len(own) // most)
        found += [merged(own[i : i + size]) if size > 1 else own[i] for i in range(0, len(own), size)]
    return sorted(found, key=lambda row: row["round"])


def merged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of several; a number that some lack is left out."""
    out: dict[str, Any] = {"name": rows[0]["name"], "round": rows[-1]["round"], "rounds": len(rows)}
    for key in rows[0]:
        values = [row.get(key) for row in rows]
        if key in out or any(type(v) not in (int, float) for v in values):
            continue
        total = sum(v for v in values if v is not None)
        counted = key in COUNTS or key.startswith("selection_")
        out[key] = total if counted else float(f"{total / len(rows):.5g}")
    return out


def packed(ends: Mapping[str, Mapping[str, float]], of: int) -> dict[str, Any]:
    """Outcomes by question, each as a digit of base 36: what is counted out of ``of``."""
    digits = {end: "".join(DIGITS[round(v * of)] for v in values.values()) for end, values in ends.items()}
    return {"of": of, **digits}


def given(args: argparse.Namespace) -> list[str]:
    """What changes the result, as arguments."""
    limits = [f"--seeds={args.seeds}"] * bool(args.seeds) + [f"--arms={args.arms}"] * bool(args.arms)
    return [args.experiment, "--base", args.base, *limits]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=("demo", "engines", "methods", "gradients", "star", "b_star"))
    parser.add_argument("--base", default="nano")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seeds", type=int, default=0, help="fewer or more than the experiment's own")
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    args = parser.parse_args()
    experiment = with_base(args.base)[args.experiment]
    if args.arms:
        wanted = args.arms.split(";")
        known = {arm.name: arm for arm in experiment.arms}
        if unknown := [name for name in wanted if name not in known]:
            parser.error(f"unknown arm {unknown[0]!r}: {', '.join(known)}")
        experiment = replace(experiment, arms=tuple(known[name] for name in wanted))
    seeds = range(args.seeds or experiment.seeds)
    root = args.runs / args.base

    def folder(name: str, seed: int) -> Path:
        return root / name.replace(" ", "_").replace("/", "-").replace(",", "") / f"seed-{seed}"

    url = ""

    def extra(arm: Arm, seed: int) -> Settings:
        if arm.served:
            return (f"api.url={url}",) if url else ()
        return arm.after[1](folder(arm.after[0], seed), seed) if arm.after else ()

    def go(jobs: Sequence[tuple[Arm, int]]) -> None:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda j: perform(j[0], extra(*j), folder(j[0].name, j[1]), j[1]), jobs))

    go([(arm, seed) for seed in seeds for arm in experiment.arms if not arm.after and not arm.served])
    go([(arm, seed) for seed in seeds for arm in experiment.arms if arm.after])
    served = [(arm, seed) for seed in seeds for arm in experiment.arms if arm.served]
    if any(not mark_of(folder(arm.name, seed)).exists() for arm, seed in served):
        with serving(shipped()[args.base], args.base) as url:
            go(served)
        url = ""  # a chance of this moment, and no part of what was run
    found = [
        collect(arm, extra(arm, seed), folder(arm.name, seed), seed)
        for arm in experiment.arms
        for seed in seeds
    ]
    result = {
        "experiment": args.experiment,
        "base": args.base,
        "command": shlex.join(["python", "experiments/run.py", *given(args)]),
        "date": datetime.date.today().isoformat(),
        "runs": found,
    }
    path = HERE / "results" / f"{args.experiment}-{args.base}.json"
    path.write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
