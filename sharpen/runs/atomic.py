"""Files that are whole or absent, whatever happens: the store's write primitives.

A file is written beside its place, synced, and renamed into it; a line is appended and synced, and a
failed append leaves no trace. Names that begin with ``TEMPORARY`` are unfinished and swept on resume.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.runs import faults

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn an operating system's error inside into a SharpenError that names ``path`` and the remedy."""
    try:
        yield
    except OSError as error:
        raise SharpenError(
            f"cannot write {path}: {error.strerror or error}; finished steps are safe: "
            "mend this and run `sharpen resume`"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names inside ``folder`` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make the bytes of ``path`` durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its missing parents, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write_synced(path: Path, data: bytes, kind: str) -> None:
    """Write ``data`` to ``path`` and sync it; not atomic. ``kind`` prefixes the crash points passed."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        faults.write(fd, data, kind)
        faults.point(f"{kind}.fsync.before")
        os.fsync(fd)
        faults.point(f"{kind}.fsync.after")
    finally:
        os.close(fd)


def move(source: Path, target: Path, kind: str) -> None:
    """Rename durably, on one file system; ``target`` may be a file that is replaced."""
    faults.point(f"{kind}.rename.before")
    os.rename(source, target)
    faults.point(f"{kind}.rename.after")
    sync_folder(target.parent)
    faults.point(f"{kind}.dirsync.after")


def write_atomic(path: Path, data: bytes, kind: str) -> None:
    """Make ``path`` hold exactly ``data``, or leave it as it was.

    Args:
        path: where to; its folder is created.
        data: the bytes.
        kind: one of ``faults.ATOMIC``, prefixes the crash points passed.

    Raises:
        SharpenError: when the system cannot write (a full disk, no permission).
    """
    temporary = path.with_name(TEMPORARY + path.name)
    with told(path):
        make_folder(path.parent)
        try:
            write_synced(temporary, data, kind)
            move(temporary, path, kind)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is never seen half removed."""
    doomed = folder.with_name(TEMPORARY + "gone-" + folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    with told(folder):
        faults.point("drop.rename.before")
        os.rename(folder, doomed)
        faults.point("drop.rename.after")
        shutil.rmtree(doomed)
        sync_folder(folder.parent)
        faults.point("drop.remove.after")


def sweep(folder: Path) -> list[Path]:
    """Remove every unfinished file and folder below ``folder``; returns what was removed."""
    swept = []
    for path in sorted(folder.rglob(f"{TEMPORARY}*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # gone already with a swept folder
        swept.append(path)
    return swept


class Appender:
    """A file that grows by whole lines.

    Args:
        path: created when absent.
        kind: one of ``faults.APPENDED``, prefixes the crash points passed.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind
        with told(path):
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._end = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> int:
        """Add ``data`` and sync, or, on any exception, leave the file as it was; returns where it starts.

        Raises:
            SharpenError: when the system cannot write.
        """
        with told(self.path):
            try:
                self._cut()
                faults.write(self._fd, data, self.kind)
                faults.point(f"{self.kind}.fsync.before")
                os.fsync(self._fd)
                faults.point(f"{self.kind}.fsync.after")
            except BaseException:
                # if even this fails, the next append cuts before it writes
                with contextlib.suppress(OSError):
                    self._cut()
                raise
            self._end += len(data)
        return self._end - len(data)

    def _cut(self) -> None:
        if os.fstat(self._fd).st_size != self._end:
            os.ftruncate(self._fd, self._end)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
