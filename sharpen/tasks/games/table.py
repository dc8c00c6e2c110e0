"""Games as tasks: item i of a split is a deal, and a play is one loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sharpen.errors import unknown
from sharpen.runs.streams import stream
from sharpen.tasks.games.registry import make
from sharpen.tasks.games.reply import action_of
from sharpen.tasks.games.rules import MAX_TURNS, Game, State, invalid_move, turn_limit
from sharpen.tasks.play import Agent, Ending, Outcome
from sharpen.tasks.task import Task

SPLITS = ("base", "train", "dev", "test")


def shown(state: State) -> str:
    """What the seat to move is asked: its view, as a line that a base model's reply follows."""
    assert state.seat is not None
    return state.view(state.seat) + "\n"


def recalled(asked: str) -> str:
    """What a player says to itself before it moves: the last line that it was shown, up to the moves that it
    may make, without the game's name and the number of its seat, word by word from the end. So what it holds
    stands nearest to its move."""
    line = asked.rstrip("\n").rpartition("\n")[2]
    return " ".join(reversed(line.partition(":")[0].split()[2:]))


class Turn(NamedTuple):
    """A move as a model would have made it: what its seat was shown, and the reply in the game's wording."""

    seat: int
    shown: str
    reply: str


@dataclass(frozen=True)
class GameTasks:
    """A game to be played; see ``sharpen.tasks.play.Playable``.

    Splits are draws of deals, named apart: a small game has few deals, and they meet all of them.
    """

    game: Game

    @property
    def seats(self) -> int:
        """How many agents it takes."""
        return self.game.seats

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"game": self.game.spec}

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Deals ``start .. start+n-1`` of a split."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        names = stream("games", self.game.spec, split)
        deals = [self.game.draw(names.child(i).generator()) for i in range(start, start + n)]
        return [
            Task(f"{self.game.spec}/{split}/{start + i}", "", "", {"deal": deal})
            for i, deal in enumerate(deals)
        ]

    async def play(self, task: Task, agents: Sequence[Agent]) -> Outcome:
        """One game to its end, to the first invalid move or to the turn limit."""
        state = self.game.of(task.data["deal"])
        moves: list[tuple[int, str]] = []
        while state.seat is not None:
            if len(moves) >= MAX_TURNS:
                return self._outcome(state, moves, turn_limit(self.seats), ("truncated",) * self.seats)
            seat = state.seat
            said = await agents[seat](shown(state), turn=len(moves), state=state)
            action = action_of(said.text)
            if not state.allows(action):
                moves.append((seat, said.text))
                endings: list[Ending] = ["ok"] * self.seats
                endings[seat] = "invalid_move"
                returns = invalid_move(seat, self.seats, most=self.game.most)
                return self._outcome(state, moves, returns, endings)
            moves.append((seat, action))
            state = state.act(action)
        return self._outcome(state, moves, state.returns, ("ok",) * self.seats)

    def turns(self, task: Task, moves: Sequence[tuple[int, str]], *, thoughts: bool = False) -> list[Turn]:
        """The legal moves of a stored play, in order. ``thoughts``: a reply first recalls what its seat knows
        (a card and the moves so far, a board), and boxes the move."""
        state, found = self.game.of(task.data["deal"]), []
        for seat, action in moves:
            if not state.allows(action):
                break
            asked, short = shown(state), self.game.wording == "short"
            move = action[1:-1] if short else action
            reply = move if short and not thoughts else f"\\boxed{{{move}}}"
            found.append(Turn(seat, asked, f"{recalled(asked)} {reply}" if thoughts else reply))
            state = state.act(action)
        return found

    def _outcome(
        self,
        state: State,
        moves: Sequence[tuple[int, str]],
        returns: Sequence[float],
        endings: Sequence[Ending],
    ) -> Outcome:
        return Outcome(tuple(returns), tuple(endings), tuple(moves), end=state.to_json())


def game_tasks(spec: str, **options: Any) -> GameTasks:
    """The tasks of a game by name, see ``registry.make``."""
    return GameTasks(make(spec, **options))
