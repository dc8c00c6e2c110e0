"""One step of a run: its key, its stored units and checkpoints, and its result."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sharpen.errors import SharpenError
from sharpen.runs import checkpoints, parts
from sharpen.runs.atomic import write_atomic
from sharpen.runs.manifest import JSON, digest, first_difference, plain
from sharpen.runs.streams import Stream, stream

if TYPE_CHECKING:
    from sharpen.runs.journal import Journal

ROLLOUTS = "rollouts"
CHECKPOINTS = "checkpoints"

_SAFE = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: the scopes around it, its verb, the verb's ordinal there, and its name."""

    scope: tuple[str, ...]
    verb: str
    ordinal: int
    name: str

    @property
    def key(self) -> str:
        """``round-0001/balance/sample:0``."""
        return "/".join((*self.scope, f"{self.verb}:{self.ordinal}"))

    @property
    def slug(self) -> str:
        """The key as a file name; different keys give different slugs."""
        return slug_of(self.key)


def verb_of(key: str) -> str:
    """``sample`` of ``round-0001/sample:0``."""
    return key.rpartition("/")[2].partition(":")[0]


def slug_of(key: str) -> str:
    """A file name for a step key: ``/`` becomes ``.``, the ordinal's ``:`` a ``-``, the rest is escaped."""
    *scope, last = key.split("/")
    verb, _, ordinal = last.rpartition(":")
    escaped = [_SAFE.sub(lambda c: f"%{ord(c.group()):02X}", part) for part in (*scope, verb)]
    slug = f"{'.'.join(escaped)}-{ordinal}"
    if len(slug) > 160:  # file systems stop at 255 bytes, and a temporary name is longer
        slug = f"{slug[:120]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return slug


class Step:
    """A journaled piece of work. ``Journal.begin`` makes it; ``finish`` ends it.

    A verb asks ``result`` first; where it is None the verb produces what ``unit(i)`` or
    ``load_checkpoint(tag)`` do not already hold, and finishes. Reading damaged files of a finished
    step reopens it: ``result`` becomes None and the verb goes on as if it had never finished.

    Attributes:
        key: names the step in its run.
        slug: the key as a file name.
        result: the stored result, None while unfinished.
        inputs_digest: SHA-256 of key, name and inputs.
    """

    def __init__(
        self, journal: Journal, place: Place, inputs: dict[str, JSON], record: dict[str, Any] | None
    ) -> None:
        self.key = place.key
        self.slug = place.slug
        self.name = place.name
        self.inputs = inputs
        self.inputs_digest = digest({"step": self.key, "name": place.name, "inputs": inputs})
        self._place = place
        self._journal = journal
        self._record: dict[str, Any] | None = record
        self.result: dict[str, Any] | None = record["result"] if record else None
        self._units: dict[int, dict[str, Any]] = {}  # what is known whole on disk
        self._started = time.perf_counter()
        if record is None:
            self._discard_stale()
        else:
            self._reopen_when_incomplete(record)

    @property
    def scope(self) -> tuple[str, ...]:
        """The scopes around this step."""
        return self._place.scope

    def stream(self, seed: int) -> Stream:
        """The stream of this step: run seed, scopes, name. Other verbs and the ordinal do not enter."""
        return stream(seed, *self._place.scope, self._place.name)

    # --- units -----------------------------------------------------------------------------------

    def unit_path(self, i: int) -> Path:
        """Where unit ``i`` is or will be stored."""
        return self._rollouts / parts.part_name(i)

    def unit(self, i: int) -> pa.Table | None:
        """Unit ``i`` when it is whole and was written for these inputs, else None, and what was there
        is removed (a finished step is then reopened).

        Raises:
            SharpenError: when a finished step's unit is damaged while another step is at work.
        """
        path = self.unit_path(i)
        data = path.read_bytes() if path.is_file() else b""
        recorded = self._recorded_units().get(i)
        if data:
            whole = {"i": i, "bytes": len(data), "sha256": parts.sha256(data)}
            if whole == recorded or (not recorded and parts.part_inputs(data) == self.inputs_digest):
                self._units[i] = whole
                return parts.decode_part(data)
            path.unlink()
            self._journal.notes.append(f"{self.key}: unit {i} was damaged and is removed")
        if recorded:
            self._reopen(f"unit {i} is missing or damaged")
        return None

    def write_unit(self, i: int, table: pa.Table) -> None:
        """Store unit ``i`` atomically: equal tables and inputs give equal bytes.

        Raises:
            SharpenError: when the disk cannot take it, or when a damaged step's recomputation differs.
        """
        self._require_open("write a unit")
        data = parts.encode_part(table, self.inputs_digest)
        unit = {"i": i, "bytes": len(data), "sha256": parts.sha256(data)}
        recorded = self._recorded_units().get(i)
        if recorded and unit != recorded:
            raise self._differs(f"unit {i}", recorded["sha256"], unit["sha256"])
        write_atomic(self.unit_path(i), data, "unit")
        self._units[i] = unit

    # --- checkpoints -----------------------------------------------------------------------------

    def checkpoint(self, tag: str, write: Callable[[Path], None]) -> Path:
        """Store a folder atomically as ``checkpoints/<slug>/<tag>/``, with ``digests.json``.

        Args:
            tag: letters, digits, ``.``, ``_``, ``-``.
            write: fills the empty folder it is given with files.

        Raises:
            SharpenError: as ``write_unit``.
        """
        self._require_open("write a checkpoint")
        folder = self._checkpoints / checkpoints.checked_tag(tag)
        recorded = self._recorded_checkpoints().get(tag)
        order = recorded["order"] if recorded else len({*self.checkpoints(), *self._dropped()} - {tag})
        identity = checkpoints.Identity(self.inputs_digest, order)
        sha256 = checkpoints.store(folder, write, identity, expect=recorded["sha256"] if recorded else "")
        if recorded and sha256 != recorded["sha256"]:
            raise self._differs(f"checkpoint {tag}", recorded["sha256"], sha256)
        return folder

    def load_checkpoint(self, tag: str) -> Path | None:
        """The folder of checkpoint ``tag`` with every byte verified, else None; a damaged one is removed
        (a finished step is then reopened). A checkpoint given up by ``drop_checkpoints`` is None too.

        Raises:
            SharpenError: when a finished step's checkpoint is damaged while another step is at work.
        """
        folder = self._checkpoints / checkpoints.checked_tag(tag)
        recorded = self._recorded_checkpoints().get(tag)
        fault = checkpoints.fault(folder, self.inputs_digest, recorded["sha256"] if recorded else "")
        if not fault:
            return folder
        if folder.is_dir():
            checkpoints.remove(folder)
            self._journal.notes.append(f"{self.key}: checkpoint {tag} is removed: {fault}")
        if recorded and tag not in self._dropped():
            self._reopen(f"checkpoint {tag}: {fault}")
        return None

    def checkpoints(self) -> list[str]:
        """Tags of the checkpoints on disk, in the order in which they were first saved."""
        return checkpoints.tags(self._checkpoints, self.inputs_digest)

    def drop_checkpoints(self, keep: Collection[str]) -> None:
        """Give up every checkpoint whose tag is not in ``keep``: recorded in the manifest, then removed.

        A run killed at any point ends with the same bytes when a verb calls it after each save, once more
        in the same way before ``finish`` (for a kill between save and drop), and keeps what a resumed step
        would continue from until after ``finish``, where the call is repeated on every replay.
        """
        dropped = self._dropped()
        for tag in self.checkpoints():
            if tag in keep:
                continue
            folder = self._checkpoints / tag
            if tag not in dropped:
                self._journal.append(
                    {
                        "drop": self.key,
                        "inputs_digest": self.inputs_digest,
                        "tag": tag,
                        **checkpoints.summary(folder),
                    }
                )
            checkpoints.remove(folder)

    # --- the end ---------------------------------------------------------------------------------

    def finish(
        self,
        result: Mapping[str, Any],
        *,
        metrics: Sequence[Mapping[str, Any]] = (),
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Record that the step is done. Its units and checkpoints are durable; the manifest line is last.

        Args:
            result: JSON; what ``result`` will be whenever the run is replayed.
            metrics: rows of ``metrics.jsonl``, JSON, without a field ``key`` (it will hold the step's).
            seconds: for ``timing.jsonl``; None takes the time since the step began.

        Returns:
            ``result`` as it will be read back.

        Raises:
            SharpenError: when the result is not JSON or the manifest cannot be written, or when a step
                recomputed after damage does not give what was recorded.
        """
        self._require_open("finish")
        rows = [plain(dict(row), f"{self.key}: metrics[{i}]") for i, row in enumerate(metrics)]
        if any("key" in row for row in metrics):
            raise SharpenError(f"{self.key}: a metrics row has the field 'key', which names the step")
        line: dict[str, JSON] = {
            "step": self.key,
            "name": self.name,
            "inputs": self.inputs,
            "result": plain(dict(result), f"{self.key}: result"),
            "units": self._all_units(),
            "checkpoints": [checkpoints.summary(self._checkpoints / t, t) for t in self.checkpoints()],
            "metrics": rows,
        }
        if self._record is not None:
            self._must_equal_record(line)
        elapsed = time.perf_counter() - self._started if seconds is None else seconds
        self._journal.finished(line, elapsed)
        self._record = self._record or line
        self.result = self._record["result"]
        return self._record["result"]

    def _all_units(self) -> list[JSON]:
        """Every unit on disk; those this process has neither read nor written are verified now."""
        for path in self._rollouts.glob("part-*.parquet"):
            i = parts.part_index(path)
            if i not in self._units and self.unit(i) is None:
                raise SharpenError(f"{self.key}: unit {i} was damaged: `sharpen resume` recomputes it")
        return [self._units[i] for i in sorted(self._units)]

    def _must_equal_record(self, line: dict[str, Any]) -> None:
        record = self._record or {}
        dropped = self._dropped()
        expected = {
            "result": record["result"],
            "units": record["units"],
            "checkpoints": [c for c in record["checkpoints"] if c["tag"] not in dropped],
        }
        if found := first_difference(expected, {k: line[k] for k in expected}):
            raise self._differs(*found)

    def _differs(self, what: str, old: str, new: str) -> SharpenError:
        return SharpenError(
            f"{self.key}: recomputed after damage, and {what} differs (recorded {old}, now {new}): "
            "the code, the machine or something outside the journal has changed"
        )

    # --- damage and staleness --------------------------------------------------------------------

    @property
    def _rollouts(self) -> Path:
        return self._journal.folder / ROLLOUTS / self.slug

    @property
    def _checkpoints(self) -> Path:
        return self._journal.folder / CHECKPOINTS / self.slug

    def _recorded_units(self) -> dict[int, dict[str, Any]]:
        return {u["i"]: u for u in self._record["units"]} if self._record else {}

    def _recorded_checkpoints(self) -> dict[str, dict[str, Any]]:
        kept = {c["tag"]: c for c in self._record["checkpoints"]} if self._record else {}
        return {**self._dropped(), **kept}

    def _dropped(self) -> dict[str, dict[str, Any]]:
        drops = self._journal.drops(self.key)
        return {tag: d for tag, d in drops.items() if d["inputs_digest"] == self.inputs_digest}

    def _require_open(self, what: str) -> None:
        if self.result is not None:
            raise SharpenError(f"{self.key} is finished: it cannot {what}")
        if self._journal.open_step is not self:
            raise SharpenError(f"{self.key} was given up: it cannot {what}")

    def _reopen(self, why: str) -> None:
        other = self._journal.open_step
        if other not in (None, self):
            raise SharpenError(f"{self.key}: {why}, seen during {other.key}: `sharpen resume` recomputes it")
        if self.result is not None:
            self._journal.notes.append(f"{self.key} is recomputed: {why}")
        self.result = None
        self._started = time.perf_counter()
        self._journal.open_step = self

    def _reopen_when_incomplete(self, record: dict[str, Any]) -> None:
        """Presence and sizes only: contents are verified when they are read."""
        for unit in record["units"]:
            path = self.unit_path(unit["i"])
            if not path.is_file() or path.stat().st_size != unit["bytes"]:
                self._reopen(f"unit {unit['i']} is missing or cut")
        dropped = self._dropped()
        for saved in record["checkpoints"]:
            folder = self._checkpoints / saved["tag"]
            if saved["tag"] not in dropped and not checkpoints.looks_whole(folder, saved["sha256"]):
                self._reopen(f"checkpoint {saved['tag']} is missing or cut")
        for tag in dropped:  # killed between the record and the removal
            checkpoints.remove(self._checkpoints / tag)

    def _discard_stale(self) -> None:
        """Remove what an earlier start of this unfinished step wrote for other inputs, or was giving up."""
        for path in sorted(self._rollouts.glob("part-*.parquet")):
            if parts.part_claims(path) != self.inputs_digest:
                path.unlink()
                self._journal.notes.append(f"{self.key}: {path.name} was for other inputs or damaged")
        dropped = self._dropped()
        keep = [tag for tag in self.checkpoints() if tag not in dropped]
        for folder in sorted(self._checkpoints.glob("*")):
            if folder.name not in keep:
                checkpoints.remove(folder)
                if folder.name not in dropped:
                    self._journal.notes.append(
                        f"{self.key}: checkpoint {folder.name} was for other inputs or damaged"
                    )
