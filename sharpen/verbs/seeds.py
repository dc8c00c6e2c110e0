"""``--seeds N``: the same run once a seed, each in a process of its own, then one table over all of them.

The folder of such a run holds ``seeds.json`` (which recipe, which seeds), ``config.toml``, one run folder a
seed (``seed-0``, ``seed-1``, ...) and at the end ``summary.json``. It holds no state of its own: continuing
it means running what its seeds lack.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream

PLAN = "seeds.json"
SUMMARY = "summary.json"

_LAST_LINES = 12
_PATIENCE = 10.0  # seconds that an interrupted child has to close its run before it is killed


@dataclass(frozen=True)
class Child:
    """One seed's process: what to run, and on how many threads."""

    seed: int
    argv: tuple[str, ...]
    threads: int = 1


@dataclass
class Outcome:
    """How a seed ended: its exit code (negative: the signal that killed it) and its last lines."""

    seed: int
    code: int
    lines: list[str] = field(default_factory=list)


def write_plan(folder: Path, recipe: str, seeds: Sequence[int], config_toml: str) -> None:
    """Make (or overwrite) the files that say what ``folder`` is to hold."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.toml", config_toml)
    _write(folder / PLAN, json.dumps({"recipe": recipe, "seeds": list(seeds)}, indent=1) + "\n")


def read_plan(folder: Path) -> tuple[str, list[int]] | None:
    """The recipe and the seeds of a multi-seed folder, None where ``folder`` is not one."""
    try:
        plan = json.loads((folder / PLAN).read_text("utf-8"))
        return str(plan["recipe"]), [int(s) for s in plan["seeds"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise SharpenError(f"{folder / PLAN}: cannot be read ({e})") from None


def seed_folder(folder: Path, seed: int) -> Path:
    """Where a seed's run lies."""
    return folder / f"seed-{seed}"


def run_children(
    children: Sequence[Child],
    *,
    at_most: int,
    told: Callable[[int, str], None],
    ended: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run all children, ``at_most`` at once, and return how each ended, in the order given.

    ``told(seed, line)`` gets every line that a child writes, ``ended`` each outcome. Must be called from the
    main thread: the system ties a child's life to the thread that started it. On an exception (Ctrl-C)
    every child is interrupted, and killed with all its own children when it does not stop.
    """
    waiting, outcomes = deque(children), {}
    live: dict[int, _Running] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or live:
                while waiting and len(live) < max(at_most, 1):
                    running = _Running(waiting.popleft())
                    live[running.child.seed] = running
                    selector.register(running.pipe, selectors.EVENT_READ, running)
                for key, _ in selector.select():
                    running = key.data
                    if running.read(told):
                        continue
                    selector.unregister(running.pipe)
                    del live[running.child.seed]
                    outcomes[running.child.seed] = running.outcome()
                    ended(outcomes[running.child.seed])
        except BaseException:
            _stop([r.process for r in live.values()])
            raise
    return [outcomes[c.seed] for c in children]


def summarise(
    recipe: str, config_digest: str, values: Mapping[int, Mapping[str, Mapping[str, Mapping[str, float]]]]
) -> dict[str, Any]:
    """The JSON of ``summary.json``: mean and 95 % interval over seeds and items of each measure.

    Args:
        values: seed -> measure -> ``base`` or ``final`` -> item id -> value. Only items that every seed
            answered at both ends count.
    """
    seeds = sorted(values)
    measures = sorted(set.intersection(*(set(values[s]) for s in seeds))) if seeds else []
    out: dict[str, Any] = {"recipe": recipe, "config": config_digest, "seeds": seeds, "measures": {}}
    for measure in measures:
        ends = [values[s][measure] for s in seeds]
        items = sorted(set.intersection(*(set(e[k]) for e in ends for k in ("base", "final"))))
        if not items:
            continue
        base, final = (np.array([[e[k][i] for i in items] for e in ends]) for k in ("base", "final"))
        out["measures"][measure] = {
            "items": len(items),
            "base": _interval(base, measure, "base"),
            "final": _interval(final, measure, "final"),
            "change": _interval(final - base, measure, "change"),
        }
    return out


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """``summary.json`` in ``folder``, atomically; equal summaries give equal bytes."""
    _write(folder / SUMMARY, json.dumps(summary, indent=1, sort_keys=True) + "\n")
    return folder / SUMMARY


def _interval(values: NDArray[np.float64], *names: str) -> dict[str, float]:
    from sharpen.measure.intervals import hierarchical_bootstrap

    mean, low, high = hierarchical_bootstrap(values, stream=stream("seeds", *names))
    return {"mean": float(mean), "low": float(low), "high": float(high)}


class _Running:
    def __init__(self, child: Child) -> None:
        self.child = child
        env = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            env[name] = str(child.threads)
        self.process = subprocess.Popen(
            child.argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one Ctrl-C reaches the parent alone, which then tells the children
        )
        assert self.process.stdout is not None
        self.pipe: IO[bytes] = self.process.stdout
        os.set_blocking(self.pipe.fileno(), False)
        self._half = b""
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)

    def read(self, told: Callable[[int, str], None]) -> bool:
        """Pass on what the child wrote; False when it closed its end."""
        data = os.read(self.pipe.fileno(), 65536)
        *lines, self._half = (self._half + data).split(b"\n")
        if not data and self._half:
            lines, self._half = [self._half], b""
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            told(self.child.seed, line)
        return bool(data)

    def outcome(self) -> Outcome:
        code = self.process.wait()
        self.pipe.close()
        return Outcome(self.child.seed, code, list(self._lines))


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for p in processes:
        p.send_signal(signal.SIGINT)
    for p in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(_PATIENCE)
    for p in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        p.wait()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)
