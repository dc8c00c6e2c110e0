"""Measure speed side by side: ``python benchmarks/bench.py [--only W1,W3] [--smoke] [--repeats 5]``.

Every workload is done by our side and by each peer in turns, each time in a process of its own with its
threads set, nothing else running; a row of the table is the median and range of each, and of the ratio repeat
by repeat. Results are files in ``results/``, from which ``speed_tables.py`` fills ``docs/performance.md``.

``--tune`` measures each peer's choices (batch sizes, caches) once and keeps the fastest in
``results/tuning.json``, which later measurements use. ``--smoke`` does everything at a tiny size and keeps
nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "experiments")]

import growth  # noqa: E402
import million  # noqa: E402
import roofline  # noqa: E402
import startup  # noqa: E402
import techniques  # noqa: E402
import w1_rollouts  # noqa: E402
import w2_grpo  # noqa: E402
import w3_signals  # noqa: E402
import w4_sft  # noqa: E402
import w5_dpo  # noqa: E402
import w6_run  # noqa: E402
import w7_verifiers  # noqa: E402
import w8_gemma_shape  # noqa: E402
from measuring import (  # noqa: E402
    HERE,
    MOST_LOAD,
    OURS,
    Broken,
    Json,
    Side,
    in_turns,
    load,
    machine,
    once,
    rate,
    ratios,
    same_work,
    summary,
)
from workload import Workload  # noqa: E402

from sharpen.cli.threads import cores  # noqa: E402

RESULTS = HERE / "results"
TUNING = RESULTS / "tuning.json"
WORKLOADS = {
    w.key: w
    for w in (
        w1_rollouts.W1, w1_rollouts.W1B, w2_grpo.W2, w3_signals.W3, w3_signals.W3V, w4_sft.W4, w5_dpo.W5,
        w6_run.W6, w7_verifiers.W7, w7_verifiers.W7L, w8_gemma_shape.W8,
    )
}  # fmt: skip
Study = Callable[[bool, int, int], Json]
STUDIES: dict[str, Study] = {
    "roofline": roofline.measure,
    "techniques": techniques.measure,
    "growth": growth.measure,
    "million": million.measure,
    "startup": startup.measure,
}
"""What is measured of ours alone: (smoke, repeats, threads) -> the result file's numbers."""
APART = ("W6",)
"""Takes longer than all others together: only where it is named."""


def measured(workload: Workload, *, smoke: bool, repeats: int, threads: int, ours_only: bool = False) -> Json:
    """All sides in turns; the result file's content without its head."""
    sides = [tuned(s) for s in workload.sides if s.name == OURS or not ours_only]
    runs: list[dict[str, Json]] = [{} for _ in range(repeats)]
    for k, side in in_turns(sides, repeats):
        begun = time.perf_counter()
        run = once(side, workload.job(smoke, k, repeats), threads=threads)
        runs[k][side.name] = run
        told = f"{rate(run):12,.1f} {run['unit']}/s {run['peak_mib']:8,.0f} MiB"
        print(f"{workload.key:>5} {k + 1}/{repeats}  {side.name:<28}{told}  "
              f"({time.perf_counter() - begun:.0f} s in all)", flush=True)  # fmt: skip
        if len(runs[k]) == len(sides):
            same_work(runs[k], workload.same)
    settings = {s.name: dict(s.settings) for s in sides}
    found = {
        "title": workload.title,
        "targets": dict(workload.targets),
        "settings": settings,
        "repeats": runs,
    }
    return {**found, **more(workload, smoke, runs)}


def more(workload: Workload, smoke: bool, runs: Sequence[Mapping[str, Json]]) -> Json:
    """What verifiers disagree on, instead of every verdict."""
    if "verdicts" not in runs[0][OURS] or len(runs[0]) < 2:
        return {}
    found = []
    for k, run in enumerate(runs):
        verdicts = [side.pop("verdicts") for side in run.values()]
        found += w7_verifiers.disagreements(workload.job(smoke, k, len(runs)), *verdicts)
    return {"disagreements": found}


def tuned(side: Side) -> Side:
    """The side with the fastest of its choices; the first one where it was never tuned."""
    if not side.tuned:
        return side
    kept = json.loads(TUNING.read_text()) if TUNING.exists() else {}
    best = kept.get("best", {}).get(label(side), dict(side.tuned[0]))
    return replace(side, settings={**side.settings, **best}, tuned=())


def label(side: Side) -> str:
    """Names a peer's script with what is fixed: workloads that share it share its tuning."""
    return f"{side.script.stem} {json.dumps(dict(side.settings), sort_keys=True)}"


def tune(chosen: Sequence[Workload], *, smoke: bool, threads: int) -> Json:
    """Each choice of each peer once, on the first workload that has the peer."""
    table: dict[str, list[Json]] = {}
    best: dict[str, Mapping[str, Any]] = {}
    for workload in chosen:
        for side in workload.peers:
            if not side.tuned or label(side) in best:
                continue
            rows = []
            for choice in side.tuned:
                one = replace(side, settings={**side.settings, **choice})
                run = once(one, workload.job(smoke, 0, workload.repeats), threads=threads)
                rows.append({"choice": dict(choice), "rate": round(rate(run), 3), "unit": run["unit"]})
                print(
                    f"{workload.key:>5} {side.name:<28} {choice}: {rate(run):,.1f} {run['unit']}/s",
                    flush=True,
                )
            best[label(side)] = max(rows, key=lambda row: row["rate"])["choice"]
            table[label(side)] = [{"workload": workload.key, "peer": side.name, **row} for row in rows]
    return {"best": best, "table": table}


def head(command: str, threads: int, busy: float) -> Json:
    """What every result file begins with; ``busy`` is the load before anything was measured."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "command": command,
        "date": today,
        "threads": threads,
        "load": round(busy, 2),
        "machine": machine(),
    }


def tell(workload: Workload, found: Json) -> None:
    """Median and range of each side, and of the ratios."""
    runs = found["repeats"]
    for name in runs[0]:
        own = [r[name] for r in runs]
        at = summary([rate(r) for r in own])
        line = f"{workload.key:>5} {name:<28}{at.median:12,.1f} ({at.low:,.1f} to {at.high:,.1f})"
        if name != OURS:
            times = summary(ratios([r[OURS] for r in runs], own))
            target = workload.targets.get(name)
            wanted = f", wanted {target:g}" if target else ""
            line += f"  ours/theirs {times.median:.2f} ({times.low:.2f} to {times.high:.2f}{wanted})"
        print(line, flush=True)


def chosen_of(parser: argparse.ArgumentParser, only: str) -> list[str]:
    """Keys of what is to be measured, in the table's order."""
    known = [*WORKLOADS, *STUDIES]
    asked = [key for key in only.split(",") if key] or [key for key in known if key not in APART]
    lower = {key.lower(): key for key in known}
    for key in asked:
        if key.lower() not in lower:
            parser.error(f"nothing is called {key!r}; there are {', '.join(known)}")
    wanted = {lower[key.lower()] for key in asked}
    return [key for key in known if key in wanted]


def kept(key: str, found: Json, smoke: bool) -> None:
    """Write a result file; smoke results go nowhere."""
    if not smoke:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (RESULTS / f"{key}.json").write_text(text + "\n", "utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="KEYS", help="W1,W3,techniques: only these")
    parser.add_argument("--repeats", type=int, help="how often each side is measured (default: 5)")
    parser.add_argument("--threads", type=int, default=cores(), help="of each process (default: the cores)")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once, nothing kept")
    parser.add_argument("--tune", action="store_true", help="measure the peers' choices instead")
    parser.add_argument("--ours", action="store_true", help="our side alone, without the peers' environments")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    args = parser.parse_args(argv)
    keys = chosen_of(parser, args.only)
    busy = load()
    if busy > MOST_LOAD and not (args.force or args.smoke):
        told = f"the machine is busy: load {busy:.2f} a core in the last minute, at most {MOST_LOAD} is quiet"
        print(f"bench: {told}; wait, or --force, which the result records", file=sys.stderr)
        return 2
    command = f"python benchmarks/bench.py --only {','.join(keys)}" if args.only else "make bench"
    try:
        if args.tune:
            found = tune(
                [WORKLOADS[k] for k in keys if k in WORKLOADS], smoke=args.smoke, threads=args.threads
            )
            kept("tuning", head(command + " --tune", args.threads, busy) | found, args.smoke)
            return 0
        _measure_all(keys, args, command, busy)
    except Broken as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    if not args.smoke:
        import speed_tables

        speed_tables.main([])
    return 0


def _measure_all(keys: Sequence[str], args: argparse.Namespace, command: str, busy: float) -> None:
    for key in keys:
        first, begun = head(command, args.threads, busy), time.perf_counter()
        if key in STUDIES:
            found = STUDIES[key](args.smoke, 1 if args.smoke else args.repeats or 5, args.threads)
        else:
            workload = WORKLOADS[key]
            repeats = args.repeats or (1 if args.smoke else workload.repeats)
            found = measured(
                workload, smoke=args.smoke, repeats=repeats, threads=args.threads, ours_only=args.ours
            )
            tell(workload, found)
        minutes = round((time.perf_counter() - begun) / 60, 1)
        print(f"{key:>5} done in {minutes} minutes", flush=True)
        kept(key, first | {"minutes": minutes} | found, args.smoke or args.ours)


if __name__ == "__main__":
    raise SystemExit(main())
