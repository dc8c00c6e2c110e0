"""Rows of JSONL, Parquet and Hugging Face files, one at a time, with what is wrong with each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

from sharpen.errors import SharpenError, missing, unknown

KINDS = ("jsonl", "parquet", "hf")


class BadRow(Exception):
    """One row that cannot become a task. ``reason`` is what the ledger counts."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Row = dict[str, Any] | BadRow
Numbered = tuple[int, str, Row]
"""Row number from 1 (JSONL: the line), split name (``""`` where the file has none), the row or its fault."""


def read_rows(kind: str, path: Path, columns: Collection[str]) -> Iterator[Numbered]:
    """The rows of one file (``hf``: one folder). Of columnar files only ``columns`` (or, for a dotted one,
    its first part) are read.

    Raises SharpenError for a missing or unreadable file, an unknown kind, or a column that a columnar file
    lacks; a fault inside a row is handed out with it.
    """
    readers = {"jsonl": _jsonl, "parquet": _parquet, "hf": _hugging_face}
    if kind not in readers:
        raise unknown("dataset kind", kind, KINDS)
    if not path.exists():
        raise SharpenError(f"no such dataset: {path}")
    return readers[kind](path, columns)


def digest_of(path: Path) -> str:
    """BLAKE2b digest (hex, 32 digits) of a file's bytes, or of a folder's files with their relative names."""
    if not path.exists():
        raise SharpenError(f"no such dataset: {path}")
    whole = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as f:
            inner = hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=16)).digest()
        whole.update((str(file.relative_to(path)) if path.is_dir() else "").encode() + b"\0" + inner)
    return whole.hexdigest()


def _jsonl(path: Path, columns: Collection[str]) -> Iterator[Numbered]:
    if path.is_dir():
        raise SharpenError(f"{path} is a folder, a JSONL file was expected")
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                yield number, "", _json_object(line, first=number == 1)


def _json_object(line: bytes, *, first: bool) -> Row:
    try:
        row = json.loads(line.decode("utf-8-sig" if first else "utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as e:
        return BadRow("not UTF-8", f"not UTF-8 at byte {e.start}")
    except RecursionError:
        return BadRow("not JSON", "not JSON: nested too deep")
    except ValueError as e:
        return BadRow("not JSON", f"not JSON: {e}")
    return row if isinstance(row, dict) else BadRow("not JSON", f"a JSON {type(row).__name__}, not an object")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _wanted(path: Path, names: Collection[str], columns: Collection[str]) -> list[str]:
    tops = [column if column in names else column.split(".")[0] for column in columns]
    for top in tops:
        if top not in names:
            raise unknown(f"column of {path.name}", top, names)
    return sorted(set(tops))


def _parquet(path: Path, columns: Collection[str]) -> Iterator[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        wanted = _wanted(path, file.schema_arrow.names, columns)
        number = 0
        for batch in file.iter_batches(columns=wanted):
            for i in range(batch.num_rows):
                number += 1
                yield number, "", _arrow_row(batch, i)
    except (pa.ArrowException, OSError) as e:
        raise SharpenError(f"{path.name}: not a readable Parquet file: {str(e).splitlines()[0]}") from e


def _arrow_row(batch: Any, i: int) -> Row:
    try:
        return {name: batch.column(k)[i].as_py() for k, name in enumerate(batch.schema.names)}
    except UnicodeDecodeError as e:
        return BadRow("not UTF-8", f"not UTF-8 at byte {e.start}")


def _hugging_face(path: Path, columns: Collection[str]) -> Iterator[Numbered]:
    try:
        import datasets
    except ImportError as e:
        raise missing("a Hugging Face dataset", "datasets", "tasks") from e
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as e:  # the library raises many kinds
        raise SharpenError(
            f"{path.name}: not a folder written by save_to_disk: {str(e).splitlines()[0]}"
        ) from e
    parts = loaded.items() if isinstance(loaded, datasets.DatasetDict) else [("", loaded)]
    number = 0
    for split, part in parts:
        # plain Arrow: no image or audio of another column is decoded
        table = part.select_columns(_wanted(path, part.column_names, columns)).with_format("arrow")
        for i in range(len(table)):
            number += 1
            yield number, str(split), _arrow_row(table[i], 0)
