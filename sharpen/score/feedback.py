"""Feedback on a solution that ends in a verdict (SELF, arXiv 2310.00533): how it is read, and a program that
writes it.

The program checks every line by working it out in another way than it stands there, and takes what comes out
and what should from each other; so a right line is told from a wrong one by a difference of 0.
It ends behind the first wrong line, which it so names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.tasks.chain import Chain
from sharpen.tasks.countdown import Countdown, solutions
from sharpen.tasks.expression import parse
from sharpen.tasks.family import ANSWER
from sharpen.tasks.task import Task, TaskSource

VERDICT = "Verdict: "
"""Opens the last line of feedback; ``right`` or ``wrong`` follows."""

_VERDICT = re.compile(r"^\s*Verdict:[ \t]*(right|wrong)\b", re.IGNORECASE | re.MULTILINE)
_LAST = re.compile(r"\s*Verdict:[ \t]*(right|wrong)[ \t]*\.?\s*", re.IGNORECASE)
_STEP = re.compile(r"(\d{1,5})([+\-*/])(\d{1,5})=(\d{1,5})", re.ASCII)

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


class Judgment(StrEnum):
    """What feedback says of a solution."""

    QUALIFIED = "qualified"
    NOT = "not qualified"
    UNPARSABLE = "unparsable"


def judgment(feedback: str) -> Judgment:
    """The verdict on the last line of feedback that is not blank.

    ``UNPARSABLE`` where that line gives none, where feedback is empty, and where two verdicts contradict each
    other; never a default.
    """
    lines = [line for line in feedback.splitlines() if line.strip()]
    found = _LAST.fullmatch(lines[-1]) if lines else None
    said = {word.lower() for word in _VERDICT.findall(feedback)}
    if found is None or len(said) != 1:
        return Judgment.UNPARSABLE
    return Judgment.QUALIFIED if found[1].lower() == "right" else Judgment.NOT


@dataclass(frozen=True, slots=True)
class Critique:
    """What the program says of a solution: its words, and the first wrong line, -1 where there is none."""

    text: str
    first_wrong: int

    @property
    def qualified(self) -> bool:
        """Whether nothing is wrong."""
        return self.first_wrong == -1


class Annotator:
    """The stronger annotator of SELF as a program: it criticises solutions of one source, and mends them.

    Raises SharpenError for a source whose steps it cannot work out again.
    """

    def __init__(self, source: TaskSource) -> None:
        if not isinstance(source, Countdown | Chain):
            raise SharpenError(f"no program writes feedback on {source.name!r}: take countdown or chain")
        self.source = source
        self._lines: Callable[[Task, Sequence[str]], Iterator[tuple[str, bool]]]
        self._lines = _countdown if isinstance(source, Countdown) else _chain

    def critique(self, task: Task, solution: str) -> Critique:
        """Feedback on a solution. It is qualified where every line holds and the source's own check accepts
        the answer."""
        said, wrong = list[str](), -1
        lines = solution.split("\n")
        for i, (text, good) in enumerate(self._lines(task, lines)):
            said.append(f"{i + 1} {text} {'yes' if good else 'no'}")
            if not good:
                wrong = i
                break
        if wrong == -1 and not self.source.verify(task, solution).correct:
            said[-1] = f"{said[-1].removesuffix(' yes')} no"
            wrong = len(said) - 1
        verdict = VERDICT + ("right" if wrong == -1 else "wrong")
        return Critique("\n".join([*said, verdict]), wrong)

    def refinement(self, task: Task, solution: str, critique: Critique, stream: Stream) -> str:
        """A right solution that goes on from the first wrong line; the solution itself where it is
        qualified. Lines before it are kept as far as a right solution can begin with them."""
        if critique.qualified:
            return solution
        valid = self.source.steps(task, solution)
        sound = valid.index(False) if False in valid else len(valid)
        kept = solution.split("\n")[: min(sound, critique.first_wrong)]
        for n in range(len(kept), -1, -1):
            ways = self._ways(task, kept[:n])
            if ways:
                return ways[int(stream.generator().integers(len(ways)))]
        raise SharpenError(f"task {task.id!r} has no right solution")

    def _ways(self, task: Task, before: Sequence[str]) -> list[str]:
        if isinstance(self.source, Countdown):
            return solutions(task, before)
        gold = str(task.solution)
        return [gold] if gold.split("\n")[: len(before)] == list(before) else []


def _countdown(task: Task, lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Of a step a check of its arithmetic; of the answer the last result beside the target, and its numbers
    beside the question's."""
    numbers, last = _listed(task.data["numbers"]), ""
    for line in lines:
        if line.startswith(ANSWER):
            tree, target = parse(line.removeprefix(ANSWER)), str(task.data["target"])
            used = _listed(tree.leaves()) if tree is not None else "?"
            yield f"{_apart(last, target)} {used}={numbers}", last == target and used == numbers
            return
        step = _STEP.fullmatch(line)
        if step is None:
            yield "?", False
            return
        yield _checked(int(step[1]), step[2], int(step[3]), int(step[4]))
        last = step[4]
    yield "?", False


def _chain(task: Task, lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Of a step whether it is the question's next, and a check of its arithmetic."""
    _, value, *ops = str(task.prompt).split()
    for line in lines:
        if line.startswith(ANSWER):
            said = line.removeprefix(ANSWER)
            yield _apart(value, said), not ops and said == value
            return
        step = _STEP.fullmatch(line)
        if step is None or not ops:
            yield "?", False
            return
        check, good = _checked(int(step[1]), step[2], int(step[3]), int(step[4]))
        begun, asked = f"{step[1]}{step[2]}{step[3]}", value + ops[0]
        yield f"{begun} {asked} {check}", begun == asked and good
        value, ops = step[4], ops[1:]
    yield "?", False


def _checked(a: int, op: str, b: int, said: int) -> tuple[str, bool]:
    """``a op b`` worked out in another way than it stands there, since what stands there would only be
    copied; what comes out and what should, taken from each other, since a model that can subtract sees so
    whether they are equal; and whether they are."""
    if op in "+*":
        comes, due = b + a if op == "+" else b * a, said
        work = f"{b}{op}{a}={comes}"
    else:
        comes, due = said + b if op == "-" else said * b, a
        work = f"{said}{'+' if op == '-' else '*'}{b}={comes}"
    return f"{work} {_apart(str(comes), str(due))}", comes == due


def _apart(comes: str, due: str) -> str:
    """Two numbers, the smaller taken from the larger; what is none stands beside the other."""
    if not (_NUMBER.fullmatch(comes) and _NUMBER.fullmatch(due)):
        return f"{comes} {due}"
    low, high = sorted((int(comes), int(due)))
    return f"{high}-{low}={high - low}"


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, sorted(numbers)))
