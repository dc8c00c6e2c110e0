"""Does a judge get better by DPO on its own judgments? ``python experiments/self_rationalization.py``

``[--base nano] [--jobs 2] [--seeds 3] [--arms "a;b"]``. For each seed a seed judge is made; every arm starts
from it: pairs by gold, by majority, by a meta-judge, the controls of pairing, the baselines that learn the
same judgments otherwise, scores alone. Two further seed judges are made in other ways. Runs are those of
``run.py``: one that is finished is not run again, a stopped one is resumed. Writes
``results/self_rationalization-BASE.json``, from which ``self_rationalization_tables.py`` fills the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from launch import Arm, Settings, arguments, chosen, study_of

from sharpen.recipes.self_rationalization import Settings as SRE
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
SEED, OURS = "seed judge", "gold, margin 2"
SCORES, ALONE = f"{SEED}, scores alone", "scores alone"
"""What learns scores without reasons: by supervised learning, and by DPO."""
SHORT = ("votes=0",)
KEPT = ("pairs", "judge", "judge_vote", "judge_bare", "judge_swapped", "judge_pairs")


def judge_of(folder: Path, seed: int) -> Settings:
    """The settings that start from the judge that a finished run made."""
    learnt = list((folder / "checkpoints").glob("seed.learn*/final/policy"))
    merged = list((folder / "checkpoints").glob("seed.policy*/base"))
    (policy,) = merged or learnt
    return (f"model={policy}", "seed_judge.steps=0")


def seeds(model: str) -> tuple[Arm, ...]:
    """Judges that have learnt worked judgments alone; arms start from the first."""
    own = SRE().seed_judge.kind
    kinds = {SEED: own} | {
        f"{SEED}, {kind}": kind for kind in ("pointwise", "joint", "merged") if kind != own
    }
    common = (f"model={model}", "rounds=0")
    told = {name: (f"seed_judge.kind={kind}",) for name, kind in kinds.items()}
    told[SCORES] = ("seed_judge.bare=1",)
    return tuple(Arm(name, "self_rationalization", (*common, *some)) for name, some in told.items())


def arms(model: str) -> tuple[Arm, ...]:
    """What is compared."""
    told = {
        OURS: (),
        "gold, margin 1": ("margin=1", *SHORT),
        "majority": ("pairing=majority", *SHORT),
        "meta-judge": ("pairing=meta", *SHORT),
        "random pairs": ("pairing=random", *SHORT),
        "pairs turned round": ("pairing=swapped", *SHORT),
        "SFT on the chosen": ("learns=chosen", *SHORT),
        "SFT on best of N": ("learns=right", *SHORT),
        ALONE: ("reasons=false", *SHORT),
    }
    after = (SEED, judge_of)
    others = tuple(Arm(name, "self_rationalization", some, after) for name, some in told.items())
    return (*seeds(model), *others)


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: its rows, and every item's scores by round and set."""
    rows = [
        {k: v for k, v in r.items() if k not in ("key", "step")}
        for r in read_manifest(folder).metrics
        if r["name"] in KEPT
    ]
    items = []
    for key, files in unit_files(folder).items():
        scope, _, verb = key.rpartition("/")
        if verb.startswith("judging:"):
            parts = scope.split("/")
            r = int(parts[0].removeprefix("round-")) if parts[0].startswith("round-") else 0
            on = next(p for p in parts if p.startswith("judge-")).removeprefix("judge-")
            held = pq.read_table(files[0]).drop(["task_id"]).to_pydict()
            items.append(
                {"round": r, "on": on, **{k: held[k] for k in ("gold", "greedy", "bare") if k in held}}
            )
    return {"rows": rows, "items": items}


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="nano", seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(args.base), args.arms)
    first = [arm for arm in seeds(args.base)[:1] if any(a.after for a in compared)]
    study = study_of("self_rationalization", args)
    study.perform(first, compared)
    study.record(args, arms(args.base), runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
