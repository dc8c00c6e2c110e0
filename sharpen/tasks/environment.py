"""Worlds to act in: text in, text out, and families of questions that are answered by acting.

An environment is deterministic: chance, where a world has any, comes from a stream that its setting names.
So a course of actions is an answer like any other: ``Answer: east; take; open``. It is judged by playing it
again, and a player, who sees observations alone, needs to be told nothing of success.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from sharpen.tasks.family import ANSWER, Family
from sharpen.tasks.task import Checked, Task

INVALID = "invalid"
"""What is observed after a message without a readable action."""
MOST_ACTIONS = 4
"""So many actions of one message are carried out, the rest is not."""

CALLS = re.compile(r"<tool>(.*?)</tool>", re.DOTALL)
"""The actions in a message."""
_ANSWER_LINE = re.compile(r"^Answer: ([^\n]+)\Z", re.MULTILINE)


class Step(NamedTuple):
    """What came of a message.

    Attributes:
        observation: text; where several actions were in it, a line each.
        done: whether the episode is over. It says nothing of success.
        ok: whether every action could be carried out and every check passed.
    """

    observation: str
    done: bool
    ok: bool


class Environment(Protocol):
    """A world with one player."""

    limit: int
    turn: int
    done: bool
    log: list[str]
    kinds: Mapping[str, str]
    actions: tuple[str, ...]

    def reset(self) -> str:
        """Start anew; what is seen first."""
        ...

    def act(self, text: str) -> Step:
        """Carry out a message, whose actions are written ``<tool>ACTION</tool>``: one turn."""
        ...

    def skills(self) -> dict[str, float]:
        """Actions to choose among now, each with how likely it is to go well, in [0, 1]."""
        ...

    def clone(self) -> Environment:
        """An independent copy at the same point."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """Where it stands, JSON; ``restore`` makes an equal one of it."""
        ...


W = TypeVar("W", bound="World")


class World:
    """The body of an environment: a subclass says how an episode begins, and what one action does.

    Attributes:
        limit: turns after which the episode is over.
        kinds: what each action does: ``look``, ``change``, ``check`` or ``finish``.
        actions: how they are written, for the player.
        setting: JSON, all that the world is made of; not for the player.
        now: JSON, where it stands.
        turn: messages so far. done: whether the episode is over.
        log: the actions carried out.
    """

    kinds: ClassVar[Mapping[str, str]] = {}
    actions: ClassVar[tuple[str, ...]] = ()

    def __init__(self, setting: Mapping[str, Any]) -> None:
        self.setting = setting
        self.limit = int(setting["limit"])
        self.reset()

    # what a world must say ---------------------------------------------------------------------
    def begin(self) -> dict[str, Any]:
        """Where an episode starts; JSON."""
        raise NotImplementedError

    def view(self) -> str:
        """What the player sees now."""
        raise NotImplementedError

    def do(self, name: str, told: list[str]) -> tuple[str, bool] | None:
        """Carry out one action: what is observed, and whether it went well. None where there is no such
        action, which changes nothing."""
        raise NotImplementedError

    def won(self) -> bool:
        """Whether the episode, now over, was a success; not for the player."""
        raise NotImplementedError

    def skills(self) -> dict[str, float]:
        """See ``Environment``."""
        return {}

    # what every world shares ---------------------------------------------------------------------
    def reset(self) -> str:
        """See ``Environment``."""
        self.turn, self.done = 0, False
        self.log: list[str] = []
        self.now = self.begin()
        return self.view()

    def act(self, text: str) -> Step:
        """See ``Environment``. After the end nothing happens any more."""
        if self.done:
            return Step("over", True, False)
        self.turn += 1
        said = [self._one(call) for call in CALLS.findall(text)[:MOST_ACTIONS] if not self.done]
        self.done = self.done or self.turn >= self.limit
        if not said:
            return Step(INVALID, self.done, False)
        return Step("\n".join(s for s, _ in said), self.done, all(ok for _, ok in said))

    def _one(self, action: str) -> tuple[str, bool]:
        words = action.split()
        found = self.do(words[0], words[1:]) if words else None
        if found is None:
            return INVALID, False
        self.log.append(" ".join(words))
        return found

    def clone(self: W) -> W:
        """See ``Environment``."""
        return copy.deepcopy(self)

    @property
    def state(self) -> dict[str, Any]:
        """See ``Environment``."""
        kept = {"setting": dict(self.setting), "now": self.now, "turn": self.turn, "done": self.done}
        return copy.deepcopy({**kept, "log": self.log})

    @classmethod
    def restore(cls: type[W], state: Mapping[str, Any]) -> W:
        """The world of this ``state``."""
        world = cls(state["setting"])
        kept = copy.deepcopy(dict(state))
        world.now, world.turn, world.done, world.log = (kept[k] for k in ("now", "turn", "done", "log"))
        return world

    def replay(self, actions: list[str]) -> bool:
        """Play these actions from the start, one a turn but without a limit of turns; whether all of them
        could be read, the last one ended the episode, and it was a success."""
        self.reset()
        for i, action in enumerate(actions):
            if self._one(action) == (INVALID, False) or (self.done and i + 1 < len(actions)):
                return False
        return self.done and self.won()


def call(action: str) -> str:
    """An action as it is written in a message."""
    return f"<tool>{action}</tool>"


class WorldFamily(Family):
    """Questions that are answered by acting in ``world``; the answer is the course of actions.

    A subclass draws items whose data hold ``setting``; ``limit`` turns of several actions are judged.
    """

    world: ClassVar[type[World]]

    def environment(self, task: Task) -> World:
        """The world of a question, at its start."""
        return self.world(task.data["setting"])

    def verify(self, task: Task, completion: str) -> Checked:
        actions = self._actions(completion)
        world = self.environment(task)
        if actions is None or len(actions) > MOST_ACTIONS * world.limit:
            return Checked(False, "unparsable", "no course of actions on the answer line")
        right = world.replay(actions)
        return Checked(right, detail="" if right else "these actions do not succeed")

    def has_answer(self, completion: str) -> bool:
        return self._actions(completion) is not None

    def steps(self, task: Task, completion: str) -> list[bool]:
        """Whether each action goes well, in a play from the start."""
        world = self.environment(task)
        found = [world.act(call(action)) for action in self._actions(completion) or []]
        return [step.ok for step in found]

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        actions = self._actions(completion)
        return None if actions is None else "; ".join(" ".join(a.split()) for a in actions)

    @staticmethod
    def _actions(completion: str) -> list[str] | None:
        """What the answer line, the last one, tells, cut at semicolons."""
        found = _ANSWER_LINE.search(completion)
        if found is None or completion.count(ANSWER) != 1:
            return None
        actions = [a.strip() for a in found[1].split(";")]
        return actions if all(actions) else None
