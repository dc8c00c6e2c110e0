"""The verbs that doubt: ``check-task`` and ``audit``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from sharpen.cli.parsing import Parser, count, find_run
from sharpen.errors import SharpenError

CPU_SECONDS, ITEMS, FEWER_ITEMS = 120, 20, 5
"""What a source may take; items a split where it is named, and where all are checked (some generators solve a
puzzle for each item)."""
TOO_SLOW = "too slow"


def check_task(argv: Sequence[str]) -> int:
    """``sharpen check-task NAME ... | --all``; 1 where a source fails."""
    parser = Parser("check-task", "Whether task sources can be trusted: gold passes, attacks do not.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="sources, such as countdown:level=3")
    parser.add_argument("--all", action="store_true", help="every family and every reasoning-gym dataset")
    parser.add_argument(
        "--items", type=count, metavar="N", help=f"items a split (default: {ITEMS}, with --all {FEWER_ITEMS})"
    )
    parser.add_argument(
        "--cpu", type=count, default=CPU_SECONDS, metavar="SECONDS",
        help=f"CPU time that a source may take (default: {CPU_SECONDS})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0
    if bool(args.names) == args.all:
        raise SharpenError("check-task: name sources, or give --all")
    items = args.items or (FEWER_ITEMS if args.all else ITEMS)
    lines = args.all or sys.stderr.isatty()
    found = checked(every() if args.all else args.names, items, args.cpu, told=lines)
    for row in found:
        if row["refused"].startswith("unknown"):
            raise SharpenError(row["refused"])
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)
    return int(any(verdict_of(row) not in ("fine", "quarantined") for row in found))


def audit(argv: Sequence[str]) -> int:
    """``sharpen audit RUN``; 1 where the verifiers disagree."""
    parser = Parser("audit", "A second, independent verifier judges a sample of a run's rollouts again.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in runs/")
    parser.add_argument(
        "--with", dest="verifier", metavar="VERIFIER", help="the second verifier (default: another check of "
        "the family's questions, else exact)",
    )  # fmt: skip
    parser.code()
    parser.add_argument("-n", type=count, default=2000, metavar="N", help="rollouts judged (default: 2,000)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.read(argv)
    if args is None:
        return 0

    from sharpen.studio.audit import audit as judge_again
    from sharpen.studio.audit import audit_parts
    from sharpen.studio.table import show

    found = judge_again(find_run(args.run), args.n, args.verifier)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        show(sys.stdout, *audit_parts(found))
    return int(bool(found["disagreements"]))


def every() -> list[str]:
    """Every family at every level, and every reasoning-gym dataset."""
    from sharpen.tasks.reasoning_gym import dataset_names
    from sharpen.tasks.registry import FAMILIES, family

    own = [f"{name}:level={level}" for name in FAMILIES for level in family(name).levels]
    return [*own, *(f"reasoning_gym:{name}" for name in dataset_names())]


def checked(
    names: Sequence[str], items: int, cpu: int = CPU_SECONDS, *, told: bool = False
) -> list[dict[str, Any]]:
    """A row a source, see ``sharpen.tasks.check.summary``; in worker processes, since a scorer may hang.

    Args:
        items: at most this many of each split.
        cpu: seconds of CPU time that a source may take; one that takes more is told of as too slow.
        told: write a line to stderr as each source is done.
    """
    from sharpen.runs import own
    from sharpen.score.pool import SECOND_TRY, Outcome, Pool

    rows: dict[int, dict[str, Any]] = {}

    def done(job: int, outcome: Outcome) -> None:
        rows[job] = _row(names[job], outcome, cpu)
        if told:
            line = f"{len(rows)} of {len(names)}  {names[job]}  {verdict_of(rows[job])}"
            print(line, file=sys.stderr, flush=True)

    # in the pool the second try decides
    limits = {"cpu_seconds": cpu / SECOND_TRY, "memory_mib": 2048, "wall_seconds": 600.0}
    with Pool("sharpen.tasks.check:summary", **limits) as pool:  # type: ignore[arg-type]
        mine = [str(file) for file in own.files()]
        pool.map([{"source": name, "items": items, "own_code": mine} for name in names], done)
    return [rows[job] for job in range(len(names))]


def _row(name: str, outcome: Any, cpu: int) -> dict[str, Any]:
    if outcome.how == "answered":
        return outcome.value
    why = f"{outcome.how}: {outcome.value}"
    if outcome.how == "timeout":
        why = f"{TOO_SLOW}: more than {cpu} s of CPU time"
    return {"source": name, "items": 0, "judged": 0, "failures": [], "refused": why}


def verdict_of(row: dict[str, Any]) -> str:
    """``fine``, ``quarantined`` (known to be bad), ``fails``, ``too slow``, or ``cannot be used``."""
    from sharpen.tasks.reasoning_gym import QUARANTINE

    if row["source"].removeprefix("reasoning_gym:") in QUARANTINE:
        return "quarantined"
    if row["refused"]:
        return TOO_SLOW if row["refused"].startswith(TOO_SLOW) else "cannot be used"
    return "fails" if row["failures"] or not row["items"] else "fine"


def why(row: dict[str, Any]) -> str:
    """One line on what is wrong with a source, empty where nothing is."""
    from sharpen.tasks.reasoning_gym import QUARANTINE

    known = QUARANTINE.get(row["source"].removeprefix("reasoning_gym:"), "")
    return known or row["refused"] or "; ".join(_told(row["failures"]))


def _told(failures: Sequence[dict[str, Any]]) -> list[str]:
    """What fails; attacks are many, so they are counted and the first ones named."""
    prefix = "attack passes: "
    passed = [f["check"].removeprefix(prefix) for f in failures if f["check"].startswith(prefix)]
    others = [f"{f['check']} ({f['times']})" for f in failures if not f["check"].startswith(prefix)]
    if passed:
        more = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
        others.append(f"accepts {', '.join(passed[:3])}{more}")
    return others


def _show(found: Sequence[dict[str, Any]]) -> None:
    from sharpen.studio.table import listing, show

    rows = [[r["source"], f"{r['items']:,}", f"{r['judged']:,}", verdict_of(r), why(r)] for r in found]
    show(sys.stdout, listing(["source", "items", "judged", "verdict", "why"], rows))
