"""A big run on disk, made without a model: real journal, real unit files, as many episodes as asked for."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from sharpen.runs.journal import Journal
from sharpen.runs.streams import stream
from sharpen.score.table import EPISODE_SCHEMA, VERDICT_SCHEMA

ENVIRONMENT = {"code": "made by hand", "numerics": {}}
UNIT, SAMPLES, TOKENS = 2048, 8, 24


def big_run(folder: Path, episodes: int, steps: int = 4) -> Path:
    """A finished run of ``episodes`` attempts in ``steps`` rounds, every second one right."""
    with Journal.create(folder, {"recipe": "by_hand", "seed": 0, **ENVIRONMENT}, "rounds = 4\n") as journal:
        for r in range(1, steps + 1):
            with journal.scope(f"round-{r:04d}"):
                _round(journal, r, episodes // steps)
    return folder


def _round(journal: Journal, r: int, n: int) -> None:
    step = journal.begin("sample", {"round": r, "law": {}, "policy": "0" * 32, "n": SAMPLES})
    starts = range(0, n, UNIT)
    for i, start in enumerate(starts):
        step.write_unit(i, _episodes(step.key, r, start, min(UNIT, n - start)))
    step.finish({"samples": n, "tokens": n * TOKENS})
    judge = journal.begin("score", {"groups": {"step": step.key}})
    for i, start in enumerate(starts):
        judge.write_unit(i, _verdicts(step.key, start, min(UNIT, n - start)))
    row = {"name": "score", "round": r, "correct_share": 0.5, "status_ok": 1.0}
    judge.finish({}, metrics=[row])


def _keys(key: str, start: int, n: int) -> list[str]:
    return [f"{key}/task-{(start + k) // SAMPLES}/{(start + k) % SAMPLES}" for k in range(n)]


def _episodes(key: str, r: int, start: int, n: int) -> pa.Table:
    rng = stream("big", r, start).generator()
    ends = pa.array(np.arange(0, (n + 1) * TOKENS, TOKENS, dtype=np.int32))

    def floats() -> pa.Array:
        return pa.ListArray.from_arrays(ends, pa.array(rng.random(n * TOKENS, dtype=np.float32)))

    one = {
        "key": _keys(key, start, n),
        "task_id": [f"task-{(start + k) // SAMPLES}" for k in range(n)],
        "sample": [(start + k) % SAMPLES for k in range(n)],
        "text": [f"step {k} of {r}\nAnswer: {k % 7}" for k in range(n)],
        "prefill": [""] * n,
        "finish": ["eos"] * n,
        "n_sampled": [TOKENS] * n,
        "mean_entropy": rng.random(n),
        "mean_certainty": rng.random(n),
        "tokens": pa.ListArray.from_arrays(ends, pa.array(rng.integers(0, 90, n * TOKENS, dtype=np.int32))),
        "span_role": [["assistant"]] * n,
        "span_length": [[TOKENS]] * n,
        "span_trainable": [[True]] * n,
        "span_seat": [[""]] * n,
        "span_version": [["0" * 32]] * n,
        "span_turn": [[0]] * n,
        "span_finish": [["eos"]] * n,
        "span_truncated": [[False]] * n,
        **{name: floats() for name in ("logprob", "raw_logprob", "entropy", "certainty")},
        "kept": [[]] * n,
    }
    return pa.table(
        {
            f.name: pa.array(v, f.type)
            if isinstance(v := one[f.name], list)
            else pa.array(v)
            if isinstance(v, np.ndarray)
            else v
            for f in EPISODE_SCHEMA
        }
    )


def _verdicts(key: str, start: int, n: int) -> pa.Table:
    right = [(start + k) % 2 == 0 for k in range(n)]
    columns = {
        "key": _keys(key, start, n),
        "score": [float(x) for x in right],
        "status": ["ok"] * n,
        "by": ["hand"] * n,
        "on": ["episode"] * n,
        "detail": ["" if x else "not the number" for x in right],
        "correct": right,
        "parts": [[]] * n,
        "steps": [[]] * n,
    }
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in VERDICT_SCHEMA})
