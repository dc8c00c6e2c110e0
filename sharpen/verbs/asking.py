"""What a recipe hands to the verbs: small values, torch-free, that name questions and how they are put."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sharpen.sample.law import SamplingLaw
from sharpen.score.refusal import Refusals


@dataclass(frozen=True, slots=True)
class Asking:
    """How a question becomes a request.

    Attributes:
        max_new_tokens: the longest answer, end token included.
        system: system prompt; ``""`` for none.
        prefill: text that the answer starts with; ``""`` for none.
        template: ``auto``, ``chat`` or ``plain``, see ``sharpen.sample.text.render``.
        few_shot: worked examples put before the question.
        stop: strings that end an answer.
    """

    max_new_tokens: int = 64
    system: str = ""
    prefill: str = ""
    template: Literal["auto", "chat", "plain"] = "auto"
    few_shot: tuple[tuple[str, str], ...] = ()
    stop: tuple[str, ...] = ()

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {**asdict(self), "few_shot": [list(pair) for pair in self.few_shot], "stop": list(self.stop)}


@dataclass(frozen=True, slots=True)
class Questions:
    """Training questions: ``pool`` distinct ones of a split, ``per_round`` of them a round.

    Rounds walk through the pool in a shuffled order; each time through has its own.
    """

    tasks: str
    pool: int
    per_round: int
    split: str = "train"


@dataclass(frozen=True, slots=True)
class Exam:
    """Held-out questions: the first ``n`` of a split, answered once greedily; the first ``sampled`` of them
    also ``samples`` times at temperature 1."""

    tasks: str
    n: int
    sampled: int
    samples: int
    split: str = "test"


@dataclass(frozen=True, slots=True)
class Reward:
    """Who judges: a verifier by name, and a process reward on top of it.

    Attributes:
        verifier: ``source`` (the task source's own check), or a rule that compares final
            answers: ``exact``, ``number``, ``choice``, ``set``, ``sequence``, ``maths``; or ``code``; or
            ``format:PIECES``, see ``sharpen.score.format``; or ``stated:NAME``, which is NAME on texts
            without their stated confidence; or ``thought:NAME``, which is NAME behind ``</think>``; or
            ``module:function``.
        process: ``none``, ``noisy_steps`` (the source's step check, misread at random) or ``head`` (a
            trained step scorer).
        flip, sd: the noise of ``noisy_steps``.
        unsafe: let ``code`` run although a fork bomb cannot be held on this machine.
        refusals: what counts as declining to answer, then neither right nor unparsable; None: nothing does.
    """

    verifier: str = "source"
    process: Literal["none", "noisy_steps", "head"] = "none"
    flip: float = 0.15
    sd: float = 0.3
    unsafe: bool = False
    refusals: Refusals | None = None


@dataclass(frozen=True, slots=True)
class Practice:
    """What a round of reinforcement learning attempts.

    Attributes:
        questions: where its questions come from.
        samples: attempts a question.
        law: how they are sampled.
        reward: who judges them.
        refill: at most so many further samplings, each of as many new questions as there are dead groups
            (DAPO's dynamic sampling, arXiv 2503.14476, bounded).
        shuffled: control: the verdicts of each sampling are permuted over all its attempts.
    """

    questions: Questions
    samples: int
    law: SamplingLaw
    reward: Reward
    refill: int = 0
    shuffled: bool = False
