"""Does a model get better by its own feedback? ``python experiments/self_evolution.py [--base nano]``

SELF, its baseline (the same refined answers alone; meta-skills alone are its own first stage), its parts off,
other ways to train, and the controls of its filter, for each seed. Runs are those of ``run.py``: one that is
finished is not run again, a stopped one is resumed. Writes ``results/self_evolution-BASE.json``, from which
``self_evolution_tables.py`` fills the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, arguments, chosen, study_of

from sharpen.recipes.self_evolution import Settings as Self
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
QUESTIONS = 500
"""Held-out questions that every way of inference answers."""
OURS, META, PAIRS, LONG = "SELF", "meta-skills alone", "D_QA", "D_QA, as many updates in all"
SHUFFLED, BLIND, GOLD = "verdicts shuffled", "random answers", "filter by gold"


def arms(model: str) -> tuple[Arm, ...]:
    """What is compared."""
    own = Self()
    common = (f"model={model}", f"inference={QUESTIONS}")
    every = (1 + own.rounds) * own.steps
    pairs = ("teach=qa", "rounds=0")
    settings = {
        OURS: (),
        PAIRS: pairs,
        LONG: (*pairs, f"steps={every}", f"optimizer.total_steps={every}"),
        "filter off": ("verdicts=off",),
        "every first answer": ("verdicts=off", "refinements=0"),
        "refinement off": ("refinements=0",),
        BLIND: ("verdicts=random",),
        SHUFFLED: ("verdicts=shuffled",),
        GOLD: ("verdicts=gold",),
        "one big round": ("rounds=1", f"queries={own.rounds * own.queries}"),
        "on mixed data": ("strategy=mixed",),
        "on the newest answers": ("strategy=newest",),
        "without lessons": ("alpha=0",),
        "its own prompts": ("prompts=own",),
    }
    return tuple(Arm(name, "self_evolution", (*common, *told)) for name, told in settings.items())


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: its rows, and by stage and way whether each question was right."""
    manifest = read_manifest(folder)
    keep = ("lessons", "evolution", "inference", "critic", "invented")
    rows = [
        {k: v for k, v in r.items() if k not in ("key", "step")}
        for r in manifest.metrics
        if r["name"] in keep
    ]
    found = ((k, r["stage"], r["strategy"]) for r in manifest.metrics if r["name"] == "inference"
             for k in (r["key"],))  # fmt: skip
    files = unit_files(folder)
    return {
        "rows": rows,
        "right": [
            {"stage": s, "strategy": w, "right": right(files[f"{k.rpartition('/')[0]}/score:0"])}
            for k, s, w in found
        ],
    }


def right(files: list[Path]) -> list[int]:
    """Whether each question's final answer is right; the other candidates were judged beside it."""
    judged = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
    pairs = zip(judged["key"], judged["score"], strict=True)
    return [int(score >= 1) for key, score in pairs if key.endswith("/answer-0")]


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="nano", seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(args.base), args.arms)
    study = study_of("self_evolution", args)
    study.perform(compared)
    study.record(args, arms(args.base), runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
