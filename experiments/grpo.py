"""Do policy gradients learn from rewards alone? ``python experiments/grpo.py [--jobs 2] [--seeds 5]``

Five seeds of each recipe with its defaults on the same questions, with its control (rewards permuted over the
attempts of each round), with the published variants of GRPO, and Online RFT at as many attempts. Runs are
those of ``run.py``: one process each, a finished one is not run again, a stopped one is resumed. The result
file, ``results/grpo-BASE.json``, is of the same form.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from run import HERE, Arm, Settings, collect, perform

from sharpen.recipes.grpo import Settings as Grpo

SEEDS = 5
# more held-out questions than by default, for narrower intervals; what is trained on is the same
CLOSELY = ("held_out=2000", "held_out_sampled=500")
DAPO = ("loss.clip_high=0.28", "loss.normaliser=tokens", "loss.kl_coef=0", "refill=3")
DR_GRPO = ("advantage=group_mean", "loss.normaliser=constant", "loss.kl_coef=0")


def arms(model: Settings) -> tuple[Arm, ...]:
    """What is compared."""
    own = Grpo()
    attempts = own.rounds * own.queries * own.samples
    # Online RFT's rounds are two, with two attempts a question
    rft = (f"queries={attempts // 4}", f"pool={max(attempts // 2, own.pool)}")
    settings = (*model, *CLOSELY)
    return (
        Arm("grpo", "grpo", settings),
        Arm("grpo, shuffled rewards", "grpo", (*settings, "control=shuffled")),
        Arm("dapo", "grpo", (*settings, *DAPO)),
        Arm("dr. grpo", "grpo", (*settings, *DR_GRPO)),
        *(Arm(name, name, settings) for name in ("rloo", "reinforce", "ppo")),
        Arm("ppo, shuffled rewards", "ppo", (*settings, "control=shuffled")),
        Arm("online_rft", "online_rft", (*settings, *rft)),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="nano")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--arms", default="", help="only these, separated by semicolons")
    args = parser.parse_args()
    chosen = arms((f"model={args.base}",))
    if args.arms:
        wanted = args.arms.split(";")
        if unknown := [name for name in wanted if name not in {arm.name for arm in chosen}]:
            parser.error(f"unknown arm {unknown[0]!r}: {', '.join(arm.name for arm in chosen)}")
        chosen = tuple(arm for arm in chosen if arm.name in wanted)

    def folder(arm: Arm, seed: int) -> Path:
        name = arm.name.replace(" ", "_").replace(",", "").replace(".", "")
        return args.runs / args.base / "grpo" / name / f"seed-{seed}"

    jobs = [(arm, seed) for seed in range(args.seeds) for arm in chosen]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: perform(job[0], (), folder(*job), job[1]), jobs))
    given = ["--base", args.base, f"--seeds={args.seeds}", *([f"--arms={args.arms}"] if args.arms else [])]
    result = {
        "experiment": "grpo",
        "base": args.base,
        "command": shlex.join(["python", "experiments/grpo.py", *given]),
        "date": datetime.date.today().isoformat(),
        "runs": [collect(arm, (), folder(arm, seed), seed) for arm in chosen for seed in range(args.seeds)],
    }
    path = HERE / "results" / f"grpo-{args.base}.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
