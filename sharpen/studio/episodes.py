"""A run's stored episodes for a page: which steps sampled, rows without tokens, and whole episodes with them.

Nothing here reads tokens but ``whole``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sharpen.runs import parts as unit
from sharpen.runs.manifest import Manifest
from sharpen.runs.step import ROLLOUTS, slug_of, verb_of
from sharpen.score.table import LIGHT
from sharpen.studio.overview import round_of
from sharpen.studio.pieces import Pieces

EPISODES, VERDICTS, PLAYS, OTHER = "episodes", "verdicts", "plays", "other"
_KINDS = {
    "sample": (EPISODES,),
    "score": (VERDICTS,),
    "solve": (EPISODES, EPISODES),
    "play": (EPISODES, VERDICTS, PLAYS),
    **dict.fromkeys(("measure", "annotate", "weigh", "value"), (OTHER,)),
}
"""What a verb's unit files hold, in turn; others are looked at."""
SIGNALS = {"lp": "raw_logprob", "en": "entropy", "ce": "certainty"}
"""A page's name of a per-token signal, and the stored column. They go to the page in hundredths."""
VERDICT = ("score", "status", "correct", "by", "on", "detail", "parts", "steps")


@dataclass(frozen=True, slots=True)
class Sampled:
    """A step that stored episodes.

    Attributes:
        key, name, round: the step's.
        parts: its unit files of episodes; judged: of verdicts on them; plays: of plays.
        about: law, policy and what else was asked for, for people.
    """

    key: str
    name: str
    round: int
    parts: tuple[Path, ...]
    judged: tuple[Path, ...]
    plays: tuple[Path, ...]
    about: dict[str, Any]

    @property
    def rows(self) -> int:
        """How many episodes there are."""
        return sum(rows_in(p) for p in self.parts)


def sampled_steps(manifest: Manifest) -> list[Sampled]:
    """The finished steps that stored episodes or plays, in order."""
    steps = manifest.steps
    kinds = {key: _files(manifest.folder, key, line) for key, line in steps.items() if line["units"]}
    judged: dict[str, list[Path]] = {}
    for key, files in kinds.items():
        of = (steps[key]["inputs"].get("groups") or {}) if files[VERDICTS] else {}
        target = str(of.get("step", key)).removesuffix("#calls") if isinstance(of, Mapping) else key
        judged.setdefault(target, []).extend(files[VERDICTS])
    # verdicts on verdicts' groups: what a scored table was made of
    for key in list(judged):
        of = (steps.get(key, {}).get("inputs") or {}).get("groups")
        if isinstance(of, Mapping) and of.get("step") in kinds and not kinds[key][EPISODES]:
            judged.setdefault(str(of["step"]), []).extend(judged[key])
    out = []
    for key, files in kinds.items():
        if files[EPISODES] or files[PLAYS]:
            line = steps[key]
            kept = (files[EPISODES], judged.get(key, ()), files[PLAYS])
            parts, verdicts_on, plays = (tuple(p) for p in kept)
            about = _about(line["inputs"])
            out.append(Sampled(key, line["name"], round_of(key), parts, verdicts_on, plays, about))
    return out


def _files(folder: Path, key: str, line: Mapping[str, Any]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {kind: [] for kind in (EPISODES, VERDICTS, PLAYS, OTHER)}
    for place, stored in enumerate(line["units"]):
        path = folder / ROLLOUTS / slug_of(key) / unit.part_name(stored["i"])
        kinds = _KINDS.get(verb_of(key))
        if path.is_file():
            found[kinds[place % len(kinds)] if kinds else kind_of(path)].append(path)
    return found


@lru_cache(maxsize=100_000)
def kind_of(path: Path) -> str:
    """What a unit file holds, by its columns."""
    names = set(pq.read_schema(path).names)
    if {"key", "task_id"} <= names:
        return EPISODES
    if {"key", "score"} <= names:
        return VERDICTS
    return PLAYS if {"sitting", "turns"} <= names else OTHER


@lru_cache(maxsize=100_000)
def rows_in(path: Path) -> int:
    """How many rows a unit file holds, from its footer; it is never changed once written."""
    return pq.read_metadata(path).num_rows


def _about(inputs: Mapping[str, Any]) -> dict[str, Any]:
    law = inputs.get("law") or {}
    told: dict[str, Any] = {"temperature": law.get("temperature", 1.0), **law} if "law" in inputs else {}
    for name in ("policy", "n", "strategy"):
        if isinstance(inputs.get(name), str | int):
            told[name] = inputs[name]
    return told


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A unit file's rows; of ``columns`` those that it has."""
    with pq.ParquetFile(path) as file:
        names = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
        return file.read(columns=names, use_threads=False)


def take(table: pa.Table, at: Sequence[int]) -> pa.Table:
    """These rows. (An index given as a list would import pandas, which takes longer than all the rest.)"""
    data = np.asarray(at, np.int64).tobytes()
    return table.take(pa.Array.from_buffers(pa.int64(), len(at), [None, pa.py_buffer(data)]))


def where(path: Path, column: str, wanted: Set[str]) -> list[int]:
    """The rows of a unit file whose text in ``column`` is wanted."""
    return [i for i, v in enumerate(read(path, [column])[column].to_pylist()) if v in wanted]


# rows -------------------------------------------------------------------------------------------
def light(step: Sampled, start: int, n: int) -> list[dict[str, Any]]:
    """Rows ``start`` to ``start + n`` of a step as they are stored, without tokens, with their verdicts."""
    rows: list[dict[str, Any]] = []
    for path in step.parts:
        if len(rows) >= n:
            break
        held = rows_in(path)
        if start >= held:
            start -= held
            continue
        rows += read(path, LIGHT).slice(start, n - len(rows)).to_pylist()
        start = 0
    known = verdicts(step, [r["key"] for r in rows])
    return [listed(step, row, known.get(row["key"], [])) for row in rows]


def listed(step: Sampled, row: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of a list of episodes, as JSON values; ``known`` are its verdicts, of which the last counts."""
    last = known[-1] if known else {}
    return {
        "key": row["key"],
        "step": step.key,
        "round": step.round,
        "task": row["task_id"],
        "sample": row.get("sample"),
        "text": (row.get("prefill") or "") + (row.get("text") or ""),
        "finish": row.get("finish"),
        "n": row.get("n_sampled"),
        "ent": _number(row.get("mean_entropy")),
        "cert": _number(row.get("mean_certainty")),
        "correct": last.get("correct"),
        "status": last.get("status"),
        "score": _number(last.get("score")),
    }


def verdicts(step: Sampled, keys: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Key -> its verdicts, oldest first."""
    wanted = set(keys)
    out: dict[str, list[dict[str, Any]]] = {}
    for path in step.judged if wanted else ():
        if at := where(path, "key", wanted):
            for row in take(read(path, ("key", *VERDICT)), at).to_pylist():
                out.setdefault(row["key"], []).append(_verdict(row))
    return out


def _verdict(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {k: row.get(k) for k in ("status", "correct", "by", "on", "detail")}
    parts = {k: _number(v) for k, v in row.get("parts") or ()}
    return {
        **told,
        "score": _number(row.get("score")),
        "parts": parts,
        "steps": [_number(v) for v in row.get("steps") or ()],
    }


def whole(
    step: Sampled, pieces: Pieces, *, tasks: Sequence[str] = (), keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Episodes with their tokens, of these tasks or with these keys, in stored order; see ``told``."""
    wanted = set(tasks or keys)
    column = "task_id" if tasks else "key"
    rows = []
    for path in step.parts:
        if at := where(path, column, wanted):
            rows += take(read(path), at).to_pylist()
    known = verdicts(step, [r["key"] for r in rows])
    return [told(step, row, known.get(row["key"], []), pieces) for row in rows]


def told(
    step: Sampled, row: Mapping[str, Any], known: Sequence[Mapping[str, Any]], pieces: Pieces
) -> dict[str, Any]:
    """A whole episode: the listed fields, ``verdicts``, ``request`` and ``spans``.

    A span is ``role``, ``seat``, ``turn`` and ``text``, or where it was sampled ``pieces`` with ``lp`` (raw
    log-probability), ``en`` (entropy) and ``ce`` (self-certainty) by token, hundredths of a nat.
    """
    out = {**listed(step, row, known), "verdicts": list(known), "spans": list(_spans(row, pieces))}
    for extra in ("answer", "confidence", "stop", "request"):
        if row.get(extra) is not None:
            out[extra] = row[extra] if extra != "confidence" else _number(row[extra])
    return out


def _spans(row: Mapping[str, Any], pieces: Pieces) -> Iterator[dict[str, Any]]:
    versions = [v for v in row.get("span_version") or () if v]
    at = sampled_at = 0
    for k, n in enumerate(row.get("span_length") or ()):
        ids = row["tokens"][at : at + n]
        at += n
        own = row["span_version"][k]
        # who reads an authored span is the policy that goes on from it
        version = own or next((v for v in row["span_version"][k:] if v), versions[0] if versions else "")
        span: dict[str, Any] = {"role": row["span_role"][k]}
        if row["span_seat"][k]:
            span["seat"] = row["span_seat"][k]
        if turn := (row.get("span_turn") or {}) and row["span_turn"][k]:
            span["turn"] = turn
        cut = pieces.split(ids, version)
        if row["span_finish"][k] is None:
            span["text"] = "".join(cut)
        else:
            span |= {"pieces": cut, "finish": row["span_finish"][k], "version": own}
            for name, column in SIGNALS.items():
                values = (row.get(column) or [])[sampled_at : sampled_at + n]
                span[name] = [round(100 * v) if v is not None and math.isfinite(v) else None for v in values]
            sampled_at += n
        if n or span["role"] != "assistant":
            yield span


def _number(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and math.isfinite(value) else None
