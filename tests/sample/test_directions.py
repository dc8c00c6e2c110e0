"""Directions and the states that they are built from (self-efficiency oracle 1, checklist 8, 10)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import stream
from sharpen.sample.directions import Difference, difference, random_like, shuffled, with_norm
from sharpen.sample.episode import Completion, Episode, Finish, Span
from sharpen.sample.states import pooled_states, trace_positions
from sharpen.sample.steering import blocks
from tests.sample.test_forward import plain
from tests.shapes import EOS, SHAPES, tiny


def states(*rows):
    return [np.array(r, np.float32) for r in rows]


def test_oracle_difference_of_means():
    v = difference(zip(states((1, 0), (3, 2)), states((0, 2), (0, 4)), strict=True))
    assert v.tolist() == [2, -2]
    assert np.linalg.norm(v) == pytest.approx(2.828427)
    assert (np.array([1, 1]) + 0.5 * v).tolist() == [2, 0]


def test_it_streams_and_refuses_what_is_no_number():
    found = Difference()
    with pytest.raises(SharpenError, match="no pair"):
        found.value()
    with pytest.raises(NotFinite):
        found.add(*states((1, np.nan), (0, 0)))
    draw = np.random.default_rng(0)
    a, b = draw.standard_normal((2, 50, 3, 4)).astype(np.float32)
    pairs = ((x, y) for x, y in zip(a, b, strict=True))  # read once
    assert np.allclose(difference(pairs), a.mean(0) - b.mean(0), atol=1e-6)


def test_controls_have_the_norms_and_not_the_direction():
    draw = np.random.default_rng(0)
    like = draw.standard_normal((3, 64)).astype(np.float32) * np.array([[1], [5], [0.1]], np.float32)
    random = random_like(like, stream("r"))
    assert np.allclose(np.linalg.norm(random, axis=-1), np.linalg.norm(like, axis=-1), rtol=1e-5)
    assert np.array_equal(random, random_like(like, stream("r")))
    assert not np.allclose(random, random_like(like, stream("s")))
    with pytest.raises(SharpenError, match="norm 0"):
        with_norm(np.zeros((1, 4), np.float32), like[:1, :4])


def test_shuffled_labels_take_the_shift_away():
    draw = np.random.default_rng(0)
    a = draw.standard_normal((400, 8)).astype(np.float32) + 1
    b = draw.standard_normal((400, 8)).astype(np.float32)
    true = difference(zip(a, b, strict=True))
    control = shuffled(zip(a, b, strict=True), stream("shuffled"))
    assert np.linalg.norm(control) < 0.3 * np.linalg.norm(true)
    # two pairs: never both kept or both swapped, which would be the direction itself
    for i in range(20):
        two = shuffled(zip(a[:2], b[:2], strict=True), stream(i))
        whole = difference(zip(a[:2], b[:2], strict=True))
        assert not np.allclose(np.abs(two), np.abs(whole))


@pytest.mark.parametrize("shape", SHAPES)
def test_pooled_states_are_the_block_outputs_of_the_library(shape):
    policy = tiny(shape)
    draw = stream("states").generator()
    texts = [draw.integers(4, 60, n).astype(np.int32) for n in (9, 30, 5)]
    sets = [(np.array([len(t) - 1]), np.arange(2, len(t)), np.array([1, 3])) for t in texts]
    found = pooled_states(policy, texts, sets)
    assert found.shape == (3, 3, 2, 48)
    module, seen = plain(policy), {}
    for i, block in enumerate(blocks(module)):
        block.register_forward_hook(
            lambda _, __, out, i=i: seen.__setitem__(i, (out[0] if isinstance(out, tuple) else out)[0])
        )
    for text, where, pooled in zip(texts, sets, found, strict=True):
        with torch.no_grad():
            module(torch.from_numpy(text).long()[None], use_cache=False)
        for positions, state in zip(where, pooled, strict=True):
            for layer in range(2):
                want = seen[layer].numpy()[positions].mean(0)
                assert np.abs(state[layer] - want).max() < 1e-4


def test_reading_leaves_no_hook_behind_and_refuses_empty_sets():
    policy = tiny("llama")
    before = [len(b._forward_hooks) for b in blocks(policy.module())]
    text = np.array([5, 6, 7], np.int32)
    pooled_states(policy, [text], [(np.array([0]),)])
    with pytest.raises(SharpenError, match="token 99999"):
        pooled_states(policy, [np.array([5, 99999], np.int32)], [(np.array([0]),)])

    def fail(*_):
        raise RuntimeError("in the pass")

    failing = blocks(policy.module())[1].register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="in the pass"):
            pooled_states(policy, [text], [(np.array([0]),)])
    finally:
        failing.remove()
    assert [len(b._forward_hooks) for b in blocks(policy.module())] == before
    for bad in (np.array([], np.int64), np.array([3]), np.array([-1])):
        with pytest.raises(SharpenError, match="sequence 0"):
            pooled_states(policy, [text], [(bad,)])
    broken = policy.with_weights({k: torch.full_like(w, torch.nan) for k, w in policy.weights.items()}, "x")
    with pytest.raises(NotFinite, match="sequence 0"):
        pooled_states(broken, [text], [(np.array([0]),)])


def episode(policy, text, prompt=(5, 6), end=True):
    ids = policy.tokenizer.encode(text, add_special_tokens=False)
    tokens = np.array([*ids, *([EOS] if end else [])], np.int32)
    zeros = np.zeros(len(tokens), np.float32)
    done = Completion(tokens, zeros, zeros, zeros, zeros, Finish.EOS)
    spans = (Span("prompt", np.array(prompt, np.int32)), Span("assistant", tokens, sampled=done))
    return Episode("k", "t", 0, spans, Finish.EOS, text)


@pytest.mark.parametrize(
    ("text", "inside", "steps"),
    [
        ("<think>ab\ncd\n</think>x", "ab\ncd\n", (2, 5)),
        ("<think>ab\ncd</think>x", "ab\ncd", (2, 4)),  # the last step needs no line break
        ("ab\ncd</think>x", "ab\ncd", (2, 4)),  # opened by the prompt
        ("<think>ab\ncd", "ab\ncd", (2, 4)),  # never closed
        ("ab\ncd", "ab\ncd", (2, 4)),  # no tags
        ("<think>\n</think>x", "<think>\n</think>x", (7, 16)),  # nothing inside
    ],
)
def test_where_a_trace_reasons(text, inside, steps):
    policy = tiny("llama")
    found, ends = trace_positions(policy, episode(policy, text))
    start = 2 + text.index(inside)
    assert found.tolist() == list(range(start, start + len(inside)))
    assert [p - start for p in ends] == list(steps)
    # without an end token it is the same
    bare, _ = trace_positions(policy, episode(policy, text, end=False))
    assert bare.tolist() == found.tolist()
    longer, _ = trace_positions(policy, replace(episode(policy, text, prompt=(5, 6, 7))))
    assert longer.tolist() == [p + 1 for p in found]
