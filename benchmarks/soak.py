"""Does anything leak? ``python benchmarks/soak.py [--steps 500] [--smoke]``: sample, score and learn over and
over.

Each step is one of a real run: rollouts, verdicts, a journaled learn step with its checkpoint, of which only
the last is kept. Memory and open files are read after every step. Well where the slope of memory over the
second half is within the noise of its readings and the number of open files stays the same.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "experiments")]

import numpy as np  # noqa: E402
from measuring import HERE, load  # noqa: E402

RESULT = HERE / "results" / "soak.json"


class Counters(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    )  # fmt: skip


def in_use() -> float | None:
    """MiB that the C library's allocator has given out and not got back; None where it does not tell."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return None
    ask.restype = Counters
    told = ask()
    return (told.uordblks + told.hblkhd) / 2**20


def readings(steps: int, *, smoke: bool) -> dict[str, list[float]]:
    """Resident memory and memory in use (MiB) and open files after each step of a GRPO run on the shipped
    model. Resident is what the system sees, with the pages that the allocator keeps for later."""
    from sharpen.recipes.execute import execute
    from sharpen.recipes.grpo import Settings
    from sharpen.runs.config import load
    from sharpen.verbs.progress import Silent

    class Watch(Silent):
        """Reads this process in every step, when its attempts were judged."""

        def metrics(self, row: Mapping[str, Any]) -> None:
            if row.get("name") == "score":
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                told["rss_mib"].append(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 3))
                if (used := in_use()) is not None:
                    told["in_use_mib"].append(round(used, 4))
                told["files"].append(len(os.listdir("/proc/self/fd")))

    told: dict[str, list[float]] = {"rss_mib": [], "in_use_mib": [], "files": []}
    size = ("queries=4", "samples=2", "max_new_tokens=12") if smoke else ("queries=8", "samples=4")
    own = ("model=nano", f"rounds={steps}", f"measure_every={steps + 1}", "keep=last", "held_out=4",
           "held_out_sampled=2", "held_out_samples=2")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        execute("grpo", load(Settings, overrides=(*own, *size)), Path(folder) / "run", progress=Watch())
    return told


BLOCKS = 10
STUDENT = 2.306
"""Two-sided 95 % of Student's t with BLOCKS - 2 degrees of freedom."""


def slope(values: Sequence[float]) -> tuple[float, float]:
    """Change a step over the second half, by least squares, and the half width of its 95 % interval.

    Readings follow each other (the allocator gives pages back in bursts), so single readings would say that
    the slope is surer than it is: the line goes through the means of ten blocks in a row.
    """
    half = np.array(values[len(values) // 2 :])
    size = max(1, len(half) // BLOCKS)
    means = half[-size * BLOCKS :].reshape(-1, size).mean(1)
    steps = (np.arange(len(means)) - (len(means) - 1) / 2) * size
    per_step = float((steps * means).sum() / (steps**2).sum())
    rest = means - means.mean() - per_step * steps
    error = float(np.sqrt((rest**2).sum() / max(1, len(means) - 2) / (steps**2).sum()))
    return per_step, STUDENT * error


def verdict(told: dict[str, list[float]]) -> dict[str, Any]:
    """Slope, its noise and whether both are as they should be; of what is in use the slope alone."""
    per_step, noise = slope(told["rss_mib"])
    files = set(told["files"][len(told["files"]) // 2 :])
    return {
        "steps": len(told["rss_mib"]),
        "mib_a_step": per_step,
        "noise": noise,
        "flat": per_step <= noise,
        "in_use_kib_a_step": 1024 * slope(told["in_use_mib"])[0] if told["in_use_mib"] else None,
        "files": sorted(files),
        "constant": len(files) == 1,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--smoke", action="store_true", help="few and small steps; nothing is kept")
    args = parser.parse_args(argv)
    from sharpen.cli.threads import limit

    threads, busy = limit(None), load()
    told = readings(8 if args.smoke else args.steps, smoke=args.smoke)
    found = verdict(told)
    print(json.dumps(found, indent=1))
    if not args.smoke:
        from bench import head

        kept = {**head("python benchmarks/soak.py", threads, busy), **found, "readings": told}
        RESULT.write_text(json.dumps(kept) + "\n", "utf-8")
    return 0 if args.smoke or (found["flat"] and found["constant"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
