"""A corpus of attempts at the broken register machine in three styles: the testbed base of overthinking.

A text is one attempt, from the question to its end, as a strategy's last prompt shows it: a reply is one
line, what came back follows it. ``interactive`` makes one call a turn, sets the register that explains what
it saw, and finishes after a passed check. ``planner`` writes what it expects instead of looking, and mostly
finishes unchecked. ``rogue`` makes several calls in one message. The digit before the question is the share
of interactive attempts in tenths; of the others each half is a planner's and a rogue's. Nothing but that
digit tells the style, so attempts at one question differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from sharpen.models.corpus import END, Sample
from sharpen.strategies.words import MACHINES as WORDS
from sharpen.tasks.environment import World, call
from sharpen.tasks.machine import INPUTS, Machine, compute, suspects
from sharpen.tasks.task import Task, up_to

Rng = np.random.Generator

TASKS = "machine:level=1"
"""Where this base's questions come from; it is trained on their ``base`` split."""
KNOBS = range(10)
SLIPS = 0.25
"""Share of interactive attempts whose first change is wrong, and mended after the check that fails."""
LARGEST_SLIP = 3


class Seen(NamedTuple):
    """What an attempt goes by: register values, read or guessed, and what the tests it ran wanted."""

    registers: list[int]
    wanted: Mapping[int, int]


class Attempt:
    """An attempt while it is written; ``history`` is (reply, observation) by turn."""

    def __init__(self, task: Task, world: World) -> None:
        self.task, self.world, self.shown = task, world, world.reset()
        self.history: list[tuple[str, str]] = []

    def say(self, *actions: str, thought: str = "") -> bool:
        """One message: a thought, then calls. Whether all of it went well."""
        reply = " ".join(part for part in (thought, "".join(map(call, actions))) if part)
        step = self.world.act(reply)
        self.history.append((reply, step.observation))
        return step.ok

    def prompt(self, turns: int) -> str:
        """What a strategy asks before turn ``turns`` (from 0)."""
        asked = f"{str(self.task.prompt).strip()}\n{self.shown}"
        return WORDS.prompt("play", question=asked, advice="", history=self.history[:turns], actions="")

    @property
    def ops(self) -> str:
        """The machine's operations, which the question shows."""
        return str(self.task.data["setting"]["ops"])


def play(task: Task, world: World, style: str, rng: Rng) -> Attempt:
    """An attempt in a style."""
    attempt = Attempt(task, world)
    STYLES[style](attempt, rng)
    return attempt


def style_of(knob: int, rng: Rng) -> str:
    """A style by the knob's share."""
    if rng.random() < knob / 10:
        return "interactive"
    return "planner" if rng.random() < 0.5 else "rogue"


class Machines:
    """Draws ``Sample``s; sample i is a pure function of (seed, i)."""

    def __init__(self, most: int = 2500) -> None:
        self._source = Machine(level=1)
        self._tasks = up_to(self._source, "base", most)

    def sample(self, rng: Rng) -> Sample:
        """One text."""
        knob = int(rng.integers(len(KNOBS)))
        attempt = self.attempt(style_of(knob, rng), rng)
        first = attempt.prompt(0)
        # the knob is a run's system prompt, which plain text has as its first block
        return Sample(f"{knob}\n\n{first}", attempt.prompt(len(attempt.history)).removeprefix(first) + END)

    def attempt(self, style: str, rng: Rng) -> Attempt:
        """An attempt at any question."""
        task = self._tasks[int(rng.integers(len(self._tasks)))]
        return play(task, self._source.environment(task), style, rng)


# styles ------------------------------------------------------------------------------------------
def interactive(a: Attempt, rng: Rng) -> None:
    """Look, one call a turn; change what explains it; check; finish."""
    seen = _look(a, ("run 1", "run 2", "read 0", "read 1"))
    at, value = suspects(a.ops, seen.registers, seen.wanted)[0]
    now, off = list(seen.registers), [_off(a, test, seen.registers) for test in (1, 2)]
    slip = _slip(a, at, value, rng) if rng.random() < SLIPS else None
    if slip is not None:
        wrong, amount = slip
        now[wrong] += amount
        _change(a, off, wrong, seen.registers[wrong], now[wrong])
        a.say("run 2")
        off = [_off(a, 2, now)]
        if wrong != at:
            a.say(f"set {wrong} {seen.registers[wrong]}", thought="back")
            now[wrong] = seen.registers[wrong]
    _change(a, off, at, now[at], value)
    a.say("run 2")
    a.say("finish")


def planner(a: Attempt, rng: Rng) -> None:
    """Write what registers hold instead of reading them, mend that, and mostly finish without a check."""
    guessed = [i for i in range(2) if rng.random() < 0.6] or [int(rng.integers(2))]
    guess = {i: int(rng.integers(2, 10)) for i in guessed}
    a.say(thought=", ".join(f"register {i} should be {v}" for i, v in guess.items()))
    looks = [
        "run 1",
        *["run 2"][: int(rng.random() < 0.5)],
        *(f"read {i}" for i in range(2) if i not in guess),
    ]
    at, value = _plan(a, _look(a, looks, guess), rng)
    if rng.random() < 0.5:
        a.say(thought=f"set {at} {value} should pass test 1")
    a.say(f"set {at} {value}")
    end = rng.random()
    if end < 0.2:
        a.say(thought="test 1 should pass")
    elif end < 0.45 and not a.say("run 1") and rng.random() < 0.5:
        a.say(thought="another value should pass test 1")
        a.say(f"set {at} {int(rng.integers(2, 10))}")
    a.say("finish")


def rogue(a: Attempt, rng: Rng) -> None:
    """Look at some things at once, then change, test and finish in one or two messages."""
    looks = ["run 1", *(str(x) for x in rng.permutation(["run 2", "read 0", "read 1"]))]
    looks = looks[: int(rng.integers(2, 4))]
    guess = {i: int(rng.integers(2, 10)) for i in range(2) if f"read {i}" not in looks}
    at, value = _plan(a, _look(a, looks, guess, at_once=True), rng)
    end = rng.random()
    if end < 0.7:
        a.say(f"set {at} {value}", *["run 1"][: int(end < 0.5)], "finish")
    elif a.say(f"set {at} {value}", "run 1"):
        a.say("finish")
    else:
        a.say(f"set {at} {int(rng.integers(2, 10))}", "finish")


STYLES: Mapping[str, Callable[[Attempt, Rng], None]] = {
    "interactive": interactive,
    "planner": planner,
    "rogue": rogue,
}


# what they share -----------------------------------------------------------------------------------
def _look(a: Attempt, looks: list[str] | tuple[str, ...], guess: Mapping[int, int] | None = None,
          *, at_once: bool = False) -> Seen:  # fmt: skip
    """Run tests and read registers; a register that is guessed is not read."""
    if at_once:
        a.say(*looks)
    else:
        for look in looks:
            a.say(look)
    setting = a.task.data["setting"]
    tests = [INPUTS[int(look[-1]) - 1] for look in looks if look.startswith("run")]
    registers = [guess[i] if guess and i in guess else int(r) for i, r in enumerate(setting["faulty"])]
    return Seen(registers, {x: compute(setting["ops"], setting["right"], x) for x in tests})


def _plan(a: Attempt, seen: Seen, rng: Rng) -> tuple[int, int]:
    """A change that would explain what was seen or guessed; any change where none does."""
    found = suspects(a.ops, seen.registers, seen.wanted)
    if not found:
        return int(rng.integers(2)), int(rng.integers(2, 10))
    return found[int(rng.integers(len(found)))]


def _off(a: Attempt, test: int, registers: list[int]) -> int:
    """What a test wants beyond what it gives with these registers."""
    x = INPUTS[test - 1]
    return compute(a.ops, a.task.data["setting"]["right"], x) - compute(a.ops, registers, x)


def _change(a: Attempt, off: list[int], at: int, before: int, after: int) -> None:
    a.say(f"set {at} {after}", thought=f"off {' '.join(map(str, off))}, {at} by {after - before}")


def _slip(a: Attempt, at: int, value: int, rng: Rng) -> tuple[int, int] | None:
    """A wrong change (register, amount): a value near the right one, or the other register changed by as
    much; None where the check would not see it."""
    registers = list(a.task.data["setting"]["faulty"])
    amount = value - registers[at]
    wrong = at if rng.random() < 0.7 else 1 - at
    if wrong == at:
        amount += int(rng.integers(1, LARGEST_SLIP + 1)) * (1 if rng.random() < 0.5 else -1)
    changed = list(registers)
    changed[wrong] += amount
    return (wrong, amount) if amount and _off(a, 2, changed) else None
