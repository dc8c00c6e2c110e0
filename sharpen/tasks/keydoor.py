"""A grid with walls, a key and a locked door: reach the key, take it, reach the door, open it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sharpen.runs.streams import stream
from sharpen.tasks.environment import World, WorldFamily, call
from sharpen.tasks.family import ANSWER, Item
from sharpen.tasks.task import Task

Cell = tuple[int, int]
MOVES: dict[str, Cell] = {"north": (0, -1), "east": (1, 0), "south": (0, 1), "west": (-1, 0)}


@dataclass(frozen=True, slots=True)
class KeydoorConfig:
    """A square of ``size``; ``walls`` percent of its cells are walls; ``slip`` percent of moves fail."""

    size: int
    walls: int
    slip: int = 0


class KeydoorWorld(World):
    """``north``, ``east``, ``south``, ``west``, ``take``, ``open``; opening the door ends the episode."""

    actions: ClassVar = (*MOVES, "take", "open")
    kinds: ClassVar = dict.fromkeys(actions, "change")

    def begin(self) -> dict[str, Any]:
        return {"at": list(self.setting["start"]), "key": False, "moves": 0}

    def view(self) -> str:
        x, y = self.now["at"]
        return f"at {x},{y}" + (" with the key" if self.now["key"] else "")

    def do(self, name: str, told: list[str]) -> tuple[str, bool] | None:
        if told or name not in self.kinds:
            return None
        well = self._moved(name) if name in MOVES else self._taken() if name == "take" else self._opened()
        if self.done:
            return "the door is open", True
        return self.view() if well else f"failed, {self.view()}", well

    def _moved(self, way: str) -> bool:
        n, slip = self.now["moves"], self.setting["slip"]
        self.now["moves"] = n + 1
        # named by how many moves there were: the same course of actions always slips alike
        if slip and stream("keydoor", self.setting["seed"], n).generator().integers(100) < slip:
            return False
        if (there := self._beside(way)) is None:
            return False
        self.now["at"] = list(there)
        return True

    def _beside(self, way: str) -> Cell | None:
        (x, y), (dx, dy) = self.now["at"], MOVES[way]
        return free(self.setting, (x + dx, y + dy))

    def _taken(self) -> bool:
        if self.now["key"] or self.now["at"] != list(self.setting["key"]):
            return False
        self.now["key"] = True
        return True

    def _opened(self) -> bool:
        self.done = bool(self.now["key"]) and self.now["at"] == list(self.setting["door"])
        return self.done

    def won(self) -> bool:
        return self.done and bool(self.now["key"]) and self.now["at"] == list(self.setting["door"])

    def skills(self) -> dict[str, float]:
        moves = {way: 0.0 if self._beside(way) is None else 1 - self.setting["slip"] / 100 for way in MOVES}
        take = not self.now["key"] and self.now["at"] == list(self.setting["key"])
        opens = self.now["key"] and self.now["at"] == list(self.setting["door"])
        return {**moves, "take": float(take), "open": float(opens)}


def free(setting: Any, cell: Cell) -> Cell | None:
    """``cell`` if one can stand on it."""
    inside = all(0 <= c < setting["size"] for c in cell)
    return cell if inside and list(cell) not in setting["walls"] else None


def path(setting: Any, start: Cell, goal: Cell) -> list[str] | None:
    """Moves of a shortest way, of several the one whose moves come first in ``MOVES``; None without one."""
    came: dict[Cell, tuple[Cell, str] | None] = {start: None}
    queue = deque([start])
    while queue and goal not in came:
        x, y = queue.popleft()
        for way, (dx, dy) in MOVES.items():
            there = free(setting, (x + dx, y + dy))
            if there is not None and there not in came:
                came[there] = ((x, y), way)
                queue.append(there)
    if goal not in came:
        return None
    ways: list[str] = []
    step = came[goal]
    while step is not None:
        ways.append(step[1])
        step = came[step[0]]
    return ways[::-1]


def expert(world: KeydoorWorld) -> list[str] | None:
    """Actions that open the door, walking shortest ways and trying again after a slip; None where they do not
    within the limit."""
    world.reset()
    while not world.done:
        setting, at = world.setting, tuple(world.now["at"])
        goal = tuple(setting["door"] if world.now["key"] else setting["key"])
        ways = path(setting, at, goal)
        if ways is None:
            return None
        world.act(call(ways[0] if ways else "open" if world.now["key"] else "take"))
    return list(world.log) if world.won() else None


class Keydoor(WorldFamily):
    """``Keydoor 4x4 at 0,1 key 3,0 door 2,3 walls 1,1 2,2`` is answered by ``east; ...; take; ...; open``."""

    name = "keydoor"
    about = "a grid world: fetch the key, open the door; answered by acting"
    world = KeydoorWorld
    levels: ClassVar = {
        1: KeydoorConfig(3, 10),
        2: KeydoorConfig(4, 15),
        3: KeydoorConfig(5, 20),
        4: KeydoorConfig(5, 20, slip=20),
    }

    def draw(self, rng: np.random.Generator) -> Item | None:
        size = self.config.size
        cells = [(x, y) for y in range(size) for x in range(size)]
        start, key, door, *rest = (cells[int(i)] for i in rng.permutation(len(cells)))
        walls = sorted(rest[: len(cells) * self.config.walls // 100])
        setting: dict[str, Any] = {
            "size": size, "start": list(start), "key": list(key), "door": list(door),
            "walls": [list(w) for w in walls], "slip": self.config.slip,
            "seed": int(rng.integers(2**31)), "limit": 6 * size,
        }  # fmt: skip
        actions = expert(KeydoorWorld(setting))
        if actions is None:
            return None
        places = " ".join(f"{n} {c[0]},{c[1]}" for n, c in (("at", start), ("key", key), ("door", door)))
        blocked = " walls " + " ".join(f"{x},{y}" for x, y in walls) if walls else ""
        answer = "; ".join(actions)
        prompt = f"Keydoor {size}x{size} {places}{blocked}\n"
        return Item(prompt, answer, ANSWER + answer, {"setting": setting})

    def canonical(self, task: Task) -> str:
        # two questions that look alike are one, however their moves slip
        return str(task.prompt).strip()
