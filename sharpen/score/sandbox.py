"""Code that a model wrote, run apart: a process of its own with limits, no environment and an empty folder.

What it protects from: endless loops, memory, output and file bombs, fork bombs (where ``containment`` says
so), reading this process's environment, writing into its folders (where we are root, another user runs the
code), the network (where namespaces are to be had), ending or fooling the check: expected outputs never enter
the process, and what it returns is compared here.

What it does **not** protect from: reading files that everybody may read, bugs of the kernel, the disk filling
up by many small files, another program of the same user where we are not root. It is no virtual machine. Run
code that somebody aims at you in one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sharpen.errors import SharpenError

JAIL = Path(__file__).with_name("jail.py")
OUTPUT_BYTES = 1 << 20
PROCESSES = 16
"""Processes and threads that the code may have at once."""
_UIDS = range(200_000, 260_000)  # no user of an ordinary system

How = Literal["ended", "cpu", "wall", "output", "signal"]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    Attributes:
        how: ``ended`` by itself; stopped for ``cpu`` time, ``wall`` time or too much ``output``; or by
            another ``signal``.
        code: its exit code, negative for a signal.
        stdout, stderr: what it wrote, cut at the limit; not UTF-8 is replaced.
        cpu: seconds of CPU time of its first process.
    """

    how: How
    code: int
    stdout: str
    stderr: str
    cpu: float


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds code back here.

    Attributes:
        forks: whether a fork bomb was held when tried.
        network: whether it has no network.
        user: whether it runs as another user.
        why: one line for people where ``forks`` is false.
    """

    forks: bool
    network: bool
    user: bool
    why: str = ""


def run_python(
    source: str,
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    cpu_seconds: int = 2,
    wall_seconds: float = 10.0,
    memory_mib: int = 512,
    unsafe: bool = False,
) -> Ran:
    """Run a Python program (this interpreter, isolated mode) in an empty folder that is removed afterwards.

    Args:
        source: the program.
        stdin: what it reads.
        files: further files beside it, name to text.
        cpu_seconds, wall_seconds, memory_mib: its limits.
        unsafe: run it although a fork bomb cannot be held here.

    Raises:
        SharpenError: this machine cannot hold a fork bomb, and ``unsafe`` was not given.
    """
    held = containment()
    if not held.forks and not unsafe:
        raise SharpenError(
            f"code from a model is not run here: {held.why} (--unsafe-local-exec runs it all the same)"
        )
    return _run(source, stdin, files or {}, cpu_seconds, wall_seconds, memory_mib)


@functools.cache
def containment() -> Containment:
    """Try what this machine holds, once: a program that starts more processes than it may."""
    if sys.platform != "linux":
        return Containment(False, False, False, f"no limits on processes are known for {sys.platform}")
    ran = _run(_PROBE, "", {}, 5, 20.0, 512)
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        why = (ran.stderr.strip().splitlines() or [f"the probe ended with {ran.how} {ran.code}"])[-1]
        return Containment(False, False, False, f"the sandbox does not start ({why})")
    forks = bool(found["stopped_at"] <= PROCESSES)
    why = "" if forks else "the limit on processes does not bind (root, and no other user to run it as)"
    return Containment(forks, not found["network"], found["uid"] != os.getuid(), why)


_PROBE = f"""
import json, os, socket, time
started = 0
for _ in range({3 * PROCESSES}):
    try:
        child = os.fork()
    except OSError:
        break
    if not child:
        time.sleep(30)
        os._exit(0)
    started += 1
network = [n for _, n in socket.if_nameindex() if n != "lo"]
print(json.dumps({{"stopped_at": started + 1, "uid": os.getuid(), "network": bool(network)}}))
"""


def _run(
    source: str, stdin: str, files: Mapping[str, str], cpu_seconds: int, wall_seconds: float, memory_mib: int
) -> Ran:
    folder = tempfile.mkdtemp(prefix="sharpen-")
    root = os.getuid() == 0
    uid = secrets.choice(_UIDS) if root else None
    try:
        for name, text in {**files, "main.py": source}.items():
            Path(folder, name).write_text(text, "utf-8", errors="replace")
        Path(folder, "stdin").write_text(stdin, "utf-8", errors="replace")
        if uid is not None:
            for path in (folder, *(str(p) for p in Path(folder).iterdir())):
                os.chown(path, uid, uid)
        settings = {
            "argv": [os.path.realpath(sys.executable), "-I", "-B", "main.py"],
            "folder": folder,
            "python": sys.base_prefix,
            "home": str(Path(folder, ".python")),
            "environment": {"LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            "uid": uid,
            "limits": {
                "CPU": cpu_seconds,
                "AS": memory_mib << 20,
                "FSIZE": 16 << 20,
                "NOFILE": 64,
                "CORE": 0,
                "NPROC": PROCESSES,
            },
        }
        return _supervise(settings, Path(folder, "stdin"), wall_seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _supervise(settings: Mapping[str, Any], stdin: Path, wall_seconds: float) -> Ran:
    status_read, status_write = os.pipe()
    with stdin.open("rb") as given:
        process = subprocess.Popen(
            [sys.executable, "-I", str(JAIL), json.dumps(settings), str(status_write)],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(status_write,),
            start_new_session=True,
        )
    os.close(status_write)
    said, stopped = _listen(process, status_read, wall_seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    report = {"code": -signal.SIGKILL, "cpu": 0.0, **json.loads(said["status"] or b"{}")}
    os.close(status_read)
    for pipe in (process.stdout, process.stderr):
        pipe.close()  # type: ignore[union-attr]
    how: How = stopped or "ended"
    if stopped is None and report["code"] < 0:
        # the limit on CPU time ends it with one signal or the other
        spent = report["code"] in (-signal.SIGXCPU, -signal.SIGKILL) and (
            report["cpu"] >= 0.9 * settings["limits"]["CPU"]
        )
        how = "cpu" if spent else "signal"
    out, err = (said[k].decode("utf-8", "replace") for k in ("stdout", "stderr"))
    return Ran(how, report["code"], out, err, report["cpu"])


def _listen(
    process: subprocess.Popen[bytes], status: int, wall_seconds: float
) -> tuple[dict[str, bytes], Literal["wall", "output"] | None]:
    """Read until the program has ended, or has to be stopped. A descendant that keeps a pipe open is not
    waited for."""
    said = {"stdout": b"", "stderr": b"", "status": b""}
    deadline = time.monotonic() + wall_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "stdout")  # type: ignore[arg-type]
        selector.register(process.stderr, selectors.EVENT_READ, "stderr")  # type: ignore[arg-type]
        selector.register(status, selectors.EVENT_READ, "status")
        while True:
            events = selector.select(timeout=max(deadline - time.monotonic(), 0))
            if not events:
                # told how it ended, and nothing more to read at once
                return said, None if said["status"] else "wall"
            for key, _ in events:
                got = os.read(key.fd, 1 << 16)
                if not got:
                    selector.unregister(key.fileobj)
                said[key.data] += got
                if key.data == "status" and got:
                    deadline = time.monotonic()  # drain what was written before, then stop
                if len(said["stdout"]) + len(said["stderr"]) > OUTPUT_BYTES:
                    return {**said, "stdout": said["stdout"][:OUTPUT_BYTES]}, "output"
            if not selector.get_map():
                return said, None


def last_block(completion: str) -> str | None:
    """The last complete fenced block of a text that is Python or unnamed; None where there is none."""
    parts = completion.split("```")
    # parts 1, 3, 5, ... are inside; an even number of parts means that the last one is not closed
    for inside in reversed(parts[1 : len(parts) - (len(parts) % 2 == 0) : 2]):
        name, newline, body = inside.partition("\n")
        if newline and name.strip().lower() in ("", "python", "py", "python3"):
            return body
    return None


def call_function(
    source: str, function: str, calls: Sequence[Sequence[Any]], **limits: Any
) -> tuple[Ran, list[Any]]:
    """Call a function of a program on JSON arguments; what it returned, as far as it got.

    Results come over stdout behind a nonce drawn for this run, so that what the program prints is not taken
    for one. A program that looks for the nonce finds it; it does not find what is expected.
    """
    nonce = secrets.token_hex(16)
    harness = _HARNESS.format(nonce=nonce, function=json.dumps(function))
    ran = run_python(
        harness, stdin=json.dumps([list(c) for c in calls]), files={"solution.py": source}, **limits
    )
    results: list[Any] = []
    for line in ran.stdout.splitlines():
        mark, _, told = line.partition(" ")
        if mark == nonce:
            with contextlib.suppress(ValueError):
                results.append(json.loads(told))
    return ran, results[: len(calls)]


_HARNESS = """
import importlib.util, json, sys
calls = json.load(sys.stdin)
spec = importlib.util.spec_from_file_location("solution", "solution.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
function = getattr(module, {function})
for arguments in calls:
    told = json.dumps(function(*arguments))
    print("\\n{nonce} " + told, flush=True)
"""
