"""Rollouts asked for by an SQL expression, read-only: it sees the run's columns and no file but the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, unknown
from sharpen.runs.store import rollouts, unit_files
from sharpen.studio.rollouts import VERDICT
from sharpen.studio.words import texts

if TYPE_CHECKING:
    import duckdb

SEED = "seed"
"""The column that tells the runs of several seeds apart."""
MARK = """case when correct is null then 'not judged' when status is not null and status <> 'ok' then status
    when correct then 'right' else 'wrong' end"""
"""A rollout's verdict in one word, as ``rollout_parts`` shows it."""


@dataclass(frozen=True)
class Found:
    """The rollouts that an expression matches.

    Attributes:
        relation: all columns, nothing read yet.
        total: rollouts there are.
        counts: how many match, by verdict in one word, the most frequent first.
    """

    connection: duckdb.DuckDBPyConnection
    relation: duckdb.DuckDBPyRelation
    total: int
    counts: Mapping[str, int]

    def columns(self, *, tokens: bool = False) -> list[str]:
        """The columns without, or with, those that hold a number a token (or a span)."""
        types = zip(self.relation.columns, self.relation.types, strict=True)
        # a verdict's steps are few, and no token's
        return [name for name, kind in types if tokens or kind.id != "list" or name == "steps"]

    def rows(self, n: int, *, tokens: bool = False) -> list[dict[str, Any]]:
        """The first ``n`` that match, by key, as JSON values: a number that is not finite is None."""
        columns = self.columns(tokens=tokens)
        found = self.ordered().project(self.finite(columns)).limit(n).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in found]

    def ordered(self) -> duckdb.DuckDBPyRelation:
        """By seed and key: the store gives no order."""
        return self.relation.order(f'"{SEED}", key' if SEED in self.relation.columns else "key")

    def finite(self, columns: Sequence[str]) -> str:
        """The projection on ``columns`` with null for every number that JSON cannot hold."""
        kinds = dict(zip(self.relation.columns, self.relation.types, strict=True))
        out = []
        for name in columns:
            kind = str(kinds[name])
            if kind in ("FLOAT", "DOUBLE"):
                out.append(f'case when isfinite("{name}") then "{name}" end as "{name}"')
            elif kind in ("FLOAT[]", "DOUBLE[]"):
                each = "lambda v: case when isfinite(v) then v end"
                out.append(f'list_transform("{name}", {each}) as "{name}"')
            else:
                out.append(f'"{name}"')
        return ", ".join(out)


def query(runs: Mapping[int, Path], where: str = "", *, writes: Sequence[Path] = ()) -> Found:
    """The rollouts of runs, by seed; of several runs each row tells its ``seed``.

    Args:
        where: one SQL expression over the columns of ``sharpen.runs.store.rollouts``; ``""`` matches all.
            It reads no other file, and changes nothing.
        writes: files that the connection may write, for exports.

    Raises:
        SharpenError: no run has rollouts, or the expression is wrong, in one line.
    """
    import duckdb

    connection = duckdb.connect()
    parts = []
    for seed, folder in runs.items():
        relation = _with_verdict(rollouts(folder, connection))
        parts.append(relation if len(runs) == 1 else relation.project(f"{seed} as {SEED}, *"))
    close_in(connection, [*_files(runs), *writes])
    table = _all(connection, parts)
    told = table
    if where:
        try:
            told = table.filter(duckdb.SQLExpression(where))
            counts = _counts(told)
        except duckdb.Error as e:
            raise _told(where, e, table.columns) from None
        [(total,)] = table.count("*").fetchall()
    else:
        counts = _counts(told)
        total = sum(counts.values())
    return Found(connection, told, total, counts)


def close_in(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Keep what a user writes to these files: no other path, no network, no variable of ours."""
    for setting in (
        "temp_directory=''",  # first: a folder for spilling would stay open to reading and writing
        f"allowed_paths=[{texts(files)}]",
        "autoload_known_extensions=false",
        "autoinstall_known_extensions=false",
        "allow_community_extensions=false",
        "python_enable_replacements=false",
        "enable_external_access=false",
        "lock_configuration=true",
    ):
        connection.execute(f"set {setting}")


def _files(runs: Mapping[int, Path]) -> list[Path]:
    return [path for folder in runs.values() for files in unit_files(folder).values() for path in files]


def _with_verdict(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """A run that is not judged yet has the verdict's columns too, empty."""
    types = {"score": "double", "correct": "boolean"}
    lacking = [name for name in VERDICT if name not in relation.columns]
    told = "".join(f', null::{types.get(name, "varchar")} as "{name}"' for name in lacking)
    return relation.project(f"*{told}") if told else relation


def _all(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[duckdb.DuckDBPyRelation]
) -> duckdb.DuckDBPyRelation:
    if len(parts) == 1:
        return parts[0]
    names = [f"part_{i}" for i in range(len(parts))]
    for name, relation in zip(names, parts, strict=True):
        relation.create_view(name)
    return connection.sql(" union all by name ".join(f"select * from {name}" for name in names))


def _counts(relation: duckdb.DuckDBPyRelation) -> dict[str, int]:
    marked = relation.project(f"{MARK} as mark").aggregate("mark, count(*) as n")
    return dict(marked.order("n desc, mark").fetchall())


def _told(where: str, error: Exception, columns: Sequence[str]) -> SharpenError:
    """DuckDB's error as one line; a column that is not there is told of with the nearest one."""
    line = str(error).splitlines()[0].strip()
    if "Referenced column" in line and '"' in line:
        return unknown("column", line.split('"')[1], columns)
    reason = line.partition("Error: ")[2] or line
    return SharpenError(f"--where {where!r}: {reason}")
