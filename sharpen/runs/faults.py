"""Named crash points: places where a test may kill the process or fill the disk.

``SHARPEN_FAULT="unit.rename.before:2"`` makes the process SIGKILL itself at its second passage of that
point; ``SHARPEN_FAULT="enospc:5"`` lets the fifth write, and every later one, fail half-way as on a full
disk. Without the variable a passage costs one comparison.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass

from sharpen.errors import SharpenError, unknown

ATOMIC = ("create", "config", "unit", "resume.metrics")
"""Kinds of files that are written beside their place and then renamed into it."""

APPENDED = ("manifest", "metrics", "timing")
"""Kinds of files that grow by lines."""

_WRITTEN = ("write.before", "write.mid", "write.after", "fsync.before", "fsync.after")
_MOVED = ("rename.before", "rename.after", "dirsync.after")

POINTS: tuple[str, ...] = (
    *(f"{kind}.{at}" for kind in (*ATOMIC, "checkpoint") for at in (*_WRITTEN, *_MOVED)),
    *(f"{kind}.{at}" for kind in APPENDED for at in _WRITTEN),
    "drop.rename.before",
    "drop.rename.after",
    "drop.remove.after",
    "resume.lock.after",
    "resume.cut.before",
    "resume.cut.after",
    "resume.clean.after",
    "learn.microbatch",
    "learn.update.after",
)
"""Every point at which a process can be killed."""

TAPE = "tape"
TAPE_POINTS: tuple[str, ...] = tuple(f"{TAPE}.{at}" for at in _WRITTEN)
"""Further ones, passed only by runs that keep replies from outside."""

DISK_FULL = "enospc"


@dataclass(slots=True)
class _Plan:
    name: str
    left: int


_plan: _Plan | None = None


def arm(spec: str | None) -> None:
    """Plan one fault: ``"point:n"`` or ``"enospc:n"`` with n from 1 (default 1); None or ``""`` plans none.

    Raises SharpenError for an unknown point or a count that is not a positive number.
    """
    global _plan
    if not spec:
        _plan = None
        return
    name, _, count = spec.partition(":")
    if name not in (*POINTS, *TAPE_POINTS, DISK_FULL):
        raise unknown("crash point", name, (*POINTS, *TAPE_POINTS, DISK_FULL))
    if count and (not count.isdecimal() or int(count) < 1):
        raise SharpenError(f"crash point {name!r}: the count {count!r} is not a number from 1")
    _plan = _Plan(name, int(count or 1))


def point(name: str) -> None:
    """Pass the crash point ``name``, one of ``POINTS`` or ``TAPE_POINTS``."""
    if _plan is not None:
        _passed(_plan, name)


def write(fd: int, data: bytes, kind: str) -> None:
    """Write all of ``data`` to ``fd``, past the points ``<kind>.write.before``, ``.mid`` and ``.after``."""
    if _plan is None:
        _write_all(fd, data)
        return
    half = len(data) // 2
    _passed(_plan, f"{kind}.write.before")
    if _disk_is_full(_plan):
        _write_all(fd, data[:half])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _write_all(fd, data[:half])
    _passed(_plan, f"{kind}.write.mid")
    _write_all(fd, data[half:])
    _passed(_plan, f"{kind}.write.after")


def foreign_write(path: os.PathLike[str], kind: str) -> None:
    """Stand in for a fault inside a write that another library has just done at ``path``: the file is
    cut to half where the plan says ``<kind>.write.mid`` or the disk is full."""
    if _plan is None:
        return
    full = _disk_is_full(_plan)
    if full or (_plan.name == f"{kind}.write.mid" and _plan.left == 1):
        os.truncate(path, os.path.getsize(path) // 2)
    if full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _passed(_plan, f"{kind}.write.mid")


def _passed(plan: _Plan, name: str) -> None:
    if name not in (*POINTS, *TAPE_POINTS):
        raise unknown("crash point", name, (*POINTS, *TAPE_POINTS))
    if plan.name == name:
        plan.left -= 1
        if plan.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _disk_is_full(plan: _Plan) -> bool:
    if plan.name != DISK_FULL:
        return False
    plan.left -= 1
    return plan.left <= 0  # a disk that is full stays full


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


arm(os.environ.get("SHARPEN_FAULT"))
