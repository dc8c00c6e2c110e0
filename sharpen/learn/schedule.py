"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate(
    step: int,
    *,
    schedule: Schedule,
    lr: float,
    min_lr: float = 0.0,
    warmup_steps: int = 0,
    total_steps: int = 0,
) -> float:
    """The learning rate of update ``step`` (0 is the first).

    The first ``warmup_steps`` updates rise in equal parts to ``lr`` (update ``warmup_steps - 1`` has it),
    then ``constant`` stays, ``linear`` and ``cosine`` fall to ``min_lr`` (to ``lr`` where that is lower: a
    schedule never rises), reached at update ``total_steps`` and kept after it.
    """
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    if schedule == "constant":
        return lr
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    left = 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    floor = min(min_lr, lr)
    return floor + (lr - floor) * left
