"""What every engine can do, whatever runs underneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sharpen.sample.episode import Annotation, Completion, Ids, Request
from sharpen.sample.forward import Kept
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy

Progress = Callable[[int, int], None]
"""Called now and then with the tokens sampled and the completions finished so far."""


class Engine(Protocol):
    """Samples from policies and scores given text under them."""

    @property
    def exact(self) -> bool:
        """Whether a completion's bits depend on its request and policy alone."""
        ...

    @property
    def rounding(self) -> float | None:
        """How far the log-probabilities of sampled tokens may be from the policy's own forward pass, nats,
        mean over tokens; beyond it the engine is not sampling from that policy. None: they are its own."""
        ...

    def generate(
        self,
        policy: Policy,
        requests: Sequence[Request],
        *,
        batch: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[Completion]:
        """One completion a request, in their order.

        Args:
            batch: how many are sampled at a time, None for the engine's choice. Where ``exact``, it
                changes nothing but the speed.

        Raises:
            SharpenError: a request that the model cannot take, named by its stream.
            NotFinite: logits that are not numbers, with the policy's version and the stream.
        """
        ...

    def annotate(
        self,
        policy: Policy,
        sequences: Sequence[Ids],
        *,
        law: SamplingLaw | None = None,
        kept: Sequence[Kept | None] | None = None,
        hidden: bool = False,
    ) -> list[Annotation]:
        """Score given text token by token.

        Args:
            sequences: ids, ``(T,)`` each, T >= 1 and at most the context.
            law: under which ``logprobs`` are; without penalties.
            kept: for each sequence the sets to replay, one entry a token (None: nothing was cut), or
                None to let the law cut anew.
            hidden: also return the hidden states after each layer.
        """
        ...


def complete(engine: Engine, policy: Policy, requests: Sequence[Request]) -> list[Completion | None]:
    """One completion a request, in their order; None where the engine dropped one although it was asked
    again. Which one is missing is only known by asking one by one."""
    found = engine.generate(policy, requests)
    if len(found) == len(requests):
        return list(found)
    return [next(iter(engine.generate(policy, [request])), None) for request in requests]
