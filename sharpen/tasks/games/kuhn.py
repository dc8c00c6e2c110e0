"""Kuhn poker: three cards, one bet. One hand or several, by chips or by winner."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sharpen.errors import SharpenError
from sharpen.tasks.games.rules import Game, State, legal_line, offered

CARDS = "JQK"
_HANDS = tuple(a + b for a, b in permutations(CARDS, 2))
_MOST_DEALS = 10_000
_NEXT: dict[tuple[str, ...], tuple[str, ...]] = {
    (): ("[check]", "[bet]"),
    ("[check]",): ("[check]", "[bet]"),
    ("[bet]",): ("[fold]", "[call]"),
    ("[check]", "[bet]"): ("[fold]", "[call]"),
}


class Table(NamedTuple):
    """Where a game stands: the hands dealt, those played and the one being played, and what came of them."""

    cards: tuple[str, ...]
    played: tuple[tuple[str, ...], ...] = ()
    hand: tuple[str, ...] = ()
    chips: int = 0
    """what seat 0 has won so far"""
    winner: int = -1
    """of the last hand"""


@dataclass(frozen=True)
class Kuhn(Game):
    """Kuhn poker. Both put in 1 chip and get a card of J, Q, K; the opener checks or bets; a bet is called or
    folded to. The opening seat alternates from round to round.

    Args:
        rounds: hands in a game.
        payoff_by: ``chips`` won; ``winner``: 1 for who has more chips at the end, 0 for equal; ``last``: 1
            for the winner of the last hand.
        bet: chips that a bet or call adds; 0 is the flat pot of SPIRAL's released game.
        opener: the seat that opens the first hand.
    """

    name: ClassVar[str] = "kuhn"
    about: ClassVar[str] = "Kuhn poker, one hand, paid in chips"
    choices: ClassVar = {"payoff_by": ("chips", "winner", "last"), "bet": (0, 1), "opener": (0, 1)}

    rounds: int = 1
    payoff_by: Literal["chips", "winner", "last"] = "chips"
    bet: int = 1
    opener: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.rounds <= 25:
            raise SharpenError(f"{self.name}: rounds={self.rounds} should be between 1 and 25")

    def draw(self, rng: np.random.Generator) -> str:
        return " ".join(_HANDS[i] for i in rng.integers(len(_HANDS), size=self.rounds))

    def dealt(self) -> list[tuple[float, str]]:
        n = len(_HANDS) ** self.rounds
        if n > _MOST_DEALS:
            raise SharpenError(f"{self.spec}: {n:,} deals are too many to list; rounds=1 can be solved")
        return [(1 / n, " ".join(hands)) for hands in product(_HANDS, repeat=self.rounds)]

    def opening(self, deal: str) -> Table:
        cards = tuple(deal.split(" "))
        if len(cards) != self.rounds or not set(cards) <= set(_HANDS):
            raise ValueError(f"{self.name}: no such deal: {deal!r}")
        return Table(cards)

    def mover(self, at: Table) -> int | None:
        return self._seat(len(at.played), len(at.hand)) if len(at.played) < self.rounds else None

    def _seat(self, hand: int, move: int) -> int:
        return (self.opener + hand + move) % 2

    def moves(self, at: Table) -> tuple[str, ...]:
        return _NEXT[at.hand]

    def after(self, at: Table, action: str) -> Table:
        hand = (*at.hand, action)
        if hand in _NEXT:
            return at._replace(hand=hand)
        number = len(at.played)
        if action == "[fold]":
            winner, won = 1 - self._seat(number, len(at.hand)), 1
        else:
            first, second = at.cards[number]
            winner = int(CARDS.index(second) > CARDS.index(first))
            won = 1 + self.bet * (action == "[call]")
        chips = at.chips + (won if winner == 0 else -won)
        return Table(at.cards, (*at.played, hand), (), chips, winner)

    def payoff(self, at: Table) -> tuple[float, ...]:
        first = {
            "chips": at.chips,
            "winner": (at.chips > 0) - (at.chips < 0),
            "last": 1 if at.winner == 0 else -1,
        }[self.payoff_by]
        return float(first), float(-first)

    @property
    def most(self) -> float:
        return float(self.rounds * (1 + self.bet)) if self.payoff_by == "chips" else 1.0

    # what is seen --------------------------------------------------------------------------------
    def known(self, state: State, seat: int) -> str:
        return " ".join([str(seat), "; ".join(self._lines(state.at, seat))])

    def short(self, state: State, seat: int) -> str:
        told = f"Kuhn {self.known(state, seat)}"
        return told + ":" + offered(state.legal()) if state.seat == seat else told

    def _lines(self, at: Table, seat: int) -> list[str]:
        """Each hand: the own card, the moves, and the other's card where it was shown."""
        lines = []
        for number, moves in enumerate((*at.played, at.hand)[: self.rounds]):
            words = [at.cards[number][seat], *(move[1:-1] for move in moves)]
            if _shown(moves):
                words.append(f"({at.cards[number][1 - seat]})")
            lines.append(" ".join(words))
        return lines

    def full(self, state: State, seat: int) -> str:
        at: Table = state.at
        hands = "1 hand" if self.rounds == 1 else f"{self.rounds} hands"
        bet = "adds 1 chip" if self.bet else "adds nothing to the pot"
        aim = {
            "chips": "Your reward is the chips you win or lose.",
            "winner": "Who has more chips at the end wins the game.",
            "last": "Who wins the last hand wins the game.",
        }[self.payoff_by]
        lines = [
            f"You are Player {seat} in Kuhn poker, {hands}.",
            "The deck is J, Q, K; K is highest. In each hand both players put in 1 chip and get one card.",
            f"[check] passes, [bet] {bet}, [call] matches a bet, [fold] gives the hand to the other.",
            aim,
        ]
        for number, moves in enumerate((*at.played, at.hand)[: self.rounds]):
            mine, other = at.cards[number][seat], at.cards[number][1 - seat]
            lines.append(f"Hand {number + 1}. Your card is {mine}.")
            lines += [f"Player {self._seat(number, i)}: {move}" for i, move in enumerate(moves)]
            if _shown(moves):
                lines.append(f"The other had {other}.")
        if state.seat == seat:
            lines.append(legal_line(state.legal()))
        return "\n".join(lines)


def _shown(moves: tuple[str, ...]) -> bool:
    """Whether a hand ended with both cards on the table."""
    return moves[-1:] == ("[call]",) or moves == ("[check]", "[check]")


@dataclass(frozen=True)
class KuhnExact(Kuhn):
    """Five hands; who has more chips wins."""

    name: ClassVar[str] = "kuhn_exact"
    about: ClassVar[str] = "Kuhn poker, five hands; who has more chips wins"

    rounds: int = 5
    payoff_by: Literal["chips", "winner", "last"] = "winner"


@dataclass(frozen=True)
class KuhnFlat(Kuhn):
    """SPIRAL's released game: five hands, a pot that stays at 2 chips, and the last hand decides. Seat 1
    opens the first hand there, since the opening seat changes before each hand."""

    name: ClassVar[str] = "kuhn_flat"
    about: ClassVar[str] = "SPIRAL's released Kuhn poker: bets cost nothing, the last of five hands decides"

    rounds: int = 5
    payoff_by: Literal["chips", "winner", "last"] = "last"
    bet: int = 0
    opener: int = 1
