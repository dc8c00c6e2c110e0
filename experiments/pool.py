"""Numeric answers through our pool, and through Math-Verify alone: ``python experiments/pool.py``.

The answers are drawn by ``numerals``, so what is right is known. Three judges see them in blocks, in turns
that rotate, so that a slow minute of the machine meets all three:

- ``two``: the verifier ``maths`` in the killable pool with two worker processes;
- ``one``: the same with one;
- ``theirs``: Math-Verify's ``parse`` and ``verify`` as its documentation calls them, with its own limits,
  in one process of one thread.

``results/pool.json`` holds the seconds of each block, peak memory, errors by category and every disagreement.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from launch import today
from numerals import Case, cases

from sharpen.score.pool import Outcome, Pool

RESULT = Path(__file__).parent / "results" / "pool.json"
TOTAL, BLOCK = 100_000, 2_000
JUDGES = ("two", "one", "theirs")
Verdicts = list[bool | None]
Judge = Callable[[Sequence[Case]], Verdicts]


def ours(pool: Pool, block: Sequence[Case]) -> Verdicts:
    """Our verdicts, None where there is none (time, memory, a crash, a gold that cannot be read)."""
    jobs = [{"gold": c.gold, "completion": f"\\boxed{{{c.answer}}}"} for c in block]
    return [verdict(outcome) for outcome in pool.map(jobs)]


def verdict(outcome: Outcome) -> bool | None:
    """Right, wrong (also where the answer could not be read) or unknown."""
    if outcome.how != "answered" or outcome.value["status"] == "bad_gold":
        return None
    return outcome.value["score"] == 1.0


@contextlib.contextmanager
def their_process() -> Iterator[subprocess.Popen[str]]:
    """Math-Verify in a process that answers a line of pairs with a line of verdicts."""
    argv = [sys.executable, __file__, "--theirs"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def asked(process: subprocess.Popen[str], block: Sequence[Case]) -> Any:
    """Send a block (or none), read the reply."""
    print(json.dumps([[c.gold, c.answer] for c in block]), file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())  # type: ignore[union-attr]


def serve() -> None:
    """Math-Verify's side."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    for line in sys.stdin:
        found = []
        for gold, answer in json.loads(line):
            wanted, given = (math_verify.parse(f"\\boxed{{{text}}}") for text in (gold, answer))
            found.append(bool(math_verify.verify(wanted, given)) if wanted else None)
        print(json.dumps([found, memory(resource.RUSAGE_SELF)]), flush=True)


def memory(who: int) -> float:
    """Peak memory in MiB."""
    return round(resource.getrusage(who).ru_maxrss / 1024, 1)


def measure(drawn: Sequence[Case], block: int) -> dict[str, Any]:
    """Every judge's verdicts on every case, seconds a block, and peak memory of a process."""
    found: dict[str, Verdicts] = {name: [] for name in JUDGES}
    seconds: dict[str, list[float]] = {name: [] for name in JUDGES}
    peaks: list[float] = []
    target = "sharpen.score.maths:check"
    with their_process() as process:
        with Pool(target, workers=2) as two, Pool(target, workers=1) as one:

            def theirs(part: Sequence[Case]) -> Verdicts:
                told, peak = asked(process, part)
                peaks.append(peak)
                return told

            judges: dict[str, Judge] = {
                "two": lambda part: ours(two, part),
                "one": lambda part: ours(one, part),
                "theirs": theirs,
            }
            for judge in judges.values():  # processes start and import before the clock runs
                judge(cases(100, seed=1))
            for number, at in enumerate(range(0, len(drawn), block)):
                part = drawn[at : at + block]
                for name in (*JUDGES[number % 3 :], *JUDGES[: number % 3]):
                    start = time.perf_counter()
                    found[name] += judges[name](part)
                    seconds[name].append(round(time.perf_counter() - start, 3))
                print(f"{at + len(part):,} of {len(drawn):,}", file=sys.stderr, flush=True)
        our_peak = memory(resource.RUSAGE_CHILDREN)  # of the pools' workers: the other process still lives
    return {"verdicts": found, "seconds": seconds, "peak_mib": {"ours": our_peak, "theirs": peaks[-1]}}


def result(drawn: Sequence[Case], measured: dict[str, Any]) -> dict[str, Any]:
    """The result file's content, without command and date."""
    found, seconds = measured["verdicts"], measured["seconds"]
    if found["one"] != found["two"]:
        raise SystemExit("one worker and two workers do not agree")
    rows: dict[str, dict[str, Any]] = {}
    disagreements: dict[str, list[list[Any]]] = {}
    for c, mine, other in zip(drawn, found["two"], found["theirs"], strict=True):
        row = rows.setdefault(c.category, {"answers": 0, "right": 0, "ours": empty(), "theirs": empty()})
        row["answers"] += 1
        row["right"] += c.equal
        for name, said in (("ours", mine), ("theirs", other)):
            if said is None:
                row[name]["unknown"] += 1
            elif said != c.equal:
                row[name]["accepted" if said else "refused"] += 1
        if mine != other:
            told = [c.gold, c.answer, *(None if x is None else int(x) for x in (mine, other)), int(c.equal)]
            disagreements.setdefault(c.category, []).append(told)
    versions = {n: importlib.metadata.version(n) for n in ("math-verify", "latex2sympy2_extended", "sympy")}
    return {
        "answers": len(drawn),
        "versions": {"python": platform.python_version(), **versions},
        "seconds": seconds,
        "peak_mib": measured["peak_mib"],
        "categories": rows,
        "disagreements": disagreements,
    }


def empty() -> dict[str, int]:
    """No errors yet: wrong ones accepted, right ones refused, neither said."""
    return {"accepted": 0, "refused": 0, "unknown": 0}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=TOTAL)
    parser.add_argument("--block", type=int, default=BLOCK, help="answers a turn")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--theirs", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.theirs:
        serve()
        return
    drawn = cases(args.answers)
    given = [
        f" --{k} {vars(args)[k]}" for k in ("answers", "block") if vars(args)[k] != parser.get_default(k)
    ]
    command = "python experiments/pool.py" + "".join(given)
    head = {"block": args.block, "command": command, "date": today()}
    found = head | result(drawn, measure(drawn, args.block))
    args.out.write_text(json.dumps(found, separators=(",", ":"), ensure_ascii=False) + "\n", "utf-8")
    print(args.out)


if __name__ == "__main__":
    main()
