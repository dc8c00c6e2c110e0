"""Unit files: Parquet that proves its own wholeness and says for which inputs it was written."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_INPUTS = b"sharpen.inputs"
_SUM = b"sharpen.sum"
_BLANK = b"0" * 64
_HEX = re.compile(rb"[0-9a-f]{64}")


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def part_name(i: int) -> str:
    """File name of unit ``i``."""
    return f"part-{i:04d}.parquet"


def part_index(path: Path) -> int:
    """The unit a file name belongs to."""
    return int(path.stem.removeprefix("part-"))


def encode_part(table: pa.Table, inputs_digest: str) -> bytes:
    """The file of a unit: equal tables and digests give equal bytes (same pyarrow version).

    The footer holds the digest of the step's inputs and a SHA-256 of the whole file in which that
    SHA-256 itself reads as 64 zeros. Schema metadata of ``table`` is not kept.
    """
    buffer = pa.BufferOutputStream()
    # one chunk, else page borders would depend on how the table was put together
    plain = table.combine_chunks().replace_schema_metadata(None)
    with pq.ParquetWriter(buffer, plain.schema, compression="zstd") as writer:
        writer.write_table(plain)
        writer.add_key_value_metadata(
            {_INPUTS.decode(): inputs_digest, _SUM.decode(): _BLANK.decode()},
        )
    data = buffer.getvalue().to_pybytes()
    at = data.index(_BLANK, data.rindex(_SUM))
    return data[:at] + sha256(data).encode() + data[at + 64 :]


def part_inputs(data: bytes) -> str | None:
    """The inputs digest a unit file was written for, or None when one of its bytes is not as written."""
    key = data.rfind(_SUM)
    stored = _HEX.search(data, key) if key >= 0 else None
    if stored is None:
        return None
    blanked = data[: stored.start()] + _BLANK + data[stored.end() :]
    if sha256(blanked).encode() != stored.group():
        return None
    # only bytes that are known to be as written reach the Parquet reader
    meta = pq.read_metadata(pa.BufferReader(data)).metadata or {}
    return meta.get(_INPUTS, b"").decode()


def part_claims(path: Path) -> str | None:
    """The inputs digest in the footer of a unit file, read without its rows and not verified; None when
    there is no readable footer."""
    try:
        meta = pq.read_metadata(path).metadata
    except (pa.ArrowException, OSError):
        return None
    return (meta or {}).get(_INPUTS, b"").decode(errors="replace")


def decode_part(data: bytes) -> pa.Table:
    """The rows of a unit file."""
    return pq.read_table(pa.BufferReader(data), use_threads=False).replace_schema_metadata(None)
