"""The verbs of efficiency steering: hidden states of pairs, a point of the curve, a steering that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.measure.efficiency import Question, by_question, efficiency
from sharpen.runs.step import Step
from sharpen.runs.streams import stream
from sharpen.sample.directions import States
from sharpen.sample.policy import Policy, save_policy
from sharpen.sample.states import Positions, pooled_states, trace_positions
from sharpen.sample.steering import CARD, card
from sharpen.score.group import Groups
from sharpen.select.pairs import Pair
from sharpen.verbs import sampling
from sharpen.verbs.trials import POOLS, Trial

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

FINAL = "final"

# pairs whose states are computed and stored together; a crash costs one
_UNIT = 32


class PairStates:
    """The states of pairs, by pool, read from disk when asked for: one unit is in memory at a time."""

    def __init__(self, step: Step, n: int) -> None:
        self._step, self._n = step, n

    def __len__(self) -> int:
        return self._n

    @property
    def origin(self) -> dict[str, Any]:
        """JSON name of the step."""
        return {"step": self._step.key, "inputs": self._step.inputs_digest}

    def of(self, pool: str, chosen: Sequence[int] | None = None) -> Iterator[tuple[States, States]]:
        """``(short, long)`` states, ``(layers, H)`` each, of all pairs or of those at ``chosen``, in their
        order in the table."""
        wanted = set(range(self._n) if chosen is None else chosen)
        for start in range(0, self._n, _UNIT):
            here = [i for i in range(start, min(start + _UNIT, self._n)) if i in wanted]
            if here:
                table = self._step.unit(start // _UNIT)
                if table is None:
                    raise SharpenError(
                        f"{self._step.key}: states were damaged; `sharpen resume` recomputes it"
                    )
                held = _from_table(table)[:, :, POOLS.index(pool)]
                for i in here:
                    yield held[i - start, 0], held[i - start, 1]


def states(run: Run, policy: Policy, groups: Groups, pairs: Sequence[Pair], *, name: str) -> PairStates:
    """See ``Run.states``."""
    inputs = {
        "policy": policy.version,
        "groups": groups.origin,
        "pairs": [[p.task_id, p.short, p.long] for p in pairs],
        "pools": list(POOLS),
    }
    step = run.journal.begin("states", inputs, name=name)
    if step.result is None:
        run.progress.begin(step.key, "states", len(pairs))
        for start in range(0, len(pairs), _UNIT):
            some = pairs[start : start + _UNIT]
            if step.unit(start // _UNIT) is None:
                step.write_unit(start // _UNIT, _to_table(_states(policy, groups, some), some))
            run.progress.advance(len(some))
        step.finish({"pairs": len(pairs)})
        run.progress.end()
    return PairStates(step, len(pairs))


def _states(policy: Policy, groups: Groups, pairs: Sequence[Pair]) -> NDArray[np.float32]:
    """``(pairs, 2, pools, layers, H)``."""
    sequences, positions = [], list[list[Positions]]()
    for pair in pairs:
        group = groups[pair.group]
        episodes = [group.episodes[i] for i in (pair.short, pair.long)]
        traces = [trace_positions(policy, e) for e in episodes]
        m = min(len(steps) for _, steps in traces)
        for episode, (reasoning, steps) in zip(episodes, traces, strict=True):
            tokens = episode.tokens
            sequences.append(tokens)
            positions.append([np.array([len(tokens) - 1]), reasoning, steps[:m]])
    found = pooled_states(policy, sequences, positions)
    return found.reshape(len(pairs), 2, *found.shape[1:])


def _to_table(found: NDArray[np.float32], pairs: Sequence[Pair]) -> pa.Table:
    """One row a pair, side, pool and layer; ``state`` has the hidden size."""
    n, sides, pools, layers, _ = found.shape
    places = list(product(range(n), range(sides), range(pools), range(layers)))
    return pa.table(
        {
            "task_id": [pairs[p].task_id for p, *_ in places],
            "side": [("short", "long")[s] for _, s, _, _ in places],
            "pool": [POOLS[k] for _, _, k, _ in places],
            "layer": pa.array([layer for *_, layer in places], pa.int32()),
            "state": pa.array(list(found.reshape(len(places), -1)), pa.list_(pa.float32())),
        }
    )


def _from_table(table: pa.Table) -> NDArray[np.float32]:
    layers = max(table["layer"].to_pylist()) + 1
    flat = table["state"].combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, 2, len(POOLS), layers, len(flat) // table.num_rows)


def trial(run: Run, policy: Policy, what: Trial, *, about: Mapping[str, Any], name: str) -> dict[str, Any]:
    """See ``Run.trial``."""
    with run.scope(name):
        groups = sampling.sample(
            run,
            policy,
            what.tasks,
            n=what.n,
            law=what.law,
            asking=what.asking,
            name="trial",
            # the same draws at every point: what differs is the steering's doing
            streams=stream(run.seed, "trial"),
        )
        groups = run.score(groups, what.reward, tasks=what.source, name="trial")
        step = run.journal.begin("efficiency", {"groups": groups.origin, **about}, name=name)
        if step.result is None:
            found = by_question(groups, run.has_answer(what.reward, tasks=what.source))
            step.write_unit(0, _questions_table(found))
            texts = (text for c in groups.columns for text in c.texts)
            row = {"name": "efficiency", "policy": policy.version, **about, **efficiency(found, texts)}
            step.finish(row, metrics=[row])
            run.progress.metrics(row)
        assert step.result is not None
        return step.result


def _questions_table(found: Sequence[Question]) -> pa.Table:
    rows = [asdict(q) for q in found]
    kinds = {f.name: pa.string() if f.name == "task_id" else pa.int32() for f in fields(Question)}
    return pa.table({name: pa.array([r[name] for r in rows], kind) for name, kind in kinds.items()})


def keep(run: Run, policy: Policy, about: Mapping[str, Any], *, name: str) -> None:
    """See ``Run.keep_steering``."""
    steering = policy.steering
    if steering is None or policy.unsteered is None:
        raise SharpenError(f"policy {policy.name!r} is not steered: there is no steering to keep")
    step = run.journal.begin("steering", {"policy": policy.version, "about": dict(about)}, name=name)
    if step.result is not None:
        return
    known = run.bases.get(policy.unsteered.version, "")

    def write(folder: Any) -> None:
        # the base lies among the run's checkpoints: from the folder of this one, step, tag
        save_policy(policy, folder, f"../../{known}" if known else "")
        (folder / CARD).write_text(card(steering, about), encoding="utf-8")

    step.checkpoint(FINAL, write)
    step.finish({"version": policy.version, "digest": steering.digest})
