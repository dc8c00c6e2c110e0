"""``run --seeds N``: children, a line for each, and the table over all of them."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.cli.parsing import is_run
from sharpen.cli.threads import cores
from sharpen.runs import own
from sharpen.studio.seeds import watch_seeds
from sharpen.studio.sinks import open_sinks
from sharpen.verbs.seeds import (
    SUMMARY,
    Child,
    Outcome,
    run_children,
    seed_folder,
    summarise,
    write_plan,
    write_summary,
)

if TYPE_CHECKING:
    from sharpen.cli.running import Job


def run_seeds(job: Job, seeds: Sequence[int], args: Namespace) -> int:
    """Run or continue every seed of ``job`` below its folder; 0 when all are finished."""
    open_sinks(args.sink)  # one that is not there is told of once, before the seeds begin
    write_plan(job.folder, job.recipe, seeds, job.config.to_toml())
    threads = args.threads or 1
    # half as many again as there are cores: one thread each costs nothing in turn-taking, and the last
    # seed of an odd number does not leave a core idle
    at_most = max(3 * cores() // (2 * threads), 1)
    out = sys.stderr if args.json else sys.stdout
    children = [Child(s, _command(job, s, threads, args.sink), threads) for s in seeds]
    try:
        with watch_seeds(out, f"{job.recipe} · {job.folder}", seeds, plain=args.plain or args.json) as told:
            outcomes = run_children(children, at_most=at_most, told=told.line, ended=told.ended)
    except KeyboardInterrupt:
        print(f"sharpen: interrupted; continue with: sharpen resume {job.folder}", file=sys.stderr)
        return 130
    bad = [o for o in outcomes if o.code]
    for o in bad:
        _report(o)
    if bad:
        hint = f"continue with: sharpen resume {job.folder}"
        print(f"sharpen: {len(bad)} of {len(outcomes)} seeds did not finish; {hint}", file=sys.stderr)
        return 2 if all(o.code == 2 for o in bad) else 1
    _told(job.folder, summary_of(job, seeds), args.json)
    return 0


def summary_of(job: Job, seeds: Sequence[int]) -> dict[str, Any]:
    """Write and return the summary over all finished seeds of ``job``."""
    from sharpen.studio.items import held_out_items
    from sharpen.studio.strategies import read_strategies

    values = {s: held_out_items(seed_folder(job.folder, s)) for s in seeds}
    summary = summarise(job.recipe, job.config.digest, values)
    weighed = read_strategies([seed_folder(job.folder, s) for s in seeds])
    summary |= {"strategies": [line.to_json() for line in weighed]} if weighed else {}
    write_summary(job.folder, summary)
    return summary


def _command(job: Job, seed: int, threads: int, sinks: Sequence[str]) -> tuple[str, ...]:
    folder = seed_folder(job.folder, seed)
    start = (sys.executable, "-m", "sharpen")
    config = ("--config", str(job.folder / "config.toml"))
    mine = [word for file in own.files() for word in ("--code", str(file))]
    sent = [word for name in sinks for word in ("--sink", name)]
    rest = (*mine, *sent, "--plain", "--threads", str(threads), "--parent", str(os.getpid()))
    if is_run(folder):
        accept = ("--accept-code",) if job.accept_code else ()
        return (*start, "resume", str(folder), *config, *accept, *rest)
    return (*start, "run", job.recipe, *config, "--out", str(folder), "--seed", str(seed), *rest)


def _report(outcome: Outcome) -> None:
    from sharpen.studio.words import clean

    how = f"exit code {outcome.code}" if outcome.code > 0 else f"signal {-outcome.code}"
    print(f"seed {outcome.seed} failed ({how}); its last lines:", file=sys.stderr)
    for line in outcome.lines:
        print(f"  {clean(line)}", file=sys.stderr)


def _told(folder: Path, summary: dict[str, Any], as_json: bool) -> None:
    from sharpen.studio.strategies import summary_parts
    from sharpen.studio.table import settings_lines, show

    if as_json:
        print(json.dumps({"run": str(folder), **summary}, indent=1))
        return
    n = len(summary["seeds"])
    lines = {
        "seeds": n,
        "run": str(folder),
        "summary": str(folder / SUMMARY),
        "next": f"sharpen show {seed_folder(folder, summary['seeds'][0])}",
    }
    show(sys.stdout, "", *summary_parts(summary), "", settings_lines(lines))
