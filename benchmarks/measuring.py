"""How speed is measured: each run a process of its own, sides in turns, medians, ranges and paired ratios."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from peers.side import Clock as Clock
from peers.side import versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OURS = "ours"
MOST_LOAD = 0.5
"""Processes that may want a core, on average over the last minute, before a measurement begins."""
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow", "duckdb", "peft", "math-verify")

Json = dict[str, Any]


class Broken(RuntimeError):
    """A run ended badly, or two sides did not do the same work."""


@dataclass(frozen=True)
class Side:
    """Who is measured.

    Attributes:
        name: in tables and results.
        script: run with two arguments, a job (JSON) and where to put its result.
        venv: whose Python runs it: ours, or that of a peer's environment (``.venv-NAME``).
        settings: added to the job; what this side is told beyond the work.
        tuned: choices among which ``bench.py --tune`` picks the fastest, each added to the settings.
    """

    name: str
    script: Path
    venv: str = OURS
    settings: Mapping[str, Any] = field(default_factory=dict)
    tuned: tuple[Mapping[str, Any], ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter; Broken where the environment was not built."""
        if self.venv == OURS:
            return Path(sys.executable)
        found = ROOT / f".venv-{self.venv}" / "bin" / "python"
        if not found.exists():
            raise Broken(f"peer {self.name!r} has no environment: make install-{self.venv}")
        return found


def once(side: Side, job: Mapping[str, Any], *, threads: int, timeout: float = 1800) -> Json:
    """Run one side once: what it said, and ``peak_mib``, the largest memory of one of its processes.

    Raises:
        Broken: it failed or was too slow; with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps({**job, **side.settings}))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(side.python), str(side.script), str(folder / "job.json"), str(folder / "said.json")],
                env=environment(side, threads),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code, usage = _ended(process, timeout)
        if code != 0 or not (folder / "said.json").exists():
            end = (folder / "log").read_text("utf-8", "replace")[-3000:]
            raise Broken(f"{side.name} ended with {code}:\n{end}")
        said = json.loads((folder / "said.json").read_text())
    return {**said, "peak_mib": round(usage.ru_maxrss / 1024, 1)}


def _ended(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, Any]:
    """The exit code and what the operating system says that it used, its own ended children included."""
    import signal
    import threading

    # the session is the run's own: its workers are in it
    alarm = threading.Timer(timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
    alarm.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        alarm.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def environment(side: Side, threads: int) -> dict[str, str]:
    """The variables of a run: threads of its own, nothing from the network, nothing else of ours."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")}
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    found = {**kept, **dict.fromkeys(names, str(threads))}
    found |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "0"}
    if side.venv == OURS:
        found["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(HERE), str(ROOT / "experiments")])
    return found


def in_turns(sides: Sequence[Side], repeats: int) -> list[tuple[int, Side]]:
    """Who runs when: every repeat has every side once, in an order that rotates."""
    turns = []
    for k in range(repeats):
        at = k % len(sides)
        turns += [(k, side) for side in (*sides[at:], *sides[:at])]
    return turns


def apart(**read: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part, from what a clock read at their ends."""
    found, before = {}, 0.0
    for name, at in read.items():
        found[name] = round(at["seconds"] - before, 6)
        before = at["seconds"]
    return found


def run_side(main: Any) -> None:
    """The entry of a script that is one side: ``main(job) -> result``."""
    job, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.write_text(json.dumps(main(json.loads(job.read_text()))))


# numbers ------------------------------------------------------------------------------------------
class Summary(NamedTuple):
    """Of several measurements: the middle, the smallest, the largest and how many."""

    median: float
    low: float
    high: float
    n: int


def summary(values: Sequence[float]) -> Summary:
    """Median and range. ValueError where there are none."""
    if not values:
        raise ValueError("no measurements")
    return Summary(statistics.median(values), min(values), max(values), len(values))


def rate(run: Mapping[str, Any]) -> float:
    """Work a second: of a run's ``seconds`` and its ``work[unit]``."""
    return run["work"][run["unit"]] / run["seconds"]


def ratios(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[float]:
    """How many times as much work a second ours does, repeat by repeat: above 1, ours is faster."""
    return [rate(a) / rate(b) for a, b in zip(ours, theirs, strict=True)]


def same_work(runs: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> None:
    """Broken where sides differ in a count that both must have."""
    for key in keys:
        told = {name: run["work"].get(key) for name, run in runs.items()}
        if len(set(told.values())) > 1:
            raise Broken(f"the sides did not do the same work: {key} is {told}")


# machine ------------------------------------------------------------------------------------------
def machine() -> Json:
    """What the numbers hold for: processor, cores, memory and versions; no name, path or address."""
    cpu = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        cpu = next(iter(re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)), cpu)
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, ValueError):
        memory = 0.0
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(LIBRARIES),
    }


def load() -> float:
    """The load average of the last minute, for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return os.getloadavg()[0] / cores
