"""The verb ``play``: plays of an environment by agents, all of them sharing the engine's batches.

A play is a group: each seat that a model takes has an episode in it, judged by what that seat got. Units come
in threes: episodes, their verdicts, and the plays themselves (returns, moves, how it ended).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sharpen.errors import SharpenError
from sharpen.runs.step import Step
from sharpen.runs.streams import Stream
from sharpen.sample.barrier import Barrier
from sharpen.sample.dialogue import Dialogue
from sharpen.sample.engine import complete
from sharpen.sample.episode import Completion, Episode, Finish, Request
from sharpen.sample.text import decode
from sharpen.score.group import Groups
from sharpen.score.table import episodes_to_table, table_unit, verdicts_to_table
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.play import Agent, Ended, Outcome, Playable, Said, stopped
from sharpen.tasks.task import Task
from sharpen.verbs.sampling import read_unit, tasks_digest
from sharpen.verbs.seats import Limits, Model, Player, Script

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

UNIT_PLAYS = 512
clock = time.monotonic
"""For the limit of seconds alone."""
PLAYS = pa.schema(
    [
        ("task_id", pa.string()),
        ("play", pa.int32()),
        ("sitting", pa.list_(pa.string())),
        ("returns", pa.list_(pa.float64())),
        ("endings", pa.list_(pa.string())),
        ("moves", pa.string()),
        ("turns", pa.string()),
        ("detail", pa.string()),
        ("end", pa.string()),
        ("counts", pa.map_(pa.string(), pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Play:
    """One play as it was stored: see ``Outcome``.

    Attributes:
        sitting: who sat where.
        turns: ``(seat, what it was shown, what it said)`` of each turn that was taken, thinking and all.
    """

    task_id: str
    play: int
    sitting: tuple[str, ...]
    outcome: Outcome
    turns: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Played:
    """Plays of a list of tasks.

    Attributes:
        groups: one group a task: the episodes of the seats that models took, play by play, with verdicts:
            the score is what the seat got.
        plays: every play, in the order of tasks.
        result: the step's result: counts.
    """

    groups: Groups
    plays: list[Play]
    result: dict[str, Any]

    def place(self, episode: Episode) -> tuple[int, int]:
        """The play that an episode is of, by its index in ``plays``, and its seat."""
        number, seat = divmod(episode.sample, len(self.plays[0].sitting))
        return self._index[episode.task_id, number], seat

    @cached_property
    def _index(self) -> dict[tuple[str, int], int]:
        return {(play.task_id, play.play): i for i, play in enumerate(self.plays)}


# the verb ----------------------------------------------------------------------------------------------
def play(
    run: Run,
    source: Playable,
    tasks: Sequence[Task],
    tables: Sequence[Sequence[Player]],
    *,
    n: int,
    name: str,
    limits: Limits | None = None,
) -> Played:
    """See ``Run.play``."""
    limits = limits or Limits()
    for table in tables:
        if len(table) != source.seats:
            raise SharpenError(f"{source.spec}: {source.seats} seats, {len(table)} players")
    inputs: dict[str, Any] = {
        "source": source.spec,
        "tasks": tasks_digest(tasks),
        "tables": [[player.spec for player in table] for table in tables],
        "n": n,
        "limits": {"seconds": limits.seconds},
        "engine": type(run.engine).__name__,
        "seed": run.seed,
    }
    step = run.journal.begin("play", inputs, name=name)
    size = max(1, UNIT_PLAYS // n)
    parts = [range(i, min(i + size, len(tasks))) for i in range(0, len(tasks), size)]
    if step.result is None:
        run.progress.begin(step.key, name, len(tasks) * n)
        for i, part in enumerate(parts):
            if any(step.unit(3 * i + k) is None for k in range(3)):
                floor = _Floor(run, step, source, limits)
                seated = [(tasks[k], p, tables[(k * n + p) % len(tables)]) for k in part for p in range(n)]
                for k, table in enumerate(floor.play(seated)):
                    step.write_unit(3 * i + k, table)
            else:
                run.progress.advance(len(part) * n)
        step.finish(_counted(_plays(step, parts)))
        run.progress.end()
    assert step.result is not None
    held = [
        table_unit(
            [tasks[k] for k in part],
            partial(read_unit, step, 3 * i),
            partial(read_unit, step, 3 * i + 1, None),
        )
        for i, part in enumerate(parts)
    ]
    groups = Groups.from_units(held)
    groups.origin = {"step": step.key, "inputs": step.inputs_digest}
    return Played(groups, _plays(step, parts), dict(step.result))


def _plays(step: Step, parts: Sequence[range]) -> list[Play]:
    rows = [row for i in range(len(parts)) for row in read_unit(step, 3 * i + 2, None).to_pylist()]
    return [
        Play(
            row["task_id"],
            row["play"],
            tuple(row["sitting"]),
            Outcome(
                tuple(row["returns"]),
                tuple(row["endings"]),
                tuple((seat, move) for seat, move in json.loads(row["moves"])),
                row["detail"],
                json.loads(row["end"]),
                dict(row["counts"]),
            ),
            tuple((seat, seen, said) for seat, seen, said in json.loads(row["turns"])),
        )
        for row in rows
    ]


def _counted(plays: Sequence[Play]) -> dict[str, Any]:
    """What a step's result says: plays, moves, plays by how they ended."""
    endings = [e for p in plays for e in p.outcome.endings]
    counts: dict[str, float] = {}
    for p in plays:
        for name, value in p.outcome.counts.items():
            counts[name] = counts.get(name, 0.0) + value
    return {
        "plays": len(plays),
        "moves": sum(len(p.outcome.moves) for p in plays),
        **{kind: endings.count(kind) for kind in ("invalid_move", "truncated", "crash")},
        **counts,
    }


# plays at work -----------------------------------------------------------------------------------------
@dataclass(eq=False)
class _Seat:
    """A model at one seat of one play."""

    floor: _Floor
    model: Model
    seat: int
    names: Stream
    began: float
    dialogue: Dialogue
    turns: list[tuple[int, str, str]]
    spent: int = 0
    last: Finish = Finish.ENV

    async def __call__(self, shown: str, *, turn: int, state: Any = None) -> Said:
        limits, m = self.floor.limits, self.model
        if m.tokens and self.spent + m.max_new_tokens > m.tokens:
            raise Ended(self.seat, "tokens")
        if limits.seconds and clock() - self.began > limits.seconds:
            raise Ended(self.seat, "seconds")
        ids = self.dialogue.show(shown, turn)
        request = Request(
            ids, self.names.child(self.seat, turn), m.law, m.max_new_tokens, m.policy.eos_ids, m.stop
        )
        if len(ids) + m.max_new_tokens > m.policy.context:
            raise Ended(self.seat, "tokens")
        done = await self.floor.barrier.ask((m, request))
        self.spent += len(done.tokens)
        self.last = done.finish
        text = self.dialogue.say(done, version=m.policy.version, trainable=m.learns)
        self.turns.append((self.seat, shown, text))
        return Said(text, len(done.tokens), done.finish is Finish.LENGTH)


@dataclass(eq=False)
class _Scripted:
    """A script at one seat of one play."""

    script: Script
    seat: int
    names: Stream
    turns: list[tuple[int, str, str]]

    async def __call__(self, shown: str, *, turn: int, state: Any = None) -> Said:
        text = self.script.fn(shown, state, self.names.child(self.seat, turn).generator())
        self.turns.append((self.seat, shown, text))
        return Said(text)


@dataclass(eq=False)
class _Floor:
    """Where the plays of a unit take place at once."""

    run: Run
    step: Step
    source: Playable
    limits: Limits
    barrier: Barrier[tuple[Model, Request], Completion] = field(init=False)

    def __post_init__(self) -> None:
        self.barrier = Barrier(self._serve)

    def play(
        self, seated: Sequence[tuple[Task, int, Sequence[Player]]]
    ) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Episodes, verdicts and plays, as tables."""
        agents = [self._sit(task, p, players) for task, p, players in seated]
        flows = [self._one(task, seats) for (task, _, _), seats in zip(seated, agents, strict=True)]
        outcomes = [
            stopped(o, self.source.seats) if isinstance(o, BaseException) else o
            for o in self.barrier.run(flows)
        ]
        episodes: list[Episode] = []
        verdicts: list[Verdict] = []
        for (task, p, _), seats, outcome in zip(seated, agents, outcomes, strict=True):
            for seat in seats:
                if isinstance(seat, _Seat) and seat.dialogue.spans:
                    episodes.append(self._episode(task, p, seat))
                    verdicts.append(_verdict(outcome, seat.seat))
        rows = [
            _row(task, p, players, outcome, seats[0].turns)
            for (task, p, players), seats, outcome in zip(seated, agents, outcomes, strict=True)
        ]
        keys = [e.key for e in episodes]
        return (
            episodes_to_table(episodes),
            verdicts_to_table(keys, verdicts),
            pa.Table.from_pylist(rows, PLAYS),
        )

    def _sit(self, task: Task, p: int, players: Sequence[Player]) -> list[_Seat | _Scripted]:
        names = self.step.stream(self.run.seed).child(task.id, p)
        seats: list[_Seat | _Scripted] = []
        turns: list[tuple[int, str, str]] = []  # of the play, by all seats
        for k, player in enumerate(players):
            if isinstance(player, Script):
                seats.append(_Scripted(player, k, names, turns))
                continue
            policy = player.policy
            dialogue = Dialogue(
                policy.tokenizer,
                policy.eos_ids,
                str(k),
                player.memory,
                player.system,
                player.template,
                player.prefill,
            )
            seats.append(_Seat(self, player, k, names, clock(), dialogue, turns))
        return seats

    async def _one(self, task: Task, agents: Sequence[Agent]) -> Outcome:
        outcome = await self.source.play(task, agents)
        if len(outcome.returns) != self.source.seats or len(outcome.endings) != self.source.seats:
            raise SharpenError(
                f"task {task.id!r}: {len(outcome.returns)} returns for {self.source.seats} seats"
            )
        self.run.progress.advance(1)
        return outcome

    def _serve(self, items: Sequence[tuple[Model, Request]]) -> list[Completion | BaseException]:
        """One batch: a policy's requests together, in the order of their streams' names."""
        served: dict[int, Completion | BaseException] = {}
        policies = {(id(m.engine), m.policy.version): m for m, _ in items}
        for (engine_id, version), model in policies.items():
            where = [
                i
                for i, (m, _) in enumerate(items)
                if (id(m.engine), m.policy.version) == (engine_id, version)
            ]
            where.sort(key=lambda i: items[i][1].stream.names)
            engine = model.engine or self.run.engine
            asked = [items[i][1] for i in where]
            found = complete(engine, model.policy, asked)
            for i, done in zip(where, found, strict=True):
                seat = int(items[i][1].stream.names[-2])
                served[i] = Ended(seat, "dropped") if done is None else done
                self.run.progress.advance(0, len(done.tokens) if done else 0)
        return [served[i] for i in range(len(items))]

    def _episode(self, task: Task, p: int, seat: _Seat) -> Episode:
        spans = tuple(seat.dialogue.spans)
        tokenizer, eos = seat.dialogue.tokenizer, seat.dialogue.eos_ids
        texts = [
            decode(tokenizer, s.tokens, eos_ids=eos if s.sampled.finish is Finish.EOS else ())
            for s in spans
            if s.sampled is not None
        ]
        sample = p * self.source.seats + seat.seat
        key = f"{self.step.key}/{task.id}/{p}/{seat.seat}"
        return Episode(key, task.id, sample, spans, seat.last, "\n".join(texts))


def _verdict(outcome: Outcome, seat: int) -> Verdict:
    """What a seat got, as a verdict on its episode; it is right where it got more than nothing."""
    status = {
        "ok": Status.OK,
        "invalid_move": Status.INVALID_MOVE,
        "truncated": Status.TRUNCATED,
        "crash": Status.CRASH,
    }[outcome.endings[seat]]
    score = 0.0 if status.unknown else outcome.returns[seat]
    return Verdict(score, status, "play", "seat", outcome.detail, {"correct": float(score > 0)})


def _row(
    task: Task, p: int, players: Sequence[Player], outcome: Outcome, turns: Sequence[tuple[int, str, str]]
) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "play": p,
        "sitting": [player.called for player in players],
        "returns": list(outcome.returns),
        "endings": list(outcome.endings),
        "moves": json.dumps([list(m) for m in outcome.moves]),
        "turns": json.dumps([list(t) for t in turns]),
        "detail": outcome.detail,
        "end": json.dumps(dict(outcome.end), sort_keys=True),
        "counts": list(outcome.counts.items()),
    }
