"""Several turns, several agents: an environment is ``async def play(task, agents)`` in plain control flow.

An agent is whatever answers when it is shown something: the policy that learns, a frozen one, an API model,
a script, a person. It sees what the environment shows to its seat, and nothing else. Who sits where, and what
is kept of a play, is decided outside (``sharpen.verbs.playing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sharpen.tasks.task import Task

Ending = Literal["ok", "invalid_move", "truncated", "crash"]
"""How a play ended for a seat. ``invalid_move``: by this seat's move that the rules do not allow.
``truncated``: a limit was reached. ``crash``: something outside failed; the returns are unknown."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an agent said in its turn.

    Attributes:
        text: without end token.
        tokens: sampled ones, 0 for scripts and people.
        cut: whether it ended because it was too long.
    """

    text: str
    tokens: int = 0
    cut: bool = False


class Agent(Protocol):
    """Takes the turns of one seat."""

    async def __call__(self, shown: str, *, turn: int, state: Any = None) -> Said:
        """One turn.

        Args:
            shown: what its seat sees now.
            turn: counted over all seats from 0.
            state: where the play stands, for scripts that need to know; models never see it.

        Raises:
            Ended: it cannot go on.
        """
        ...


class Ended(Exception):
    """An agent cannot take its turn: ``why`` is ``tokens`` or ``seconds`` where that limit is reached, and
    ``dropped`` where its engine gave no reply."""

    def __init__(self, seat: int, why: Literal["tokens", "seconds", "dropped"]) -> None:
        super().__init__(f"seat {seat}: {why}")
        self.seat, self.why = seat, why


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a play ended.

    Attributes:
        returns: what each seat gets.
        endings: how it ended for each seat.
        moves: ``(seat, move)`` in order, as the environment read them; the last one of an invalid play is the
            text that could not be read.
        detail: why, one line for people.
        end: JSON, enough to look at the end again; ``{}`` where there is nothing to tell.
        counts: numbers that are added up over plays, such as malformed calls.
    """

    returns: tuple[float, ...]
    endings: tuple[Ending, ...]
    moves: tuple[tuple[int, str], ...] = ()
    detail: str = ""
    end: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)


def stopped(problem: BaseException, seats: int) -> Outcome:
    """The outcome of a play that an exception ended: a draw where a limit was reached (the ending of the seat
    that reached it is ``truncated``), unknown where something failed."""
    if isinstance(problem, Ended) and problem.why != "dropped":
        endings: list[Ending] = ["ok"] * seats
        endings[problem.seat] = "truncated"
        return Outcome((0.0,) * seats, tuple(endings), detail=f"limit of {problem}")
    return Outcome((0.0,) * seats, ("crash",) * seats, detail=f"{type(problem).__name__}: {problem}")


class Playable(Protocol):
    """An environment that tasks are played in."""

    @property
    def seats(self) -> int:
        """How many agents it takes."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: a step's input."""
        ...

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split; all chance of a play is in its task."""
        ...

    async def play(self, task: Task, agents: Sequence[Agent]) -> Outcome:
        """One play. What an agent raises passes through."""
        ...
