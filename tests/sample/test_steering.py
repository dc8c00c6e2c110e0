"""Activation steering on every shape: which positions it changes, that it leaves nothing behind, and that
what is sampled is what an independent forward pass with hooks of its own says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import stream
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import checksum, load_policy, save_policy
from sharpen.sample.steering import (
    CARD,
    FILE,
    Hooks,
    Steering,
    blocks,
    load_steering,
    save_steering,
    single,
)
from tests.sample.test_conformance import NUMBERS, same
from tests.sample.test_forward import plain
from tests.sample.test_native import MIXED, requests
from tests.shapes import SHAPES, tiny

SCOPES = ("decode", "prefill")


def steering_for(policy, layers=(0, 1), strength=1.0, scope="decode", size=2.0):
    h = policy.config.get_text_config().hidden_size
    draw = stream("steering", policy.name).generator()
    vectors = draw.standard_normal((len(layers), h)).astype(np.float32) * size
    return Steering(policy.version, tuple(layers), vectors, strength, scope)


def hooked(policy, steering, ids, prompt):
    """Logits and block outputs of the library's own model, one unpadded sequence, its hooks written here."""
    module, states = plain(policy), {}

    def hook(layer):
        def change(_, __, output):
            state = (output[0] if isinstance(output, tuple) else output).clone()
            if steering is not None and layer in steering.layers:
                where = slice(prompt, None) if steering.scope == "decode" else slice(0, prompt)
                vector = steering.vectors[steering.layers.index(layer)]
                state[0, where] += steering.strength * torch.from_numpy(vector.copy())
            states[layer] = state[0].clone()
            return (state, *output[1:]) if isinstance(output, tuple) else state

        return change

    for i, block in enumerate(blocks(module)):
        block.register_forward_hook(hook(i))
    with torch.no_grad():
        logits = module(ids[None], use_cache=False).logits[0]
    return logits, states


def test_the_arithmetic_of_one_state():
    """Oracle 1: v = (2, -2), h = (1, 1), lambda = 0.5 gives (2, 0)."""
    module = tiny("llama").module()
    hooks = Hooks(module, single("base", 0, [2.0, -2.0], 0.5))
    before = dict(blocks(module)[0]._forward_hooks)  # the library's own, where it has been asked for states
    with hooks:
        hooks.generated = torch.tensor([[True]])
        (change,) = [h for k, h in blocks(module)[0]._forward_hooks.items() if k not in before]
        assert torch.equal(change(None, None, torch.ones(1, 1, 2)), torch.tensor([[[2.0, 0.0]]]))
        hooks.generated = torch.tensor([[False]])
        assert torch.equal(change(None, None, torch.ones(1, 1, 2)), torch.ones(1, 1, 2))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_strength_0_is_bit_identical_to_no_steering(shape, scope):
    policy = tiny(shape)
    still = policy.steered(steering_for(policy, strength=0.0, scope=scope))
    for laws in ((GREEDY,), MIXED):
        asked = requests(12, laws)
        for a, b in zip(
            NativeEngine().generate(policy, asked), NativeEngine().generate(still, asked), strict=True
        ):
            same(a, b)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_steered_bits_do_not_depend_on_batch_order_refill_or_compaction(shape, scope):
    policy = tiny(shape)
    steered = policy.steered(steering_for(policy, scope=scope))
    asked = requests(24, MIXED)
    want = NativeEngine().generate(steered, asked, batch=24)
    free = NativeEngine().generate(policy, asked, batch=24)
    assert any(not np.array_equal(a.tokens, b.tokens) for a, b in zip(want, free, strict=True))
    order = stream("order").generator().permutation(24)
    for engine, batch, chosen in (
        (NativeEngine(), 7, range(24)),
        (NativeEngine(compact=False), 24, order),
        (NativeEngine(refill=False), 16, order),
        (NativeEngine(), 1, range(0, 24, 9)),
    ):
        got = engine.generate(steered, [asked[i] for i in chosen], batch=batch)
        for i, completion in zip(chosen, got, strict=True):
            same(completion, want[i])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_log_probabilities_equal_an_independent_forward_with_hooks(shape, scope):
    """Prompts of 1 to 60 tokens beside each other, in slots that others leave: each row is steered from its
    own first generated token on."""
    policy = tiny(shape)
    steering = steering_for(policy, scope=scope)
    steered = policy.steered(steering)
    asked = requests(12, (SamplingLaw(), SamplingLaw(temperature=0.6)))
    given = NativeEngine().generate(steered, asked, batch=8)
    texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, given, strict=True)]
    notes = NativeEngine().annotate(steered, texts, prompts=[len(r.tokens) for r in asked])
    for r, c, text, note in zip(asked, given, texts, notes, strict=True):
        n = len(r.tokens)
        logits, _ = hooked(policy, steering, torch.from_numpy(text).long(), n)
        z = logits[n - 1 : -1].double()
        at = torch.arange(len(c.tokens)), torch.from_numpy(c.tokens).long()
        raw = z.log_softmax(-1)
        want = {
            "logprobs": (z / r.law.temperature).log_softmax(-1)[at],
            "raw_logprobs": raw[at],
            "entropy": -(raw.exp() * raw).sum(-1),
            "certainty": z.logsumexp(-1) - z.mean(-1) - np.log(z.shape[1]),
        }
        for name in NUMBERS:
            assert np.abs(getattr(c, name) - want[name].numpy()).max() <= 1e-5, name
            if name != "logprobs":
                assert np.abs(getattr(note, name)[n:] - want[name].numpy()).max() <= 1e-5, name


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_token_is_drawn_as_without_steering_and_the_second_is_not(shape):
    """The prompt's last token goes through our decode loop, and is a prompt position all the same."""
    policy = tiny(shape)
    steered = policy.steered(steering_for(policy))
    asked = [replace(r, eos_ids=(), stop=(), max_new_tokens=4) for r in requests(12)]
    free, moved = (NativeEngine().generate(p, asked) for p in (policy, steered))
    for a, b in zip(free, moved, strict=True):
        assert a.tokens[0] == b.tokens[0]
        for name in NUMBERS:
            assert getattr(a, name)[0] == getattr(b, name)[0]
    assert all(a.entropy[1] != b.entropy[1] for a, b in zip(free, moved, strict=True))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_asked_positions_of_the_asked_layer_change(shape, scope):
    """States while sampling, read in the module: layer 0 moves by the vector where it should and keeps its
    bits elsewhere; with scope=decode no prompt state of any layer moves."""
    policy = tiny(shape)
    steering = steering_for(policy, layers=(0,), scope=scope)
    steered = policy.steered(steering)
    (request,) = [replace(r, eos_ids=(), stop=(), max_new_tokens=6) for r in requests(8)[4:5]]
    prompt = len(request.tokens)
    assert prompt > 1
    (completion,) = NativeEngine().generate(steered, [request])
    text = np.concatenate([request.tokens, completion.tokens])
    (note,) = NativeEngine().annotate(steered, [text], prompts=[prompt], hidden=True)
    (plainly,) = NativeEngine().annotate(policy, [text], hidden=True)
    moved = note.hidden[0] != plainly.hidden[0]
    chosen = np.arange(len(text)) >= prompt if scope == "decode" else np.arange(len(text)) < prompt
    assert not moved[~chosen].any()
    delta = note.hidden[0][chosen] - plainly.hidden[0][chosen]
    assert np.abs(delta - steering.vectors[0]).max() < 1e-5
    if scope == "decode":
        assert np.array_equal(note.hidden[:, :prompt], plainly.hidden[:, :prompt])
    # and an independent pass has the same states
    _, states = hooked(policy, steering, torch.from_numpy(text).long(), prompt)
    assert np.abs(states[0].numpy() - note.hidden[0]).max() < 1e-4


def test_prefill_scope_steers_the_last_prompt_token_too():
    """A prompt of one token is all last token: it never goes through prefill, and is steered."""
    policy = tiny("llama")
    steered = policy.steered(steering_for(policy, scope="prefill"))
    request = replace(requests(8)[0], tokens=np.array([7], np.int32), stop=(), max_new_tokens=1)
    (free,), (moved,) = (NativeEngine().generate(p, [request]) for p in (policy, steered))
    assert free.entropy[0] != moved.entropy[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_left_behind_not_even_by_a_failure(shape):
    policy = tiny(shape)
    steered = policy.steered(steering_for(policy))
    asked = requests(8)
    before = NativeEngine().generate(policy, asked)

    def hooks():
        return [len(b._forward_hooks) for b in blocks(policy.module())]

    clean = hooks()
    NativeEngine().generate(steered, asked)
    assert hooks() == clean

    def fail(tokens, done):
        assert hooks() == [n + 1 for n in clean]  # they are at work
        raise RuntimeError("while sampling")

    with pytest.raises(RuntimeError, match="while sampling"):
        NativeEngine().generate(steered, asked, on_progress=fail)
    assert hooks() == clean
    with pytest.raises(IndexError):
        NativeEngine().annotate(steered, [asked[0].tokens] * 2, prompts=[1])
    assert hooks() == clean
    for a, b in zip(before, NativeEngine().generate(policy, asked), strict=True):
        same(a, b)


def test_a_steered_policy_is_a_new_one_with_its_own_version():
    policy = tiny("qwen2")
    steering = steering_for(policy)
    steered = policy.steered(steering)
    versions = {
        policy.version,
        steered.version,
        policy.steered(steering.scaled(2.0)).version,
        policy.steered(steering_for(policy, layers=(0,))).version,
        policy.steered(steering_for(policy, scope="prefill")).version,
        policy.steered(steering_for(policy, size=3.0)).version,
    }
    assert len(versions) == 6
    assert policy.steered(steering_for(policy)).version == steered.version == checksum(steered)
    assert policy.steering is None
    assert steered.unsteered is policy
    assert checksum(policy) == policy.version


def test_what_does_not_fit_is_refused():
    policy, other = tiny("llama"), tiny("qwen3")
    good = steering_for(policy)
    with pytest.raises(SharpenError, match="hidden size 48"):
        policy.steered(single(policy.version, 0, np.ones(47)))
    with pytest.raises(SharpenError, match="layers 0 to 1"):
        policy.steered(single(policy.version, 2, np.ones(48)))
    with pytest.raises(SharpenError, match=f"made on base {policy.version[:8]}.*{other.version[:8]}"):
        other.steered(good)
    with pytest.raises(SharpenError, match="steered already"):
        policy.steered(good).steered(good)
    with pytest.raises(SharpenError, match="norm 0"):
        single("b", 3, np.zeros(4))
    with pytest.raises(NotFinite, match="layer 3 is not finite"):
        single("b", 3, [1.0, np.nan])
    with pytest.raises(NotFinite, match="strength"):
        single("b", 3, [1.0, 2.0], float("inf"))
    with pytest.raises(SharpenError, match="ascending"):
        Steering("b", (1, 0), np.ones((2, 4), np.float32))
    with pytest.raises(SharpenError, match="one \\(H,\\) a layer"):
        Steering("b", (0, 1), np.ones((1, 4), np.float32))
    with pytest.raises(SharpenError, match="did you mean 'decode'"):
        Steering("b", (0,), np.ones((1, 4), np.float32), scope="decoding")


def test_activations_that_are_no_numbers_are_an_error():
    policy = tiny("llama")
    wild = Steering(policy.version, (0, 1), np.full((2, 48), 3e38, np.float32))  # their sum is infinite
    with pytest.raises(NotFinite, match="at strength 2"):
        wild.scaled(2.0)
    asked = [replace(r, eos_ids=(), stop=(), max_new_tokens=4) for r in requests(8)]
    with pytest.raises(NotFinite, match="not finite"):
        NativeEngine().generate(policy.steered(wild), asked)


def test_the_base_may_be_named_by_its_content(tmp_path):
    """A policy that a run trained has a version of its own; its content is what counts."""
    policy = tiny("llama")
    trained = replace(policy, version="of a run")
    assert trained.steered(steering_for(policy)).version == policy.steered(steering_for(policy)).version


def test_files_come_back_and_equal_ones_have_equal_bytes(tmp_path):
    policy = tiny("gemma3")
    steering = steering_for(policy, strength=-0.75, scope="prefill")
    for name in ("a", "b"):
        save_steering(steering, tmp_path / name, {"pool": "last", "pairs": 100, "cut": 0.31})
    for file in (FILE, CARD):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    found = load_steering(tmp_path / "a")
    assert found.digest == steering.digest
    assert np.array_equal(found.vectors, steering.vectors)
    told = (tmp_path / "a" / CARD).read_text()
    for part in (policy.version, "| layer | 0, 1 |", "-0.75", "| pool | last |", "| pairs | 100 |", "0.31"):
        assert part in told
    with pytest.raises(SharpenError, match="no steering file"):
        load_steering(tmp_path)
    (tmp_path / FILE).write_bytes(b"\x00" * 40)
    with pytest.raises(SharpenError, match="no steering file"):
        load_steering(tmp_path)


def test_a_damaged_vector_in_a_file_is_refused_by_name(tmp_path):
    from safetensors.numpy import load_file, save_file

    policy = tiny("gemma3")
    save_steering(steering_for(policy), tmp_path)
    header = '{"base":"b","layers":[0,1],"scope":"decode","strength":1.0,"under":""}'
    for value, told in ((np.inf, "not finite"), (0.0, "norm 0")):
        tensors = load_file(tmp_path / FILE)
        tensors["layer.1"] = np.full_like(tensors["layer.1"], value)
        save_file(tensors, tmp_path / "bad.safetensors", metadata={"steering": header})
        with pytest.raises(SharpenError, match=f"bad.safetensors.*layer 1.*{told}"):
            load_steering(tmp_path / "bad.safetensors")


def test_a_policy_folder_holds_base_and_steering_and_loads_whole(tmp_path):
    policy = tiny("mistral")
    steered = policy.steered(steering_for(policy))
    save_policy(steered, tmp_path / "whole")
    back = load_policy(tmp_path / "whole")
    assert back.version == steered.version
    asked = requests(8)
    pairs = (NativeEngine().generate(p, asked) for p in (steered, back))
    for a, b in zip(*pairs, strict=True):
        same(a, b)
    save_steering(steered.steering, tmp_path / "alone")
    with pytest.raises(SharpenError, match="its base is not beside it"):
        load_policy(tmp_path / "alone")
    assert load_policy(tmp_path / "alone", base=policy).version == steered.version
    with pytest.raises(SharpenError, match="another"):
        load_policy(tmp_path / "alone", base=tiny("llama"))


def test_who_cannot_steer_says_so_in_one_line():
    from sharpen.sample.api import ApiEngine
    from sharpen.sample.api_config import ApiConfig
    from sharpen.sample.vllm_engine import VllmEngine

    policy = tiny("llama")
    steered = policy.steered(steering_for(policy))
    asked = requests(8)
    api = ApiEngine(ApiConfig(url="http://127.0.0.1:9", model="m"))
    vllm = object.__new__(VllmEngine)  # vLLM itself is not needed to be refused
    for engine, name in ((api, "api"), (vllm, "vllm")):
        with pytest.raises(SharpenError, match=f"'{name}' cannot steer") as error:
            engine.generate(steered, asked)
        assert "\n" not in str(error.value)
        with pytest.raises(SharpenError, match=f"'{name}' cannot steer"):
            engine.annotate(steered, [asked[0].tokens])
    with pytest.raises(SharpenError, match="say where each prompt ends"):
        NativeEngine().annotate(steered, [asked[0].tokens])
    # whatever would take the weights for the policy, the learner first of all
    with pytest.raises(SharpenError, match="only the native engine"):
        steered.module()


def test_other_weights_and_adapters_leave_the_steering_behind():
    policy = tiny("llama")
    steered = policy.steered(steering_for(policy))
    assert steered.with_weights(policy.weights, "v").steering is None
    assert steered.with_weights(policy.weights, "v").module() is not None
