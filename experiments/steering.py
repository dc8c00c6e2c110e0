"""Efficiency steering on the base with redundant checks: ``python experiments/steering.py [--seeds 3]``.

Trains the base where it is missing (minutes to half an hour on one core), runs the recipe once a seed, and
writes ``results/efficiency_steering-checks.json``: the curve, the directions, the choice, and the outcomes by
question. ``tables.py`` writes the page's tables from it alone. A finished seed is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from launch import Arm, command, heading, perform, today, trained, write
from regions import RESULTS, Row, markdown, regions_of

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.models.checks import TASKS, needs_check
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.tasks.registry import make

RESULT = RESULTS / "efficiency_steering-checks.json"
TRAINING = ("checks", "--steps", "600", "--batch", "64")
SETTINGS = (
    f"tasks={TASKS}", "template=plain", "verifier=source", "problems=150", "samples=10", "pairs=80",
    "held_pairs=60", "dev=32", "dev_samples=4", "test=96", "test_samples=8", "max_new_tokens=192",
)  # fmt: skip


def collect(folder: Path, seed: int) -> Row:
    """What the result file keeps of a seed: metrics, and counts by test question."""
    from sharpen.runs.manifest import read_manifest

    manifest = read_manifest(folder)
    keep = ("inherent", "direction", "efficiency", "chosen")
    rows = [{k: v for k, v in r.items() if k != "round"} for r in manifest.metrics if r.get("name") in keep]
    counts = {}
    for key, files in unit_files(folder).items():
        if key.startswith("test/") and "/efficiency:" in key:
            table = pa.concat_tables([pq.read_table(f) for f in files]).to_pydict()
            counts[key] = {name: values for name, values in table.items() if name != "task_id"}
    return {
        **heading(folder, seed),
        "rows": rows,
        "questions": counts,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments/efficiency_steering"))
    parser.add_argument("--base", type=Path, help="a folder with the base, already trained")
    args = parser.parse_args()
    base = trained(args.base or args.runs / "checks", *TRAINING)
    arm = Arm("efficiency_steering", "efficiency_steering", (*SETTINGS, f"model={base}"))
    folders = {seed: args.runs / f"seed-{seed}" for seed in range(args.seeds)}
    for seed, folder in folders.items():
        perform(command(arm, (), folder, seed), folder)
    result = {
        "command": f"python experiments/steering.py --seeds {args.seeds}",
        "training": f"python -m sharpen.models.make {' '.join(TRAINING)}",
        "settings": list(SETTINGS),
        "date": today(),
        "runs": [collect(folder, seed) for seed, folder in folders.items()],
    }
    write(RESULT, result)


# tables ----------------------------------------------------------------------------------------------
def rows(found: Row, name: str, **where: Any) -> list[list[Row]]:
    """Each seed's rows of a name that have these values."""
    return [
        [r for r in run["rows"] if r["name"] == name and all(r.get(k) == v for k, v in where.items())]
        for run in found["runs"]
    ]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of known values, None where one is missing."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def show(value: float | None, form: str = ".2f") -> str:
    """A number for a table."""
    return "-" if value is None else format(value, form)


def caption(found: Row) -> str:
    """Where the numbers come from."""
    base = found["runs"][0]["base"][:8]
    return f"`{found['command']}`, {len(found['runs'])} seeds, base `checks` ({base}), {found['date']}."


def room(found: Row) -> str:
    """How much shorter the base's own right answers could be, and how its pairs fare."""
    lines = [
        [f"seed {run['seed']}", f"{r['questions']}", show(r["ratio"]), show(100 * r["below_half"], ".0f"),
         f"{r['pairs']}", f"{r['built_from']}"]
        for run, (r,) in zip(found["runs"], rows(found, "inherent"), strict=True)
    ]  # fmt: skip
    heads = ["", "questions with two right answers", "mean Lmin/Lmax", "below 0.5, %", "pairs", "built from"]
    return f"{markdown(heads, lines)}\n\nOn training questions. {caption(found)}"


def directions(found: Row) -> str:
    """Directions by pool and layer."""
    columns = ("size", "sign_accuracy", "cosine_halves", "cosine_easy_hard", "cosine_mean_reasoning")
    places = [(r["pool"], r["layer"]) for r in rows(found, "direction")[0]]
    lines = []
    for pool, layer in places:
        ours = [r[0] for r in rows(found, "direction", pool=pool, layer=layer)]
        values = [mean([r.get(c) for r in ours]) for c in columns]
        percent = None if values[1] is None else 100 * values[1]
        lines.append([f"`{pool}`", str(layer), show(values[0]), show(percent, ".0f"), *map(show, values[2:])])
    heads = ["pool", "layer", "norm", "held-out pairs told apart, %", "cosine of halves",
             "of easy and hard", "with `mean_reasoning`"]  # fmt: skip
    return f"{markdown(heads, lines, left=2)}\n\nMeans over seeds. {caption(found)}"


def curve(found: Row) -> str:
    """The curve at the chosen place and its controls, by lambda: on dev questions."""
    strengths = sorted({r["strength"] for r in rows(found, "efficiency", direction="steering")[0]})
    lines = []
    for kind in ("steering", "random", "shuffled"):
        for strength in sorted([*strengths, 0.0]):
            at = [_point(run, kind, strength) for run in found["runs"]]
            if any(r is None for r in at):
                continue
            lines.append([kind, f"{strength:g}", *_numbers([r for r in at if r])])
    heads = ["direction", "lambda", "tokens", "accuracy, %", "degenerate, %", "reflection words per 1000"]
    places = ", ".join(
        f"seed {run['seed']}: `{c['pool']}`, layer {c['layer']}, lambda {c['strength']:g}"
        if c["found"] else f"seed {run['seed']}: none"
        for run, (c,) in zip(found["runs"], rows(found, "chosen"), strict=True)
    )  # fmt: skip
    return (
        f"{markdown(heads, lines)}\n\nDev questions, means over the seeds with a choice, each at its chosen "
        f"pool and layer ({places}). {caption(found)}"
    )


def _point(run: Row, kind: str, strength: float) -> Row | None:
    (chosen,) = (r for r in run["rows"] if r["name"] == "chosen")
    if strength == 0:
        kind, place = "none", {}
    else:
        place = {k: chosen.get(k) for k in ("pool", "layer")}
    wanted = {"name": "efficiency", "direction": kind, "strength": strength, **place}
    at = [r for r in run["rows"] if wanted.items() <= r.items() and not r["key"].startswith("test/")]
    return at[0] if at and chosen["found"] else None


def _numbers(at: Sequence[Row]) -> list[str]:
    share = [mean([100 * r[k] for r in at]) for k in ("accuracy", "degenerate")]
    return [show(mean([r["length"] for r in at]), ".1f"), *(show(s, ".1f") for s in share),
            show(mean([r["reflection_rate"] for r in at]), ".1f")]  # fmt: skip


def grid(found: Row) -> str:
    """Length and accuracy at every pool, layer and lambda: on dev questions."""
    strengths = sorted({r["strength"] for r in rows(found, "efficiency", direction="steering")[0]})
    places = [(r["pool"], r["layer"]) for r in rows(found, "direction")[0]]

    def cell(**where: Any) -> str:
        at = [
            next(r for r in seed if r["key"].startswith("dev/"))
            for seed in rows(found, "efficiency", **where)
        ]
        accuracy = mean([100 * r["accuracy"] for r in at])
        return f"{show(mean([r['length'] for r in at]), '.0f')} / {show(accuracy, '.0f')}"

    lines = [
        [f"`{pool}`", str(layer),
         *(cell(direction="steering", pool=pool, layer=layer, strength=s) for s in strengths)]
        for pool, layer in places
    ]  # fmt: skip
    heads = ["pool", "layer", *(f"{s:g}" for s in strengths)]
    return (
        f"{markdown(heads, lines, left=2)}\n\nTokens / accuracy in percent on dev questions by lambda, means "
        f"over seeds; unsteered {cell(direction='none')}. {caption(found)}"
    )


Counts = dict[str, list[int]]


def counts(run: Row, kind: str) -> Counts:
    """Counts by test question of an arm."""
    return run["questions"][f"test/{'plain' if kind == 'none' else kind}/efficiency:0"]


def tested(found: Row) -> str:
    """The test questions: all, and those that need a check."""
    with_choice = [run for run in found["runs"] if "test/plain/efficiency:0" in run["questions"]]
    if not with_choice:
        return f"No seed found a point that shortens at equal accuracy on dev. {caption(found)}"
    n = len(counts(with_choice[0], "none")["samples"])
    needed = np.array([needs_check(t) for t in make(TASKS).take("test", n)])
    lines = []
    for name, mask in (
        ("all", np.ones(n, dtype=bool)),
        ("a check is needed", needed),
        ("it is not", ~needed),
    ):
        for kind in ("none", "steering", "random", "shuffled"):
            lines.append([name, {"none": "unsteered", "steering": "steered"}.get(kind, kind),
                          *_compared(with_choice, kind, mask)])  # fmt: skip
    heads = ["questions", "arm", "tokens", "reduction, %", "accuracy, %", "change, points", "degenerate, %"]
    return (
        f"{markdown(heads, lines, left=2)}\n\n{n} test questions, {int(needed.sum())} of them need a check; "
        "changes against unsteered, paired by question, with a 95 % interval (bootstrap over seeds and "
        f"questions); {len(with_choice)} of {len(found['runs'])} seeds had a choice. {caption(found)}"
    )


def _compared(runs: Sequence[Row], kind: str, mask: np.ndarray) -> list[str]:
    ours, base = ({k: np.array([counts(r, a)[k] for r in runs])[:, mask] for k in
                   ("samples", "right", "tokens", "degenerate")} for a in (kind, "none"))  # fmt: skip
    n = ours["samples"]
    numbers = [float((ours[k] / n).mean()) for k in ("tokens", "right", "degenerate")]
    cells = ["", ""]
    if kind != "none":
        saved = (base["tokens"] - ours["tokens"]) / base["tokens"].mean()
        change = (ours["right"] - base["right"]) / n
        cells = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(
                *(100 * x for x in hierarchical_bootstrap(v, stream=stream("steering", kind), n=2000))
            )
            for v in (saved, change)
        ]
    return [f"{numbers[0]:.1f}", cells[0], f"{100 * numbers[1]:.1f}", cells[1], f"{100 * numbers[2]:.1f}"]


def verdict(found: Row) -> str:
    """Whether the claim's criteria are met, from the numbers."""
    lines = []
    signs = [max((r["sign_accuracy"] or 0) for r in seed) for seed in rows(found, "direction")]
    lines.append(("Held-out pairs told apart at the best layer above 80 % in every seed", min(signs) > 0.8))
    chosen = [c for (c,) in rows(found, "chosen")]
    lines.append(
        ("A point that shortens at equal accuracy on dev, in every seed", all(c["found"] for c in chosen))
    )
    lines.append(("Length falls steadily as lambda rises at the chosen place, in every seed",
                  all(c.get("monotone") for c in chosen)))  # fmt: skip
    runs = [r for r in found["runs"] if "test/plain/efficiency:0" in r["questions"]]
    if runs:
        got = {}
        for kind in ("none", "steering", "random", "shuffled"):
            held = [counts(r, kind) for r in runs]
            got[kind] = tuple(float(np.mean([np.sum(c[k]) / np.sum(c["samples"]) for c in held]))
                              for k in ("tokens", "right"))  # fmt: skip
        base, steered = got["none"], got["steering"]
        cut, gain = 1 - steered[0] / base[0], steered[1] - base[1]
        lines.append((f"Test tokens fall by 20 % or more ({100 * cut:.1f} %)", cut >= 0.2))
        lines.append((f"Test accuracy within 2 points ({100 * gain:+.1f})", abs(gain) <= 0.02))
        for kind in ("random", "shuffled"):
            c, a = 1 - got[kind][0] / base[0], got[kind][1] - base[1]
            told = f"tokens {-100 * c:+.1f} %, accuracy {100 * a:+.1f}"
            works = c >= 0.1 and a >= -0.02
            lines.append((f"The {kind} direction does not save 10 % at equal accuracy ({told})", not works))
        fell = _where_needed(runs, "steering") - _where_needed(runs, "none")
        told = f"{100 * fell:+.1f}"
        lines.append((f"Where a check is needed accuracy falls by 2 points at most ({told})", fell >= -0.02))
    met = [f"- {what}: **{'met' if good else 'not met'}**." for what, good in lines]
    good = "is" if all(good for _, good in lines) else "is not"
    return "\n".join([*met, "", f"**The claim {good} supported on this base.** {caption(found)}"])


def _where_needed(runs: Sequence[Row], kind: str) -> float:
    """Accuracy on the test questions that need a check, mean over seeds."""
    held = [counts(run, kind) for run in runs]
    needed = np.array([needs_check(t) for t in make(TASKS).take("test", len(held[0]["samples"]))])
    share = [np.sum(np.array(c["right"])[needed]) / np.sum(np.array(c["samples"])[needed]) for c in held]
    return float(np.mean(share))


REGIONS = regions_of(
    RESULT,
    "python experiments/steering.py",
    {
        "steering_room": room,
        "steering_directions": directions,
        "steering_grid": grid,
        "steering_curve": curve,
        "steering_test": tested,
        "steering_verdict": verdict,
    },
)
"""The regions of ``docs/methods/efficiency_steering.md``."""


if __name__ == "__main__":
    main()
