"""The manifest: one checked JSON line for each thing that has become part of a run.

The first line is ``{"schema", "header", "config"}``; then come, in the order in which they happened,
``{"step", "name", "inputs", "result", "units", "checkpoints", "metrics"}`` (a finished step),
``{"drop", ...}`` (a checkpoint given up), ``{"config"}`` (the settings were changed) and ``{"accepted"}``
(the run was continued with other code). Each line ends in a short hash of its own text and of the hash
before it, so a torn, altered, missing or moved line shows.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from sharpen.errors import NotFinite, SharpenError

SCHEMA = 1
MANIFEST = "manifest.jsonl"
METRICS = "metrics.jsonl"
CONFIG = "config.toml"

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

L = TypeVar("L")

_TAIL = len(',"sum":"0123456789abcdef"}')


def plain(value: Any, where: str) -> JSON:
    """``value`` as plain JSON: tuples become lists, numpy numbers Python ones.

    Raises:
        NotFinite: for a NaN or infinite number, which JSON does not have.
        SharpenError: for anything else that is not JSON; both name the place, ``where`` and below.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)  # a string enumeration becomes its text
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotFinite(
                f"{where} is {value}: not a number that can be stored, use null where there is none"
            )
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SharpenError(f"{where} has the key {key!r}: keys must be text")
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise SharpenError(f"{where} is a {type(value).__name__}: only JSON values can be stored")


def digest(value: JSON) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys; 1, 1.0, true and "1" all differ."""
    return hashlib.sha256(_compact(value, sort_keys=True).encode()).hexdigest()


ABSENT = "absent"


def first_difference(old: JSON, new: JSON, where: str = "") -> tuple[str, str, str] | None:
    """The first place at which two JSON values differ, or None.

    Returns:
        The dotted path (``selection.threshold``, ``tasks[3].id``) and the two values there as short
        text, ``absent`` where there is none.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            path = f"{where}.{key}" if where else key
            if key not in old or key not in new:
                return path, _short(old, key), _short(new, key)
            if found := first_difference(old[key], new[key], path):
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        for i in range(max(len(old), len(new))):
            path = f"{where}[{i}]"
            if i >= len(old) or i >= len(new):
                return path, _short(old, i), _short(new, i)
            if found := first_difference(old[i], new[i], path):
                return found
        return None
    if _compact(old) == _compact(new):
        return None
    return where, _short([old], 0), _short([new], 0)


def _short(holder: dict[str, JSON] | list[JSON], key: Any) -> str:
    try:
        text = json.dumps(holder[key], ensure_ascii=False)
    except LookupError:
        return ABSENT
    return text if len(text) <= 60 else text[:45] + " ... " + text[-10:]


def _compact(value: JSON, *, sort_keys: bool = False) -> str:
    # ASCII escapes: a lone surrogate in a model's text is a legal string here
    return json.dumps(value, separators=(",", ":"), allow_nan=False, sort_keys=sort_keys)


def encode_line(body: dict[str, JSON], previous: str) -> tuple[bytes, str]:
    """A manifest line and its sum, given the sum of the line before (``""`` for the first)."""
    text = _compact(body)
    own = _sum(previous, text)
    return f'{text[:-1]},"sum":"{own}"}}\n'.encode(), own


def _sum(previous: str, text: str) -> str:
    return hashlib.sha256((previous + text).encode()).hexdigest()[:16]


def line_of(text: bytes) -> dict[str, Any]:
    """A whole line that was found sound before, without its sum."""
    body = json.loads(text)
    del body["sum"]
    return body


def _decode_line(line: bytes, previous: str) -> tuple[dict[str, Any], str] | None:
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        return None
    own = text[-18:-2]
    if (
        len(text) <= _TAIL
        or text[-_TAIL:] != f',"sum":"{own}"}}'
        or own != _sum(previous, text[:-_TAIL] + "}")
    ):
        return None
    return line_of(line), own


class Extent(NamedTuple):
    """Where in its file a line is, in bytes."""

    start: int
    size: int


class Index(Generic[L]):
    """What a run's lines say of its steps. ``L`` stands for a line: the line itself, or where it is.

    Attributes:
        steps: the finished steps by key, in the order in which they finished.
        drops: the checkpoints given up, by step key, then by tag.
    """

    def __init__(self) -> None:
        self.steps: dict[str, L] = {}
        self.drops: dict[str, dict[str, L]] = {}

    def add(self, line: Mapping[str, Any], standing: L) -> None:
        """Take in the next line."""
        if "drop" in line:
            self.drops.setdefault(line["drop"], {})[line["tag"]] = standing
        if "step" in line:
            self.steps[line["step"]] = standing
            for saved in line["checkpoints"]:  # given up, then saved again before the step finished
                self.drops.get(line["step"], {}).pop(saved["tag"], None)


@dataclass(slots=True)
class Manifest:
    """What a run's manifest says.

    Attributes:
        folder: the run.
        lines: the whole lines, without their sums; the first is the header line.
        ends: bytes up to the end of each whole line, where they were read from a file.
        sum: of the last whole line.
        torn: the last line is unfinished or damaged, so it counts as never written.
        damaged: number (from 1) of a bad line with more behind it, 0 when there is none.
    """

    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    sum: str = ""
    torn: bool = False
    damaged: int = 0

    @property
    def header(self) -> dict[str, Any]:
        """What the run was created with."""
        return self.lines[0]["header"]

    @property
    def config(self) -> str:
        """The settings last recorded, TOML text."""
        return next(line["config"] for line in reversed(self.lines) if "config" in line)

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """The finished steps' lines by key, in the order in which they finished."""
        return self._index().steps

    @property
    def drops(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The checkpoints given up: step key, then tag, then the line."""
        return self._index().drops

    def _index(self) -> Index[dict[str, Any]]:
        index: Index[dict[str, Any]] = Index()
        for line in self.lines:
            index.add(line, line)
        return index

    @property
    def extents(self) -> list[Extent]:
        """Where in the file each whole line is."""
        return [Extent(start, end - start) for start, end in itertools.pairwise((0, *self.ends))]

    @property
    def size(self) -> int:
        """Bytes up to the end of the last whole line."""
        return self.ends[-1] if self.ends else 0

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """Code and versions other than the header's with which the run was continued."""
        return [line["accepted"] for line in self.lines if "accepted" in line]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Every metrics row, each with the ``key`` of the step it belongs to."""
        return [row for line in self.lines if "step" in line for row in metrics_rows(line)]


def metrics_rows(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a finished step's line puts into ``metrics.jsonl``."""
    return [{"key": line["step"], **row} for row in line["metrics"]]


def encode_rows(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return "".join(_compact(dict(row)) + "\n" for row in rows).encode()


def read_manifest(folder: Path | str) -> Manifest:
    """Read a run's manifest up to its last whole line; the run may be live.

    Raises:
        SharpenError: when there is no run in ``folder``, or another schema wrote it.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise SharpenError(f"no run in {folder}: it has no {MANIFEST}")
    data = path.read_bytes()
    manifest = Manifest(folder)
    while manifest.size < len(data):
        end = data.find(b"\n", manifest.size)
        decoded = _decode_line(data[manifest.size : end], manifest.sum) if end >= 0 else None
        if decoded is None:
            manifest.torn = end < 0 or end + 1 == len(data)
            manifest.damaged = 0 if manifest.torn else len(manifest.lines) + 1
            break
        line, manifest.sum = decoded
        manifest.lines.append(line)
        manifest.ends.append(end + 1)
    if not manifest.lines:
        raise SharpenError(f"{path}: the first line is damaged, so nothing can be read from this run")
    schema = manifest.lines[0].get("schema")
    if schema != SCHEMA:
        raise SharpenError(f"{path} has schema {schema!r}; this version of sharpen reads schema {SCHEMA}")
    return manifest
