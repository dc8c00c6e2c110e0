"""Does a moving c1 pay? ``python experiments/auto_cei.py [--base nano] [--jobs 2] [--seeds 3]``

Auto-CEI, and against it c1 fixed and walking at random for as many rounds of expert iteration, refusals paid
the same or by another's length, expert iteration that cannot refuse, R-Tuning alone and after that,
preferences (RLKF), and supervised learning. Runs are those of ``run.py``: one that is finished is not run
again, a stopped one is resumed. Writes ``results/auto_cei-BASE.json``, from which ``auto_cei_tables.py``
fills the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, Settings, arguments, chosen, study_of

from sharpen.recipes.auto_cei import Settings as AutoCEI
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
OURS = "Auto-CEI"
KEPT = ("scale", "climb", "validation", "attempts", "reliability", "reliability_at", "reliability_depth")


def as_many_rounds(folder: Path, seed: int) -> Settings:
    """As many rounds of expert iteration as a finished run of Auto-CEI had."""
    done = sum(row["name"] == "attempts" for row in read_manifest(folder).metrics)
    return (f"rounds={done}",)


def arms(model: str) -> tuple[Arm, ...]:
    """What is compared."""
    matched = (OURS, as_many_rounds)

    def arm(name: str, *settings: str, free: bool = False) -> Arm:
        return Arm(name, "auto_cei", (f"model={model}", *settings), None if free else matched)

    return (
        arm(OURS, free=True),
        arm("c1 fixed", "curriculum=fixed"),
        arm("c1 at random", "curriculum=random_walk"),
        arm("refusals worth 0", "curriculum=fixed", "refusal_reward=constant"),
        arm("lengths shuffled", "refusal_reward=shuffled"),
        arm("EI", "variant=ei"),
        arm("EI, then R-Tuning", "variant=ei_r_tuning"),
        arm("R-Tuning", "variant=r_tuning", free=True),
        arm("RLKF", "variant=rlkf", free=True),
        arm("SFT", "variant=sft", free=True),
        arm("Auto-CEI, lambda 0.5", "lam=0.5", free=True),
    )


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: its rows, and the final answers question by question."""
    metrics = read_manifest(folder).metrics
    rows = [{k: v for k, v in r.items() if k not in ("key", "step")} for r in metrics if r["name"] in KEPT]
    [files] = [f for key, f in unit_files(folder).items() if key.startswith("final/answers/") and
               key.rpartition("/")[2].startswith("reliability:")]  # fmt: skip
    answers = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
    certainty = [None if c is None else round(c, 4) for c in answers.pop("certainty")]
    del answers["task_id"]
    flags = {
        k: [None if v is None else int(v) for v in answers.pop(k)] for k in ("correct", "refused", "forced")
    }
    return {
        "rows": rows,
        "answers": {**answers, **flags, "certainty": certainty},
    }


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base=AutoCEI().model, seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(args.base), args.arms)
    needed = chosen(parser, arms(args.base), OURS) if any(arm.after for arm in compared) else ()
    study = study_of("auto_cei", args)
    study.perform(needed, compared)
    study.record(args, arms(args.base), **{"lambda": AutoCEI().lam}, runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
