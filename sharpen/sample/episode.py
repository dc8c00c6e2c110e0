"""What came out: token ids are the truth, text is a view of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sharpen.runs.streams import Stream
from sharpen.sample.law import SamplingLaw

Ids = NDArray[np.int32]
Floats = NDArray[np.float32]


class Finish(StrEnum):
    """Why a sampled span ended, told by the engine and never guessed from ids."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"
    ENV = "env"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Request:
    """One completion asked of an engine.

    Attributes:
        tokens: prompt ids, int32 ``(P,)``, P >= 1, any assistant prefill included.
        stream: names this completion's draws.
        law: how to sample.
        max_new_tokens: at most this many sampled tokens (the end token counts).
        eos_ids: ids that end the completion; the one sampled is part of it.
        stop: strings that end the completion when its decoded text contains one; tokens up to and
            including the one that completes the string are kept.
    """

    tokens: Ids
    stream: Stream
    law: SamplingLaw
    max_new_tokens: int
    eos_ids: tuple[int, ...]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine returns for a request; all arrays have one entry a sampled token.

    Attributes:
        tokens: sampled ids, int32 ``(T,)``, the end token included.
        logprobs: under the law, float32, nats (0 where greedy).
        raw_logprobs: under the untouched model (temperature 1, nothing cut), float32, nats.
        entropy: of the raw next-token distribution, float32, nats.
        certainty: self-certainty ``logsumexp(z) - mean(z) - log V`` over the whole vocabulary,
            float32, nats: KL(uniform || p) (arXiv 2502.18581).
        kept: where the law truncates, the ids with non-zero probability at each position.
        finish: why it ended.
    """

    tokens: Ids
    logprobs: Floats
    raw_logprobs: Floats
    entropy: Floats
    certainty: Floats
    finish: Finish
    kept: tuple[Ids, ...] | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A run of tokens by one author.

    Attributes:
        role: ``prompt``, ``prefill``, ``assistant``, ``tool``, ``env``. A ``prompt`` begins a sequence of its
            own; what follows continues it, token by token.
        seat: whose turn it is in a game; ``""`` when there is one agent.
        trainable: whether a learner may put weight on it.
        tokens: int32 ``(T,)``.
        sampled: the completion it came from, None for authored text.
        version: policy version that sampled it, ``""`` for authored text.
        turn: the turn it belongs to, counted over all seats of the episode from 0.
    """

    role: str
    tokens: Ids
    trainable: bool = False
    seat: str = ""
    sampled: Completion | None = None
    version: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Episode:
    """One agent's attempt at one task: its turns, in order. Several agents in one game have an episode each.

    Attributes:
        key: ``<step key>/<task id>/<sample>``, unique in a run.
        task_id: the task attempted.
        sample: index among the attempts at that task, from 0.
        spans: prompt first.
        finish: of the last sampled span.
        text: decoded trainable text without end tokens; for verifiers and eyes only.
        prefill: decoded assistant prefill that precedes ``text`` (``""`` without one).
    """

    key: str
    task_id: str
    sample: int
    spans: tuple[Span, ...]
    finish: Finish
    text: str
    prefill: str = ""

    @property
    def tokens(self) -> Ids:
        """All ids in order, int32 ``(sum T,)``."""
        return np.concatenate([s.tokens for s in self.spans])

    @property
    def n_sampled(self) -> int:
        """How many tokens a policy sampled."""
        return sum(len(s.tokens) for s in self.spans if s.sampled is not None)

    @property
    def sequences(self) -> list[tuple[Span, ...]]:
        """The spans, cut before every prompt: each part is one sequence as the model saw it."""
        starts = [i for i, s in enumerate(self.spans) if s.role == "prompt" or i == 0]
        return [self.spans[a:b] for a, b in zip(starts, [*starts[1:], len(self.spans)], strict=True)]


@dataclass(frozen=True, slots=True)
class Annotation:
    """Teacher-forced scores of given text; entry t belongs to token t, entry 0 is 0.

    Attributes are as in ``Completion``; ``hidden`` is float32 ``(layers, T, H)`` where asked for.
    """

    logprobs: Floats
    raw_logprobs: Floats
    entropy: Floats
    certainty: Floats
    hidden: NDArray[np.float32] | None = field(default=None)
