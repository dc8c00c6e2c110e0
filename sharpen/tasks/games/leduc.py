"""Leduc hold'em: six cards, two rounds of betting, one public card between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from sharpen.tasks.games.rules import Game, State, legal_line, offered

CARDS = "JQK"
_DECK = CARDS + CARDS
RAISES = (2, 4)
"""Chips that a raise adds to a call, by round."""
MOST_RAISES = 2
"""In a round, both seats together."""


class Table(NamedTuple):
    """Where a hand stands. ``cards``: of seat 0, of seat 1, the public one."""

    cards: str
    chips: tuple[int, int] = (1, 1)
    """put in by each seat"""
    moves: tuple[tuple[str, ...], ...] = ((),)
    """by round"""
    folded: int | None = None


def _closed(moves: tuple[str, ...]) -> bool:
    """Whether a round of betting is over."""
    return moves[-1:] == ("[call]",) or moves == ("[check]", "[check]")


@dataclass(frozen=True)
class Leduc(Game):
    """Leduc hold'em (Southey et al., arXiv 1207.1411), paid in chips: ante 1; raises of 2, after the public
    card of 4, at most two in a round; a pair wins, else the higher card, equal cards share."""

    name: ClassVar[str] = "leduc"
    about: ClassVar[str] = "Leduc hold'em, paid in chips"

    def draw(self, rng: np.random.Generator) -> str:
        return "".join(_DECK[i] for i in rng.permutation(len(_DECK))[:3])

    def dealt(self) -> list[tuple[float, str]]:
        found = []
        for cards in (a + b + c for a in CARDS for b in CARDS for c in CARDS):
            ways = 1
            for i, card in enumerate(cards):
                ways *= 2 - cards[:i].count(card)
            if ways:
                found.append((ways / 120, cards))
        return found

    def opening(self, deal: str) -> Table:
        if len(deal) != 3 or not set(deal) <= set(CARDS) or len(set(deal)) == 1:
            raise ValueError(f"{self.name}: no such deal: {deal!r}")
        return Table(deal)

    def mover(self, at: Table) -> int | None:
        over = at.folded is not None or (len(at.moves) == 2 and _closed(at.moves[1]))
        return None if over else len(at.moves[-1]) % 2

    def moves(self, at: Table) -> tuple[str, ...]:
        first = ("[check]",) if at.chips[0] == at.chips[1] else ("[fold]", "[call]")
        return (*first, "[raise]") if at.moves[-1].count("[raise]") < MOST_RAISES else first

    def after(self, at: Table, action: str) -> Table:
        seat, most = len(at.moves[-1]) % 2, max(at.chips)
        moves = (*at.moves[:-1], (*at.moves[-1], action))
        if action == "[fold]":
            return at._replace(moves=moves, folded=seat)
        paid = most + RAISES[len(at.moves) - 1] * (action == "[raise]")
        chips = (paid, at.chips[1]) if seat == 0 else (at.chips[0], paid)
        if len(moves) == 1 and _closed(moves[0]):
            moves = (*moves, ())
        return at._replace(chips=chips, moves=moves)

    def payoff(self, at: Table) -> tuple[float, ...]:
        if at.folded is not None:
            winner = 1 - at.folded
        else:
            first, second = ((c == at.cards[2], CARDS.index(c)) for c in at.cards[:2])
            if first == second:
                return 0.0, 0.0
            winner = int(second > first)
        lost = float(at.chips[1 - winner])
        return (lost, -lost) if winner == 0 else (-lost, lost)

    @property
    def most(self) -> float:
        return float(1 + MOST_RAISES * sum(RAISES))

    # what is seen --------------------------------------------------------------------------------
    def known(self, state: State, seat: int) -> str:
        at: Table = state.at
        words = [str(seat), at.cards[seat], *(move[1:-1] for move in at.moves[0])]
        if len(at.moves) == 2:
            words += ["/", at.cards[2], *(move[1:-1] for move in at.moves[1])]
            if _closed(at.moves[1]):
                words.append(f"({at.cards[1 - seat]})")
        return " ".join(words)

    def short(self, state: State, seat: int) -> str:
        told = f"Leduc {self.known(state, seat)}"
        return told + ":" + offered(state.legal()) if state.seat == seat else told

    def full(self, state: State, seat: int) -> str:
        at: Table = state.at
        lines = [
            f"You are Player {seat} in Leduc hold'em.",
            "The deck has two each of J, Q, K; K is highest. Both players put in 1 chip and get one card.",
            "After a first round of bets a public card is shown, then comes a second round. A pair with the",
            "public card wins, else the higher card; equal cards share.",
            "[check] passes, [call] matches a raise, [fold] gives up, [raise] adds 2 chips to a call, in the",
            "second round 4. There are at most two raises in a round. Your reward is the chips won or lost.",
            f"Your card is {at.cards[seat]}.",
        ]
        for number, moves in enumerate(at.moves):
            lines += [f"The public card is {at.cards[2]}."] if number else []
            lines += [f"Player {i % 2}: {move}" for i, move in enumerate(moves)]
        if len(at.moves) == 2 and _closed(at.moves[1]):
            lines.append(f"The other had {at.cards[1 - seat]}.")
        if state.seat == seat:
            lines.append(legal_line(state.legal()))
        return "\n".join(lines)
