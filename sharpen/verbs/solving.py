"""The verb ``solve``: a strategy answers a list of tasks; its answers and all its calls are stored.

Units come in pairs: ``2i`` holds the answers to a part of the tasks, ``2i + 1`` the calls behind them. Both
are tables of episodes. Of a task's answers the first is the strategy's; the others are the candidates that
it considered, so that a verifier judges them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sharpen.runs.step import Step
from sharpen.runs.streams import stream
from sharpen.sample.episode import Completion, Episode, Finish, Span
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.score.table import episodes_to_table, table_to_episodes, table_unit
from sharpen.strategies import Strategy
from sharpen.strategies.ask import Ask, Budget, Final, Session, Spent, attempt
from sharpen.strategies.question import Question
from sharpen.strategies.words import Words
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking
from sharpen.verbs.desk import Drawn, EngineDesk
from sharpen.verbs.sampling import read_unit, tasks_digest

if TYPE_CHECKING:
    from sharpen.verbs.beforehand import Brought
    from sharpen.verbs.run import Run

UNIT_TASKS = 256
COSTS = tuple(f.name for f in fields(Spent))
UNIT_COUNTS: tuple[str, ...] = ("batch_rows", "batch_seats", "shared")
_EXTRA = pa.schema(
    [
        ("answer", pa.string()),
        ("confidence", pa.float64()),
        ("stop", pa.string()),
        ("notes", pa.string()),
        ("first", pa.string()),  # the first candidate, to tell what a loop mended and what it spoilt
        *[(name, pa.int64()) for name in UNIT_COUNTS],  # of the whole unit, in its first row
        *[(f"spent_{name}", pa.int64()) for name in COSTS],
    ]
)
"""Columns of an answer beside those of its episode; null for candidates."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a strategy works with besides the model.

    Attributes:
        words: how each role is put.
        law: how replies are sampled where the strategy does not say.
        budget: what one question may cost.
        helper: the second policy, for strategies that need one.
        drawn: completions shared with the run's other strategies; None shares nothing.
        question: makes a task's question, tools and all; None where it needs none.
        brought: what was prepared on training questions; None for nothing.
    """

    words: Words
    law: SamplingLaw
    budget: Budget
    helper: Policy | None = None
    drawn: Drawn | None = None
    question: Callable[[Task], Question] | None = None
    brought: Brought | None = None


@dataclass(frozen=True, eq=False)
class Solved:
    """What a strategy made of a list of tasks.

    Attributes:
        groups: per task its answer and then the candidates, for the verifier.
        rows: per task the columns ``answer``, ``confidence``, ``stop``, ``notes``, ``first`` and the costs.
        calls: per task all calls, in order.
        result: the step's result: counts over all tasks.
    """

    groups: Groups
    rows: list[dict[str, Any]]
    calls: Groups
    result: dict[str, Any]


def solve(
    run: Run, policy: Policy, tasks: Sequence[Task], strategy: Strategy, asking: Asking, means: Means
) -> Solved:
    """Answer every task by a strategy; see ``Run.solve``."""
    drawn = means.drawn or Drawn()
    step = run.journal.begin(
        "solve",
        {
            "policy": policy.version,
            "helper": means.helper.version if means.helper else "",
            "strategy": strategy.spec,
            "law": means.law.spec,
            "budget": asdict(means.budget),
            "words": means.words.name,
            "brought": means.brought.spec if means.brought else "",
            "asking": asking.spec,
            "tasks": tasks_digest(tasks),
            "engine": type(run.engine).__name__,
            "seed": run.seed,
        },
        name=strategy.name,
    )
    parts = [range(i, min(i + UNIT_TASKS, len(tasks))) for i in range(0, len(tasks), UNIT_TASKS)]
    if step.result is None:
        run.progress.begin(step.key, strategy.name, len(tasks))
        totals: dict[str, float] = dict.fromkeys((*COSTS, *UNIT_COUNTS, "errors"), 0)
        for i, part in enumerate(parts):
            answers, calls = step.unit(2 * i), step.unit(2 * i + 1)
            if answers is None or calls is None:
                some = [tasks[k] for k in part]
                answers, calls = _unit(run, step, policy, some, strategy, asking, means, drawn)
                step.write_unit(2 * i + 1, calls)
                step.write_unit(2 * i, answers)
            else:
                drawn.loads.append(partial(_completions, calls))
                run.progress.advance(len(part), 0)
            _add(totals, answers)
        step.finish({"tasks": len(tasks), **totals})
        run.progress.end()
    else:
        drawn.loads += [partial(_load_completions, step, i) for i in range(len(parts))]
    assert step.result is not None
    return _solved(step, tasks, parts)


def _unit(
    run: Run,
    step: Step,
    policy: Policy,
    tasks: Sequence[Task],
    strategy: Strategy,
    asking: Asking,
    means: Means,
    drawn: Drawn,
) -> tuple[pa.Table, pa.Table]:
    """The answers and the calls of one part of the tasks."""
    # calls' draws are named by what is asked, never by the strategy: equal requests give equal samples
    desk = EngineDesk(
        run.engine, policy, asking, means.law, stream(run.seed, "ask"), step.key, means.helper, drawn,
        watch=lambda calls, tokens: run.progress.advance(0, tokens),
    )  # fmt: skip
    sessions = [Session(means.budget) for _ in tasks]
    make = means.question or (lambda task: Question(task.id, task.prompt))
    before = _fill(run)

    async def one(task: Task, session: Session) -> Final:
        ask = Ask(desk, make(task), means.words, session)
        final = await attempt(strategy.flow, ask, strategy.settings)
        run.progress.advance(1, 0)
        return final

    finals = desk.run([one(t, s) for t, s in zip(tasks, sessions, strict=True)])
    for final in finals:
        if isinstance(final, BaseException):  # ``attempt`` catches what a strategy raises
            raise final
    told = [f for f in finals if isinstance(f, Final)]
    rows, seats = (after - b for after, b in zip(_fill(run), before, strict=True))
    counts = dict(zip(UNIT_COUNTS, (rows, seats, desk.shared), strict=True))
    answers = _answers(step.key, tasks, told, sessions, counts)
    calls = [e for s in sessions for e in s.calls]
    names = [n for s in sessions for n in s.names]
    return answers, episodes_to_table(calls).append_column("request", pa.array(names, pa.string()))


def _fill(run: Run) -> tuple[int, int]:
    """Rows decoded and seats there were, over all decoding steps of the engine so far."""
    return (run.engine.fill.rows, run.engine.fill.seats) if isinstance(run.engine, NativeEngine) else (0, 0)


def _answers(
    key: str,
    tasks: Sequence[Task],
    finals: Sequence[Final],
    sessions: Sequence[Session],
    counts: Mapping[str, int],
) -> pa.Table:
    """Answers and candidates as episodes without tokens, with the costs beside the answers."""
    episodes, extra = [], []
    for task, final, session in zip(tasks, finals, sessions, strict=True):
        texts = [final.text, *dict.fromkeys(t for t in final.candidates if t != final.text)]
        for k, text in enumerate(texts):
            empty = Span("assistant", np.zeros(0, np.int32))
            episodes.append(Episode(f"{key}/{task.id}/answer-{k}", task.id, k, (empty,), Finish.EOS, text))
            extra.append(
                {
                    **(dict.fromkeys(UNIT_COUNTS) if extra else counts),
                    "answer": final.answer,
                    "confidence": final.confidence,
                    "stop": final.stop,
                    "notes": json.dumps(final.notes, sort_keys=True),
                    "first": final.candidates[0] if final.candidates else None,
                    **{f"spent_{name}": n for name, n in asdict(session.spent).items()},
                }
                if k == 0
                else dict.fromkeys(_EXTRA.names)
            )
    table = episodes_to_table(episodes)
    for f in _EXTRA:
        table = table.append_column(f, pa.array([row[f.name] for row in extra], f.type))
    return table


def _add(totals: dict[str, float], answers: pa.Table) -> None:
    """Add one unit's costs."""
    for name in COSTS:
        totals[name] += sum(v for v in answers[f"spent_{name}"].to_pylist() if v is not None)
    totals["errors"] += sum(
        (s or "").startswith("error") or s == "dropped" for s in answers["stop"].to_pylist()
    )
    for name in UNIT_COUNTS:
        totals[name] += answers[name][0].as_py()


def _solved(step: Step, tasks: Sequence[Task], parts: Sequence[range]) -> Solved:
    rows: list[dict[str, Any]] = []
    for i in range(len(parts)):
        table = read_unit(step, 2 * i, ["task_id", "sample", *_EXTRA.names])
        rows += [
            {name.removeprefix("spent_"): value for name, value in row.items()}
            for row in table.to_pylist()
            if row.pop("sample") == 0
        ]
    order = {t.id: i for i, t in enumerate(tasks)}
    rows.sort(key=lambda row: order[row["task_id"]])
    answers, calls = (
        Groups.from_units(
            [
                table_unit([tasks[k] for k in part], partial(read_unit, step, 2 * i + odd))
                for i, part in enumerate(parts)
            ]
        )
        for odd in (0, 1)
    )
    answers.origin = {"step": step.key, "inputs": step.inputs_digest}
    calls.origin = {"step": f"{step.key}#calls", "inputs": step.inputs_digest}
    return Solved(answers, rows, calls, dict(step.result or {}))


def _load_completions(step: Step, i: int) -> dict[str, Completion]:
    return _completions(read_unit(step, 2 * i + 1, None))


def _completions(calls: pa.Table) -> dict[str, Completion]:
    """Stored calls' completions by what was asked."""
    episodes = table_to_episodes(calls.drop_columns(["request"]))
    sampled = [next(s.sampled for s in e.spans if s.sampled is not None) for e in episodes]
    return {n: c for n, c in zip(calls["request"].to_pylist(), sampled, strict=True) if c is not None}
