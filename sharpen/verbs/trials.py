"""What a recipe hands to the verbs of efficiency steering, torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.sample.law import SamplingLaw
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking, Reward

POOLS = ("last", "mean_reasoning", "matched")
"""Where in a trace its state is taken: at the last token (the end token included), over the reasoning, or
at the ends of its first m steps, m being how many the shorter of the pair has (the same step indices in
both)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a policy is tried: ``n`` samples of each task of a source under a law."""

    tasks: Sequence[Task]
    source: str
    n: int
    law: SamplingLaw
    asking: Asking
    reward: Reward
