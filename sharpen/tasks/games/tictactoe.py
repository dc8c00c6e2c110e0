"""Tic-tac-toe: seat 0 plays O and begins, seat 1 plays X, cells are 0 to 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sharpen.tasks.games.rules import Game, State, legal_line, offered

MARKS = "OX"
EMPTY = "."
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def winner(board: str) -> int | None:
    """The seat with three in a row on ``board``, nine characters of ``O``, ``X`` and ``.``."""
    for a, b, c in LINES:
        if board[a] != EMPTY and board[a] == board[b] == board[c]:
            return MARKS.index(board[a])
    return None


@dataclass(frozen=True)
class TicTacToe(Game):
    """Tic-tac-toe: three in a row wins, 1 and -1; a full board is a draw, 0. A position is the board.

    Views show the board alone, not how it came about.
    """

    name: ClassVar[str] = "tictactoe"
    about: ClassVar[str] = "tic-tac-toe"

    def draw(self, rng: np.random.Generator) -> str:
        return ""

    def dealt(self) -> list[tuple[float, str]]:
        return [(1.0, "")]

    def opening(self, deal: str) -> str:
        if deal:
            raise ValueError(f"{self.name}: no such deal: {deal!r}")
        return EMPTY * 9

    def mover(self, at: str) -> int | None:
        if winner(at) is not None or EMPTY not in at:
            return None
        return (9 - at.count(EMPTY)) % 2

    def moves(self, at: str) -> tuple[str, ...]:
        return tuple(f"[{cell}]" for cell in range(9) if at[cell] == EMPTY)

    def after(self, at: str, action: str) -> str:
        cell, mark = int(action[1:-1]), MARKS[(9 - at.count(EMPTY)) % 2]
        return at[:cell] + mark + at[cell + 1 :]

    def payoff(self, at: str) -> tuple[float, ...]:
        won = winner(at)
        return (0.0, 0.0) if won is None else (1.0, -1.0) if won == 0 else (-1.0, 1.0)

    def known(self, state: State, seat: int) -> str:
        return f"{MARKS[seat]} {state.at}"

    def short(self, state: State, seat: int) -> str:
        told = f"TTT {self.known(state, seat)}"
        return told + ":" + offered(state.legal()) if state.seat == seat else told

    def full(self, state: State, seat: int) -> str:
        cells = [str(i) if mark == EMPTY else mark for i, mark in enumerate(state.at)]
        lines = [
            f"You are Player {seat} in tic-tac-toe. You play {MARKS[seat]}, the other {MARKS[1 - seat]}.",
            "Three in a row, column or diagonal win. [4] puts your mark on the cell with the number 4.",
            "The board:",
            *(" | ".join(cells[i : i + 3]) for i in (0, 3, 6)),
        ]
        if state.seat == seat:
            lines.append(legal_line(state.legal()))
        return "\n".join(lines)
