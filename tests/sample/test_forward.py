"""Packed forwards equal each sequence alone, in values and gradients, on every shape."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.sample.forward import head_logits, packed_hidden, packed_layers, token_scores
from sharpen.sample.law import GREEDY, SamplingLaw
from tests.shapes import SHAPES, tiny

LENGTHS = (1, 33, 7, 40, 2, 40, 38)


def sequences(policy, lengths=LENGTHS):
    draw = stream("forward", policy.name).generator()
    return [torch.from_numpy(draw.integers(4, 60, n)) for n in lengths]


def plain(policy, dtype=torch.float32):
    """The library's own model with its own eager attention."""
    model = AutoModelForCausalLM.from_config(copy.deepcopy(policy.config), attn_implementation="eager")
    missing, _ = model.load_state_dict(dict(policy.weights), strict=False)
    assert set(missing) <= {"lm_head.weight"}
    return model.eval().to(dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pack_equals_each_sequence_alone(shape):
    policy = tiny(shape)
    texts = sequences(policy)
    module = policy.module()
    with torch.no_grad():
        logits = head_logits(module, packed_hidden(module, texts)).split(LENGTHS)
        layers = packed_layers(module, texts).split(LENGTHS, dim=1)
        reference = plain(policy)
        for text, ours, states in zip(texts, logits, layers, strict=True):
            want = reference(text[None], output_hidden_states=True)
            torch.testing.assert_close(
                ours.log_softmax(-1), want.logits[0].log_softmax(-1), atol=1e-5, rtol=0
            )
            torch.testing.assert_close(states, torch.cat(want.hidden_states[1:]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_sequences_that_go_on_from_another_equal_whole_ones(shape):
    policy = tiny(shape)
    module = policy.module()
    short, long, alone, *answers = sequences(policy, (5, 21, 13, 1, 9, 30, 2, 17))
    prompts = [short, long, short, long, long]
    parents = [-1, -1, -1, 0, 1, 0, 1, 1]
    assert len(answers) == len(prompts)
    with torch.no_grad():
        found = packed_hidden(module, [short, long, alone, *answers], parents)
        (*parts,) = found.split([len(s) for s in (short, long, alone, *answers)])
        whole = [torch.cat(pair) for pair in zip(prompts, answers, strict=True)]
        want = packed_hidden(module, [short, long, alone, *whole]).split(
            [len(s) for s in (short, long, alone, *whole)]
        )
    for ours, theirs in zip(parts, want, strict=True):
        torch.testing.assert_close(ours, theirs[-len(ours) :], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_a_pack_are_those_of_the_sequences_summed(shape):
    policy = tiny(shape)
    texts = sequences(policy)[1:4]
    module = copy.deepcopy(policy.module()).double().requires_grad_(True)
    hidden = packed_hidden(module, texts)
    before = torch.cat([torch.arange(len(t) - 1) + s for t, s in zip(texts, (0, 33, 40), strict=True)])
    scores = token_scores(module, hidden[before], torch.cat([t[1:] for t in texts]), chunk=2048)
    scores.logprobs.sum().backward()
    reference = plain(policy, torch.float64)
    for text in texts:
        logp = reference(text[None, :-1]).logits[0].log_softmax(-1)
        logp.gather(1, text[1:, None]).sum().backward()
    theirs = dict(reference.named_parameters())
    # some norms and the eager softmax of the library work in float32 even here; GPT-2's do not
    limit = 1e-12 if shape == "gpt2" else 1e-6
    for name, parameter in module.named_parameters():
        want = theirs[name].grad
        assert (parameter.grad - want).norm() <= limit * want.norm(), name


def test_scores_under_a_law_follow_its_definition():
    policy = tiny("llama")
    module, text = policy.module(), sequences(policy)[3]
    with torch.no_grad():
        hidden = packed_hidden(module, [text])[:-1]
        z = head_logits(module, hidden).double()
    targets = text[1:]
    law = SamplingLaw(temperature=0.7, banned=(5, 6), allowed=tuple(range(4, 62)))
    masked = z.clone()
    masked[:, [0, 1, 2, 3, 5, 6, *range(62, z.shape[1])]] = -torch.inf
    want = (masked / 0.7).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    for chunk in (1, 1000, 1 << 20):
        got = token_scores(module, hidden, targets, law, chunk=chunk)
        assert np.allclose(got.logprobs.double(), want, atol=1e-5)
    raw = z.log_softmax(-1)
    torch.testing.assert_close(got.entropy.double(), -(raw.exp() * raw).sum(-1), atol=1e-5, rtol=0)
    kl = -raw.mean(-1) - np.log(z.shape[1])
    torch.testing.assert_close(got.certainty.double(), kl, atol=1e-5, rtol=0)
    assert not token_scores(module, hidden, targets, GREEDY).logprobs.any()
    with pytest.raises(SharpenError, match="presence_penalty"):
        token_scores(module, hidden, targets, SamplingLaw(presence_penalty=1.0))


def test_a_replayed_kept_set_is_what_the_denominator_holds():
    policy = tiny("qwen3")
    module, text = policy.module(), sequences(policy)[1][:3]
    with torch.no_grad():
        hidden = packed_hidden(module, [text])[:-1]
        logp = head_logits(module, hidden).log_softmax(-1)
    kept = [np.array([4, 9, int(text[1])], np.int32), None]
    got = token_scores(module, hidden, text[1:], SamplingLaw(top_k=3), kept).logprobs
    inside = logp[0, text[1]] - logp[0, torch.from_numpy(kept[0]).long()].logsumexp(0)
    torch.testing.assert_close(got, torch.stack([inside, logp[1, text[2]]]), atol=1e-5, rtol=0)


def test_attention_dropout_acts_in_training_only():
    policy = tiny("gpt2")
    texts = sequences(policy)
    module = copy.deepcopy(policy.module())
    calm = packed_hidden(module, texts)
    assert torch.equal(calm, packed_hidden(module, texts))
    module.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.allclose(calm, packed_hidden(module, texts), atol=1e-3)
