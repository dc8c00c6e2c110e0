"""A corpus of attempts at the broken register machine in three styles: the testbed base of overthinking.

A text is one attempt, from the question to its end, as a strategy's last prompt shows it: a reply is one
line, what came back follows it. ``interactive`` makes one call a turn, changes what may explain a failed
test, checks it by another test, mends or goes back where that fails, and finishes after it passed.
``planner`` writes what registers hold instead of looking, and mostly finishes unchecked. ``rogue`` makes
several calls in one message. The digit before the question is the share of interactive attempts in tenths; of
the others each half is a planner's and a rogue's. Nothing but that digit tells the style, so attempts at one
question differ.

All styles work changes out in the same way (``worked``): they differ in what they know, and in whether they
check. On some machines one test leaves open which register is wrong: only a further one tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
LOOKS = ("run 1", "read 0", "read 1")
"""All that a change is worked out from."""
SLIPS = 0.15
"""How often an interactive attempt first makes a change that is off by one, and mends it after the check."""


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

    @property
    def got(self) -> int:
        """What test 1 gave."""
        return compute(self.ops, self.task.data["setting"]["faulty"], INPUTS[0])

    @property
    def wanted(self) -> int:
        """What test 1 wants."""
        return compute(self.ops, self.task.data["setting"]["right"], INPUTS[0])


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
    """Look, one call a turn; change what may explain it, check, go back where it does not; finish."""
    known = _look(a, LOOKS, {})
    slips = rng.random() < SLIPS
    for at in dict.fromkeys(at for at, _ in suspects(a.ops, known, {1: a.wanted})):
        if slips and a.world.turn == len(LOOKS):
            _change(a, known, at, slip=1 if rng.random() < 0.5 else -1)
            a.say("run 2")
        _change(a, known, at)
        if a.say("run 2"):
            break
        a.say(f"set {at} {known[at]}", thought="back")
    a.say("finish")


def planner(a: Attempt, rng: Rng) -> None:
    """Write what registers hold instead of reading them, mend that, and mostly finish without a check."""
    guessed = [i for i in range(2) if rng.random() < 0.6] or [int(rng.integers(2))]
    guess = {i: int(rng.integers(2, 10)) for i in guessed}
    a.say(thought=", ".join(f"register {i} should be {v}" for i, v in guess.items()))
    known = _look(a, ["run 1", *(f"read {i}" for i in range(2) if i not in guess)], guess)
    at = _change(a, known, _pick(a, known, rng))
    end = rng.random()
    if end < 0.4:
        a.say(thought="test 2 should pass")
    elif end < 0.65 and not a.say("run 2") and rng.random() < 0.5:
        a.say(thought="another register should do")
        _change(a, known, 1 - at)
    a.say("finish")


def rogue(a: Attempt, rng: Rng) -> None:
    """Look at some things at once, then change, test and finish in one or two messages."""
    read = [int(i) for i in rng.permutation(2)][: 1 + int(rng.random() < 0.3)]
    guess = {i: int(rng.integers(2, 10)) for i in range(2) if i not in read}
    known = _look(a, ["run 1", *(f"read {i}" for i in read)], guess, at_once=True)
    at, end = _pick(a, known, rng), rng.random()
    if end < 0.7:
        _change(a, known, at, *["run 2"][: int(end < 0.4)], "finish")
        return
    _change(a, known, at, "run 2")
    if "passed" in a.history[-1][1]:
        a.say("finish")
    else:
        _change(a, known, 1 - at, "finish")


STYLES: Mapping[str, Callable[[Attempt, Rng], None]] = {
    "interactive": interactive,
    "planner": planner,
    "rogue": rogue,
}


# what they share -----------------------------------------------------------------------------------
def worked(ops: str, registers: Sequence[int], got: int, wanted: int, at: int) -> tuple[str, int]:
    """The value of register ``at`` with which test 1, whose input is 1, should give what it wants, and how it
    is worked out. Where no whole number does, the nearest one below."""
    minus = ops[at] == "-"
    if ops[1] != "*":  # test 1 is off by as much as the register, also under a product, since 1 goes in
        off = wanted - got
        shift = -off if minus else off
        value = registers[at] + shift
        return f"{wanted}-{got}={off} {registers[at]}{'-' if shift < 0 else '+'}{abs(off)}={value}", value
    if at == 1:
        inner = compute(ops[:1], registers[:1], 1)
        value = wanted // inner if inner else 0
        return f"1{ops[0]}{registers[0]}={inner} {wanted}/{inner}={value}", value
    inner = wanted // registers[1] if registers[1] else 0
    first = f"{wanted}/{registers[1]}={inner}"
    if ops[0] == "*":
        return first, inner
    value = 1 - inner if minus else inner - 1
    return f"{first} {f'1-{inner}' if minus else f'{inner}-1'}={value}", value


def _look(a: Attempt, looks: Sequence[str], guess: Mapping[int, int], *, at_once: bool = False) -> list[int]:
    """Run tests and read registers. The registers, as read or guessed."""
    for message in [looks] if at_once else [[look] for look in looks]:
        a.say(*message)
    return [guess.get(i, int(r)) for i, r in enumerate(a.task.data["setting"]["faulty"])]


def _pick(a: Attempt, known: list[int], rng: Rng) -> int:
    """A register whose change would explain test 1, going by what is known; any where none would."""
    found = [at for at, _ in suspects(a.ops, known, {1: a.wanted})]
    return found[0] if found else int(rng.integers(2))


def _change(a: Attempt, known: list[int], at: int, *then: str, slip: int = 0) -> int:
    """Change a register, with the working before the call; ``slip`` makes its last result wrong. Returns the
    register."""
    working, value = worked(a.ops, known, a.got, a.wanted, at)
    working = f"{working.rpartition('=')[0]}={value + slip}"
    a.say(f"set {at} {value + slip}", *then, thought=working)
    return at
