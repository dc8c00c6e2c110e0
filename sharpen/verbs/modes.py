"""How a policy does when it chooses whether to think, and when it is made to, or kept from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sharpen.measure.modes import Tally, awareness, by_level, merged, mixed, mode_row, tallies
from sharpen.runs.streams import stream
from sharpen.sample.episode import Ids
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.score.modes import Device
from sharpen.verbs import sampling
from sharpen.verbs.sampling import prompt_of
from sharpen.verbs.trials import Trial

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

FREE, THINKING, DIRECT = "free", "thinking", "direct"
MODES = (FREE, THINKING, DIRECT)
"""The policy chooses; it thinks; it does not."""

Tried = Mapping[str, list[Tally]]
"""A tally a question, by mode."""


@dataclass(frozen=True, slots=True)
class ModeTrial:
    """What is tried: ``trial.asking`` has no prefill of its own, the device's opening is it."""

    trial: Trial
    device: Device

    def samples(self) -> int:
        """Sampling requests of ``tried``; to be made to think takes two, the first of one token."""
        return len(self.trial.tasks) * self.trial.n * (len(MODES) + 1)


def tried(run: Run, policy: Policy, what: ModeTrial) -> Tried:
    """Attempts in every mode, counted. Each mode draws the same random numbers for a question at all times.

    To be made to think is to sample under the condition that the first token is not the one that closes the
    thinking (nor ends the text); to be kept from it, to have the closing as a part of the prefill. Those
    tokens count as said, so that lengths compare.
    """
    opening, closing = what.device.opening, closing_of(policy, what)
    free = tallies(_judged(run, policy, what, FREE, opening).columns, what.device)
    thinking = merged([_thinking(run, policy, what, closing, k) for k in range(what.trial.n)])
    kept = _judged(run, policy, what, DIRECT, opening + what.device.closing)
    direct = tallies(kept.columns, what.device, extra=len(closing))
    return {FREE: free, THINKING: thinking, DIRECT: direct}


def tell(run: Run, found: Tried, levels: Mapping[str, float], *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Store the counts and tell the rows ``modes`` (one a mode) and ``modes_at`` (one a mode and level); the
    row of the free mode comes back, with ``awareness`` and what a blind coin at the same think rate gets."""
    names = [f.name for f in fields(Tally)]
    columns = {n: [asdict(t)[n] for mode in MODES for t in found[mode]] for n in names}
    columns["mode"] = [mode for mode in MODES for _ in found[mode]]
    columns["level"] = [levels[task] for task in columns["task_id"]]
    counted = hashlib.blake2b(json.dumps(columns, sort_keys=True).encode(), digest_size=16).hexdigest()
    step = run.journal.begin("modes", {**about, "counts": counted}, name="modes")
    if step.result is None:
        free = {"awareness": awareness(found[FREE], levels), **_coin(found)}
        rows: list[dict[str, Any]] = []
        for mode in MODES:
            extra = free if mode == FREE else {}
            rows.append({"name": "modes", "mode": mode, **about, **mode_row(found[mode]), **extra})
        rows += [
            {"name": "modes_at", "mode": mode, **about, **row}
            for mode in MODES
            for row in by_level(found[mode], levels)
        ]
        step.write_unit(0, pa.table(columns))
        step.finish(rows[0], metrics=rows)
        for row in rows[: len(MODES)]:
            run.progress.metrics(row)
    assert step.result is not None
    return step.result


def closing_of(policy: Policy, what: ModeTrial) -> Ids:
    """The tokens of the device's closing, behind its opening."""
    task, device = what.trial.tasks[0], what.device
    opened = prompt_of(policy, task, replace(what.trial.asking, prefill=device.opening)).tokens
    closed = prompt_of(policy, task, replace(what.trial.asking, prefill=device.opening + device.closing))
    return closed.tokens[len(opened) :]


def _coin(found: Tried) -> dict[str, float | None]:
    rate = mode_row(found[FREE])["think_rate"]
    coin = None if rate is None else mixed(found[THINKING], found[DIRECT], rate)
    return {"coin_accuracy": coin and coin.accuracy, "coin_length": coin and coin.length}


def _judged(run: Run, policy: Policy, what: ModeTrial, mode: str, prefill: str) -> Groups:
    t = what.trial
    asking, names = replace(t.asking, prefill=prefill), stream(run.seed, "modes", mode)
    groups = sampling.sample(run, policy, t.tasks, n=t.n, law=t.law, asking=asking, name=mode, streams=names)
    return run.score(groups, t.reward, tasks=t.source, name=mode, tell=False)


def _thinking(run: Run, policy: Policy, what: ModeTrial, closing: Ids, k: int) -> list[Tally]:
    """Attempt ``k`` at each question, made to think."""
    t, names = what.trial, stream(run.seed, "modes", THINKING, k)
    asking = replace(t.asking, prefill=what.device.opening)
    banned = tuple(dict.fromkeys((int(closing[0]), *policy.eos_ids)))
    with run.scope(f"{THINKING}-{k + 1:02d}"):
        first = sampling.sample(
            run, policy, t.tasks, n=1, law=replace(t.law, banned=banned), name="first",
            asking=replace(asking, max_new_tokens=1), streams=names.child("first"),
        )  # fmt: skip
        starts = [group.episodes[0].spans[-1].tokens for group in first]
        groups = sampling.sample(
            run, policy, t.tasks, n=1, law=t.law, asking=asking, name=THINKING, starts=starts,
            streams=names.child("rest"),
        )  # fmt: skip
        groups = run.score(groups, t.reward, tasks=t.source, name=THINKING, tell=False)
    return tallies(groups.columns, what.device, extra=1)
