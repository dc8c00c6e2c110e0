"""The verb ``practise``: a round's attempts, scored, as rows; dead groups are made up for within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sharpen.learn.advantages import dead
from sharpen.learn.rollouts import Rollouts, rollouts
from sharpen.runs.streams import stream
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.select.controls import shuffle_rewards
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking, Practice
from sharpen.verbs.cost import REFILL

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


def practise(run: Run, policy: Policy, practice: Practice, *, asking: Asking) -> Rollouts:
    """See ``Run.practise``."""
    tables = [_attempted(run, policy, run.questions(practice.questions), practice, asking, "score")]
    for k in range(practice.refill):
        missing = sum(dead(scores) for scores in tables[0].scores) - sum(_alive(t) for t in tables[1:])
        tasks = _others(run, practice, [t for table in tables for t in table.tasks], k)[:missing]
        if not tasks:
            break
        with run.scope(f"{REFILL}-{k + 1:02d}"):
            tables.append(_attempted(run, policy, tasks, practice, asking, REFILL))
    run.log(
        "practice",
        {
            "groups": sum(len(t) for t in tables),
            "groups_alive": sum(_alive(t) for t in tables),
            "refills": len(tables) - 1,
        },
    )
    return rollouts(Groups.joined(tables), run.updates)


def _attempted(
    run: Run, policy: Policy, tasks: Sequence[Task], practice: Practice, asking: Asking, name: str
) -> Groups:
    groups = run.sample(policy, tasks, n=practice.samples, law=practice.law, asking=asking)
    groups = run.score(groups, practice.reward, tasks=practice.questions.tasks, name=name)
    return shuffle_rewards(groups, run.stream("control", "shuffled")) if practice.shuffled else groups


def _alive(groups: Groups) -> int:
    return sum(not dead(scores) for scores in groups.scores)


def _others(run: Run, practice: Practice, asked: Sequence[Task], k: int) -> list[Task]:
    """Questions of the pool that this round has not asked, in an order of their own."""
    of = practice.questions
    pool = run.source(of.tasks).take(of.split, of.pool)
    order = stream(run.seed, "questions", REFILL, run.round, k).generator().permutation(len(pool))
    known = {t.id for t in asked}
    return [pool[i] for i in order if pool[i].id not in known]
