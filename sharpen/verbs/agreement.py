"""Whether an engine samples from the weights that it was given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sharpen.errors import SharpenError
from sharpen.measure.diversity import logprob_gap
from sharpen.sample.engine import Engine
from sharpen.sample.episode import Episode
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Policy

CHECKED = 16
"""Attempts of a step that are scored again."""


def agreement(engine: Engine, policy: Policy, law: SamplingLaw, episodes: Sequence[Episode]) -> float | None:
    """The mean absolute difference, nats a token, between what ``engine`` said of the tokens that it sampled
    and the policy's own forward pass over them. None where the engine cannot be wrong about that, or says
    nothing of log-probabilities.

    Raises:
        SharpenError: the difference is more than the engine's rounding: it samples from other weights, as
            after a weight update that never reached it or a stale prefix cache.
    """
    if engine.rounding is None:
        return None
    told = [(e.tokens, s.sampled) for e in episodes[:CHECKED] for s in e.spans[-1:] if s.sampled is not None]
    raw = all(np.isfinite(sampled.raw_logprobs).all() for _, sampled in told)
    under = SamplingLaw() if raw else law
    said = np.concatenate([s.raw_logprobs if raw else s.logprobs for _, s in told])
    if not len(said) or not np.isfinite(said).all() or under.greedy or under.penalises or under.truncates:
        return None
    notes = NativeEngine().annotate(policy, [tokens for tokens, _ in told], law=under)
    own = np.concatenate([n.logprobs[-len(s.tokens) :] for n, (_, s) in zip(notes, told, strict=True)])
    gap, _ = logprob_gap(said, own)
    if not gap <= engine.rounding:
        raise SharpenError(
            f"{type(engine).__name__} does not sample from policy {policy.version}: its log-probabilities "
            f"are {gap:.2g} nats a token from the policy's own, {engine.rounding:g} would be rounding. Did "
            "new weights not reach it?"
        )
    return gap
