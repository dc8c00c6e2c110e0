"""The tape: replies from outside, written before they are used and replayed when the run goes on.

An engine that asks a server gets answers that cannot be computed again, and that may have cost money. Each
is a line of ``tape.jsonl`` in the run's folder before anybody sees it, so a run that was killed asks only
for what it has not been told yet. A line is ``{"key", "reply", "sum"}``: the key names the question (a hash
of all that it rests on), the sum finds damage. There is no secret in it and no clock.

What else a run's folder must know of it:

- ``sharpen compare --exact`` leaves it out (``store.NOT_COMPARED``). Its lines stand in the order in which
  replies arrived, which is chance; what was made of them is in ``rollouts/`` and is compared there.
- It is no part of the journal. Finished steps answer from their own units, whatever becomes of the tape;
  it serves the step that is unfinished, and one that is recomputed after damage, which so gets the replies
  that it was made from.
- A fork does not take it along: the steps that a fork shares are finished.
- Nothing is ever removed from it. A line that is torn off or damaged counts as a reply never received.
- The run's lock covers it: one process writes, from any number of threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.runs import faults
from sharpen.runs.atomic import Appender, make_folder, sync_folder, told

TAPE = "tape.jsonl"


class Tape:
    """Replies by key. The file is made with the first reply.

    Args:
        path: the JSON-lines file; a torn last line is cut off when it is next written to.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._places: dict[str, tuple[int, int]] = {}  # where each reply's line is, and how long
        self._end = 0
        self._file: Appender | None = None
        self._batch = _Batch()
        self._taken: set[str] = set()
        self._gate, self._writing = threading.Lock(), threading.Lock()
        if self.path.is_file():
            self._index()

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply stored under ``key``, None where there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place[0])
            found = _decode(file.read(place[1]))
        if found is None:
            raise SharpenError(f"{self.path}: a reply was damaged while the run was going on: resume it")
        return found[1]

    def put(self, key: str, reply: Mapping[str, Any]) -> None:
        """Store ``reply``; it is on the disk when this returns. Threads that wait share one sync.

        Args:
            key: new to the tape.
            reply: JSON values.

        Raises:
            SharpenError: a key for the second time, or a disk that cannot take it (nothing is stored).
        """
        line = _encode(key, reply)
        with self._gate:
            if key in self._taken:
                raise SharpenError(f"{self.path}: there is a reply to {key} already")
            self._taken.add(key)
            batch = self._batch
            batch.lines[key] = line
        with self._writing:
            if not batch.done:  # the first of those that wait writes for all of them
                with self._gate:
                    self._batch = _Batch()
                self._write(batch)
        if batch.problem is not None:
            raise batch.problem

    def replies(self) -> Iterator[dict[str, Any]]:
        """Every reply, in the order in which they were stored."""
        for key in list(self._places):
            if (reply := self.get(key)) is not None:
                yield reply

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, batch: _Batch) -> None:
        try:
            self._open().append(b"".join(batch.lines.values()))
            at = self._end
            for key, line in batch.lines.items():
                self._places[key] = (at, len(line))
                at += len(line)
            self._end = at
        except BaseException as problem:
            batch.problem = problem  # those that wait must not believe that theirs was stored
            with self._gate:
                self._taken -= batch.lines.keys()
        finally:
            batch.done = True

    def _open(self) -> Appender:
        if self._file is None:
            with told(self.path):
                make_folder(self.path.parent)
                if self.path.is_file() and self.path.stat().st_size != self._end:
                    os.truncate(self.path, self._end)
            self._file = Appender(self.path, faults.TAPE)
            sync_folder(self.path.parent)
        return self._file

    def _index(self) -> None:
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn: the reply was never used, as it was never wholly on the disk
                if (found := _decode(line)) is not None:
                    self._places[found[0]] = (self._end, len(line))
                self._end += len(line)
        self._taken = set(self._places)


class _Batch:
    """Lines that are written together."""

    def __init__(self) -> None:
        self.lines: dict[str, bytes] = {}
        self.done = False
        self.problem: BaseException | None = None


def _sum(key: str, reply: Any) -> str:
    text = json.dumps([key, reply], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _encode(key: str, reply: Mapping[str, Any]) -> bytes:
    try:
        line = {"key": key, "reply": dict(reply), "sum": _sum(key, dict(reply))}
        return (json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as problem:
        raise SharpenError(f"the reply to {key} is not JSON: {problem}") from None


def _decode(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Key and reply of a whole line, None where it is damaged."""
    try:
        found = json.loads(line)
        key, reply = found["key"], found["reply"]
        return (key, reply) if found["sum"] == _sum(key, reply) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
