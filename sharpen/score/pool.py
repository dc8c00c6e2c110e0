"""The killable pool: a function run on many inputs in worker processes that can be stopped.

A checker that hangs, eats memory or ends its process costs one answer, not the run. The deadline is CPU time,
so a busy machine changes no outcome; an answer that was stopped, or came near the deadline, is run once more,
alone, in a fresh process, with four times the limits, and only that decides.

What it does not do: it is no sandbox. The function is ours and is trusted, what it reads is not. For code
that a model wrote see ``sharpen.score.sandbox``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sharpen.errors import SharpenError

AHEAD_SECONDS = 0.1
"""Work sent to a worker before its results are read: so much by its pace so far. Enough that quick answers
are not waited for one by one, and not so much that slow ones queue up while another worker has none."""
FIRST, MOST = 2, 1024
"""Jobs sent to a worker whose pace is not known yet, and at most."""
MOST_BYTES = 1 << 15
"""Of jobs sent together. A pipe holds them all, so that sending never waits: a worker that waits until its
results are read could wait for ever."""
SECOND_TRY = 4
"""By how much the limits of the deciding run are larger."""
_PAUSE = AHEAD_SECONDS / 50  # quick results are read many at a time: to wake for each would take a core
_START_SECONDS = 120.0  # a worker that has not said that it is ready by then never will

How = Literal["answered", "raised", "memory", "timeout", "crash"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended.

    Attributes:
        how: ``answered``; ``raised`` an exception; ran out of ``memory``; ``timeout``: used more CPU time
            than allowed, alone and with the larger limit; ``crash``: ended its process.
        value: what the function returned, else one line that says why not.
        cpu: seconds of CPU time, 0 where the process did not live to tell.
    """

    how: How
    value: Any
    cpu: float = 0.0


class Pool:
    """Workers that run ``target`` (``module:function``) on keyword arguments of JSON values.

    Use it as a context manager, or call ``close``. Workers start when the first jobs come.

    Args:
        target: a pure function of its arguments; returns a JSON value.
        setup: where given, ``target`` is called with it first, in each worker, and gives that function. What
            this takes does not count as an answer's.
        workers: processes; by default as many as the process may use threads.
        cpu_seconds: CPU time an answer may take.
        memory_mib: memory it may take beyond what the worker holds after its imports.
        wall_seconds: how long a worker may say nothing, for what waits without computing.
        paths: folders that are searched for ``module`` first.

    Raises:
        SharpenError: the target cannot be imported.
    """

    def __init__(
        self,
        target: str,
        *,
        workers: int | None = None,
        cpu_seconds: float = 2.0,
        memory_mib: int = 1024,
        wall_seconds: float = 60.0,
        paths: Sequence[str] = (),
        setup: Mapping[str, Any] | None = None,
    ) -> None:
        self.target = target
        self.size = workers or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        self.cpu_seconds, self.memory_mib, self.wall_seconds = cpu_seconds, memory_mib, wall_seconds
        self._paths = tuple(paths)
        self._setup = [] if setup is None else [json.dumps(setup)]
        self._workers: list[_Worker] = []
        self.replaced = 0
        """Workers that had to be replaced so far."""

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        while self._workers:
            self._workers.pop().kill()

    def map(
        self, jobs: Sequence[Mapping[str, Any]], on_outcome: Callable[[int, Outcome], None] | None = None
    ) -> list[Outcome]:
        """How each call ended, in the order of ``jobs``. An outcome depends on its own job alone.

        ``on_outcome`` is told of each job's number and outcome as soon as it is decided.
        """
        lines = [json.dumps(job).encode() + b"\n" for job in jobs]
        found: dict[int, Outcome] = {}
        again: list[int] = []

        def decided(job: int, outcome: Outcome) -> None:
            found[job] = outcome
            if on_outcome is not None:
                on_outcome(job, outcome)

        def told(job: int, outcome: Outcome | None) -> None:
            if outcome is None or outcome.how == "memory" or outcome.cpu > self.cpu_seconds / 2:
                again.append(job)
            else:
                decided(job, outcome)

        self._first_pass(lines, told)
        for job in sorted(again):
            decided(job, self._alone(lines[job]))
        return [found[i] for i in range(len(lines))]

    def _first_pass(self, lines: Sequence[bytes], told: Callable[[int, Outcome | None], None]) -> None:
        waiting = deque(range(len(lines)))
        while len(self._workers) < min(self.size, len(lines)):
            self._workers.append(self._start())
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.results, selectors.EVENT_READ, worker)
            try:
                while waiting or any(w.sent for w in self._workers):
                    for worker in self._workers:
                        worker.give(waiting, lines, -(-len(waiting) // len(self._workers)))
                    for key, _ in selector.select(timeout=1.0):
                        for job, outcome in key.data.read():
                            told(job, outcome)
                    if waiting:
                        time.sleep(_PAUSE)
                    for worker in [w for w in self._workers if w.gone or w.silent_for > self.wall_seconds]:
                        selector.unregister(worker.results)
                        culprit = worker.kill()
                        if culprit is not None:
                            told(culprit, None)
                        waiting.extendleft(reversed(worker.sent))
                        self._workers[self._workers.index(worker)] = fresh = self._start()
                        self.replaced += 1
                        selector.register(fresh.results, selectors.EVENT_READ, fresh)
            except BaseException:
                self.close()  # results of an interrupted pass must not be read as those of the next
                raise

    def _alone(self, line: bytes) -> Outcome:
        """The deciding run: a fresh process, nothing beside it, larger limits."""
        worker = self._start(SECOND_TRY)
        try:
            worker.give(deque([0]), [line], 1)
            with selectors.DefaultSelector() as selector:
                selector.register(worker.results, selectors.EVENT_READ)
                while True:
                    for _ in selector.select(timeout=1.0):
                        for _, outcome in worker.read():
                            return outcome
                    if worker.gone or worker.silent_for > SECOND_TRY * self.wall_seconds:
                        break
            worker.kill()
            return worker.last_words(SECOND_TRY * self.cpu_seconds)
        finally:
            worker.kill()

    def _start(self, factor: int = 1) -> _Worker:
        argv = [sys.executable, "-m", "sharpen.score.worker", self.target]
        argv += [repr(self.cpu_seconds * factor), str(self.memory_mib * factor), str(os.getpid())]
        argv += self._setup
        # nothing of the parent's environment: no secrets for what goes wrong inside, no thread pools
        environment = {
            "PYTHONPATH": os.pathsep.join([*self._paths, *(p for p in sys.path if p)]),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "LANG": "C.UTF-8",
        }
        worker = _Worker(
            subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        )
        if not worker.ready():
            said = worker.kill_and_hear()
            raise SharpenError(f"pool: {self.target} cannot be run: {said}")
        return worker


@dataclass(eq=False)
class _Worker:
    """One process, and what it was given: results come in the order of jobs, so the first of ``sent`` is the
    one that runs."""

    process: subprocess.Popen[bytes]
    sent: deque[int] = field(default_factory=deque)
    gone: bool = False
    _text: bytes = b""
    _sizes: deque[int] = field(default_factory=deque)
    _pace: float = AHEAD_SECONDS / FIRST
    _heard: float = field(default_factory=time.monotonic)

    @property
    def results(self) -> Any:
        """The pipe of results."""
        return self.process.stdout

    @property
    def silent_for(self) -> float:
        """Seconds since it last said something, 0 where it has nothing to do."""
        return time.monotonic() - self._heard if self.sent else 0.0

    def ready(self) -> bool:
        """Wait until it has imported its function."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.results, selectors.EVENT_READ)
            if not selector.select(timeout=_START_SECONDS):
                return False
        return self.results.readline() == b"ready\n"

    def give(self, waiting: deque[int], lines: Sequence[bytes], most: int) -> None:
        """Send jobs, at most so many, until enough lie ahead of it."""
        ahead = max(FIRST, min(MOST, round(AHEAD_SECONDS / self._pace)))
        if 2 * len(self.sent) > ahead or self.gone:
            return
        if not self.sent:
            self._heard = time.monotonic()
        chunk: list[bytes] = []
        room = MOST_BYTES - sum(self._sizes)
        while waiting and len(chunk) < most and len(self.sent) < ahead:
            line = lines[waiting[0]]
            room -= len(line)
            if room < 0 and self.sent:
                break
            chunk.append(line)
            self._sizes.append(len(line))
            self.sent.append(waiting.popleft())
        try:
            self.process.stdin.write(b"".join(chunk))  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except (BrokenPipeError, OSError):
            self.gone = True

    def read(self) -> list[tuple[int, Outcome]]:
        """Results that have come."""
        got = os.read(self.results.fileno(), 1 << 20)
        if not got:
            self.gone = True
            return []
        now = time.monotonic()
        *whole, self._text = (self._text + got).split(b"\n")
        if whole:
            self._pace = (self._pace + (now - self._heard) / len(whole)) / 2
        self._heard = now
        out = []
        for line in whole:
            said = json.loads(line)
            self._sizes.popleft()
            out.append((self.sent.popleft(), Outcome(said["how"], said["value"], said["cpu"])))
        return out

    def kill(self) -> int | None:
        """End it and all that it started; gives the job that was running."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.gone = True
        return self.sent.popleft() if self.sent else None

    def kill_and_hear(self) -> str:
        """End it; the last line that it wrote to stderr."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        _, said = self.process.communicate()
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.process.returncode}"

    def last_words(self, cpu_seconds: float) -> Outcome:
        """What its end means."""
        code = self.process.returncode
        if code == -signal.SIGPROF:
            return Outcome("timeout", f"stopped after {cpu_seconds:g} s of CPU time")
        if code == -signal.SIGKILL:
            return Outcome("timeout", "waited without computing, or was killed from outside")
        told = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        return Outcome("crash", f"the process ended with {told}")
