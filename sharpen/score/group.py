"""The episodes that are compared with each other, and a lazy table of many such groups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.sample.episode import Episode, Finish
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.task import Task

Scored = tuple[Episode, Verdict]

# whole units of tokens that stay in memory: selections walk units in order, so few are enough
_UNITS_IN_MEMORY = 4


def completion_text(episode: Episode) -> str:
    """What a verifier judges: the assistant prefill and the sampled text as one string."""
    return episode.prefill + episode.text


@dataclass(frozen=True, slots=True)
class Columns:
    """What selection and measures read of one group, without its tokens. Entry k is sample k.

    Attributes:
        task: the task attempted.
        keys: episode keys.
        texts: prefill and sampled text (see ``completion_text``).
        finish: why each episode ended.
        lengths: sampled tokens, int64 ``(n,)``.
        entropy, certainty: mean over sampled tokens, float64 ``(n,)``, nats; NaN without tokens.
        verdicts: one an episode, None before scoring.
    """

    task: Task
    keys: tuple[str, ...]
    texts: tuple[str, ...]
    finish: tuple[Finish, ...]
    lengths: NDArray[np.int64]
    entropy: NDArray[np.float64]
    certainty: NDArray[np.float64]
    verdicts: tuple[Verdict, ...] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """The verdicts; SharpenError where the group has not been scored."""
        if self.verdicts is None:
            raise SharpenError(f"task {self.task.id!r} has no verdicts: score the groups first")
        return self.verdicts

    @property
    def scores(self) -> NDArray[np.float64]:
        """Rewards, float64 ``(n,)``; NaN where the status is unknown, so that no sum can use them."""
        return np.array([np.nan if v.status.unknown else v.score for v in self.judged], dtype=np.float64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample counts as right, bool ``(n,)``; unknown is not right."""
        return np.array([v.correct for v in self.judged], dtype=np.bool_)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Whether the verifier failed, bool ``(n,)``."""
        return np.array([v.status.unknown for v in self.judged], dtype=np.bool_)

    @property
    def status(self) -> tuple[Status, ...]:
        """How each judging went."""
        return tuple(v.status for v in self.judged)


@dataclass(frozen=True, slots=True)
class Group:
    """The attempts at one task, with their verdicts once scored.

    Raises SharpenError when an episode belongs to another task or the verdicts are not one an episode.
    """

    task: Task
    episodes: tuple[Episode, ...]
    verdicts: tuple[Verdict, ...] | None = None

    def __post_init__(self) -> None:
        for episode in self.episodes:
            if episode.task_id != self.task.id:
                raise SharpenError(f"episode {episode.key!r} is not an attempt at task {self.task.id!r}")
        if self.verdicts is not None and len(self.verdicts) != len(self.episodes):
            raise SharpenError(
                f"task {self.task.id!r}: {len(self.verdicts)} verdicts for {len(self.episodes)} episodes"
            )

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def scored(self) -> tuple[Scored, ...]:
        """Episodes with their verdicts; SharpenError before scoring."""
        return tuple(zip(self.episodes, self.columns().judged, strict=True))

    def columns(self) -> Columns:
        """This group's columns."""
        return Columns(
            task=self.task,
            keys=tuple(e.key for e in self.episodes),
            texts=tuple(completion_text(e) for e in self.episodes),
            finish=tuple(e.finish for e in self.episodes),
            lengths=np.array([e.n_sampled for e in self.episodes], dtype=np.int64),
            entropy=np.array([mean_signal(e, "entropy") for e in self.episodes], dtype=np.float64),
            certainty=np.array([mean_signal(e, "certainty") for e in self.episodes], dtype=np.float64),
            verdicts=self.verdicts,
        )


def mean_signal(episode: Episode, name: str) -> float:
    """Mean of the per-token signal ``entropy`` or ``certainty`` over an episode's sampled tokens (float64
    sum, nats); NaN where it has none."""
    parts = [getattr(s.sampled, name) for s in episode.spans if s.sampled is not None]
    values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a table that is stored and loaded as a whole: ``n`` groups.

    ``columns`` reads them without tokens, ``groups`` with; both give the same groups in the same order.
    """

    n: int
    columns: Callable[[], Sequence[Columns]]
    groups: Callable[[], Sequence[Group]]


@dataclass(slots=True)
class _Cache:
    """The last few loaded units of tokens."""

    units: OrderedDict[int, Sequence[Group]] = field(default_factory=OrderedDict)

    def get(self, index: int, unit: Unit) -> Sequence[Group]:
        if index not in self.units:
            loaded = unit.groups()
            if len(loaded) != unit.n:
                raise SharpenError(f"unit {index} holds {len(loaded)} groups, {unit.n} were announced")
            self.units[index] = loaded
            while len(self.units) > _UNITS_IN_MEMORY:
                self.units.popitem(last=False)
        self.units.move_to_end(index)
        return self.units[index]


class Groups(Sequence[Group]):
    """A lazy table of groups: columns are read once, tokens only when a group is asked for.

    ``groups[i]`` is a whole ``Group``; ``groups.scores``, ``.correct``, ``.status``, ``.texts``, ``.lengths``
    and ``.columns`` never load tokens. Ragged columns are lists with one entry a group.

    Attributes:
        origin: JSON name of the step that made the table, None for one made by hand or from another.
    """

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        held = tuple(groups)
        unit = Unit(len(held), lambda: [g.columns() for g in held], lambda: held)
        self._become([unit] if held else [], None)

    def _become(self, units: Sequence[Unit], rows: Sequence[Columns] | None) -> None:
        self._units = tuple(units)
        self._ends = np.cumsum([u.n for u in self._units], dtype=np.int64)
        self._rows = None if rows is None else tuple(rows)
        self._cache = _Cache()
        self.origin: dict[str, Any] | None = None

    @classmethod
    def from_units(cls, units: Sequence[Unit]) -> Groups:
        """A table over stored units; nothing is read yet."""
        table = cls()
        table._become(units, None)
        return table

    @classmethod
    def joined(cls, tables: Sequence[Groups]) -> Groups:
        """The groups of several tables one after the other, their verdicts with them; still lazy."""
        units = [unit for t in tables for unit in t.pick(range(len(t)))._units]
        return tables[0] if len(tables) == 1 else cls.from_units(units)

    # the sequence of whole groups (loads tokens) ----------------------------------------------
    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> Groups: ...
    def __getitem__(self, index: int | slice) -> Group | Groups:
        if isinstance(index, slice):
            return self.pick(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"group {index} of {len(self)}")
        index %= len(self)
        at = int(np.searchsorted(self._ends, index, side="right"))
        unit = self._units[at]
        group = self._cache.get(at, unit)[index - (int(self._ends[at]) - unit.n)]
        if self._rows is not None and group.verdicts is not self._rows[index].verdicts:
            group = replace(group, verdicts=self._rows[index].verdicts)
        return group

    def __iter__(self) -> Iterator[Group]:
        return (self[i] for i in range(len(self)))

    # columns (no tokens) ----------------------------------------------------------------------
    @property
    def columns(self) -> tuple[Columns, ...]:
        """One ``Columns`` a group, in order."""
        if self._rows is None:
            self._rows = tuple(row for unit in self._units for row in unit.columns())
            if len(self._rows) != len(self):
                raise SharpenError(f"the units hold {len(self._rows)} groups, {len(self)} were announced")
        return self._rows

    @property
    def tasks(self) -> list[Task]:
        """The tasks, in order."""
        return [c.task for c in self.columns]

    @property
    def scores(self) -> list[NDArray[np.float64]]:
        """Rewards; NaN where unknown."""
        return [c.scores for c in self.columns]

    @property
    def correct(self) -> list[NDArray[np.bool_]]:
        """Whether each sample counts as right."""
        return [c.correct for c in self.columns]

    @property
    def status(self) -> list[tuple[Status, ...]]:
        """How each judging went."""
        return [c.status for c in self.columns]

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """Prefill and sampled text of each sample."""
        return [c.texts for c in self.columns]

    @property
    def lengths(self) -> list[NDArray[np.int64]]:
        """Sampled tokens of each sample."""
        return [c.lengths for c in self.columns]

    @property
    def n_samples(self) -> int:
        """Episodes in the whole table."""
        return sum(len(c) for c in self.columns)

    # new tables from this one -----------------------------------------------------------------
    def with_verdicts(self, verdicts: Sequence[Sequence[Verdict]]) -> Groups:
        """The same episodes under these verdicts (one sequence a group); tokens stay unloaded."""
        if len(verdicts) != len(self):
            raise SharpenError(f"verdicts for {len(verdicts)} groups, there are {len(self)}")
        rows = []
        for row, given in zip(self.columns, verdicts, strict=True):
            if len(given) != len(row):
                raise SharpenError(f"task {row.task.id!r}: {len(given)} verdicts for {len(row)} episodes")
            rows.append(replace(row, verdicts=tuple(given)))
        table = Groups()
        table._become(self._units, rows)
        return table

    def pick(self, indices: Sequence[int]) -> Groups:
        """The groups at these positions, still lazy."""
        rows = self.columns

        def one(i: int) -> Unit:
            return Unit(1, lambda: [rows[i]], lambda: [self[i]])

        return Groups.from_units([one(i) for i in indices])
