"""Each technique turned off alone: how much it gains, and that it changes no result.

A technique is measured in one process that does the same work with and without it in turns. What a technique
promises about results is checked in every repeat: the same bits, or the same to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import w1_rollouts
import w3_signals
import w4_sft
from measuring import HERE, OURS, Clock, Side, once, run_side, summary
from workload import Job

ROUNDING = 1e-5
"""By how much log-probabilities or losses may differ where only rounding is promised."""
Work = Callable[[bool], np.ndarray]
"""Does the work with the technique (True) or without; gives the numbers that must not change."""


def work_of(name: str, job: Job) -> Work:
    """What the technique ``name`` is measured on."""
    from sharpen.sample.policy import load_policy

    return TECHNIQUES[name](load_policy(job["model"]), job)


# sampling -----------------------------------------------------------------------------------------
def numbers(completions: Any) -> np.ndarray:
    """Tokens and log-probabilities, end to end."""
    parts = [np.concatenate([c.tokens.astype(np.float64), c.logprobs, c.entropy]) for c in completions]
    return np.concatenate(parts)


def engine_option(option: str) -> Callable[[Any, Job], Work]:
    """A technique that the engine has a switch for."""

    def make(policy: Any, job: Job) -> Work:
        from sharpen.sample.native import NativeEngine

        def work(on: bool) -> np.ndarray:
            engine = NativeEngine(**{option: on})
            asked = w1_rollouts.requests(policy, job)
            return numbers(engine.generate(policy, asked, batch=job.get("batch")))

        return work

    return make


def cached(policy: Any, job: Job) -> Work:
    """Off: every token puts its whole sequence through the model again."""
    from sharpen.sample.native import NativeEngine

    def work(on: bool) -> np.ndarray:
        asked = w1_rollouts.requests(policy, job)
        if on:
            return np.concatenate([c.raw_logprobs for c in NativeEngine().generate(policy, asked)])
        return recomputed(policy, asked)

    return work


def recomputed(policy: Any, asked: Any) -> np.ndarray:
    """Log-probabilities of completions sampled without a cache, from the same random numbers."""
    import torch

    from sharpen.sample.decode import draw
    from sharpen.sample.forward import head_logits, packed_hidden

    module = policy.module()
    texts = [r.tokens.tolist() for r in asked]
    uniforms = [r.stream.generator().random(r.max_new_tokens) for r in asked]
    told: list[list[float]] = [[] for _ in asked]
    alive = list(range(len(asked)))
    with torch.inference_mode():
        while alive:
            sequences = [torch.tensor(texts[i]) for i in alive]
            ends = np.cumsum([len(s) for s in sequences]) - 1
            logits = head_logits(module, packed_hidden(module, sequences)[ends])
            given = np.array([uniforms[i][len(told[i])] for i in alive])
            drawn = draw(logits, asked[0].law, given, None)
            for i, token, value in zip(alive, drawn.ids.tolist(), drawn.raw_logprobs.tolist(), strict=True):
                texts[i].append(token)
                told[i].append(value)
            alive = [
                i
                for i in alive
                if texts[i][-1] not in asked[i].eos_ids and len(told[i]) < asked[i].max_new_tokens
            ]
    return np.concatenate(told)


def small_pieces(policy: Any, job: Job) -> Work:
    """Signals of a large vocabulary in pieces that stay in a core's cache; off: all rows at once."""
    from sharpen.sample import decode
    from sharpen.sample.native import NativeEngine

    def work(on: bool) -> np.ndarray:
        kept = decode._CACHED
        decode._CACHED = kept if on else 1 << 40
        try:
            return numbers(NativeEngine().generate(policy, w1_rollouts.requests(policy, job)))
        finally:
            decode._CACHED = kept

    return work


def signals(policy: Any, job: Job) -> Work:
    """Signals from the same logits as the sample; off: a second forward pass over what was sampled."""
    from sharpen.sample.native import NativeEngine

    engine = NativeEngine()

    def work(on: bool) -> np.ndarray:
        done = w3_signals.decoded(engine, policy, {**job, "signals": "with" if on else "second pass"})
        return np.concatenate([c.tokens for c in done])

    return work


# learning -----------------------------------------------------------------------------------------
def learnt(policy: Any, job: Job, off: Callable[[], Any], **config: Any) -> Work:
    """Losses and gradient norms of a learn step; in the context ``off`` the technique is not used."""
    from sharpen.learn.sft import SFT

    rows = w4_sft.rows_of(job)

    def work(on: bool) -> np.ndarray:
        with nullcontext() if on else off():
            _, metrics = w4_sft.trained({**job, **config}, rows, SFT(), policy=policy)
        return np.array([m[name] for m in metrics for name in ("loss", "grad_norm")])

    return work


def packing(policy: Any, job: Job) -> Work:
    """Sequences end to end; off: padded to the longest of the micro-batch."""
    return learnt(policy, job, padded)


@contextmanager
def padded() -> Iterator[None]:
    """Inside, the learner's forward pads."""
    from sharpen.learn import objective

    with apart(), patch.object(objective, "packed_hidden", padded_hidden):
        yield


def padded_hidden(module: Any, sequences: Any, _: Any) -> Any:
    """As ``packed_hidden``, by a batch padded on the right."""
    import torch

    from sharpen.sample.attention import Causal
    from sharpen.sample.forward import decoder

    lengths = [len(s) for s in sequences]
    ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    positions = torch.arange(ids.shape[1]).expand(len(ids), -1)
    out = decoder(module)(ids, position_ids=positions, use_cache=False, attend=Causal()).last_hidden_state
    return torch.cat([row[:n] for row, n in zip(out, lengths, strict=True)])


def chunked(policy: Any, job: Job) -> Work:
    """Log-probabilities of a large vocabulary in chunks that the backward pass makes again; off: at once."""
    return learnt(policy, job, whole, tokens_per_microbatch=1 << 20)


def whole() -> AbstractContextManager[Any]:
    """Inside, the logits of a micro-batch are alive together."""
    from sharpen.learn import objective

    return patch.object(objective, "CHUNK", 1 << 60)


def alike(policy: Any, job: Job) -> Work:
    """Rows of the same tokens go through the model once; off: each of them."""
    job = {**job, "examples": [e for e in job["examples"][::4] for _ in range(4)]}
    return learnt(policy, job, one_by_one)


def one_by_one() -> AbstractContextManager[Any]:
    """Inside, every row is taken for another one."""
    from sharpen.learn import objective

    return patch.object(objective, "distinct", lambda rows: (list(rows), list(range(len(rows)))))


def shared(policy: Any, job: Job) -> Work:
    """A prompt goes through the model once for the answers to it; off: once for each. Eight answers to each
    prompt, half of each example."""
    given, examples = job["examples"], []
    for at in range(0, len(given) - 7, 8):
        prompt = given[at][: len(given[at]) // 2]
        examples += [(prompt, e[len(e) // 2 :]) for e in given[at : at + 8]]
    cuts = [len(prompt) for prompt, _ in examples]
    job = {**job, "examples": [prompt + answer for prompt, answer in examples], "cuts": cuts}
    return learnt(policy, job, apart)


def apart() -> AbstractContextManager[Any]:
    """Inside, no prompt is shared."""
    from sharpen.learn import objective
    from sharpen.learn.rows import laid

    return patch.object(objective, "laid", lambda rows, **_: laid(rows, shared=False))


TECHNIQUES: dict[str, Callable[[Any, Job], Work]] = {
    "group-shared prefill": engine_option("share"),
    "cache": cached,
    "refill": engine_option("refill"),
    "compaction": engine_option("compact"),
    "a batch a core": engine_option("split"),
    "large weights laid out": engine_option("lay_out"),
    "signals from the sampled logits": signals,
    "signals in small pieces": small_pieces,
    "packing": packing,
    "equal rows once": alike,
    "shared-prefix learning": shared,
    "chunked log-probabilities": chunked,
}
EXACT = {
    "group-shared prefill",
    "refill",
    "compaction",
    "a batch a core",
    "signals from the sampled logits",
    "signals in small pieces",
}
"""Those that change no bit; the others change rounding alone."""


def job(name: str, smoke: bool) -> Job:
    """The work on which a technique shows: long prompts for sharing, few slots for refilling, ..."""
    rollouts = {
        "group-shared prefill": {"prompts": (16, 256, 256), "samples": 8, "new": 16},
        "cache": {"prompts": (4, 24, 40), "samples": 8, "new": 48},
        "a batch a core": {"prompts": (32, 24, 40), "samples": 8, "new": 96},
    }
    shape = rollouts.get(name, {"prompts": (16, 24, 40), "samples": 8, "new": 96})
    given = w1_rollouts.job(smoke, 0, **shape)
    if name in ("signals in small pieces", "chunked log-probabilities"):
        given["model"] = w3_signals.wide(smoke, 0, 1)["model"]
        given["max_new_tokens"] = 6 if smoke else 32
    if name == "refill":
        given["batch"] = 2 if smoke else 32
    examples = w4_sft.job(smoke, 0, 5 if smoke else 20)["examples"]
    # so small a learning rate that rounding does not grow from update to update
    learning = {"examples": examples, "batch_rows": 2 if smoke else w4_sft.BATCH, "lr": 1e-7}
    return {**learning, "tokens_per_microbatch": 4096, **given}


def main(job: Job) -> dict[str, Any]:
    """One technique, with and without in turns."""
    work = work_of(job["technique"], job)
    told: dict[str, Any] = {"on": [], "off": [], "largest_difference": 0.0}
    work(True)
    for _ in range(job["repeats"]):
        found = []
        for name in ("on", "off"):
            clock = Clock()
            found.append(work(name == "on"))
            told[name].append(clock.read()["seconds"])
        told["largest_difference"] = max(told["largest_difference"], difference(*found))
    return told


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest one; infinite where the two are not of one length."""
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def kept_promise(name: str, largest: float) -> bool:
    """Whether results stayed as promised."""
    return largest == 0.0 if name in EXACT else largest <= ROUNDING


def measure(smoke: bool, repeats: int, threads: int) -> dict[str, Any]:
    """All techniques."""
    found = {}
    for name in TECHNIQUES:
        given = {**job(name, smoke), "technique": name, "repeats": repeats}
        run = once(Side(OURS, HERE / "techniques.py"), given, threads=threads)
        run["kept"] = kept_promise(name, run["largest_difference"])
        gain = summary([b / a for a, b in zip(run["on"], run["off"], strict=True)])
        print(f"{name:<32} {gain.median:.2f}x ({gain.low:.2f} to {gain.high:.2f}), results "
              f"{'as promised' if run['kept'] else 'DIFFER'}", flush=True)  # fmt: skip
        found[name] = run
    return {"techniques": found}


if __name__ == "__main__":
    run_side(main)
