"""What a verifier says of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

On = Literal["episode", "seat", "turn", "step", "pair"]


class Status(StrEnum):
    """How the judging went."""

    OK = "ok"
    # the model's doing: wrong in accuracy
    UNPARSABLE = "unparsable"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    INVALID_MOVE = "invalid_move"
    # the verifier's doing: unknown, left out of learning, not correct in the headline
    TIMEOUT = "timeout"
    CRASH = "crash"
    BAD_GOLD = "bad_gold"
    ABSTAIN = "abstain"

    @property
    def unknown(self) -> bool:
        """True where the verifier, not the answer, is why there is no score."""
        return self in _UNKNOWN


_UNKNOWN = frozenset((Status.TIMEOUT, Status.CRASH, Status.BAD_GOLD, Status.ABSTAIN))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgment.

    Attributes:
        score: the reward, finite; 0.0 where ``status`` is unknown (and then not to be used).
        status: how the judging went.
        by: the verifier's name.
        on: what was judged.
        detail: why, one line for people.
        parts: named components of a composed reward; ``parts["correct"]``, where present, is 1.0 or
            0.0 and is what accuracy counts.
        steps: scores of the single reasoning steps, where the verifier gives them.
    """

    score: float
    status: Status = Status.OK
    by: str = ""
    on: On = "episode"
    detail: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[float, ...] = ()

    @property
    def correct(self) -> bool:
        """Whether it counts as right: the part ``correct`` where there is one, else score >= 1."""
        return not self.status.unknown and self.parts.get("correct", self.score) >= 1.0
