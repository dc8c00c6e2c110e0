"""What a refusal is worth: the more, the longer an answer was looked for (Auto-CEI, arXiv 2410.07627)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.score.group import Groups
from sharpen.score.refusal import Replies
from sharpen.score.verdict import Verdict

Floats = NDArray[np.float64]
Rule = Literal["length", "constant", "shuffled", "none"]

LARGEST_SLOPE = 10.0
"""c2 where steps hardly vary."""
LARGEST_MOVE = 0.5
RIGHT, WRONG = 1.0, -1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How refusals are paid, from the steps of a policy's responses.

    Attributes:
        mean, deviation: of the steps of all responses (population).
        slope: c2, ``ln(10) / (4 deviation)``: ``exp(-c2 4 deviation)`` is a tenth.
        move: d, how far one step of the curriculum moves c1.
        start: the first c1, within ``mean +- 2 deviation``.
    """

    mean: float
    deviation: float
    slope: float
    move: float
    start: float

    def c1(self, offset: int) -> float:
        """The number of steps at which a refusal is worth 0, ``offset`` moves from the start."""
        return self.start + offset * self.move

    @property
    def offsets(self) -> tuple[int, int]:
        """The lowest and the highest offset whose c1 is within ``mean +- 2 deviation``."""
        down = self.start - (self.mean - 2 * self.deviation)
        up = self.mean + 2 * self.deviation - self.start
        # a bound that is hit up to rounding is inside
        low, high = (math.floor(room / self.move + 1e-9) for room in (down, up))
        return -low, high


def scale(steps: ArrayLike, refused: ArrayLike, *, start: Literal["refusals", "mean"] = "refusals") -> Scale:
    """The scale of responses of ``steps`` ``(n,)``, some of which ``refused``.

    The first c1 is d above the mean of the refusals (the released code) or, without one and for ``mean``, the
    mean of all (the paper). Where all are equally long, c2 is ``LARGEST_SLOPE`` and d is a half.

    Raises:
        SharpenError: there is no response.
    """
    s, no = np.asarray(steps, np.float64), np.asarray(refused, np.bool_)
    if not len(s):
        raise SharpenError("refusal reward: there is no response to take the scale from")
    mean, deviation = float(s.mean()), float(s.std())
    slope = min(math.log(10) / (4 * deviation), LARGEST_SLOPE) if deviation else LARGEST_SLOPE
    move = min(LARGEST_MOVE, 0.2 * deviation) if deviation else LARGEST_MOVE
    first = float(s[no].mean()) + move if start == "refusals" and no.any() else mean
    first = min(max(first, mean - 2 * deviation), mean + 2 * deviation)
    return Scale(mean, deviation, slope, move, first)


def refusal_reward(steps: ArrayLike, c1: float, c2: float) -> Floats:
    """``(1 - e^-x) / (1 + e^-x)``, ``x = c2 (steps - c1)``: 0 at c1, rising with steps, within (-1, 1)."""
    most = np.nextafter(1.0, 0.0)  # where tanh rounds to 1 a refusal would be worth an answer
    return np.clip(np.tanh(c2 * (np.asarray(steps, np.float64) - c1) / 2), -most, most)


def rewards(
    correct: ArrayLike, refused: ArrayLike, steps: ArrayLike, c1: float, c2: float, *, rule: Rule = "length"
) -> Floats:
    """Rewards ``(n,)``: 1 for a right answer, -1 for a wrong one, and for a refusal, right or not, what its
    steps are worth; under ``constant`` 0, and under ``none`` -1."""
    right, no = np.asarray(correct, np.bool_), np.asarray(refused, np.bool_)
    worth = {"constant": 0.0, "none": WRONG}.get(rule)
    given = refusal_reward(steps, c1, c2) if worth is None else worth
    return np.where(no, given, np.where(right, RIGHT, WRONG))


def rewarded(groups: Groups, said: Replies, c1: float, c2: float, *, rule: Rule, stream: Stream) -> Groups:
    """The same groups with these rewards as scores; statuses, what counts as right and unknown verdicts stay.

    Under ``shuffled`` the steps of the refusals are permuted among them first: as a control, their rewards
    are the same and tell nothing.
    """
    steps = said.steps.copy()
    if rule == "shuffled":
        steps[said.refused] = stream.generator().permutation(steps[said.refused])
    values = rewards(said.correct, said.refused, steps, c1, c2, rule=rule)
    rest = iter(values.tolist())

    def one(verdict: Verdict) -> Verdict:
        score = next(rest)
        if verdict.status.unknown:
            return verdict
        return replace(verdict, score=score, parts={**verdict.parts, "correct": float(verdict.correct)})

    return groups.with_verdicts([[one(v) for v in row.judged] for row in groups.columns])
