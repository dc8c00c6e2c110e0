"""The verb ``measure``: held-out questions, answered greedily and at temperature 1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sharpen.measure.report import held_out_metrics, unique_correct
from sharpen.runs.streams import stream
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.select.selection import Unique
from sharpen.tasks.task import TaskSource
from sharpen.verbs import sampling
from sharpen.verbs.asking import Asking, Exam, Reward

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


def measure(
    run: Run, policy: Policy, exam: Exam, *, asking: Asking, reward: Reward, name: str
) -> dict[str, Any]:
    """See ``Run.measure``. Its samples lie in a scope of their own, so they shift nobody's draws.

    A question's attempts draw the same random numbers in every round (common random numbers): what then
    changes between two policies is the policies' doing, not a new draw's.
    """
    tasks = run.held_out(exam)
    # the outcome alone counts: a process reward is what training may exploit
    outcome = replace(reward, process="none")
    with run.scope(name):
        greedy = run.sample(policy, tasks, n=1, law=GREEDY, asking=asking, name="greedy")
        greedy = run.score(greedy, outcome, tasks=exam.tasks, name="greedy")
        some = tasks[: exam.sampled]
        sampled = sampling.sample(
            run,
            policy,
            some,
            n=exam.samples,
            law=SamplingLaw(),
            asking=asking,
            name="sampled",
            streams=stream(run.seed, name, "sampled"),
        )
        sampled = run.score(sampled, outcome, tasks=exam.tasks, name="sampled")
        step = run.journal.begin("measure", {"greedy": greedy.origin, "sampled": sampled.origin}, name=name)
        if step.result is None:
            source = run.source(exam.tasks)
            step.write_unit(0, items(greedy, sampled, source.canonical_answer))
            row = {"name": name, "round": run.round, **_metrics(source, greedy, sampled)}
            step.finish(row, metrics=[row])
            run.progress.metrics(row)
        assert step.result is not None
        return step.result


def items(greedy: Groups, sampled: Groups, canonical: Unique) -> pa.Table:
    """One row a question: ``task_id``, ``greedy`` (0 or 1), and of its answers at temperature 1 ``sampled``
    (share correct) and ``unique`` (different right ones by ``canonical``), null where none were drawn."""
    shares = {c.task.id: float(c.correct.mean()) for c in sampled.columns}
    unique = {c.task.id: unique_correct(c, canonical) for c in sampled.columns}
    ids = [c.task.id for c in greedy.columns]
    return pa.table(
        {
            "task_id": ids,
            "greedy": pa.array([float(c[0]) for c in greedy.correct], pa.float64()),
            "sampled": pa.array([shares.get(i) for i in ids], pa.float64()),
            "unique": pa.array([unique.get(i) for i in ids], pa.int32()),
        }
    )


def _metrics(source: TaskSource, greedy: Groups, sampled: Groups) -> dict[str, Any]:
    # a source may say what its reasoning steps are; else arithmetic equations are looked for
    steps = getattr(source, "equations", None)
    return held_out_metrics(greedy, sampled, canonical=source.canonical_answer, equations=steps)
