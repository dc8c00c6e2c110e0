"""One writer a run: an advisory lock on the run's ``lock`` file, freed by the system when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.runs.atomic import told

LOCK = "lock"

_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


class RunLock:
    """Holds a run folder until ``release``. Raises SharpenError, naming the holder, when another does."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        with told(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _taken(self._fd, patience=5):
                pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
                raise SharpenError(
                    f"run {folder} is being written by a live process (pid {pid or 'unknown'}): "
                    "wait for it or stop it first"
                )
            with told(path):
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            self.release()
            raise
        _held.add(self)

    def release(self) -> None:
        """Free the run; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(folder: Path) -> bool:
    """True when a live process writes this run."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _taken(fd, patience=0)
    finally:
        os.close(fd)


def _taken(fd: int, patience: int) -> bool:
    """Lock ``fd``; tries ``patience`` times more, since ``is_locked`` holds a lock for an instant."""
    for attempt in range(patience + 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if attempt < patience:
            time.sleep(0.02)
    return False


def _release_in_child() -> None:
    # a forked worker that outlives a killed run must not keep the run locked
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
