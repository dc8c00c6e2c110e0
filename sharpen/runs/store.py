"""Reading and sharing runs: list, compare byte for byte, fork, rollouts as a table.

The write primitives are in ``atomic``, the manifest in ``manifest``, unit files in ``parts``.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from sharpen.errors import SharpenError, unknown
from sharpen.runs import parts
from sharpen.runs.atomic import TEMPORARY, make_folder, sync_folder, told, write_atomic
from sharpen.runs.checkpoints import kept
from sharpen.runs.journal import TIMING
from sharpen.runs.lock import LOCK, is_locked
from sharpen.runs.manifest import (
    ABSENT,
    CONFIG,
    MANIFEST,
    METRICS,
    Manifest,
    encode_line,
    encode_rows,
    first_difference,
    read_manifest,
)
from sharpen.runs.step import CHECKPOINTS, ROLLOUTS, slug_of
from sharpen.runs.tape import TAPE

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "RunEntry",
    "compare_exact",
    "fork",
    "kept",
    "list_runs",
    "read_manifest",
    "rollouts",
    "unit_files",
]

SENT = "sinks.json"
"""Which rows of ``metrics.jsonl`` were sent on to whom: what a run did not come from."""
NOT_COMPARED = (TIMING, LOCK, TAPE, SENT)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run in a list.

    Attributes:
        folder: the run.
        header: what it was created with; empty when it cannot be read.
        steps: how many are finished.
        last: key of the step that finished last, ``""`` before the first.
        live: a process writes it now.
        problem: why it cannot be read, one line; ``""`` when it can.
    """

    folder: Path
    header: dict[str, Any]
    steps: int
    last: str
    live: bool
    problem: str = ""


def list_runs(root: Path | str) -> list[RunEntry]:
    """The runs directly below ``root``, by name."""
    root = Path(root)
    folders = sorted(p.parent for p in root.glob(f"*/{MANIFEST}") if not p.parent.name.startswith(TEMPORARY))
    return [_entry(folder) for folder in folders]


def _entry(folder: Path) -> RunEntry:
    live = is_locked(folder)
    try:
        manifest = read_manifest(folder)
    except SharpenError as error:
        return RunEntry(folder, {}, 0, "", live, str(error))
    steps = list(manifest.steps)
    problem = f"{MANIFEST}: line {manifest.damaged} is damaged" if manifest.damaged else ""
    return RunEntry(folder, manifest.header, len(steps), steps[-1] if steps else "", live, problem)


def compare_exact(a: Path | str, b: Path | str) -> list[str]:
    """How two runs differ, one line each; empty when every file is equal byte for byte, those of
    ``NOT_COMPARED`` aside. Manifests come first, with the first step and field that differ."""
    a, b = read_manifest(a).folder, read_manifest(b).folder
    files_a, files_b = _files(a), _files(b)
    differences = []
    for name in sorted(files_a | files_b, key=lambda n: (n != MANIFEST, n)):
        if name not in files_a or name not in files_b:
            differences.append(f"{name}: only in {a if name in files_a else b}")
        elif (a / name).read_bytes() != (b / name).read_bytes():
            differences.append(_manifests_differ(a, b) if name == MANIFEST else f"{name}: bytes differ")
    return differences


def _files(folder: Path) -> set[str]:
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name for name in names if name not in NOT_COMPARED}


def _manifests_differ(a: Path, b: Path) -> str:
    lines_a, lines_b = read_manifest(a).lines, read_manifest(b).lines
    for i, (one, other) in enumerate(zip(lines_a, lines_b, strict=False)):
        if found := first_difference(one, other):
            field, left, right = found
            return f"{MANIFEST}: line {i + 1} ({_title(one)}): {field} is {left} and {right}"
    if len(lines_a) != len(lines_b):
        i = min(len(lines_a), len(lines_b))
        longer = lines_a if len(lines_a) > i else lines_b
        return f"{MANIFEST}: line {i + 1} ({_title(longer[i])}) is in one and {ABSENT} in the other"
    return f"{MANIFEST}: bytes differ behind the last whole line"


def _title(line: dict[str, Any]) -> str:
    return line.get("step") or (f"drop in {line['drop']}" if "drop" in line else next(iter(line)))


def fork(source: Path | str, target: Path | str, at_key: str, *, config_toml: str | None = None) -> Path:
    """A new run that shares the steps which finished before ``at_key``; ``Journal.open`` continues it.

    Units and checkpoints are hard links where the file system has them (they are never changed in
    place), else copies. The header gains ``parent``: the source's name, the key, and the sum of the last
    shared manifest line.

    Args:
        source: a run, live or not.
        target: a folder that does not exist yet.
        at_key: a finished step of ``source``; it and what follows are not shared.
        config_toml: the new run's settings; None takes the source's.

    Raises:
        SharpenError: for an unknown step, an existing target, or a disk that cannot take it.
    """
    source, target = Path(source), Path(target)
    manifest = read_manifest(source)
    if at_key not in manifest.steps:
        raise unknown("step", at_key, manifest.steps)
    if target.exists():
        raise SharpenError(f"{target} exists already: choose another folder for the fork")
    cut = next(i for i, line in enumerate(manifest.lines) if line.get("step") == at_key)
    shared = Manifest(target, manifest.lines[:cut])
    for line in shared.lines:
        _, shared.sum = encode_line(line, shared.sum)
    parent = {"run": source.resolve().name, "at": at_key, "sum": shared.sum}
    config = config_toml if config_toml is not None else shared.config
    first = {**shared.lines[0], "header": {**shared.header, "parent": parent}, "config": config}
    lines = [first, *(line for line in shared.lines[1:] if "config" not in line)]

    building = target.with_name(TEMPORARY + target.name)
    with told(target):
        shutil.rmtree(building, ignore_errors=True)
        make_folder(building)
        try:
            _share_files(source, building, shared)
            text, own = b"", ""
            for line in lines:
                data, own = encode_line(line, own)
                text += data
            write_atomic(building / MANIFEST, text, "create")
            write_atomic(building / CONFIG, config.encode(), "config")
            write_atomic(building / METRICS, encode_rows(shared.metrics), "config")
            os.rename(building, target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return target


def _share_files(source: Path, target: Path, shared: Manifest) -> None:
    drops = shared.drops
    for key, line in shared.steps.items():
        slug = slug_of(key)
        for unit in line["units"]:
            _link(source, target, f"{ROLLOUTS}/{slug}/{parts.part_name(unit['i'])}")
        for saved in line["checkpoints"]:
            if saved["tag"] not in drops.get(key, {}):
                folder = source / CHECKPOINTS / slug / saved["tag"]
                for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                    _link(source, target, path.relative_to(source).as_posix())


def _link(source: Path, target: Path, name: str) -> None:
    if not (source / name).is_file():
        return  # given up or damaged since: the fork recomputes its step
    make_folder((target / name).parent)
    try:
        os.link(source / name, target / name)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source / name, target / name)


def unit_files(folder: Path | str) -> dict[str, list[Path]]:
    """Unit files of the finished steps by step key, in order."""
    folder = Path(folder)
    return {
        key: [folder / ROLLOUTS / slug_of(key) / parts.part_name(unit["i"]) for unit in line["units"]]
        for key, line in read_manifest(folder).steps.items()
        if line["units"]
    }


def rollouts(
    folder: Path | str, connection: duckdb.DuckDBPyConnection | None = None
) -> duckdb.DuckDBPyRelation:
    """The finished steps' rollouts as a DuckDB relation: one row an episode and verdict.

    It is read through ``connection``, or through a new one.

    Parts with a column ``task_id`` are episodes, and those with ``score`` verdicts, which join them on
    ``key``. Episodes without a verdict have nulls there; a column that both kinds have is the episode's.
    Numbers that a learner asked of tokens (its parts have ``key`` and nothing of the two) are left out.

    Raises:
        SharpenError: when no finished step has stored rollouts.
    """
    import duckdb

    sampled: list[str] = []
    judged: list[str] = []
    columns: set[str] = set()
    for path in (path for files in unit_files(folder).values() for path in files if path.is_file()):
        names = set(pq.read_schema(path).names)
        if {"key", "score"} <= names:
            judged.append(str(path))
        elif {"key", "task_id"} <= names:
            sampled.append(str(path))
            columns |= names
    if not sampled:
        raise SharpenError(f"run {folder} has no stored rollouts yet")
    connection = connection or duckdb.connect()
    episodes = connection.read_parquet(sampled, union_by_name=True)  # type: ignore[arg-type]
    if not judged:
        return episodes
    verdicts = connection.read_parquet(judged, union_by_name=True)  # type: ignore[arg-type]
    own = [name for name in verdicts.columns if name == "key" or name not in columns]
    verdicts = verdicts.project(", ".join(f'"{name}"' for name in own))
    return episodes.set_alias("episodes").join(verdicts.set_alias("verdicts"), "key", how="left")
