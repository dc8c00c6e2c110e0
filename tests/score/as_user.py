"""What an ordinary user sees: run by root as ``python as_user.py UID FOLDER``, it becomes that user, starts
the pool and the sandbox on everything that misbehaves, and prints as JSON how each of it ended."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEED = (sys.base_prefix, sys.prefix, str(HERE.parent.parent))
"""Folders that the user has to read: the interpreter, the libraries, this repository."""

PROGRAMS = {
    "hang": "while True: pass",
    "exception": "1 / 0",
    "memory": "x = bytearray(1 << 34)",
    "fork bomb": "import os\nwhile True:\n    os.fork()",
    "patient fork bomb": "import os, time\nfor _ in range(1000):\n    try:\n        if os.fork() == 0:\n"
    "            os.setsid()\n            time.sleep(600)\n    except OSError:\n        pass\n",
    "flood": "print('x' * 10 ** 8)",
    "exit": "import os\nos._exit(0)",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    "right": "print('b')",
}
IN_THE_POOL = ("hang", "raise", "memory", "exit", "exit now", "killed", "flood", "long")


def main() -> None:
    """Become the user, look, tell."""
    if os.getuid() == 0:
        become(int(sys.argv[1]), Path(sys.argv[2]))
    sys.path.insert(0, str(HERE.parent.parent))
    print(json.dumps({"uid": os.getuid(), "pool": in_the_pool(), "code": in_the_sandbox()}))


def become(uid: int, held: Path) -> None:
    """Show the folders to everybody, in a mount namespace of this process alone (``held`` is an empty folder
    that the mounts rest on); then start this program again as the user."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x00020000):
        raise SystemExit("no mount namespace")
    mount("--make-rprivate", "/")
    closed = {folder: at for folder in NEED if (at := shut(Path(folder)))}
    for i, folder in enumerate(closed):
        (held / str(i)).mkdir()
        mount("--bind", folder, str(held / str(i)))
    for at in set(closed.values()):
        mount("-t", "tmpfs", "-o", "mode=755", "none", str(at))
    for i, folder in enumerate(closed):
        Path(folder).mkdir(parents=True)
        mount("--bind", str(held / str(i)), folder)
    os.chdir("/")
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # a process that has changed its user may not write its own /proc, which a user's namespace needs
    os.execv(sys.executable, [sys.executable, "-B", str(HERE / "as_user.py")])


def shut(folder: Path) -> Path | None:
    """The first folder above that others may not enter."""
    above = [*reversed(folder.parents), folder]
    return next((at for at in above if not at.stat().st_mode & 0o001), None)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def in_the_pool() -> dict[str, object]:
    """Each ending, between answers that are judged."""
    from sharpen.score.pool import Pool

    asked = [text for bad in IN_THE_POOL for text in ("right", bad, "wrong")]
    limits = {"cpu_seconds": 0.2, "memory_mib": 256, "wall_seconds": 5.0, "paths": (str(HERE),)}
    with Pool("planted:check", workers=2, **limits) as pool:  # type: ignore[arg-type]
        found = pool.map([{"text": text} for text in asked])
        again = pool.map([{"text": text} for text in ("right", "wrong")])
        alive = [w.process.poll() is None for w in pool._workers]
    good = [o.value for text, o in zip(asked, found, strict=True) if text in ("right", "wrong")]
    return {
        "endings": {text: o.how for text, o in zip(asked, found, strict=True) if text in IN_THE_POOL},
        "good": good == [{"score": 1.0}, {"score": 0.0}] * len(IN_THE_POOL),
        "again": [o.value["score"] for o in again],
        "alive": alive,
        "replaced": pool.replaced,
    }


def in_the_sandbox() -> dict[str, object]:
    """The verdict on each program as an answer; or why nothing is run."""
    from sharpen.score.code import CodeVerifier
    from sharpen.score.sandbox import containment
    from sharpen.tasks.task import Task
    from tests.scored import episode

    held = containment()
    if not held.forks:
        return {"refused": held.why}
    verifier = CodeVerifier(cpu_seconds=1, wall_seconds=5.0)
    task = Task("t", "q", "", {"tests": [{"stdin": "", "stdout": "b"}]})
    found: dict[str, object] = {}
    for name, source in PROGRAMS.items():
        verdict = verifier(task=task, episode=episode(f"```python\n{source}\n```", of="t"))
        found[name] = [verdict.score, verdict.status, verdict.detail]
    return found


if __name__ == "__main__":
    main()
