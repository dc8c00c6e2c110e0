"""Kill a tiny run in every way there is, continue it, and compare with the run never stopped.

    OMP_NUM_THREADS=1 python experiments/kill.py [--recipe spiral] [--jobs 2] [--only random]

Every case starts a run of ``RUNS`` (B-STaR by default) and ends it early: SIGKILL at a named crash point
of ``sharpen.runs.faults``, SIGKILL from outside at a random moment, or a full disk. Some end the ``resume``
too. Then it is resumed until done: the folder must equal the uninterrupted run's byte for byte, and no
process of the case may be left. Commands run in forks of this process, which has torch imported; a few are
processes of their own, with ``SHARPEN_FAULT`` in their environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil
from launch import today

from sharpen import cli
from sharpen.recipes.execute import code_digest
from sharpen.runs import faults
from sharpen.runs.store import compare_exact
from sharpen.runs.streams import stream
from sharpen.sample.exact import environment

RUNS = {
    "b_star": ("save_every=1",),
    # plays of several turns, baselines, a frozen opponent, a game's equilibrium
    "spiral": ("opponent=frozen", "rounds=3", "transfer=cases:level=1"),
    "grpo": ("save_every=1", "loss.kl_coef=0.1"),
}
"""Recipes with the settings that they are killed with."""
OPTIONS = ["--plain", "--threads", "1"]
RESUME = ["resume", *OPTIONS]
KILLED = -signal.SIGKILL
LATER = 4
"""The later passage of a point at which a second case kills; points passed less often end unharmed."""
TORN, UNTOLD = "manifest.write.mid:7", "manifest.fsync.after:6"
"""Kills that leave a torn manifest line, and a metrics row (of the first exam) that is not written."""
OWN = ("unit.fsync.before:5", "learn.update.after:2", "checkpoint.rename.before:3", "manifest.write.mid:20")
RANDOM, DURING_RESUME, FULL = 30, 10, (1, 2, 3, 5, 8, 13, 20, 30, 45, 70, 100, 140)


@dataclass(frozen=True)
class Case:
    """How a run is ended before it is let go: each entry ends one start of it.

    ``point:n`` or ``enospc:n`` is a planned fault; ``+seconds`` is SIGKILL from outside, that long after
    the run's first step began (of a resume: after it took the lock).
    """

    kind: str
    ends: tuple[str, ...]
    own_process: bool = False


@dataclass
class Outcome:
    """What became of a case; ``ok`` where the bytes are equal and no process is left."""

    case: Case
    codes: list[int] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether every planned end came."""
        return all(code != 0 for code in self.codes[: len(self.case.ends)])

    @property
    def ok(self) -> bool:
        """Whether the case went as it must."""
        return self.codes[-1:] == [0] and not self.differences and not self.orphans


def cases(seconds: float) -> list[Case]:
    """Every case; random moments are spread over ``seconds``, the uninterrupted run's length."""
    points = [p for p in faults.POINTS if not p.startswith("resume.")]
    often = [p for p in points if not p.startswith(("create.", "config."))]
    moments = stream("experiments/kill", "moments").generator().uniform(0.02, 0.98, RANDOM + DURING_RESUME)
    after = [f"+{m * seconds:.3f}" for m in moments]
    resuming = [(UNTOLD if ".metrics." in p else TORN, p) for p in faults.POINTS if p not in points]
    ends: dict[str, list[tuple[str, ...]]] = {
        "point": [(f"{p}:1",) for p in points],
        "later passage": [(f"{p}:{LATER}",) for p in often],
        "inside resume": resuming,
        "random moment": [(m,) for m in after[:RANDOM]],
        "random moment of a resume": [(TORN, m) for m in after[RANDOM:]],
        "again and again": [("unit.write.mid:6", "learn.microbatch:2", "+0.5", "drop.remove.after:2")],
        "full disk": [(f"enospc:{n}",) for n in FULL],
        "full disk, then killed": [("enospc:40", "unit.rename.after:3")],
    }
    found = [Case(kind, end) for kind, all_ends in ends.items() for end in all_ends]
    return found + [Case("own process", (point,), own_process=True) for point in OWN]


class Started:
    """A command in a session of its own, so that whatever it leaves behind can be found."""

    def __init__(self, argv: Sequence[str], fault: str, log: Path, own_process: bool = False) -> None:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if own_process:
            env = {**os.environ, "SHARPEN_FAULT": fault}
            command = [sys.executable, "-m", "sharpen", *argv]
            self.pid = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True).pid
        else:
            self.pid = os.fork()
            if self.pid == 0:
                _become(argv, fault, out)
        os.close(out)

    def alive(self) -> bool:
        """Whether it still runs."""
        return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE

    def wait(self) -> int:
        """Its exit code, minus the signal where one ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def orphans(self) -> list[int]:
        """Live processes of its session, once it has ended."""
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError):
                found += [pid] if os.getsid(pid) == self.pid else []
        return found


def _become(argv: Sequence[str], fault: str, out: int) -> None:
    code = 1
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(out, 2)
        faults.arm(fault)
        code = cli.main(argv)
        sys.stdout.flush()
    finally:
        os._exit(code)


def perform(root: Path, whole: Path, run: Sequence[str], numbered: tuple[int, Case]) -> Outcome:
    """Run one case in a folder of its own. A random moment that came after the run's end is brought forward
    until it falls into the run: how long a run takes depends on what else the machine does."""
    number, case = numbered
    outcome = _once(root / f"case-{number:03d}", whole, run, case)
    for again in range(1, 8):
        if outcome.reached or not outcome.ok or not case.ends[-1].startswith("+"):
            break
        sooner = f"+{0.7 * float(case.ends[-1][1:]):.3f}"
        case = replace(case, ends=(*case.ends[:-1], sooner))
        outcome = _once(root / f"case-{number:03d}-{again}", whole, run, case)
    return outcome


def _once(home: Path, whole: Path, run: Sequence[str], case: Case) -> Outcome:
    home.mkdir()
    folder, log, outcome = home / "run", home / "log", Outcome(case)
    for end in (*case.ends, ""):
        argv = [*(RESUME if (folder / "manifest.jsonl").exists() else run), str(folder)]
        from_outside = end.startswith("+")
        started = Started(argv, "" if from_outside else end, log, case.own_process)
        if from_outside:
            _kill_after(started, folder, float(end[1:]))
        outcome.codes.append(started.wait())
        outcome.orphans += started.orphans()
    if outcome.codes[-1] == 0:
        outcome.differences = compare_exact(whole, folder)[:3]
    else:
        outcome.differences = ["did not finish: " + log.read_text(errors="replace").strip()[-300:]]
    if outcome.ok:
        shutil.rmtree(home)
    return outcome


def _kill_after(started: Started, folder: Path, seconds: float) -> None:
    lock = folder / "lock"
    while started.alive() and not (
        (folder / "manifest.jsonl").exists() and lock.read_text().strip() == str(started.pid)
    ):
        time.sleep(0.002)
    time.sleep(seconds)
    if started.alive():
        os.kill(started.pid, signal.SIGKILL)


def beside_a_live_one(root: Path, whole: Path, run: Sequence[str]) -> dict[str, object]:
    """A second ``resume`` while the first holds the run: refused with exit code 2, and nothing changes."""
    folder = root / "live" / "run"
    folder.parent.mkdir()
    first = Started([*run, str(folder)], "", root / "live" / "first")
    while not (folder / "manifest.jsonl").exists():
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGSTOP)  # in the middle of its work, for as long as the second one takes
    second = Started([*RESUME, str(folder)], "", root / "live" / "second")
    code = second.wait()
    os.kill(first.pid, signal.SIGCONT)
    told = (root / "live" / "second").read_text().strip().splitlines()[-1].replace(str(folder), "RUN")
    ended = first.wait()
    refused = code == 2 and f"live process (pid {first.pid})" in told
    ok = refused and ended == 0 and compare_exact(whole, folder) == []
    return {"ok": ok, "exit_code": code, "told": told.replace(str(first.pid), "PID")}


def main() -> int:
    """Run all cases and write their outcomes; 1 where one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=RUNS, default="b_star")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--only", default="", help="only the kinds of case that hold this word")
    parser.add_argument("--limit", type=int, default=10_000, help="at most so many cases")
    args = parser.parse_args()
    own = "" if args.recipe == "b_star" else f"-{args.recipe}"
    out = Path(__file__).parent / "results" / f"kill{own}.json"
    killed = ["run", args.recipe, "--tiny", *RUNS[args.recipe]]
    run = [*killed, *OPTIONS, "--out"]
    memory = Path("/dev/shm")  # SIGKILL loses no page, so a real disk would only make this slower
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        root, whole = Path(name), Path(name) / "whole"
        digest, began = code_digest(), time.perf_counter()
        if Started([*run, str(whole)], "", root / "log").wait() != 0:
            sys.exit((root / "log").read_text())
        seconds = time.perf_counter() - began
        chosen = [case for case in cases(seconds) if args.only in case.kind][: args.limit]
        print(f"{len(chosen)} cases; the uninterrupted run took {seconds:.1f} s", flush=True)
        live = beside_a_live_one(root, whole, run)
        outcomes = []
        # workers are processes: a fork from a thread may inherit locks that nobody will free
        with multiprocessing.get_context("fork").Pool(args.jobs) as pool:
            for outcome in pool.imap_unordered(partial(perform, root, whole, run), enumerate(chosen)):
                outcomes.append(outcome)
                how = "equal" if outcome.ok else "DIFFERS"
                ends = ", ".join(outcome.case.ends)
                print(f"{len(outcomes):3d} {how} {outcome.case.kind}: {ends} {outcome.codes}", flush=True)
        if code_digest() != digest:
            sys.exit("the package's sources changed meanwhile: nothing is written")
    report = summary(outcomes, live, digest, " ".join(["sharpen", *killed]))
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "cases"}, indent=1))
    return 0 if report["ok"] else 1


def summary(
    outcomes: Sequence[Outcome], live: dict[str, object], digest: str, killed: str
) -> dict[str, object]:
    """The result file's content."""
    kinds: dict[str, Counter[str]] = {}
    for o in outcomes:
        count = kinds.setdefault(o.case.kind, Counter())
        count.update(cases=1, ended_early=o.reached, equal=o.ok)
    rows = [
        {**asdict(o.case), "codes": o.codes, "ended_early": o.reached, "equal": o.ok}
        | ({} if o.ok else {"differences": o.differences, "orphans": o.orphans})
        for o in sorted(outcomes, key=lambda o: (o.case.kind, o.case.ends))
    ]
    return {
        "command": " ".join(["python", "experiments/kill.py", *sys.argv[1:]]),
        "kills": killed,
        "date": today(),
        "code": digest,
        "numerics": environment(),
        "ok": all(o.ok for o in outcomes) and bool(live["ok"]),
        "kills_total": sum(code == KILLED for o in outcomes for code in o.codes),
        "orphans": sum(len(o.orphans) for o in outcomes),
        "second_resume_beside_a_live_one": live,
        "kinds": {kind: dict(count) for kind, count in kinds.items()},
        "cases": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
