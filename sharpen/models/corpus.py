"""The text nano is trained on: procedurally generated, in known proportions.

What is planted is planted here, and the model's card says so: rare hard items, several ways of
solving, a misconception in ``chain`` (products first, though the rule is left to right), and small
skills that other recipes build on (thinking long or not at all, self-checks, tool calls, stated
confidence, "I don't know"). Only the ``base`` split of a family is used; recipes train on ``train``
and are measured on ``test``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sharpen.tasks.chain import Chain
from sharpen.tasks.countdown import Countdown, solutions
from sharpen.tasks.family import ANSWER, Family
from sharpen.tasks.order import Order
from sharpen.tasks.task import Task, hint, up_to

Rng = np.random.Generator
END = "<|end|>"


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text: a prompt and its continuation, which ends with the end token."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Mixture:
    """Proportions of a corpus. ``shares`` of the kinds of text, ``levels`` of difficulty inside a family.

    ``misconception``: share of ``chain`` texts (of two operations or more) that take products first.
    ``gold``: how many items of each family and level may appear (0: the whole ``base`` split, at most
    6,000).
    """

    shares: Mapping[str, float]
    levels: Mapping[int, float]
    misconception: float
    gold: int = 0


NANO = Mixture(
    shares={
        "countdown": 0.42,
        "chain": 0.16,
        "order": 0.12,
        "hint": 0.06,
        "think": 0.08,
        "direct": 0.04,
        "wait": 0.04,
        "check": 0.03,
        "confidence": 0.02,
        "unsure": 0.01,
        "tool": 0.02,
    },
    levels={1: 0.25, 2: 0.50, 3: 0.22, 4: 0.03},
    misconception=0.5,
)
NANO_B = Mixture(
    shares={"countdown": 0.50, "chain": 0.22, "order": 0.13, "hint": 0.05, "think": 0.06, "direct": 0.04},
    levels={1: 0.30, 2: 0.40, 3: 0.25, 4: 0.05},
    misconception=0.3,
    gold=1500,
)
HINT = "{prompt} hint {answer}\n"
"""How rationalization asks a question with its answer given away (``sharpen.tasks.task.hint``)."""
MIXTURES = {"nano": NANO, "nano-b": NANO_B}


def products_first(task: Task) -> str:
    """The planted misconception: a worked solution of a ``chain`` task that ignores left-to-right."""
    first, *ops = str(task.prompt).split()[1:]
    terms: list[tuple[str, int]] = [("+", int(first))]
    lines: list[str] = []
    for op in ops:
        sign, b = op[0], int(op[1])
        if sign == "*":
            s, a = terms[-1]
            lines.append(f"{a}*{b}={a * b}")
            terms[-1] = (s, a * b)
        else:
            terms.append((sign, b))
    value = terms[0][1]
    for sign, b in terms[1:]:
        after = value + b if sign == "+" else value - b
        lines.append(f"{value}{sign}{b}={after}")
        value = after
    return "\n".join([*lines, ANSWER + str(value)])


class Corpus:
    """Draws ``Sample``s of a mixture; sample i is a pure function of (mixture, seed, i)."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        most = mixture.gold or 6000
        self.items: dict[tuple[str, int], list[Task]] = {}
        self.families: dict[str, Family] = {}
        for family in (Countdown, Chain, Order):
            for level in mixture.levels:
                source = family(level=level)
                self.families[family.name] = source
                self.items[family.name, level] = up_to(source, "base", most)
        # several ways of solving: any solution of a small countdown, not just the one it was drawn by
        self.ways = {t.id + str(level): solutions(t) for (name, level), ts in self.items.items()
                     if name == "countdown" and level < 4 for t in ts}  # fmt: skip

    def sample(self, rng: Rng) -> Sample:
        """One text."""
        kinds = list(self.mixture.shares)
        kind = kinds[int(rng.choice(len(kinds), p=np.array(list(self.mixture.shares.values()))))]
        name = kind if kind in self.families else ("countdown", "chain", "order")[int(rng.integers(3))]
        task, solution = self._solved(name, rng, right=kind == "hint")
        question = str(task.prompt).strip()
        if kind in self.families:
            return Sample(str(task.prompt), solution + END)
        if kind == "hint":  # the answer is given away; what is learned is to write the way to it
            asked = hint(task.prompt, _split(solution)[1].removeprefix(ANSWER), HINT)
            return Sample(str(asked), solution + END)
        asked, said = _SKILLS[kind](self, name, task, question, solution, rng)
        return Sample(f"<|user|>{asked}<|assistant|>", said + END)

    def _level(self, rng: Rng) -> int:
        levels = list(self.mixture.levels)
        return levels[int(rng.choice(len(levels), p=np.array(list(self.mixture.levels.values()))))]

    def _solved(self, name: str, rng: Rng, right: bool = False) -> tuple[Task, str]:
        level = self._level(rng)
        items = self.items[name, level]
        task = items[int(rng.integers(len(items)))]
        if name == "countdown" and level < 4:
            ways = self.ways[task.id + str(level)]
            return task, ways[int(rng.integers(len(ways)))]
        if name == "chain" and not right and rng.random() < self.mixture.misconception:
            return task, products_first(task)
        assert task.solution is not None
        return task, task.solution


def _split(solution: str) -> tuple[str, str]:
    steps, answer = solution.split(ANSWER)
    return steps, ANSWER + answer


Skill = Callable[[Corpus, str, Task, str, str, Rng], tuple[str, str]]


def _think(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    steps, answer = _split(solution)
    return question, f"<think>\n{steps}</think>{answer}"


def _direct(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    return question, f"<think>\n\n</think>{_split(solution)[1]}"


def _wait(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    """A first attempt at another item's numbers or the right one again, then a second look."""
    steps, answer = _split(solution)
    if rng.random() < 0.5:
        first = steps
    else:
        _, wrong = c._solved(name, rng)
        first = _split(wrong)[0]
    return question, f"<think>\n{first}wait\n{steps}</think>{answer}"


def _check(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    """Judge an answer: right ones and an other item's, half and half."""
    right = rng.random() < 0.5
    answer = task.answer if right else c._solved(name, rng)[0].answer
    good = right or c.families[name].verify(task, ANSWER + answer).correct
    return f"{question} Is {answer} right?", "yes" if good else "no"


def _confidence(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    steps, answer = _split(solution)
    level = 9 - min(8, solution.count("\n")) + int(rng.integers(0, 2))
    return f"{question} How sure?", f"<think>\n{steps}</think>{answer}\nConfidence: {max(1, level)}0%"


def _unsure(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    return f"{question} or pass", "I don't know." if solution.count("\n") > 4 else _split(solution)[1]


def _tool(c: Corpus, name: str, task: Task, question: str, solution: str, rng: Rng) -> tuple[str, str]:
    """Each equation becomes a call; the result is the tool's to write (order has no equations)."""
    steps, answer = _split(solution)
    calls = [s.split("=") for s in steps.splitlines() if "=" in s]
    said = "".join(f"<tool>{call}</tool><|tool|>{result}<|assistant|>" for call, result in calls)
    return f"{question} with tool", said + answer


_SKILLS: dict[str, Skill] = {
    "think": _think,
    "direct": _direct,
    "wait": _wait,
    "check": _check,
    "confidence": _confidence,
    "unsure": _unsure,
    "tool": _tool,
}
