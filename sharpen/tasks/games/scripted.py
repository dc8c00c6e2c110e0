"""Players that are pure functions: from a state to the chances of their actions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.tasks.games.rules import Game, State
from sharpen.tasks.games.tictactoe import TicTacToe
from sharpen.tasks.registry import parameters

Chances = Mapping[str, float]
Player = Callable[[State], Chances]
"""The chances of the actions of the seat that is to move; they sum to 1."""
Profile = Mapping[str, Chances]
"""What every seat plays, by information set."""


def random_legal(state: State) -> dict[str, float]:
    """Every action of ``state.some()`` with the same chance."""
    actions = state.some()
    return dict.fromkeys(actions, 1 / len(actions))


def minimax(epsilon: float = 0.0) -> Player:
    """Perfect play in tic-tac-toe, all best moves alike, and with chance ``epsilon`` a random legal move."""
    if not 0 <= epsilon <= 1:
        raise SharpenError(f"minimax: epsilon={epsilon} should be between 0 and 1")

    def play(state: State) -> dict[str, float]:
        if not isinstance(state.game, TicTacToe):
            raise SharpenError(f"minimax plays tictactoe, not {state.game.name}")
        after = {a: _worth(state.game, state.game.after(state.at, a)) for a in state.legal()}
        worst = min(after.values())
        best = [a for a, worth in after.items() if worth == worst]
        return {a: (1 - epsilon) * (a in best) / len(best) + epsilon / len(after) for a in after}

    return play


@functools.cache
def _worth(game: Game, at: Any) -> float:
    """What a position is worth to the seat to move, both playing perfectly; to seat 0 or 1 in turn."""
    seat = game.mover(at)
    if seat is None:
        # nobody moves: it is the turn of who did not make the last move, and that one has not won
        return -max(game.payoff(at))
    return max(-_worth(game, game.after(at, action)) for action in game.moves(at))


def tabular(profile: Profile) -> Player:
    """Play by a table; SharpenError where an information set is not in it."""

    def play(state: State) -> Chances:
        assert state.seat is not None
        info = state.info(state.seat)
        if info not in profile:
            raise unknown("information set", info, profile)
        return profile[info]

    return play


def kuhn_nash(alpha: float = 0.2) -> dict[str, dict[str, float]]:
    """A Nash profile of one hand of Kuhn poker with bets of 1 chip. There is one for each ``alpha`` from 0 to
    1/3: how often the opener bets with J. Its value to seat 0 is -1/18."""
    if not 0 <= alpha <= 1 / 3:
        raise SharpenError(f"kuhn_nash: alpha={alpha} should be between 0 and 1/3")
    bets = {
        "0 J": alpha,
        "0 Q": 0.0,
        "0 K": 3 * alpha,
        "1 J check": 1 / 3,
        "1 Q check": 0.0,
        "1 K check": 1.0,
    }
    calls = {"0 J check bet": 0.0, "0 Q check bet": alpha + 1 / 3, "0 K check bet": 1.0}
    calls |= {"1 J bet": 0.0, "1 Q bet": 1 / 3, "1 K bet": 1.0}
    return {info: {"[check]": 1 - p, "[bet]": p} for info, p in bets.items()} | {
        info: {"[fold]": 1 - p, "[call]": p} for info, p in calls.items()
    }


PLAYERS: dict[str, Callable[..., Player]] = {
    "random": lambda: random_legal,
    "minimax": minimax,
    "nash": lambda alpha=0.2: tabular(kuhn_nash(alpha)),
}
_OPTIONS = {"random": (), "minimax": ("epsilon",), "nash": ("alpha",)}


def player(spec: str) -> Player:
    """A player by name: ``random``, ``minimax:epsilon=0.1``, ``nash:alpha=0.2`` (one hand of Kuhn poker)."""
    name, _, rest = spec.partition(":")
    if name not in PLAYERS:
        raise unknown("player", name, PLAYERS)
    options = parameters(spec, rest)
    for option in options:
        if option not in _OPTIONS[name]:
            raise unknown(f"option of {name}", option, _OPTIONS[name])
    return PLAYERS[name](**options)


def choose(chances: Chances, rng: np.random.Generator) -> str:
    """One action by these chances: one draw from ``rng``."""
    point = rng.random() * sum(chances.values())
    for action, chance in chances.items():
        if point < chance:
            return action
        point -= chance
    return next(a for a in reversed(list(chances)) if chances[a] > 0)
