"""vLLM as an engine, with the real package (``make test-outside-vllm``): weights, cache and seats."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from sharpen.errors import NotFinite, SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.streams import stream
from sharpen.sample.engines import VllmConfig
from sharpen.sample.episode import Request
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Adapter
from sharpen.sample.vllm_engine import VllmEngine
from tests.shapes import EOS, SHAPES, tiny
from tests.tiny import finished, settings, steps

vllm = pytest.importorskip("vllm")
PARTS = {"llama": ("embed", "norm", "attn", "mlp"), "qwen2": ("lm_head",), "gpt2": ("wte", "wpe", "attn")}


@pytest.fixture(scope="module")
def engine():
    return VllmEngine()


def requests(n=8, new=12, law=None):
    draw = stream("vllm").generator()
    prompts = [draw.integers(4, 60, length).astype(np.int32) for length in (1, 40, 14, 200)]
    return [Request(prompts[i % 4], stream("v", i), law or SamplingLaw(), new, (EOS,)) for i in range(n)]


def gap(policy, asked, given):
    texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, given, strict=True)]
    notes = NativeEngine().annotate(policy, texts)
    return max(
        np.abs(n.raw_logprobs[len(r.tokens) :] - c.raw_logprobs).max()
        for r, c, n in zip(asked, given, notes, strict=True)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_those_of_the_native_engine(engine, shape):
    policy, asked = tiny(shape, wide=True), requests(24, law=SamplingLaw(temperature=0.9, top_p=0.9))
    own = NativeEngine().generate(policy, asked)
    same = [
        np.array_equal(a.tokens, b.tokens) for a, b in zip(engine.generate(policy, asked), own, strict=True)
    ]
    assert np.mean(same) >= 0.9  # rounding may tip a draw


@pytest.mark.parametrize("shape", PARTS)
def test_new_weights_reach_every_part_of_the_model(engine, shape):
    policy, asked = tiny(shape, wide=True), requests()
    engine.generate(policy, asked)
    for part in PARTS[shape]:
        weights = {k: 1.05 * w if part in k else w for k, w in policy.weights.items()}
        changed = policy.with_weights(weights, f"{shape}-{part}")
        given = engine.generate(changed, asked)
        assert gap(changed, asked, given) <= 1e-4, part
        assert gap(policy, asked, given) > 1e-3, part
    assert gap(policy, asked, engine.generate(policy, asked)) <= 1e-4


def test_an_adapter_is_merged_into_what_samples(engine):
    policy, asked = tiny("llama", wide=True), requests()
    name = "model.layers.0.mlp.up_proj"
    _, into = policy.weights[f"{name}.weight"].shape
    tensors = {
        f"base_model.model.{name}.lora_A.weight": policy.weights["model.norm.weight"].repeat(2, 1)[:, :into],
        f"base_model.model.{name}.lora_B.weight": policy.weights[f"{name}.weight"][:, :2].contiguous(),
    }
    adapted = policy.with_adapter(Adapter({"r": 2, "lora_alpha": 4}, tensors), "adapted")
    given = engine.generate(adapted, asked)
    assert gap(adapted, asked, given) <= 1e-4 < gap(policy, asked, given)


def test_policies_take_turns_and_no_prefix_answers_for_another(engine):
    a = tiny("llama", wide=True)
    b = a.with_weights({k: -w for k, w in a.weights.items()}, "negative")
    asked = requests()  # one prompt is longer than a page of the cache
    for policy in (a, b, a, b):
        assert gap(policy, asked, engine.generate(policy, asked)) <= 1e-4


def test_requests_that_were_put_back_keep_what_they_had(monkeypatch):
    policy, asked = tiny("llama", wide=True), requests(24, new=50)
    want = NativeEngine().generate(policy, asked)
    # few pages: not all that were let in can stay
    monkeypatch.setattr(vllm, "LLM", partial(vllm.LLM, num_gpu_blocks_override=6))
    engine = VllmEngine()
    for a, b in zip(engine.generate(policy, asked), want, strict=True):
        assert np.array_equal(a.tokens, b.tokens)
        assert np.abs(a.raw_logprobs - b.raw_logprobs).max() <= 1e-4


def test_logits_that_are_not_numbers_are_named_and_the_engine_goes_on(engine):
    policy, asked = tiny("llama", wide=True), requests()
    weights = {k: w * (np.inf if k == "model.norm.weight" else 1) for k, w in policy.weights.items()}
    engine.generate(policy, asked)
    with pytest.raises(NotFinite, match="policy broken: logits of v/"):
        engine.generate(policy.with_weights(weights, "broken"), asked)
    assert gap(policy, asked, engine.generate(policy, asked)) <= 1e-4


def test_a_run_agrees_and_a_dropped_update_stops_it(tmp_path, monkeypatch):
    execute("online_rft", settings("online_rft", "engine=vllm"), tmp_path / "run")
    gaps = [s["result"]["logprob_gap"] for s in steps(tmp_path / "run", "sample").values()]
    assert max(gaps) < 1e-5
    versions = [s["inputs"]["policy"] for s in steps(tmp_path / "run", "sample").values()]
    own = steps(finished("online_rft"), "sample")
    assert versions[0] == next(iter(own.values()))["inputs"]["policy"]
    monkeypatch.setattr(VllmEngine, "_push", lambda *_: None)
    with pytest.raises(SharpenError, match="does not sample from policy"):
        execute("online_rft", settings("online_rft", "engine=vllm"), tmp_path / "stale")


def test_settings_are_said_to_vllm():
    engine = VllmEngine(VllmConfig(batch=2, dtype="bfloat16"))
    policy, asked = tiny("llama", wide=True), requests(6)
    given = engine.generate(policy, asked)
    assert 1e-4 < gap(policy, asked, given) < 0.5
    assert engine.rounding == 0.05
