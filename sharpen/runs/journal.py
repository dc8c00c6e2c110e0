"""The journal: a recipe's steps, each with a key, its inputs and a stored result.

Running a recipe again over the same folder is resuming it: finished steps answer from disk, the
unfinished one continues. ``header["seed"]`` should be the only seed a run uses, and ``environment``
(given to ``open``) everything else that finished steps rest on and their inputs do not name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sharpen.errors import Refused, SharpenError
from sharpen.runs import faults
from sharpen.runs.atomic import TEMPORARY, Appender, make_folder, sweep, told, write_atomic
from sharpen.runs.lock import LOCK, RunLock
from sharpen.runs.manifest import (
    CONFIG,
    JSON,
    MANIFEST,
    METRICS,
    SCHEMA,
    Extent,
    Index,
    Manifest,
    encode_line,
    encode_rows,
    first_difference,
    line_of,
    metrics_rows,
    plain,
    read_manifest,
)
from sharpen.runs.step import CHECKPOINTS, Place, Step, slug_of

TIMING = "timing.jsonl"

T = TypeVar("T")


class _Scope:
    """An open scope and what was issued in it. Closed scopes need no memory: their name is not given again.

    Attributes:
        name: of the scope, ``""`` at the top.
        scopes: names of the scopes opened directly in it.
        ordinals: steps begun directly in it, by verb.
        names: their verbs and names.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.scopes: set[str] = set()
        self.ordinals: Counter[str] = Counter()
        self.names: set[tuple[str, str]] = set()


class Journal:
    """The one writer of a run folder. Use ``create`` or ``open``, then ``close`` (or ``with``).

    Attributes:
        folder: the run.
        header: what the run was created with.
        notes: one line for each thing that was repaired, removed or recomputed.
    """

    def __init__(self, manifest: Manifest, lock: RunLock) -> None:
        self.folder = manifest.folder
        self.header = manifest.header
        self.notes: list[str] = []
        self.open_step: Step | None = None
        self._lock = lock
        self._thread = threading.get_ident()
        self._config = manifest.config
        self._sum = manifest.sum
        self._scopes = [_Scope("")]
        # where lines are, not what they say: a long run's would fill memory, and few are asked for again
        self._index: Index[Extent] = Index()
        for line, extent in zip(manifest.lines, manifest.extents, strict=True):
            self._index.add(line, extent)
        self._lines = Appender(self.folder / MANIFEST, "manifest")
        self._metrics = Appender(self.folder / METRICS, "metrics")
        self._timing = Appender(self.folder / TIMING, "timing")

    # --- opening and closing ---------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path | str, header: Mapping[str, Any], config_toml: str) -> Journal:
        """Start a run in a new or empty folder.

        Args:
            folder: where; created with its parents.
            header: JSON, the run's identity (recipe, seed, code, versions): no path, host or clock.
            config_toml: the settings, stored as ``config.toml``.

        Raises:
            SharpenError: when there is a run already, the folder holds other files, or it is not writable.
        """
        folder = Path(folder)
        first: dict[str, JSON] = {
            "schema": SCHEMA,
            "header": plain(dict(header), "header"),
            "config": config_toml,
        }
        with told(folder):
            make_folder(folder)
        _refuse_occupied(folder)
        lock = RunLock(folder)
        try:
            _refuse_occupied(folder)  # another process may have been quicker to the lock
            sweep(folder)
            # the run exists from this rename on; config.toml can be written again from the manifest
            write_atomic(folder / MANIFEST, encode_line(first, "")[0], "create")
            write_atomic(folder / CONFIG, config_toml.encode(), "config")
            return cls(read_manifest(folder), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        environment: Mapping[str, Any],
        accept_code: bool = False,
        repair: bool = False,
    ) -> Journal:
        """Take up a run where it stopped.

        A torn last manifest line is cut off, unfinished files are swept, ``metrics.jsonl`` is made to say
        what the manifest says, and a missing ``config.toml`` is written again (one that was edited stays:
        see ``record_config``).

        Args:
            folder: the run.
            environment: JSON by header field (``code``, ``versions``, ...), compared with the header or
                with what was accepted last.
            accept_code: continue although ``environment`` differs, and record that in the manifest.
            repair: where the manifest is damaged before its end, cut it there and recompute from there.

        Raises:
            Refused: when ``environment`` differs.
            SharpenError: when there is no run, a live process writes it, or its manifest is damaged.
        """
        folder = Path(folder)
        read_manifest(folder)  # no lock file is left in a folder that holds no run
        lock = RunLock(folder)
        try:
            faults.point("resume.lock.after")
            manifest = read_manifest(folder)
            if manifest.damaged and not repair:
                raise SharpenError(
                    f"{folder / MANIFEST}: line {manifest.damaged} is damaged: `sharpen resume --repair` "
                    f"(repair=True) cuts it and all behind it, and recomputes after step {_last(manifest)}"
                )
            now = {name: plain(value, f"environment.{name}") for name, value in environment.items()}
            changed = _changed(manifest, now)
            if changed and not accept_code:
                field, old, new = changed
                raise Refused(
                    f"{folder}: {field} was {old}, now {new}: go back to it, or continue with "
                    "`--accept-code`, which the manifest records"
                )
            notes = _repaired(manifest)
            journal = cls(manifest, lock)
        except BaseException:
            lock.release()
            raise
        journal.notes += notes
        if changed:
            journal.append({"accepted": now})
        return journal

    def record_config(self, config_toml: str) -> None:
        """Record other settings for the rest of the run (more rounds); nothing happens when they are
        those recorded last. Which steps they touch shows when the recipe is replayed."""
        if (self.folder / CONFIG).read_bytes() != config_toml.encode():
            write_atomic(self.folder / CONFIG, config_toml.encode(), "config")
        if self._config != config_toml:
            self.append({"config": config_toml})
            self._config = config_toml

    def close(self) -> None:
        """Free the run for another writer; may be called twice."""
        for file in (self._lines, self._metrics, self._timing):
            file.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what a recipe uses ----------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The open scopes, ``round-0001/balance``; ``""`` at the top."""
        return "/".join(self._path)

    @property
    def _path(self) -> tuple[str, ...]:
        return tuple(scope.name for scope in self._scopes[1:])

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put the steps inside under ``name``; closes on ``break`` and on exceptions.

        Raises:
            SharpenError: for a name used before at this level, or one with ``/`` or ``:``.
        """
        self._check_caller(f"scope {name!r}")
        depth, own = len(self._scopes), _Scope(_checked("scope", name))
        inner = (*self._path, name)
        if name in self._scopes[-1].scopes:
            raise SharpenError(f"scope {'/'.join(inner)} was opened before: give each its own name")
        self._scopes[-1].scopes.add(name)
        self._scopes.append(own)
        try:
            yield
        except BaseException:
            if self.open_step is not None and self.open_step.scope[:depth] == inner:
                self.open_step = None  # a step that failed in here is given up with the scope
            raise
        finally:
            # a generator that was kept alive after a break closes its scope late: others may have gone
            if own in self._scopes:
                del self._scopes[depth:]

    def begin(self, verb: str, inputs: Mapping[str, Any], *, name: str | None = None) -> Step:
        """The next step of this verb in this scope.

        Args:
            verb: names what is done; no ``/`` or ``:``.
            inputs: JSON, everything that the result rests on besides the run's header.
            name: names the step's random stream; the verb by default.

        Raises:
            Refused: when the step is finished and was given other inputs.
            SharpenError: when called from another thread or inside a running event loop, while another
                step is unfinished, or for a second step of this verb and name in this scope.
        """
        scope = self._scopes[-1]
        name = verb if name is None else name
        place = Place(self._path, _checked("verb", verb), scope.ordinals[verb], name)
        self._check_caller(place.key)
        if self.open_step is not None:
            raise SharpenError(
                f"{place.key} began while {self.open_step.key} is unfinished: one step at a time"
            )
        if not name or (verb, name) in scope.names:
            raise SharpenError(
                f"{place.key} is named {name!r} like another {verb} step in this scope: their random streams "
                f"would be one; pass name="
            )
        given = {key: plain(value, f"{place.key}: inputs.{key}") for key, value in inputs.items()}
        record = self.record(place.key)
        if record is not None:
            self._refuse_changed(place, record, given)
        step = Step(self, place, given, record)
        scope.ordinals[verb] += 1
        scope.names.add((verb, name))
        if step.result is None:
            self.open_step = step
        return step

    def observe(self, name: str, fn: Callable[[], T]) -> T:
        """Something from outside the run (a clock, a person, a service): ``fn()`` is asked once, its JSON
        answer is stored before it is used, and replayed ever after."""
        step = self.begin("observe", {}, name=name)
        if step.result is None:
            step.finish({"value": fn()})
        return (step.result or {})["value"]

    def compute(self, name: str, fn: Callable[..., T], *inputs: Any) -> T:
        """``fn(*inputs)``, a pure function of JSON values with a JSON result, computed once a run."""
        step = self.begin("compute", {"inputs": list(inputs)}, name=name)
        if step.result is None:
            step.finish({"value": fn(*inputs)})
        return (step.result or {})["value"]

    # --- what a step uses ------------------------------------------------------------------------

    def drops(self, key: str) -> dict[str, dict[str, Any]]:
        """The manifest lines of the checkpoints that a step gave up, by tag."""
        return {tag: self._read(extent) for tag, extent in self._index.drops.get(key, {}).items()}

    def record(self, key: str) -> dict[str, Any] | None:
        """The manifest line of a finished step."""
        extent = self._index.steps.get(key)
        return extent and self._read(extent)

    def _read(self, extent: Extent) -> dict[str, Any]:
        with (self.folder / MANIFEST).open("rb") as file:
            file.seek(extent.start)
            return line_of(file.read(extent.size))

    def append(self, line: dict[str, JSON]) -> None:
        """Make ``line`` part of the run."""
        data, own = encode_line(line, self._sum)
        start = self._lines.append(data)
        self._sum = own
        self._index.add(line, Extent(start, len(data)))

    def finished(self, line: dict[str, Any], seconds: float) -> None:
        """Record the open step's line, unless it is on record already."""
        key = line["step"]
        if key not in self._index.steps:
            self.append(line)
            self._metrics.append(encode_rows(metrics_rows(line)))
        clock = {"key": key, "seconds": round(seconds, 6), "ended": round(time.time(), 3)}
        self._timing.append((json.dumps(clock) + "\n").encode())
        self.open_step = None

    # --- checks ----------------------------------------------------------------------------------

    def _refuse_changed(self, place: Place, record: dict[str, Any], given: dict[str, JSON]) -> None:
        found = first_difference({"name": record["name"]}, {"name": place.name})
        found = found or first_difference(record["inputs"], given)
        if found:
            field, old, new = found
            raise Refused(
                f"{place.key} is finished and {field} was {old}, now {new}: set it back, or "
                f"`sharpen fork {self.folder} --at {place.key}` starts a new run from here"
            )

    def _check_caller(self, what: str) -> None:
        if threading.get_ident() != self._thread:
            raise SharpenError(f"{what}: steps and scopes belong to the recipe's own thread")
        asyncio = sys.modules.get("asyncio")  # where it was never imported, no loop runs
        if asyncio is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop()
                raise SharpenError(f"{what}: steps and scopes are not issued from coroutines")


def _refuse_occupied(folder: Path) -> None:
    if (folder / MANIFEST).exists():
        raise SharpenError(f"there is a run in {folder} already: continue it with `sharpen resume {folder}`")
    for path in sorted(folder.iterdir()):
        if path.name != LOCK and not path.name.startswith(TEMPORARY):
            raise SharpenError(
                f"{folder} is no run and not empty (it holds {path.name}): choose another folder"
            )


def _checked(kind: str, name: str) -> str:
    if not name or set(name) & set("/:") or not name.isprintable():
        raise SharpenError(f"{kind} name {name!r}: it must be printable text without '/' and ':'")
    return name


def _last(manifest: Manifest) -> str:
    return next(reversed(manifest.steps), "none")


def _changed(manifest: Manifest, now: dict[str, JSON]) -> tuple[str, str, str] | None:
    then = {name: manifest.header.get(name) for name in now}
    for accepted in manifest.accepted:
        then.update(accepted)
    return first_difference({name: then[name] for name in now}, now)


def _forget_checkpoints(manifest: Manifest) -> None:
    """Remove the checkpoints of steps that are not on record: which of theirs were given up is lost with
    the lines that are cut, and a step that continued from a later one would not record them again."""
    known = {slug_of(key) for key in manifest.steps}
    for folder in sorted((manifest.folder / CHECKPOINTS).glob("*")):
        if folder.name not in known:
            shutil.rmtree(folder)


def _repaired(manifest: Manifest) -> list[str]:
    """Bring a stopped run's files in line with the whole part of its manifest; what was done, in words."""
    folder = manifest.folder
    notes = []
    with told(folder):
        if manifest.torn or manifest.damaged:
            what = (
                f"line {manifest.damaged} and those behind it" if manifest.damaged else "an unfinished line"
            )
            notes.append(f"{MANIFEST}: {what} cut off")
            faults.point("resume.cut.before")
            if manifest.damaged:
                _forget_checkpoints(manifest)
            with (folder / MANIFEST).open("rb+") as file:
                file.truncate(manifest.size)
                os.fsync(file.fileno())
            faults.point("resume.cut.after")
        notes += [f"{path.relative_to(folder)}: unfinished, removed" for path in sweep(folder)]
        faults.point("resume.clean.after")
        metrics = folder / METRICS
        rows = encode_rows(manifest.metrics)
        if rows != (metrics.read_bytes() if metrics.exists() else b""):
            write_atomic(metrics, rows, "resume.metrics")
            notes.append(f"{METRICS}: written again from the manifest")
        if not (folder / CONFIG).exists():
            write_atomic(folder / CONFIG, manifest.config.encode(), "config")
            notes.append(f"{CONFIG}: written again from the manifest")
        timing = folder / TIMING
        if timing.exists() and not (whole := timing.read_bytes()).endswith(b"\n"):
            os.truncate(timing, whole.rfind(b"\n") + 1)
    return notes
