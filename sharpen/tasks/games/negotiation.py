"""A negotiation over wood and gold: free text with one action in brackets, legal by a grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.games.rules import Game, State

RESOURCES: tuple[str, ...] = ("Wood", "Gold")
HELD = (10, 10)
"""Of each resource, by each seat, at the start."""
VALUES = ((5, 15), (15, 5))
"""What a unit of each resource is worth, by seat."""
LONGEST = 400
"""Characters of an action, talk included."""

_ONE = re.compile(r"[^\[\]]*\[([^\[\]]*)\][^\[\]]*")
_OFFER = re.compile(r"offer: (.+?) -> (.+)", re.IGNORECASE)
_ITEM = re.compile(r"([1-9][0-9]{0,3}) ([a-z]+)", re.IGNORECASE | re.ASCII)

Amounts = tuple[int, int]


class Offer(NamedTuple):
    """What its maker gives and takes, of each resource."""

    give: Amounts
    take: Amounts


class Table(NamedTuple):
    """Where a negotiation stands; ``pending`` is the other's offer to the seat that is to move."""

    turn: int = 0
    held: tuple[Amounts, Amounts] = (HELD, HELD)
    pending: Offer | None = None


def read(action: str) -> str | Offer | None:
    """What an action says: ``accept``, ``deny``, an offer, or None where it is not of the grammar.

    The grammar: text in one line of at most ``LONGEST`` characters with exactly one pair of brackets, in it
    ``Accept``, ``Deny`` or ``Offer: ITEMS -> ITEMS``. ITEMS is ``2 Wood`` or ``2 Wood, 1 Gold``, each
    resource at most once. Upper and lower case are one.
    """
    found = _ONE.fullmatch(action)
    if found is None or len(action) > LONGEST or action != " ".join(action.split()):
        return None
    if found[1].lower() in ("accept", "deny"):
        return found[1].lower()
    sides = _OFFER.fullmatch(found[1])
    if sides is None:
        return None
    give, take = _items(sides[1]), _items(sides[2])
    return Offer(give, take) if give and take else None


def _items(text: str) -> Amounts | None:
    amounts: dict[str, int] = dict.fromkeys(RESOURCES, 0)
    for item in text.split(", "):
        found = _ITEM.fullmatch(item)
        name = found[2].capitalize() if found else ""
        if found is None or amounts.get(name) != 0:
            return None
        amounts[name] = int(found[1])
    return amounts["Wood"], amounts["Gold"]


def _covers(held: Amounts, wanted: Amounts) -> bool:
    return all(h >= w for h, w in zip(held, wanted, strict=True))


def _moved(held: Amounts, minus: Amounts, plus: Amounts) -> Amounts:
    wood, gold = (h - m + p for h, m, p in zip(held, minus, plus, strict=True))
    return wood, gold


@dataclass(frozen=True)
class Negotiation(Game):
    """Both hold 10 Wood and 10 Gold; seat 0 values gold more, seat 1 wood; nobody is told the other's values.
    In turn they make offers, which the other accepts, denies, or denies by an offer of its own. After
    ``turns`` turns the larger change in the value of one's own holdings wins, 1 and -1; equal is a draw.

    An offer of what one does not hold, and accepting without holding what is asked for, is not legal; nor is
    accepting or denying where there is no offer. Legal is what the grammar allows, see ``read``.
    """

    name: ClassVar[str] = "negotiation"
    about: ClassVar[str] = "trading wood and gold, whose values differ, in free text with a grammar"

    turns: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.turns <= 50:
            raise SharpenError(f"{self.name}: turns={self.turns} should be between 1 and 50")

    def draw(self, rng: np.random.Generator) -> str:
        return ""

    def dealt(self) -> list[tuple[float, str]]:
        raise SharpenError(f"{self.name} has too many courses to be solved")

    def opening(self, deal: str) -> Table:
        if deal:
            raise ValueError(f"{self.name}: no such deal: {deal!r}")
        return Table()

    def mover(self, at: Table) -> int | None:
        return at.turn % 2 if at.turn < self.turns else None

    def moves(self, at: Table) -> tuple[str, ...]:
        return ()

    def permits(self, at: Table, action: str) -> bool:
        said, mine = read(action), at.held[at.turn % 2]
        if isinstance(said, Offer):
            return _covers(mine, said.give)
        if said is None or at.pending is None:
            return False
        return said == "deny" or _covers(mine, at.pending.take)

    def some(self, at: Table) -> tuple[str, ...]:
        swaps = [f"[Offer: {a} {x} -> {b} {y}]" for x, y in (RESOURCES, RESOURCES[::-1])
                 for a, b in product((1, 2), repeat=2)]  # fmt: skip
        every = ("[Accept]", "[Deny]", *swaps, *(f"[Offer: 1 {x} -> 1 {x}]" for x in RESOURCES))
        return tuple(action for action in every if self.permits(at, action))

    def after(self, at: Table, action: str) -> Table:
        said, seat = read(action), at.turn % 2
        turn, held = at.turn + 1, list(at.held)
        if isinstance(said, Offer):
            return at._replace(turn=turn, pending=said)
        if said == "accept" and at.pending is not None:
            held[seat] = _moved(held[seat], at.pending.take, at.pending.give)
            held[1 - seat] = _moved(held[1 - seat], at.pending.give, at.pending.take)
        return Table(turn, (held[0], held[1]), None)

    def payoff(self, at: Table) -> tuple[float, ...]:
        first, second = (gain(at, seat) for seat in (0, 1))
        won = float((first > second) - (first < second))
        return won, -won

    # what is seen --------------------------------------------------------------------------------
    def known(self, state: State, seat: int) -> str:
        return " ".join([str(seat), *state.actions])

    def short(self, state: State, seat: int) -> str:
        at: Table = state.at
        mine = (f"{n} {r}@{v}" for n, r, v in zip(at.held[seat], RESOURCES, VALUES[seat], strict=True))
        told = [f"Trade {seat} {at.turn}/{self.turns}", *mine]
        told += [f"{i % 2}> {action}" for i, action in enumerate(state.actions)]
        if state.seat == seat:
            told.append(f"you: {self._forms(at)}")
        return "; ".join(told)

    def full(self, state: State, seat: int) -> str:
        at: Table = state.at
        mine = zip(at.held[seat], RESOURCES, VALUES[seat], strict=True)
        lines = [
            f"You are Player {seat} in a negotiation of {self.turns} turns.",
            "Two players hold wood and gold and value them differently. Whoever gains more value wins.",
            "[Offer: 2 Wood -> 1 Gold] offers what you give for what you take, [Accept] accepts the other's",
            "last offer, [Deny] denies it, and so does a new offer. Use one of them in each message.",
            *(f"You hold {amount} {name}, worth {value} each to you." for amount, name, value in mine),
            *(f"Player {i % 2}: {action}" for i, action in enumerate(state.actions)),
        ]
        if state.seat == seat:
            lines += [f"Turn {at.turn + 1} of {self.turns}.", f"Your legal actions: {self._forms(at)}"]
        return "\n".join(lines)

    def _forms(self, at: Table) -> str:
        forms = [action for action in ("[Accept]", "[Deny]") if self.permits(at, action)]
        return " ".join([*forms, "[Offer: ITEMS -> ITEMS]"])


def gain(at: Table, seat: int) -> int:
    """The change in the value of a seat's own holdings."""
    return sum((n - h) * v for n, h, v in zip(at.held[seat], HELD, VALUES[seat], strict=True))
