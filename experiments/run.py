"""Run an experiment: ``python experiments/run.py demo [--jobs 2]``; its result is a file in ``results/``.

An experiment is a set of arms (a recipe with settings) over seeds. Every run is the command that a user would
type, one process of one thread each; a finished run is not run again, a stopped one is resumed. The result
file holds the commands, the base's checksum, per-round measures and per-question outcomes, so that
``tables.py`` needs nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import (
    Arm,
    Settings,
    Study,
    add,
    chosen,
    command,
    heading,
    mark_of,
    perform,
    seeds_of,
    side_by_side,
    today,
    typed,
)
from regions import RESULTS
from serve import serving

from sharpen.recipes.b_star import Settings as BStar
from sharpen.recipes.grpo import Settings as Grpo
from sharpen.runs.manifest import read_manifest
from sharpen.runs.streams import stream
from sharpen.sample.policy import shipped
from sharpen.studio.items import COLUMNS, held_out_items

T1, UNIQUE = "accuracy_t1", "unique_correct"
COUNTS = ("n_samples", "rows", "updates", "tokens", "targets")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


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


def collect(arm: Arm, extra: Settings, folder: Path, seed: int) -> dict[str, Any]:
    """What the result file keeps of a run."""
    manifest = read_manifest(folder)
    keep = ("held_out", "balance", "score", "learn", "sft")
    drop = ("losses", "table", "key", "step")
    rows = [{k: v for k, v in r.items() if k not in drop} for r in manifest.metrics if r.get("name") in keep]
    rows = blocks(rows)
    samples = sum(s["result"]["samples"] for k, s in manifest.steps.items() if "/sample:" in f"/{k}")
    ends = held_out_items(folder, {**COLUMNS, "unique": UNIQUE})
    attempts = rows[0]["n_samples"] // len(ends[T1]["base"])
    steps = {k: s["result"] for k, s in manifest.steps.items() if s["result"]}
    gaps = {k: s["logprob_gap"] for k, s in steps.items() if "logprob_gap" in s}
    return {
        "arm": arm.name,
        **heading(folder, seed),
        **({"gaps": gaps} if gaps else {}),
        "command": " ".join(command(arm, extra, Path("RUN"), seed)),
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=("demo", "engines", "methods", "gradients", "star", "b_star"))
    parser.add_argument("--base", default="nano")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seeds", type=seeds_of, help="fewer or more than the experiment's own; 3-4: those")
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    args = parser.parse_args()
    experiment = with_base(args.base)[args.experiment]
    arms = chosen(parser, experiment.arms, args.arms)
    args.seeds = seeds = args.seeds or range(experiment.seeds)
    study, url = Study(args.runs / args.base, seeds, args.jobs), ""
    folder = study.folder

    def extra(arm: Arm, seed: int) -> Settings:
        if arm.served:
            return (f"api.url={url}",) if url else ()
        return study.extra(arm, seed)

    def one(job: tuple[Arm, int]) -> None:
        arm, seed = job
        place, more = folder(arm.name, seed), extra(arm, seed)
        perform(command(arm, more, place, seed), place, again=more)

    own = [(arm, seed) for seed in seeds for arm in arms if not arm.after and not arm.served]
    after = [(arm, seed) for seed in seeds for arm in arms if arm.after]
    for jobs in (own, after):
        side_by_side(jobs, args.jobs, one)
    served = [(arm, seed) for seed in seeds for arm in arms if arm.served]
    if any(not mark_of(folder(arm.name, seed)).exists() for arm, seed in served):
        with serving(shipped()[args.base], args.base) as url:
            side_by_side(served, args.jobs, one)
        url = ""  # a chance of this moment, and no part of what was run
    found = [collect(arm, extra(arm, seed), folder(arm.name, seed), seed) for arm in arms for seed in seeds]
    result = {
        "experiment": args.experiment,
        "base": args.base,
        "command": typed("run", args, args.experiment),
        "date": today(),
        "runs": found,
    }
    add(RESULTS / f"{args.experiment}-{args.base}.json", result, experiment.arms)


if __name__ == "__main__":
    main()
