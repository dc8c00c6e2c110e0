"""How far a policy's answers can be relied on where it may decline, and what it would have answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.measure.reliability import by_length, laziness, reliability
from sharpen.runs.streams import stream
from sharpen.sample.law import GREEDY
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.score.refusal import Refusals, Replies, replies
from sharpen.tasks.task import Task
from sharpen.verbs import sampling
from sharpen.verbs.trials import Trial

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of a policy that may decline.

    Attributes:
        trial: the questions, answered greedily; the first ``sampled`` of them also ``trial.n`` times under
            ``trial.law``.
        refusals: what declining is.
        lam: the weight of answering in f.
        opening: what a refusal's reasoning is continued by, so that it must be answered; "": none is.
        sampled: how many questions are also sampled, to see what the policy is able to do.
        by_length: whether rows by length are told.
        depth: the field of a question's data that tells the steps it needs, a number or a list; "": none.
    """

    trial: Trial
    refusals: Refusals
    lam: float = 0.2
    opening: str = ""
    sampled: int = 0
    depth: str = ""
    by_length: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """The row ``reliability``, and the greedy responses that it is of."""

    row: Mapping[str, Any]
    replies: Replies


def examine(run: Run, policy: Policy, what: Inquiry, *, about: Mapping[str, Any], name: str) -> Examined:
    """Answer, and tell the rows ``NAME`` and, ``by_length``, ``NAME_at`` by steps and ``NAME_depth`` by the
    steps that a question needs. In a scope of its own; a question always draws the same random numbers."""
    t = what.trial
    with run.scope(name):
        greedy = _judged(run, policy, what, replace(t, n=1, law=GREEDY), "greedy")
        said = replies(greedy, what.refusals)
        would = [f[0] for f in forced(run, policy, greedy, what)] if what.opening else None
        able = passed(run, policy, what) if what.sampled else None
        columns = _columns(said, [c.task for c in greedy.columns], would, able, what.depth)
        counted = hashlib.blake2b(json.dumps(columns, sort_keys=True).encode(), digest_size=16).hexdigest()
        step = run.journal.begin("reliability", {**about, "counts": counted, "lambda": what.lam}, name=name)
        if step.result is None:
            told = _rows(said, would, able, columns["depth"] if what.by_length else None, what.lam)
            rows = [{"name": f"{name}{kind}", **about, "round": run.round, **row} for kind, row in told]
            step.write_unit(0, pa.table(columns))
            step.finish(rows[0], metrics=rows)
            run.progress.metrics(rows[0])
        assert step.result is not None
        return Examined(step.result, said)


def forced(run: Run, policy: Policy, groups: Groups, what: Inquiry) -> list[Flags]:
    """Whether each response is right, bool ``(n,)`` a question: a refusal if its reasoning is continued by
    ``opening`` and then, greedily, by the policy; any other as it was judged."""
    found = [c.correct.copy() for c in groups.columns]
    asking = what.trial.asking
    for k in range(max((len(c) for c in groups.columns), default=0)):
        asked = [g for g, c in enumerate(groups.columns) if k < len(c) and what.refusals.said(c.texts[k])]
        if not asked:
            continue
        starts = []
        for g in asked:
            reasoning = what.refusals.before(groups.columns[g].texts[k].removeprefix(asking.prefill)).rstrip()
            start = f"{reasoning}\n{what.opening}" if reasoning else what.opening
            starts.append(np.array(policy.tokenizer.encode(start, add_special_tokens=False), np.int32))
        tasks = [groups.columns[g].task for g in asked]
        with run.scope(f"forced-{k + 1:02d}"):
            given = sampling.sample(
                run, policy, tasks, n=1, law=GREEDY, asking=asking, name="forced", starts=starts
            )
            given = run.score(given, what.trial.reward, tasks=what.trial.source, name="forced", tell=False)
        for g, c in zip(asked, given.columns, strict=True):
            found[g][k] = bool(c.correct[0])
    return found


def passed(run: Run, policy: Policy, what: Inquiry) -> list[float]:
    """Share of right samples of each of the first ``sampled`` questions, refusals answered by force."""
    t = what.trial
    with run.scope("able"):
        groups = _judged(run, policy, what, replace(t, tasks=t.tasks[: what.sampled]), "sampled")
        right = forced(run, policy, groups, what) if what.opening else [c.correct for c in groups.columns]
    return [float(r.mean()) for r in right]


def _judged(run: Run, policy: Policy, what: Inquiry, t: Trial, name: str) -> Groups:
    names = stream(run.seed, "refusing", name)
    groups = sampling.sample(
        run, policy, t.tasks, n=t.n, law=t.law, asking=t.asking, name=name, streams=names
    )
    return run.score(groups, t.reward, tasks=t.source, name=name, tell=False)


def _columns(
    said: Replies, tasks: list[Task], would: list[bool] | None, able: list[float] | None, depth: str
) -> dict[str, list[Any]]:
    """One entry a question; None where a number was not asked for."""
    n = len(tasks)
    known = zip(would or [None] * n, said.refused, strict=True)
    return {
        "task_id": [t.id for t in tasks],
        "correct": said.correct.tolist(),
        "refused": said.refused.tolist(),
        "steps": said.steps.tolist(),
        "certainty": [float(c) if np.isfinite(c) else None for c in said.certainty],
        "forced": [bool(w) if no and w is not None else None for w, no in known],
        "able": [*(able or []), *[None] * (n - len(able or []))],
        "depth": [depth_of(t, depth) for t in tasks],
    }


def depth_of(task: Task, field: str) -> int | None:
    """The steps that a question needs: a number of its data, or a list that counts; None without one."""
    value = task.data.get(field) if field else None
    return None if value is None else int(value) if isinstance(value, int | float) else len(value)


def _rows(
    said: Replies,
    would: list[bool] | None,
    able: list[float] | None,
    depth: list[int | None] | None,
    lam: float,
) -> list[tuple[str, dict[str, Any]]]:
    row: dict[str, Any] = {**reliability(said.correct, said.refused, said.steps, lam=lam, forced=would)}
    row["laziness"] = None if able is None else laziness(said.refused[: len(able)], able)
    found = [("", row)]
    if depth is None:
        return found
    found += [("_at", r) for r in by_length(said.steps, said.correct, said.refused)]
    known = [d for d in depth if d is not None]
    if len(known) == len(depth):
        found += [("_depth", r) for r in by_length(known, said.correct, said.refused, width=1)]
    return found
