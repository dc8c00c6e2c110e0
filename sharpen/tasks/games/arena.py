"""Environments of the TextArena library as games (needs the extra ``games``).

The library draws from the process-global generators. Here each state keeps the generators' state, which is
put in for the time of a call; afterwards they are as they were. So a game is replayed from seed and actions.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from sharpen.errors import SharpenError, missing, unknown
from sharpen.tasks.games.rules import Game, State

Chance = tuple[Any, Any]
"""State of the two global generators, ``random``'s and numpy's."""


@dataclass(slots=True)
class Stage:
    """An environment at one point; never stepped itself, only its copies are."""

    env: Any
    chance: Chance
    after: dict[str, Stage | None] = field(default_factory=dict)
    """what each action led to, None where it was invalid"""


@dataclass(frozen=True)
class TextArena(Game):
    """One environment of TextArena. Its own rules, texts and rewards; what it calls an invalid move is not
    legal here, at the first try. There is no list of legal actions: an action is tried on a copy.

    Args:
        env: its id, ``KuhnPoker-v0``.
        players: seats.
        observe: what a view shows: ``all`` messages to that seat, or the first ones and the last ``board``.
        settings: of the environment, as pairs.

    Raises:
        SharpenError: the library is missing, or has no such environment; and from ``start`` and ``act`` where
            the environment itself fails.
    """

    name: ClassVar[str] = "textarena"
    about: ClassVar[str] = "any environment of the TextArena library"
    choices: ClassVar = {"observe": ("all", "board")}

    env: str = ""
    players: int = 2
    observe: Literal["all", "board"] = "all"
    settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _registry()
        if self.env not in known:
            raise unknown("TextArena environment", self.env, known)

    @property
    def seats(self) -> int:
        return self.players

    @property
    def spec(self) -> str:
        options = {"players": self.players, "observe": self.observe, "wording": self.wording}
        default = {"players": 2, "observe": "all", "wording": "short"}
        pairs = [(k, v) for k, v in options.items() if v != default[k]] + list(self.settings)
        told = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in pairs)
        return f"textarena:{self.env}:{told}" if told else f"textarena:{self.env}"

    def draw(self, rng: np.random.Generator) -> str:
        return str(rng.integers(2**31))

    def dealt(self) -> list[tuple[float, str]]:
        raise SharpenError(f"{self.spec}: its deals cannot be listed, so it cannot be solved")

    def opening(self, deal: str) -> Stage:
        if not (deal.isascii() and deal.isdigit()):
            raise ValueError(f"{self.spec}: no such deal: {deal!r}")
        seed = int(deal)
        first = random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state()
        raw = f"{self.env}-raw"
        with _told(self.spec, "cannot be started"), _chance(first) as now:
            import textarena  # pyright: ignore[reportMissingImports]

            env = textarena.make(raw if raw in _registry() else self.env, **dict(self.settings))
            while hasattr(env, "env"):  # wrappers keep what was seen apart, and copies of them lose it
                env = env.env
            env.reset(num_players=self.players, seed=seed)
        env.state.error_allowance = 0
        return Stage(env, now[0])

    def mover(self, at: Stage) -> int | None:
        return None if at.env.state.done else int(at.env.state.current_player_id)

    def moves(self, at: Stage) -> tuple[str, ...]:
        return ()

    def some(self, at: Stage) -> tuple[str, ...]:
        raise SharpenError(f"{self.spec}: its legal actions are not listed")

    def permits(self, at: Stage, action: str) -> bool:
        return self._tried(at, action) is not None

    def after(self, at: Stage, action: str) -> Stage:
        found = self._tried(at, action)
        assert found is not None
        return found

    def _tried(self, at: Stage, action: str) -> Stage | None:
        if action not in at.after:
            seat = at.env.state.current_player_id
            env = copy.deepcopy(at.env)
            with _told(self.spec, f"fails at {action[:60]!r}"), _chance(at.chance) as now:
                env.step(action)
            wrong = env.state.game_info[seat]["invalid_move"]
            at.after[action] = None if wrong else Stage(env, now[0])
        return at.after[action]

    def payoff(self, at: Stage) -> tuple[float, ...]:
        rewards = at.env.state.rewards
        if rewards is None:
            raise SharpenError(f"{self.spec} ended without rewards")
        return tuple(float(rewards[seat]) for seat in range(self.players))

    # what is seen --------------------------------------------------------------------------------
    def known(self, state: State, seat: int) -> str:
        return f"{seat} {self._text(state.at, seat, 'all')}"

    def short(self, state: State, seat: int) -> str:
        return self._text(state.at, seat, self.observe)

    def full(self, state: State, seat: int) -> str:
        return self._text(state.at, seat, self.observe)

    @staticmethod
    def _text(at: Stage, seat: int, observe: str) -> str:
        """The messages to a seat, which are its alone, each with its sender."""
        messages, names = at.env.state.observations[seat], at.env.state.role_mapping
        if observe == "board":
            kinds = [kind.name for _, _, kind in messages]
            last = len(kinds) - 1 - kinds[::-1].index("GAME_BOARD") if "GAME_BOARD" in kinds else None
            messages = [m for i, m in enumerate(messages) if kinds[i] == "PROMPT" or i == last]
        return "\n".join(
            f"[{'GAME' if sender == -1 else names.get(sender, f'Player {sender}')}] {text}"
            for sender, text, _ in messages
        )


def _registry() -> dict[str, Any]:
    """The library's environments by id."""
    here = random.getstate(), np.random.get_state()
    try:
        with _chance(here):  # what it imports draws numbers
            import textarena  # pyright: ignore[reportMissingImports] # noqa: F401
            from textarena.envs.registration import ENV_REGISTRY  # pyright: ignore[reportMissingImports]
    except ImportError as e:
        raise missing("a TextArena game", "textarena", "games") from e
    return ENV_REGISTRY


@contextlib.contextmanager
def _chance(given: Chance) -> Iterator[list[Chance]]:
    """Inside, the global generators stand at ``given``; afterwards where they were. The list then holds where
    they had come to."""
    mine = random.getstate(), np.random.get_state()
    now: list[Chance] = []
    random.setstate(given[0])
    np.random.set_state(given[1])
    try:
        yield now
    finally:
        now.append((random.getstate(), np.random.get_state()))
        random.setstate(mine[0])
        np.random.set_state(mine[1])


@contextlib.contextmanager
def _told(spec: str, what: str) -> Iterator[None]:
    """Other people's code can raise anything; it is told in one line."""
    try:
        yield
    except Exception as e:
        line = (str(e) or type(e).__name__).splitlines()[0][:200]
        raise SharpenError(f"{spec} {what}: {line}") from e
