"""A reader's own SQL over one run: read-only, in a connection that reaches nothing but its rollouts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb

from sharpen.errors import SharpenError
from sharpen.studio.episodes import Sampled
from sharpen.studio.query import joined
from sharpen.studio.where import close_in
from sharpen.studio.words import cells

ROWS, SECONDS, MEMORY = 500, 10.0, "1GB"
"""What an answer may have, take and need."""
CELL = 2000
"""Characters of a cell."""
COLUMNS = (
    "key", "step", "round", "task_id", "sample", "text", "prefill", "finish", "n_sampled", "mean_entropy",
    "mean_certainty", "correct", "status", "score", "by", "detail",
)  # fmt: skip
"""Of the view ``rollouts``."""
MEASURES = ("name", "round", "step", "measure", "value", "low", "high")
"""Of the table ``metrics``: a row a number of ``metrics.jsonl``."""


def answer(
    steps: Sequence[Sampled], metrics: Sequence[Mapping[str, Any]], text: str, *, seconds: float = SECONDS
) -> dict[str, Any]:
    """One SELECT over ``rollouts`` and ``metrics``: ``columns``, ``rows`` (at most ``ROWS``), ``more``.

    The connection holds the files of the run's rollouts open for reading; it opens no other file, loads no
    extension, writes nothing, and its settings are locked.

    Raises SharpenError, one line, for anything but one SELECT, an error in it, or where it takes too long.
    """
    connection = _connected(steps, metrics)
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise SharpenError(_line(error)) from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise SharpenError("sql: one SELECT is read, nothing else")
    timer = Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        found = connection.execute(statements[0])
        names = [d[0] for d in found.description or ()]
        rows = found.fetchmany(ROWS + 1)
    except duckdb.InterruptException:
        raise SharpenError(f"sql: stopped after {seconds:g} s") from None
    except duckdb.Error as error:
        raise SharpenError(_line(error)) from None
    finally:
        timer.cancel()
        connection.close()
    return {
        "columns": names,
        "rows": [[plain(v) for v in row] for row in rows[:ROWS]],
        "more": len(rows) > ROWS,
    }


def _connected(steps: Sequence[Sampled], metrics: Sequence[Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    connection = joined(steps)
    # what places the rows is for pages
    connection.execute("alter view rollouts rename to placed")
    names = ", ".join(f'"{c}"' for c in COLUMNS)
    connection.execute(f"create view rollouts as select {names} from placed")
    connection.execute(
        "create table metrics(name varchar, round int, step varchar, measure varchar, value double, "
        "low double, high double)"
    )
    rows = [
        (str(r.get("name", "")), r["round"], str(r.get("key", "")), m, float(c.value), c.low, c.high)
        for r in ({"round": None, **row} for row in metrics)
        for m, c in cells(r).items()
    ]
    if rows:
        connection.executemany("insert into metrics values (?, ?, ?, ?, ?, ?, ?)", rows)
    files = [str(p) for s in steps for p in (*s.parts, *s.judged)]
    connection.execute(f"set memory_limit = '{MEMORY}'")
    connection.execute("set threads = 2")
    close_in(connection, list(dict.fromkeys(Path(f) for f in files)))
    return connection


def plain(value: Any) -> Any:
    """A cell as JSON: what JSON has not becomes text, long text is cut."""
    if value is None or isinstance(value, bool | int):
        return value if not isinstance(value, int) or abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal | date | datetime):
        return str(value)
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
