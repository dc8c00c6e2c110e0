"""Measure speed side by side: ``python benchmarks/bench.py [--only W1,W3] [--smoke] [--repeats 5]``.

Every workload is done by our side and by each peer in turns, each in a process of its own with its threads
set, which waits while another works; nothing else runs. A row of the table is the median and range of each,
and of the ratio repeat by repeat. Results are files in ``results/``, from which ``speed_tables.py`` fills
``docs/performance.md``.

``--tune`` measures each peer's choices (batch sizes, caches) once, a file ``results/tuning-KEY.json`` a
workload; later measurements use the fastest. ``--smoke`` does everything at a tiny size and keeps nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
import where  # noqa: E402
from measuring import (  # noqa: E402
    HERE,
    MOST_LOAD,
    OURS,
    Broken,
    Json,
    Resident,
    Side,
    in_turns,
    load,
    machine,
    once,
    rate,
    ratios,
    same_work,
    shown,
    summary,
)
from workload import Workload  # noqa: E402

from sharpen.cli.threads import cores  # noqa: E402

RESULTS = HERE / "results"
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
    "where": where.measure,
    "techniques": techniques.measure,
    "growth": growth.measure,
    "million": million.measure,
    "startup": startup.measure,
}
"""What is measured of ours alone: (smoke, repeats, threads) -> the result file's numbers. Only where they are
named, or all of them as ``studies``."""
APART = ("W6",)
"""Takes longer than all other rows together: only where it is named."""


def measured(workload: Workload, *, smoke: bool, repeats: int, threads: int, ours_only: bool = False) -> Json:
    """All sides in turns; the result file's content without its head."""
    sides = [tuned(s) for s in workload.sides if s.name == OURS or not ours_only]
    runs: list[dict[str, Json]] = [{} for _ in range(repeats)]
    processes: dict[str, Resident] = {}
    with ExitStack() as stack:
        for k, side in in_turns(sides, repeats):
            begun, given = time.perf_counter(), workload.job(smoke, k, repeats)
            if workload.fresh:
                run = once(side, given, threads=threads)
            else:
                home = sides[0] if workload.together else side
                if home.name not in processes:  # not before: its imports would disturb the side that works
                    processes[home.name] = stack.enter_context(Resident(home, threads=threads))
                run = processes[home.name].run({**given, **side.settings})
            runs[k][side.name] = run
            told = f"{shown(rate(run)):>12} {run['unit']}/s"
            print(f"{workload.key:>5} {k + 1}/{repeats}  {side.name:<28}{told}  "
                  f"({time.perf_counter() - begun:.0f} s in all)", flush=True)  # fmt: skip
            if len(runs[k]) == len(sides):
                same_work(runs[k], workload.same)
        peaks = {name: process.close() for name, process in processes.items()}
    if workload.fresh:
        peaks = {s.name: max(run[s.name].pop("peak_mib") for run in runs) for s in sides}
    found = {
        "title": workload.title,
        "targets": dict(workload.targets),
        "settings": {s.name: dict(s.settings) for s in sides},
        "peaks": peaks,
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
    best: dict[str, Json] = {}
    for path in sorted(RESULTS.glob("tuning-*.json")):
        best |= json.loads(path.read_text())["best"]
    return replace(side, settings={**side.settings, **best.get(label(side), side.tuned[0])}, tuned=())


def label(side: Side) -> str:
    """Names a peer's script with what is fixed: workloads that share it share its tuning."""
    return f"{side.script.stem} {json.dumps(dict(side.settings), sort_keys=True)}"


def tune(workload: Workload, known: set[str], *, smoke: bool, threads: int) -> Json:
    """Each choice of each peer once, but of those already ``known``, to which this workload's are added."""
    table: dict[str, list[Json]] = {}
    best: dict[str, Mapping[str, Any]] = {}
    for side in workload.peers:
        if not side.tuned or label(side) in known:
            continue
        known.add(label(side))
        rows = []
        for choice in side.tuned:
            one = replace(side, settings={**side.settings, **choice})
            work = (workload.tuned_on or workload.job)(smoke, 0, workload.repeats)
            run = once(one, work, threads=threads)
            rows.append({"choice": dict(choice), "rate": round(rate(run), 6), "unit": run["unit"]})
            print(
                f"{workload.key:>5} {side.name:<28} {choice}: {shown(rate(run))} {run['unit']}/s", flush=True
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
        line = f"{workload.key:>5} {name:<28}{shown(at.median):>12} ({shown(at.low)} to {shown(at.high)})"
        if name != OURS:
            times = summary(ratios([r[OURS] for r in runs], own))
            target = workload.targets.get(name)
            wanted = f", wanted {target:g}" if target else ""
            line += f"  ours/theirs {times.median:.2f} ({times.low:.2f} to {times.high:.2f}{wanted})"
        print(line, flush=True)


def chosen_of(parser: argparse.ArgumentParser, only: str) -> list[str]:
    """Keys of what is to be measured, in the table's order."""
    known = [*WORKLOADS, *STUDIES]
    asked = [key for key in only.split(",") if key] or [key for key in WORKLOADS if key not in APART]
    lower = {key.lower(): key for key in known}
    if "studies" in asked:
        asked = [key for key in asked if key != "studies"] + list(STUDIES)
    for key in asked:
        if key.lower() not in lower:
            parser.error(
                f"nothing is called {key!r}; there are {', '.join(known)}, and studies for all of ours alone"
            )
    wanted = {lower[key.lower()] for key in asked}
    return [key for key in known if key in wanted]


def kept(key: str, found: Json, smoke: bool) -> None:
    """Write a result file; smoke results go nowhere."""
    if not smoke:
        RESULTS.mkdir(exist_ok=True)
        rows = [json.dumps(row, ensure_ascii=False) for row in found.get("disagreements", ())]
        text = json.dumps(found | {"disagreements": []} if rows else found, indent=1, ensure_ascii=False)
        if rows:  # thousands: a line each
            text = text.replace('"disagreements": []', '"disagreements": [\n  ' + ",\n  ".join(rows) + "\n ]")
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
    script = "python benchmarks/bench.py"
    only = f" --only {args.only}" if args.only else ""
    try:
        if args.tune:
            _tune_all(keys, args, f"{script} --tune{only}", busy)
        else:
            _measure_all(keys, args, f"{script}{only}" if only else "make bench", busy)
    except Broken as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    if not args.smoke:
        import speed_tables

        speed_tables.main([])
    return 0


def _tune_all(keys: Sequence[str], args: argparse.Namespace, command: str, busy: float) -> None:
    known: set[str] = set()
    for key in keys:
        if key in WORKLOADS:
            first = head(command, args.threads, busy)
            found = tune(WORKLOADS[key], known, smoke=args.smoke, threads=args.threads)
            if found["best"]:
                kept(f"tuning-{key}", first | found, args.smoke)


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
    # sides that wait are stopped: an end by a signal has to reach them too
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    raise SystemExit(main())
