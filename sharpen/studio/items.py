"""Held-out values item by item: what intervals of a change and paired comparisons rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.runs.streams import stream
from sharpen.studio.table import MAIN

Items = dict[str, float]
Ends = dict[str, dict[str, Items]]


COLUMNS = {"greedy": "accuracy_greedy", "sampled": "accuracy_t1"}
"""Columns of a measure step's stored unit (one row a question, ``task_id``), and the measure each is."""


def held_out_items(folder: Path, columns: Mapping[str, str] = COLUMNS) -> Ends:
    """Measure -> ``base`` or ``final`` -> task id -> value, of a run's first and last held-out step.

    ``columns`` says which stored columns are read, and under which name. Empty where the run
    has measured fewer than two times.
    """
    steps = [row["key"] for row in read_manifest(folder).metrics if row.get("name") == MAIN]
    if len(steps) < 2:
        return {}
    files = unit_files(folder)
    base, final = (values_of(files.get(key, []), columns) for key in (steps[0], steps[-1]))
    return {m: {"base": base[m], "final": final[m]} for m in final if m in base}


def changes(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Measure -> (mean, low, high) of final minus base over the held-out items of one run, 95 %."""
    out = {}
    for measure, ends in held_out_items(folder).items():
        found = paired(ends["base"], ends["final"], "change", measure)
        if found is not None:
            out[measure] = found[1:]
    return out


def paired(a: Items, b: Items, *names: str) -> tuple[int, float, float, float] | None:
    """How many items both have, and the mean and 95 % interval of b - a over them; None without any."""
    from sharpen.measure.intervals import hierarchical_bootstrap

    items = sorted(a.keys() & b.keys())
    if not items:
        return None
    difference = np.array([[b[i] - a[i] for i in items]])
    mean, low, high = hierarchical_bootstrap(difference, stream=stream("paired", *names))
    return len(items), float(mean), float(low), float(high)


def values_of(files: Sequence[Path], columns: Mapping[str, str]) -> dict[str, Items]:
    """Measure -> task id -> value of one step's unit files; ``columns`` as in ``held_out_items``."""
    import pyarrow.parquet as pq

    out: dict[str, Items] = {}
    for path in files:
        table = pq.ParquetFile(path).read()
        for column in [c for c in columns if c in table.column_names]:
            values = zip(table["task_id"].to_pylist(), table[column].to_pylist(), strict=True)
            out.setdefault(columns[column], {}).update((i, v) for i, v in values if v is not None)
    return out


def seconds(folder: Path) -> dict[str, float]:
    """Seconds by step, from ``timing.jsonl``; a step that was continued has several lines."""
    out: dict[str, float] = {}
    path = folder / "timing.jsonl"
    for text in path.read_text("utf-8", "replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
            out[line["key"]] = round(out.get(line["key"], 0.0) + line["seconds"], 1)
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a killed run may be half a line
    return out
