"""The verbs that add numbers to rollouts: a reference's log-probabilities, a critic's values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from sharpen.errors import SharpenError
from sharpen.learn.config import CriticConfig
from sharpen.learn.critic import fit, values
from sharpen.learn.head import Head
from sharpen.learn.rollouts import Rollouts
from sharpen.learn.row import Row
from sharpen.learn.rows import distinct
from sharpen.learn.state import TrainState
from sharpen.runs.step import Step
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.verbs.learning import rows_digest

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

CRITIC = "critic"
FINAL, FILE = "final", "head.safetensors"

# rows whose numbers are made and stored together; a crash costs one such unit
_UNIT = 1024


def annotate(run: Run, policy: Policy, given: Sequence[Row], *, law: SamplingLaw, name: str) -> list[Row]:
    """See ``Run.annotate``."""
    inputs = {"policy": policy.version, "rows": rows_digest(given), "law": law.spec}
    step = run.journal.begin("annotate", {**inputs, "engine": type(run.engine).__name__}, name=name)

    def score(rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        # rows alike are scored once; not under a law that truncates, where each has kept sets of its own
        once, places = (rows, range(len(rows))) if law.truncates else distinct(rows)
        kept = [r.kept for r in once] if law.truncates else None
        notes = run.engine.annotate(policy, [r.tokens for r in once], law=law, kept=kept)
        return [
            np.where(r.arrays["weight"] != 0, notes[place].logprobs, 0.0)
            for r, place in zip(rows, places, strict=True)
        ]

    return _with(run, step, given, "ref_logprob", score)


def value(run: Run, state: TrainState, base: Policy, given: Rollouts, *, budget: int) -> Rollouts:
    """See ``Run.value``."""
    head = state.heads.get(CRITIC)
    inputs = {"policy": base.version, "rows": rows_digest(given.rows), "critic": _digest(head)}
    step = run.journal.begin("value", inputs)
    rows = _with(run, step, given.rows, "value", lambda rows: values(base, head, rows, budget))
    return given.with_rows(rows)


def fit_critic(
    run: Run, state: TrainState, base: Policy, given: Rollouts, config: CriticConfig, *, budget: int
) -> TrainState:
    """See ``Run.fit_critic``."""
    if not len(given):
        return state
    head = state.heads.get(CRITIC)
    inputs = {
        "policy": base.version,
        "rows": rows_digest(given.rows),
        "critic": _digest(head),
        "config": config.model_dump(mode="json"),
        "seed": run.seed,
    }
    step = run.journal.begin(CRITIC, inputs)
    if step.result is None:
        run.progress.begin(step.key, CRITIC)
        made = fit(base, head, given.rows, config=config, budget=budget, stream=step.stream(run.seed))
        step.checkpoint(FINAL, lambda folder: _save(made, folder))
        row = {"name": CRITIC, "round": run.round, **made.report}
        step.finish(dict(made.report), metrics=[row])
        run.progress.end()
        run.progress.metrics(row)
    folder = step.load_checkpoint(FINAL)
    if folder is None:
        raise SharpenError(f"{step.key}: the critic is damaged; `sharpen resume` makes it again")
    assert step.result is not None
    return replace(state, heads={**state.heads, CRITIC: Head(load_file(folder / FILE), step.result)})


Make = Callable[[Sequence[Row]], Sequence[NDArray[np.float32]]]
"""Numbers of some rows, ``(T,)`` a row."""


def _with(run: Run, step: Step, rows: Sequence[Row], name: str, make: Make) -> list[Row]:
    """The rows with ``make`` of them as array ``name``, unit by unit; read where it is stored."""
    found: list[NDArray[np.float32]] = []
    working = step.result is None
    if working:
        run.progress.begin(step.key, name, len(rows))
    for i, start in enumerate(range(0, len(rows), _UNIT)):
        part = rows[start : start + _UNIT]
        stored = step.unit(i)
        if stored is None:
            made = pa.array([np.asarray(x, np.float32) for x in make(part)], pa.list_(pa.float32()))
            stored = pa.table({"key": [r.key for r in part], name: made})
            step.write_unit(i, stored)
        column = stored[name].combine_chunks()
        ends = column.offsets.to_numpy()
        flat = np.asarray(column.values, np.float32)
        found += [flat[a:b] for a, b in pairwise(ends)]
        if working:
            run.progress.advance(len(part))
    if working:
        step.finish({"rows": len(rows)})
        run.progress.end()
    return [replace(r, arrays={**r.arrays, name: x}) for r, x in zip(rows, found, strict=True)]


def _digest(head: Head | None) -> str:
    """A hash of a head's content, ``""`` of none."""
    h = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(head.weights.items()) if head else ():
        h.update(f"{name}:{tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    return h.hexdigest() if head else ""


def _save(head: Head, folder: Path) -> None:
    tensors: Mapping[str, Any] = head.weights
    save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, folder / FILE)
