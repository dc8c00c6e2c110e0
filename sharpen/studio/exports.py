"""Rollouts as a file for other programs: Parquet, JSON lines, or a folder of the ``datasets`` library."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from sharpen.errors import SharpenError, missing
from sharpen.runs.atomic import make_folder
from sharpen.studio.where import Found, query
from sharpen.studio.words import texts


def export(runs: Mapping[int, Path], where: str, kind: str, to: Path, *, tokens: bool = False) -> Found:
    """Write every rollout that ``where`` matches (see ``where.query``) to ``to``, ordered by key.

    Args:
        kind: ``parquet``, ``jsonl``, or ``hf``: a folder for ``datasets.load_from_disk``, in which the parts
            of a reward are a list of names and values.
        to: a path where nothing is yet; it is there whole or not at all.
        tokens: whether the columns with a number a token are written too.

    Raises:
        SharpenError: something is there already, it cannot be written, or ``datasets`` is not installed.
    """
    if kind == "hf":
        _datasets()
    if os.path.lexists(to):
        raise SharpenError(f"{to} exists already: choose another path")
    try:
        make_folder(to.parent)
        work = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    except OSError as e:
        raise SharpenError(f"cannot write to {to}: {e.strerror}") from None
    try:
        file = work / "rollouts"
        found = query(runs, where, writes=[file])
        os.replace(KINDS[kind](found, file, tokens), to)
    except OSError as e:
        raise SharpenError(f"cannot write to {to}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return found


def _parquet(found: Found, file: Path, tokens: bool) -> Path:
    columns = ", ".join(f'"{name}"' for name in found.columns(tokens=tokens))
    found.ordered().project(columns).write_parquet(str(file), compression="zstd")
    return file


def _jsonl(found: Found, file: Path, tokens: bool) -> Path:
    found.ordered().project(found.finite(found.columns(tokens=tokens))).create_view("told")
    found.connection.execute(f"copy (from told) to {texts([file])} (format json)")
    return file


def _hf(found: Found, file: Path, tokens: bool) -> Path:
    datasets = _datasets()
    kinds = dict(zip(found.relation.columns, found.relation.types, strict=True))
    told = [
        f'map_entries("{c}") as "{c}"' if kinds[c].id == "map" else f'"{c}"'  # it knows no maps
        for c in found.columns(tokens=tokens)
    ]
    found.ordered().project(", ".join(told)).write_parquet(str(file), compression="zstd")
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_parquet(str(file), cache_dir=str(file.with_name("cache")))
    folder = file.with_name("dataset")
    table.save_to_disk(str(folder))
    return folder


def _datasets():  # noqa: ANN202 - a module
    try:
        import datasets
    except ImportError:
        raise missing("--export hf", "datasets", "tasks") from None
    return datasets


KINDS: dict[str, Callable[[Found, Path, bool], Path]] = {"parquet": _parquet, "jsonl": _jsonl, "hf": _hf}
"""What rollouts can be written as."""
