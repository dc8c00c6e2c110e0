"""The text nano-2 is trained on: every prompt role that a model of its size can mean, with exact gold.

Prompts are asked through ``sharpen.strategies.words.NANO_2``, so dialect and corpus are one. Gold comes from
the families' own checkers, from search and from arithmetic. What is planted is stated in ``RoleMixture`` and
in the model's card. The model is trained on the ``base`` split of the families and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpen.models import works
from sharpen.models.corpus import END, Sample
from sharpen.models.parts import PARTS, Drawn
from sharpen.strategies.words import NANO_2 as WORDS
from sharpen.tasks.countdown import solutions
from sharpen.tasks.family import ANSWER, Family
from sharpen.tasks.order import Order
from sharpen.tasks.task import Task, up_to

Rng = np.random.Generator
Lines = list[str]


@dataclass(frozen=True, slots=True)
class RoleMixture:
    """Proportions of a corpus of roles.

    Attributes:
        shares: of the kinds of text. ``chain``, ``countdown`` and ``order`` are worked solutions (the role
            ``solve``), the others are named as their role.
        levels: of difficulty, by family.
        slips: share of ``chain`` texts with one result off by a little, and what follows from it.
        confused: share of ``chain`` texts that take products first, where that can be read.
        gold: at most so many questions of each family and level.
        riddled: judges of chains see solutions in which any number of lines is wrong, and write of every
            line the right step and the result that is claimed before the verdict on it. Of a right line both
            are the same and can be copied: it takes many wrong ones to learn to work a line out.
    """

    shares: Mapping[str, float]
    levels: Mapping[str, Mapping[int, float]]
    slips: float
    confused: float
    gold: int = 6000
    riddled: bool = False


NANO_2 = RoleMixture(
    shares={
        "chain": 0.11, "countdown": 0.20, "order": 0.02,
        "direct": 0.02, "think": 0.02, "answer": 0.01, "shots": 0.02,
        "value": 0.05, "correct": 0.05, "vote": 0.02, "verify": 0.06,
        "judge": 0.07, "critique": 0.05, "revise": 0.05,
        "hint": 0.03, "statement": 0.01, "mask": 0.04,
        "decompose": 0.01, "subquestion": 0.02, "followup": 0.02,
        "program": 0.025, "function": 0.025, "debug": 0.01, "template": 0.01, "expression": 0.01,
        "act": 0.02, "confidence": 0.01, "unsure": 0.01,
    },
    levels={
        "chain": {1: 0.35, 2: 0.45, 3: 0.17, 4: 0.03},
        "countdown": {1: 0.17, 2: 0.55, 3: 0.25, 4: 0.03},
        "order": {1: 0.50, 2: 0.50},
    },
    slips=0.15,
    confused=0.10,
)  # fmt: skip

NANO_JUDGE = RoleMixture(
    shares={"chain": 0.25, "judge": 0.75},
    levels={"chain": {1: 0.30, 2: 0.35, 3: 0.25, 4: 0.10}, "countdown": {2: 1.0}},
    slips=0.15,
    confused=0.10,
    riddled=True,
)


class Roles:
    """Draws ``Sample``s of a mixture; a sample is a pure function of (mixture, split, generator)."""

    def __init__(self, mixture: RoleMixture, split: str = "base") -> None:
        self.mixture, self.split = mixture, split
        self._kinds = list(mixture.shares)
        self._shares = np.array(list(mixture.shares.values()))
        self._items: dict[tuple[str, int], list[Task]] = {}
        self._ways: dict[tuple[int, str], list[Lines]] = {}

    def sample(self, rng: Rng) -> Sample:
        """One text."""
        return self.draw(self._kinds[int(rng.choice(len(self._kinds), p=self._shares))], rng)

    def draw(self, kind: str, rng: Rng) -> Sample:
        """One text of a kind."""
        role = "solve" if kind in ("chain", "countdown", "order") else kind
        if role == "solve":
            fields, reply = _solve(self, rng, kind)
        elif kind in PARTS:
            fields, reply = self._part(kind, rng)
        else:
            fields, reply = ROLES[kind](self, rng)
        return Sample(WORDS.prompt(role, **fields), reply + END)

    def _part(self, kind: str, rng: Rng) -> Drawn:
        make, chain = PARTS[kind]
        while True:  # few draws lead nowhere (a masked number that several values fit)
            task, lines = self.either(rng, chain)
            if (made := make(task, lines, rng)) is not None:
                return made

    def item(self, family: str, rng: Rng, level: int = 0) -> tuple[Task, Lines]:
        """A question and the lines of a right solution (any of a countdown's)."""
        levels = self.mixture.levels[family]
        level = level or int(rng.choice(list(levels), p=list(levels.values())))
        if (family, level) not in self._items:
            source: Any = type(_FAMILIES[family])(level=level)
            self._items[family, level] = up_to(source, self.split, self.mixture.gold)
        items = self._items[family, level]
        task = items[int(rng.integers(len(items)))]
        if family == "countdown" and level < 4:
            ways = self.ways(task, level)
            return task, ways[int(rng.integers(len(ways)))]
        return task, str(task.solution).split("\n")

    def ways(self, task: Task, level: int) -> list[Lines]:
        """Every right solution of a countdown of up to three numbers."""
        key = (level, task.id)
        if key not in self._ways:
            self._ways[key] = [s.split("\n") for s in solutions(task)]
        return self._ways[key]

    def either(self, rng: Rng, chain: float = 0.5, level: int = 0) -> tuple[Task, Lines]:
        """A ``chain`` or a ``countdown``; ``chain``: its share."""
        return self.item("chain" if rng.random() < chain else "countdown", rng, level)


_FAMILIES: dict[str, Family] = {"chain": works.CHAIN, "countdown": works.COUNTDOWN, "order": Order()}
_ask = works.question


def _any(c: Roles, rng: Rng) -> tuple[Task, Lines]:
    return c.item(("chain", "countdown", "order")[int(rng.choice(3, p=[0.45, 0.45, 0.10]))], rng)


def _is_chain(task: Task) -> bool:
    return "ops" in task.data


def _half(c: Roles, rng: Rng, chain: float = 0.5) -> tuple[Task, Lines]:
    """A question, and a solution that is right or wrong, half and half."""
    task, right = c.either(rng, chain)
    return task, right if rng.random() < 0.5 else works.wrong(task, right, rng)


def _wrong_answer(task: Task, right: Lines, rng: Rng) -> str:
    """A plausible answer that the family rejects."""
    while True:
        if _is_chain(task) and rng.random() < 0.3:
            said = ANSWER + str(works.slip(int(task.answer), rng))
        else:
            said = works.wrong(task, right, rng)[-1]
        if not _FAMILIES["chain" if _is_chain(task) else "countdown"].verify(task, said).correct:
            return said.removeprefix(ANSWER)


# solving -------------------------------------------------------------------------------------
def _solve(c: Roles, rng: Rng, family: str) -> Drawn:
    task, lines = c.item(family, rng)
    kind = rng.random() if family == "chain" else 1.0
    if kind < c.mixture.slips:
        lines = works.slipped(task, rng)
    elif kind < c.mixture.slips + c.mixture.confused:
        lines = works.confused(task) or lines
    return {"question": _ask(task)}, "\n".join(lines)


def _direct(c: Roles, rng: Rng) -> Drawn:
    task, lines = _any(c, rng)
    return {"question": _ask(task)}, lines[-1]


def _think(c: Roles, rng: Rng) -> Drawn:
    task, lines = _any(c, rng)
    return {"question": _ask(task)}, "\n".join(lines[:-1])


def _answer(c: Roles, rng: Rng) -> Drawn:
    """What a rationale arrives at, right or wrong."""
    task, lines = _any(c, rng)
    if _is_chain(task) and rng.random() < 0.3:
        lines = works.slipped(task, rng)
    return {"question": _ask(task), "rationale": "\n".join(lines[:-1])}, lines[-1]


def _shots(c: Roles, rng: Rng) -> Drawn:
    """One to three examples, all worked or all without working; the reply is as they are."""
    family, first = ("chain", "countdown")[int(rng.integers(2))], -1 if rng.random() < 0.4 else 0
    asked = [c.item(family, rng, int(rng.integers(1, 3))) for _ in range(int(rng.integers(2, 5)))]
    demos = [(_ask(task), "\n".join(lines[first:])) for task, lines in asked]
    return {"question": demos[-1][0], "demos": demos[:-1]}, demos[-1][1]


def _hint(c: Roles, rng: Rng) -> Drawn:
    """One to three answers, the right one among them in 60 %."""
    task, right = c.either(rng)
    answers = [_wrong_answer(task, right, rng) for _ in range(int(rng.integers(3)))]
    if rng.random() < 0.6:
        answers.insert(int(rng.integers(len(answers) + 1)), right[-1].removeprefix(ANSWER))
    answers = answers or [_wrong_answer(task, right, rng)]
    return {"question": _ask(task), "answers": answers}, "\n".join(right)


def _confidence(c: Roles, rng: Rng) -> Drawn:
    """A confidence that falls with the length of the working (planted), before the answer line."""
    task, lines = c.either(rng)
    steps = len(lines) - 1
    sure = max(10, 100 - 10 * steps) if _is_chain(task) else (90, 50, 20)[min(steps, 3) - 1]
    return {"question": _ask(task)}, "\n".join([*lines[:-1], f"Confidence: {sure}%", lines[-1]])


def _unsure(c: Roles, rng: Rng) -> Drawn:
    """Hard questions are declined: six operations and more, or four numbers (planted)."""
    chain = rng.random() < 0.5
    task, lines = c.item("chain" if chain else "countdown", rng, int(rng.integers(1, 5)))
    hard = len(lines) > (6 if chain else 3)
    return {"question": _ask(task)}, "I don't know." if hard else "\n".join(lines)


# judging -------------------------------------------------------------------------------------
def _value(c: Roles, rng: Rng) -> Drawn:
    """Of a countdown half the partial workings, roughly, are impossible."""
    chain = rng.random() < 0.3
    task, right = c.item("chain" if chain else "countdown", rng, 4 if not chain and rng.random() < 0.2 else 0)
    lines, kind = right[:-1], rng.random()
    k = int(rng.integers(len(lines) + 1))
    if not chain and kind < 0.5:  # often out of reach; the label is by search all the same
        lines = works.wandered(task, max(1, k), rng)[0]
    elif kind < 0.6:
        lines = works.wrong(task, right, rng)[:-1]
    lines = lines[:k] if chain or kind >= 0.5 else lines
    return {"question": _ask(task), "steps": "\n".join(lines)}, works.outlook(task, lines)


def _correct(c: Roles, rng: Rng) -> Drawn:
    """Is the last step right, given those before it? Half and half."""
    task, lines = _half(c, rng)
    first = works.first_wrong(task, lines)
    # with an error in it, the text is cut right behind; steps after an error are rarely asked about
    k = int(rng.integers(1, len(lines) + 1)) if first == -1 or rng.random() < 0.1 else first + 1
    answered = k == len(lines) and -1 < first < k - 1  # behind an error an answer has no plain verdict
    lines = lines[: k - 1] if answered else lines[:k]
    good = works.judged(task, lines)[-1]
    return {"question": _ask(task), "steps": "\n".join(lines)}, "yes" if good else "no"


def _vote(c: Roles, rng: Rng) -> Drawn:
    """Two to four partial or whole solutions, one of which is right."""
    task, right = c.either(rng)
    k = int(rng.integers(1, len(right) + 1))
    rivals: dict[str, None] = {}
    for _ in range(int(rng.integers(1, 4))):
        if not _is_chain(task) and k < len(right) and rng.random() < 0.5:
            lines = works.wandered(task, k, rng)[0]
            if works.outlook(task, lines) == "impossible":  # right steps, but the target is out of reach
                rivals["\n".join(lines)] = None
        else:
            lines = works.wrong(task, right, rng)
            rivals["\n".join(lines[: max(k, works.first_wrong(task, lines) + 1)])] = None
    if not rivals:
        rivals["\n".join(works.wrong(task, right, rng))] = None
    place = int(rng.integers(len(rivals) + 1))
    candidates = [*rivals]
    candidates.insert(place, "\n".join(right[:k]))
    return {"question": _ask(task), "candidates": candidates}, f"{ANSWER}{place + 1}"


def _verify(c: Roles, rng: Rng) -> Drawn:
    task, right = c.either(rng, chain=0.4)
    good = rng.random() < 0.5
    answer = right[-1].removeprefix(ANSWER) if good else _wrong_answer(task, right, rng)
    return {"question": _ask(task), "answer": answer}, "yes" if good else "no"


def _judge(c: Roles, rng: Rng) -> Drawn:
    """A verdict on each paragraph up to the first wrong one, then its index; 50 % have no error."""
    if c.mixture.riddled:
        return _riddled(c, rng)
    task, lines = _half(c, rng, chain=0.6)
    first = works.first_wrong(task, lines)
    said = [f"{i} yes" for i in range(len(lines) if first == -1 else first)]
    said += [f"{first} no"] if first != -1 else []
    return {"question": _ask(task), "steps": lines}, "\n".join([*said, f"\\boxed{{{first}}}"])


def _riddled(c: Roles, rng: Rng) -> Drawn:
    """The same of a chain, of every line to the end, each worked out again: ``2 36/4=9 8 no``."""
    while True:
        task, right = c.item("chain", rng)
        share = (0.0, 0.2, 0.5, 0.8)[int(rng.integers(4))]
        lines = works.wrong(task, right, rng) if rng.random() < 0.2 else works.riddled(task, share, rng)
        valid, again = works.judged(task, lines), works.again(task, lines)
        # a line that is wrong by its operation alone would teach that equal results can be wrong
        if [said == due.rpartition("=")[2] for due, said in again] == valid:
            break
    told = [
        f"{i} {due} {said} {'yes' if fine else 'no'}"
        for i, (fine, (due, said)) in enumerate(zip(valid, again, strict=True))
    ]
    first = valid.index(False) if False in valid else -1
    return {"question": _ask(task), "steps": lines}, "\n".join([*told, f"\\boxed{{{first}}}"])


def _critique(c: Roles, rng: Rng) -> Drawn:
    task, lines = _half(c, rng)
    return {"question": _ask(task), "solution": "\n".join(lines)}, criticism(task, lines)


def criticism(task: Task, lines: Lines) -> str:
    """``good``, or the first wrong line."""
    first = works.first_wrong(task, lines)
    return "good" if first == -1 else f"wrong: {lines[first]}"


def _revise(c: Roles, rng: Rng) -> Drawn:
    """From a wrong solution (85 %) and feedback (precise, bare or none) to a right one."""
    task, right = c.either(rng)
    lines = works.wrong(task, right, rng) if rng.random() < 0.85 else list(right)
    said = criticism(task, lines)
    kind = rng.random()
    feedback = said if kind < 0.7 else "wrong" if kind < 0.85 and said != "good" else ""
    return {"question": _ask(task), "solution": "\n".join(lines), "feedback": feedback}, "\n".join(right)


ROLES: dict[str, Callable[[Roles, Rng], Drawn]] = {
    "direct": _direct, "think": _think, "answer": _answer, "shots": _shots, "hint": _hint,
    "confidence": _confidence, "unsure": _unsure, "value": _value, "correct": _correct, "vote": _vote,
    "verify": _verify, "judge": _judge, "critique": _critique, "revise": _revise,
}  # fmt: skip
