"""What a game is: rules; and a state: a value.

A state is (game, deal, actions): what chance dealt, all of it at the start, and what was played. Everything
else follows from these, so a state is cloned by being a value, is JSON, and is played again from its deal.

Returns and views are by seat, ``0 .. seats-1``. Actions are text as a model writes it, ``[check]``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from sharpen.errors import SharpenError, unknown

Wording = Literal["short", "full"]
"""How views are written: a line for a character model, or English for a language model."""

MAX_TURNS = 50
"""Turns of all seats together after which a game is a draw (SPIRAL, arXiv 2506.24119)."""
OFFENDER, OTHERS = -1.5, 0.5
"""Returns where a seat made no valid move, in a game that pays 1: on purpose not zero-sum (SPIRAL's code)."""


def invalid_move(offender: int, seats: int = 2, *, most: float = 1.0) -> tuple[float, ...]:
    """Returns of a game that ``offender`` ended by a move that the rules do not allow: SPIRAL's, times
    ``most``, the game's largest payoff (``Game.most``), so that no legal loss is worse."""
    if not 0 <= offender < seats:
        raise ValueError(f"seat {offender} of {seats}")
    return tuple(most * (OFFENDER if seat == offender else OTHERS) for seat in range(seats))


def turn_limit(seats: int = 2) -> tuple[float, ...]:
    """Returns of a game that reached ``MAX_TURNS``."""
    return (0.0,) * seats


@dataclass(frozen=True, slots=True)
class State:
    """A point in a game. Equal states have equal game, deal and actions; all of it is hashable.

    Attributes:
        game: the rules.
        deal: what chance gave, all of it at the start; for no player.
        actions: what was played, by all seats, in order.
        at: what the rules made of these.
    """

    game: Game
    deal: str
    actions: tuple[str, ...] = ()
    at: Any = field(default=None, compare=False, repr=False)

    @property
    def seat(self) -> int | None:
        """Who moves; None when the game is over."""
        return self.game.mover(self.at)

    @property
    def over(self) -> bool:
        """Whether the game is over."""
        return self.seat is None

    def legal(self) -> tuple[str, ...]:
        """All legal actions in a fixed order; empty when over, and where a grammar says what is legal."""
        return () if self.over else self.game.moves(self.at)

    def allows(self, action: str) -> bool:
        """Whether ``action``, as it stands, is legal now."""
        return not self.over and self.game.permits(self.at, action)

    def some(self) -> tuple[str, ...]:
        """Legal actions to choose among: all, or, where there is a grammar, a finite choice of them."""
        return () if self.over else self.game.some(self.at)

    def act(self, action: str) -> State:
        """The state after ``action``; ValueError, and nothing changed, where it is not legal."""
        if not self.allows(action):
            told = "the game is over" if self.over else f"legal: {' '.join(self.legal()) or 'by grammar'}"
            raise ValueError(f"{self.game.name}: {action!r} is not legal; {told}")
        return State(self.game, self.deal, (*self.actions, action), self.game.after(self.at, action))

    @property
    def returns(self) -> tuple[float, ...]:
        """What each seat gets; ValueError while the game goes on."""
        if not self.over:
            raise ValueError(f"{self.game.name}: seat {self.seat} is to move, there are no returns yet")
        return self.game.payoff(self.at)

    def view(self, seat: int) -> str:
        """What ``seat`` may see, as text. Where it is to move, the last line ends in the legal actions."""
        self._check(seat)
        write = self.game.short if self.game.wording == "short" else self.game.full
        return write(self, seat)

    def info(self, seat: int) -> str:
        """The information set: two states that ``seat`` cannot tell apart have one text. Seats differ in it;
        wordings do not."""
        self._check(seat)
        return self.game.known(self, seat)

    def to_json(self) -> dict[str, Any]:
        """JSON; ``registry.from_json`` makes an equal state of it."""
        return {"game": self.game.spec, "deal": self.deal, "actions": list(self.actions)}

    def _check(self, seat: int) -> None:
        if not 0 <= seat < self.game.seats:
            raise ValueError(f"{self.game.name} has no seat {seat}")


@dataclass(frozen=True)
class Game:
    """Rules. A subclass is a frozen dataclass whose fields are the options, and says what follows from a deal
    and actions by way of a position ``at``: any immutable value, hashable where the game can be solved."""

    name: ClassVar[str]
    about: ClassVar[str]
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Options that take only these values."""

    wording: Wording = "short"

    def __post_init__(self) -> None:
        known = {"wording": ("short", "full"), **self.choices}
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            wanted = known.get(option.name)
            if wanted is not None and value not in wanted and isinstance(value, str):
                raise unknown(f"{option.name} of {self.name}", value, [str(w) for w in wanted])
            if type(value) is not type(option.default) or (wanted is not None and value not in wanted):
                told = f"one of {', '.join(map(str, wanted))}" if wanted else type(option.default).__name__
                raise SharpenError(f"{self.name}: {option.name}={value!r} should be {told}")

    # what a game must say ------------------------------------------------------------------------
    def draw(self, rng: np.random.Generator) -> str:
        """A deal."""
        raise NotImplementedError

    def dealt(self) -> list[tuple[float, str]]:
        """Every deal with its probability."""
        raise NotImplementedError

    def opening(self, deal: str) -> Any:
        """The position before the first action; ValueError where there is no such deal."""
        raise NotImplementedError

    def mover(self, at: Any) -> int | None:
        """Who is to move; None when the game is over."""
        raise NotImplementedError

    def moves(self, at: Any) -> tuple[str, ...]:
        """All legal actions of a game that goes on, or none where a grammar says what is legal."""
        raise NotImplementedError

    def after(self, at: Any, action: str) -> Any:
        """The position after a legal action."""
        raise NotImplementedError

    def payoff(self, at: Any) -> tuple[float, ...]:
        """Returns of a game that is over."""
        raise NotImplementedError

    def known(self, state: State, seat: int) -> str:
        """See ``State.info``."""
        raise NotImplementedError

    def short(self, state: State, seat: int) -> str:
        """A view in one line."""
        raise NotImplementedError

    def full(self, state: State, seat: int) -> str:
        """A view in English."""
        raise NotImplementedError

    # what a game may say -------------------------------------------------------------------------
    def permits(self, at: Any, action: str) -> bool:
        """Whether an action is legal in a game that goes on."""
        return action in self.moves(at)

    def some(self, at: Any) -> tuple[str, ...]:
        """See ``State.some``."""
        return self.moves(at)

    @property
    def seats(self) -> int:
        """How many play."""
        return 2

    @property
    def most(self) -> float:
        """The largest payoff, and loss, that legal moves lead to."""
        return 1.0

    # what every game shares ----------------------------------------------------------------------
    @property
    def spec(self) -> str:
        """This game in one text, ``kuhn:rounds=5``; ``registry.make`` makes an equal game of it."""
        changed = {
            f.name: value for f in dataclasses.fields(self) if (value := getattr(self, f.name)) != f.default
        }
        told = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in changed.items())
        return f"{self.name}:{told}" if told else self.name

    def start(self, rng: np.random.Generator) -> State:
        """A new game; chance is ``rng`` and nothing else."""
        return self.of(self.draw(rng))

    def deals(self) -> list[tuple[float, State]]:
        """Every start with its probability. SharpenError where they are too many to list."""
        return [(share, self.of(deal)) for share, deal in self.dealt()]

    def of(self, deal: str) -> State:
        """The start with this deal; ValueError where there is no such deal."""
        return State(self, deal, (), self.opening(deal))

    def replay(self, deal: str, actions: tuple[str, ...] | list[str]) -> State:
        """The state after ``actions``; ValueError where one of them is not legal."""
        state = self.of(deal)
        for action in actions:
            state = state.act(action)
        return state


def offered(actions: tuple[str, ...]) -> str:
    """Legal actions as the last words of a short view: `` check bet`` for ``[check]`` and ``[bet]``."""
    return "".join(f" {action[1:-1]}" for action in actions)


def legal_line(actions: tuple[str, ...]) -> str:
    """Legal actions as the last line of a full view."""
    return f"Your legal actions: {' '.join(actions)}"
