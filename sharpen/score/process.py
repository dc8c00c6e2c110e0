"""Process rewards: how good the steps are, beside whether the answer is right (B-STaR, arXiv 2412.17256).

Step labels follow Math-Shepherd's hard estimate (arXiv 2312.08935): a step is good when some completion
from the text up to it is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import Stream
from sharpen.sample.episode import Episode, Finish
from sharpen.score.group import Group, completion_text
from sharpen.score.verdict import Verdict
from sharpen.score.verify import Closes, Prepares, Verifier
from sharpen.tasks.task import Task

UNFINISHED = -1.0
"""Process reward of a response without end of sequence."""


class ProcessReward(Protocol):
    """Scores an episode's steps with one number in [-1, 1]."""

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    def __call__(self, *, task: Task, episode: Episode) -> float: ...


@runtime_checkable
class ChecksSteps(Protocol):
    """A task source that can say of each written step whether it is valid."""

    name: str

    @property
    def spec(self) -> dict[str, Any]: ...
    def steps(self, task: Task, completion: str) -> list[bool]: ...


def ended(episode: Episode) -> bool:
    """Whether the model ended the response itself (end token or stop string)."""
    return episode.finish in (Finish.EOS, Finish.STOP)


def noisy_step_score(valid: Sequence[bool], *, flip: float, sd: float, stream: Stream) -> float:
    """The stand-in step scorer of B-STaR's scaled-down testbed: ``clip(v + noise, -1, 1)``.

    ``v`` is 1 where every step is valid, else -1 (also where there is no step), its sign flipped with
    probability ``flip``; the noise is Gaussian with standard deviation ``sd``. One stream, two draws.
    """
    rng = stream.generator()
    value = 1.0 if len(valid) and all(valid) else -1.0
    if rng.random() < flip:
        value = -value
    return float(min(max(value + sd * rng.standard_normal(), -1.0), 1.0))


@dataclass(frozen=True)
class NoisyStepChecker:
    """``noisy_step_score`` over a source's own step check, one stream an episode.

    Attributes:
        source: says which steps of a completion are valid.
        stream: parent of the episodes' streams; the episode key names each.
        flip: probability that validity is misread.
        sd: standard deviation of the noise.
    """

    source: ChecksSteps
    stream: Stream
    flip: float = 0.15
    sd: float = 0.3
    name: str = "noisy_steps"

    def __post_init__(self) -> None:
        if not isinstance(self.source, ChecksSteps):
            raise SharpenError(
                f"task source {getattr(self.source, 'name', self.source)!r} cannot check steps"
            )
        if not (0 <= self.flip <= 1 and self.sd >= 0):
            raise SharpenError(f"noisy steps: flip={self.flip}, sd={self.sd} is out of range")

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity; the stream's names are part of it."""
        names = list(self.stream.names)
        return {
            "process": self.name,
            "source": self.source.spec,
            "flip": self.flip,
            "sd": self.sd,
            "stream": names,
        }

    def __call__(self, *, task: Task, episode: Episode) -> float:
        """In [-1, 1]; ``UNFINISHED`` for a response that did not end."""
        if not ended(episode):
            return UNFINISHED
        valid = self.source.steps(task, completion_text(episode))
        return noisy_step_score(valid, flip=self.flip, sd=self.sd, stream=self.stream.child(episode.key))


def head_process_reward(logits: Sequence[float], *, finished: bool) -> float:
    """``min(step logits) / 5`` clamped to [-1, 1]; ``UNFINISHED`` without end of sequence or steps.

    The clamp is ours; the released code has none. Raises NotFinite for a NaN or infinite logit.
    """
    if not all(math.isfinite(x) for x in logits):
        raise NotFinite("a step score is not finite")
    if not finished or not len(logits):
        return UNFINISHED
    return float(min(max(min(logits) / 5.0, -1.0), 1.0))


def compose(correct: Verdict, process: float) -> Verdict:
    """The two rewards as one verdict: ``score = correct + process`` in [-1, 2], both kept as parts.

    An unknown outcome stays unknown: its score is 0 and only the process part is kept.
    """
    if not -1.0 <= process <= 1.0:
        raise SharpenError(f"process reward {process} is outside [-1, 1]")
    if correct.status.unknown:
        return replace(correct, parts={"process": process})
    right = float(correct.correct)
    return replace(correct, score=right + process, parts={"correct": right, "process": process})


@dataclass(frozen=True)
class WithProcess:
    """A verifier whose reward is another's correctness plus a process reward."""

    outcome: Verifier
    process: ProcessReward

    @property
    def name(self) -> str:
        return f"{self.outcome.name}+{self.process.name}"

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": "with_process", "outcome": self.outcome.spec, "process": self.process.spec}

    def prepare(self, groups: Sequence[Group]) -> None:
        """Let both parts judge these groups at once, where they can."""
        for part in (self.outcome, self.process):
            if isinstance(part, Prepares):
                part.prepare(groups)

    def close(self) -> None:
        """End the outcome's processes, where it has any."""
        if isinstance(self.outcome, Closes):
            self.outcome.close()

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        outcome = self.outcome(task=task, episode=episode)
        process = self.process(task=task, episode=episode)
        if not math.isfinite(process):
            raise NotFinite(f"process reward {self.process.name!r} gave {process} on task {task.id!r}")
        return replace(compose(outcome, process), by=self.name)


def step_labels(continuations: Sequence[Sequence[bool | None]]) -> list[bool | None]:
    """Monte-Carlo labels: ``continuations[t]`` tells of each completion from the text up to step t whether
    it was right (None: unknown). A step is good if any was; None (to be masked) where none is known."""
    labels: list[bool | None] = []
    for outcomes in continuations:
        known = [o for o in outcomes if o is not None]
        labels.append(any(known) if known else None)
    return labels
