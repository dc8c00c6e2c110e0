"""How many threads a process may use. Two processes with two threads each on two cores run 4-5 times slower
than one thread each, so the number is set for every process, before torch is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cores() -> int:
    """Physical cores that this process may use: its CPU set and its container's share, at least 1."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    # two hyperthreads share one core's multipliers: they count once
    siblings = {_siblings(cpu) for cpu in allowed}
    return max(min(len(siblings), _quota() or len(siblings)), 1)


def limit(threads: int | None) -> int:
    """Set the thread count of this process: ``threads``, else ``OMP_NUM_THREADS`` where it is set, else
    ``cores()``. Returns it. Only before torch is imported."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    n = threads or (int(given) if given.isdigit() and int(given) > 0 else cores())
    for name in VARIABLES:
        os.environ[name] = str(n)
    if "torch" in sys.modules:  # in a notebook or a test: the variables come too late
        sys.modules["torch"].set_num_threads(n)
    return n


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _quota() -> int | None:
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return max(round(int(most) / int(period)), 1)
    except (OSError, ValueError):
        return None
