"""How speed is measured: each side a process of its own, in turns, medians, ranges and paired ratios."""

from __future__ import annotations

import json
import os
import platform
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from peers.side import Clock as Clock
from peers.side import serve, versions

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
        script: serves jobs, as ``peers.side.serve`` says.
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


class Resident:
    """A side's process: it does one job after another, and is stopped in between.

    Its script gets jobs and gives results as ``peers.side.serve`` says; what it prints goes to a file. A
    context: at its end the process is let end, or is killed where an error left it.

    Raises:
        Broken: the side's environment was not built.
    """

    def __init__(self, side: Side, *, threads: int) -> None:
        python, self._side, self._peak = side.python, side, 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._log = Path(self._folder.name) / "log"
        self._results, theirs = os.pipe()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(side.script), str(theirs)],
                env=environment(side, threads),
                cwd=self._folder.name,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)
        assert self._process.stdin
        self._jobs = self._process.stdin

    def run(self, job: Mapping[str, Any], *, timeout: float = 1800) -> Json:
        """What the side says of a job, which is to have its settings.

        Raises:
            Broken: it ended or was too slow, and is gone with all its processes; with the end of what it
                printed.
        """
        with self._within(timeout):
            self._signal(signal.SIGCONT)
            with suppress(BrokenPipeError):  # it has ended: the missing result tells
                self._jobs.write(json.dumps(job).encode() + b"\n")
                self._jobs.flush()
            line = self._line()
            code = None if line.endswith(b"\n") else self._process.wait()
            self._signal(signal.SIGSTOP)  # threads of a library may wake while nothing is asked of it
        if code is not None:
            self._kill()
            end = self._log.read_text("utf-8", "replace")[-3000:]
            raise Broken(f"{self._side.name} ended with {code}:\n{end}")
        told = json.loads(line)
        self._peak = told["peak_mib"]
        return told["said"]

    def close(self) -> float:
        """Let it end; the largest memory, in MiB, that it or one of its ended children had after a job."""
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):
            self._jobs.close()
        with self._within(60):
            self._process.wait()
        return self._peak

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and self._process.poll() is None:
            self._kill()
        self.close()
        os.close(self._results)
        self._folder.cleanup()

    def _line(self) -> bytes:
        """What it writes, up to a line end; less where it has ended."""
        line = bytearray()
        while not line.endswith(b"\n"):
            # asked before the pipe is, so that its last words are read; children may keep the pipe open
            over = self._process.poll() is not None
            if select.select([self._results], [], [], 0.2)[0]:
                part = os.read(self._results, 1 << 20)
                line += part
                over = not part
            if over:
                break
        return bytes(line)

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Killed where it takes longer."""
        alarm = threading.Timer(seconds, self._kill)
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, kind: signal.Signals) -> None:
        # the session is its own: its workers are in it
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, kind)


def once(side: Side, job: Mapping[str, Any], *, threads: int, timeout: float = 1800) -> Json:
    """Run one side once, as its settings say, in a process of its own: what it said, and ``peak_mib``, the
    largest memory of one of its processes.

    Raises:
        Broken: it failed or was too slow; with the end of what it wrote.
    """
    with Resident(side, threads=threads) as process:
        said = process.run({**job, **side.settings}, timeout=timeout)
        return {**said, "peak_mib": process.close()}


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


def run_side(main: Callable[[Json], Json]) -> None:
    """The entry of a script that is one side: ``main(job) -> result``."""
    serve(main)


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


def figures(value: float) -> int:
    """Decimal places that leave about three figures."""
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 4


def shown(value: float) -> str:
    """A number to about three figures."""
    return f"{value:,.{figures(value)}f}"


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
