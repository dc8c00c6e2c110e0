"""W3, signals: log-probability, entropy and self-certainty of the whole vocabulary for every sampled token.

All sides are our engine: with signals, as it always is; the same decode without them; and without them
followed by a second forward pass over what was sampled, as published code computes them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import inputs
import numpy as np
import w1_rollouts
from measuring import Clock, Side, run_side
from peers.side import counts, warm
from w1_rollouts import requests
from workload import HERE, Job, Workload, ours

VOCABULARY = 32_768


def without_signals() -> AbstractContextManager[Any]:
    """Inside, the engine's rows draw tokens alone: the same ids, zeros for numbers."""
    from sharpen.sample import rows

    return patch.object(rows, "draw", bare)


def bare(logits: Any, law: Any, uniforms: Any, history: Any) -> Any:
    """``decode.draw`` at temperature 1 without its signals, in the same pieces and by the same arithmetic."""
    import torch

    from sharpen.sample import decode

    assert not law.spec
    assert history is None
    size = max(8, decode._CACHED // logits.shape[1] // 8 * 8)
    ids = []
    for at in range(0, len(logits), size):
        z = logits[at : at + size]
        z -= z.amax(-1, keepdim=True)
        ids.append(decode.inverse(torch.softmax(z, -1), uniforms[at : at + size])[0])
    nothing = np.zeros(len(logits), np.float32)
    return decode.Drawn(torch.cat(ids).int().numpy(), nothing, nothing, nothing, nothing, None)


def decoded(engine: Any, policy: Any, job: Job) -> list[Any]:
    """Sample as the job's ``signals`` says."""
    asked = requests(policy, job)
    if job["signals"] == "with":
        return engine.generate(policy, asked)
    with without_signals():
        done = engine.generate(policy, asked)
    if job["signals"] == "second pass":
        texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, done, strict=True)]
        engine.annotate(policy, texts)
    return done


def main(job: Job) -> dict[str, Any]:
    """One of the three."""
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.policy import load_policy

    policy, engine = load_policy(job["model"]), NativeEngine()
    decoded(engine, policy, warm(job))
    clock = Clock()
    done = decoded(engine, policy, job)
    spent = clock.read()
    work = counts(job, [c.tokens for c in done])
    work["checksum"] = int(sum(int(c.tokens.sum()) for c in done))
    return {**spent, "unit": "tokens", "work": work, "exact": engine.exact}


def small(smoke: bool, repeat: int, repeats: int) -> Job:
    """W1's work."""
    return w1_rollouts.job(smoke, repeat, prompts=(32, 24, 40), samples=8, new=96)


def wide(smoke: bool, repeat: int, repeats: int) -> Job:
    """The same with a large head, and half as long, as nothing ends of itself."""
    given = w1_rollouts.job(smoke, repeat, prompts=(32, 24, 40), samples=8, new=48)
    name, shape = ("smoke-wide", inputs.SMOKE) if smoke else ("wide", inputs.SMALL)
    return {**given, "model": str(inputs.model(name, shape, vocabulary=VOCABULARY))}


SCRIPT = HERE / "w3_signals.py"
PEERS = (
    Side("without signals", SCRIPT, settings={"signals": "none"}),
    Side("a second forward pass", SCRIPT, settings={"signals": "second pass"}),
)
SAME = (*w1_rollouts.SAME, "tokens", "checksum")
FREE = {"without signals": 0.95}
"""Less than 5 % of the time."""

REPEATS = 9
"""A cost of a twentieth is hard to tell on a machine whose speed wanders by a tenth."""

W3 = Workload(
    "W3",
    "signals of every sampled token, W1's work",
    small,
    ours("w3_signals.py", signals="with"),
    PEERS,
    FREE,
    SAME,
    repeats=REPEATS,
    together=True,
)
W3V = Workload(
    "W3v",
    "the same with a vocabulary of 32,768, up to 48 new tokens",
    wide,
    ours("w3_signals.py", signals="with"),
    PEERS,
    FREE,
    SAME,
    repeats=REPEATS,
    together=True,
)

if __name__ == "__main__":
    run_side(main)
