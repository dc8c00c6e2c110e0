"""Does a policy learn when to think? ``python experiments/autothink.py [--base nano] [--jobs 2] [--seeds 3]``

For each seed a base is warmed up, so that both modes are there at random; every arm starts from it: the three
stages, the naive reward without balance, no stage 2, prices of a token. Further bases think always (rewarded
for right answers alone, or with a price) and in 95 % of texts (the naive reward again). The base and what the
arms end with are then measured again on more questions. Runs are those of ``run.py``: one that is finished is
not run again, a stopped one is resumed. Writes ``results/autothink-BASE.json``, from which
``autothink_tables.py`` fills the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, Settings, arguments, chosen, study_of, warmed

from sharpen.recipes.autothink import Settings as AutoThink
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files

SEEDS = 3
PRICES = (0.002, 0.01)
BASES = {"warm-up": 0.5, "warm-up, always thinking": 1.0, "warm-up, 95 % thinking": 0.95}
"""Warmed-up bases, by the share of texts that think."""
MEASURED = ("rounds=0", "first=0", "last=0", "held_out=10")
"""A run that learns nothing after the warm-up."""
MANY = (*MEASURED, "mode_questions=1000")
"""The base, and what arms end with, are measured again on more questions: the verdict rests on that."""
NAIVE = ("stage_1.gamma=1", "stage_3.alpha=0", "stage_3.beta=0")


def bases(model: str) -> tuple[Arm, ...]:
    """The warmed-up bases."""
    short = (*MEASURED, "mode_questions=0")
    return tuple(
        Arm(name, "autothink", (f"model={model}", *short, f"warmup.think={share}"))
        for name, share in BASES.items()
    )


def arms() -> tuple[Arm, ...]:
    """What is compared."""
    own = AutoThink()
    half, always, skewed = (((name, warmed)) for name in BASES)
    few = (f"rounds={own.first + own.last}",)
    return (
        Arm("autothink", "autothink", (), half),
        Arm("no stage 2", "autothink", few, half),
        Arm("naive reward", "autothink", NAIVE, half),
        *(Arm(f"price {p:g}", "autothink", ("rule=penalty", f"per_token={p:g}"), half) for p in PRICES),
        Arm("always thinking", "autothink", ("rule=accuracy",), always),
        *(
            Arm(f"always thinking, price {p:g}", "autothink", ("rule=penalty", f"per_token={p:g}"), always)
            for p in PRICES
        ),
        Arm("naive reward, from 95 %", "autothink", NAIVE, skewed),
        Arm("shuffled rewards", "autothink", ("control=shuffled",), half),
    )


def ended(folder: Path, seed: int) -> Settings:
    """The settings that start from the policy that a finished run ended with."""
    policy = max((folder / "checkpoints").glob("round-*learn*/final/policy"))
    return (f"model={policy}", "warmup.steps=0")


def again(compared: Sequence[Arm]) -> tuple[Arm, ...]:
    """The base, and the ends of the arms that the verdict is about, on more questions."""
    rivals = [arm for arm in compared if arm.name == "autothink" or "price" in arm.name]
    base = Arm("base, again", "autothink", MANY, (next(iter(BASES)), warmed))
    return (base, *(Arm(f"{a.name}, again", "autothink", MANY, (a.name, ended)) for a in rivals))


def collect(folder: Path) -> dict[str, Any]:
    """What the result file keeps of a run: rows by mode and stage, each round's think rate, and counts by
    question."""
    manifest = read_manifest(folder)
    keep = ("modes", "modes_at", "e_f1")
    rows = [
        {k: v for k, v in r.items() if k not in ("key", "step")}
        for r in manifest.metrics
        if r["name"] in keep
    ]
    practice = [r for r in manifest.metrics if r["name"] == "practice"]
    counts = {}
    for key, files in unit_files(folder).items():
        if "modes/held_out/modes:" in key:
            table = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
            kept = ("mode", "level", "samples", "right", "tokens", "thinking")
            counts[str(len(counts))] = {name: table[name] for name in kept}
    return {
        "rows": rows,
        "think_rate": [round(r["think_rate"], 4) for r in practice],
        "stages": [r["stage"] for r in rows if r["name"] == "modes" and r["mode"] == "free"],
        "counts": counts,
    }


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="nano", seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(), args.arms)
    needed = {arm.after[0] for arm in compared if arm.after}
    before = [arm for arm in bases(args.base) if arm.name in needed]
    after = [arm for arm in again(compared) if arm.after[0] in {*needed, *(a.name for a in compared)}]
    study = study_of("autothink", args)
    study.perform(before, compared, after)
    study.record(
        args, [*arms(), *again(arms())], runs=study.told(compared, collect), again=study.told(after, collect)
    )


if __name__ == "__main__":
    main()
