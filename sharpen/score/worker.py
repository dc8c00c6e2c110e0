"""A pool's worker process: reads jobs line by line, runs one function on each, writes one line back.

Run as ``python -m sharpen.score.worker MODULE:FUNCTION CPU_SECONDS MEMORY_MIB PARENT [SETUP]``; with SETUP,
keyword arguments as JSON, the function is called once, and what it returns is run. Lines are JSON both ways;
no pickle. Results go to a copy of stdout that the function cannot reach by printing: descriptors 0, 1 and 2
are ``/dev/null`` while it runs. It ends with its parent, however that ends.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from sharpen.runs.process import die_with_parent

ANSWERED, RAISED, MEMORY = "answered", "raised", "memory"
LONGEST_LINE = 1 << 20
"""A result of more characters than this is an error of the function."""


def main() -> None:
    """Serve until stdin closes."""
    target, cpu_seconds, memory_mib = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    die_with_parent(int(sys.argv[4]))
    jobs = os.fdopen(os.dup(0), "r", encoding="utf-8")
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if len(sys.argv) > 5:
        function = function(**json.loads(sys.argv[5]))
    os.dup2(null, 2)  # until here stderr tells the parent why an import failed
    # ends the process at once: a handler in Python would wait for the end of a long call into C
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # what the function has loaded is not the answer's doing
    limit = _address_space() + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", file=results, flush=True)
    for line in jobs:
        print(json.dumps(_run(function, json.loads(line), cpu_seconds)), file=results, flush=True)


def _run(function: Any, given: dict[str, Any], cpu_seconds: float) -> dict[str, Any]:
    before = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # CPU time of the whole process, not the clock's
    try:
        how, value = ANSWERED, function(**given)
        if len(json.dumps(value)) > LONGEST_LINE:
            how, value = RAISED, "the result is too long"
    except MemoryError:
        how, value = MEMORY, "out of memory"
    except BaseException as problem:  # SystemExit as well: an answer must not end the worker
        how, value = RAISED, f"{type(problem).__name__}: {problem}"[:300].encode("utf-8", "replace").decode()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {"how": how, "value": value, "cpu": time.process_time() - before}


def _address_space() -> int:
    """Bytes that this process has mapped."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
