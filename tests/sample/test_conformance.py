"""What every engine must do: run on the native engine with every shape, on the fake one, and on vLLM with
every shape where it is installed (``make test-outside-vllm``), in a tolerance class of its own."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.sample.engine import Engine
from sharpen.sample.episode import Finish, Request
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from tests.shapes import EOS, SHAPES, tiny

# vLLM: nats, beside other kernels that add in another order
TOLERANCE = {"native": 1e-5, "fake": 1e-5, "vllm": 1e-4}
NUMBERS = ("logprobs", "raw_logprobs", "entropy", "certainty")
CASES = [("native", shape) for shape in SHAPES] + [("fake", "llama")]
CASES += [("vllm", shape) for shape in SHAPES] if find_spec("vllm") else []


def engine_of(kind: str) -> Engine:
    if kind == "vllm":
        from sharpen.sample.vllm_engine import VllmEngine

        return VllmEngine()
    return NativeEngine() if kind == "native" else FakeEngine()


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case), scope="module")
def pair(request):
    kind, shape = request.param
    return engine_of(kind), tiny(shape, wide=kind == "vllm")


@pytest.fixture
def tolerance(request, pair):
    return TOLERANCE[request.node.callspec.params["pair"][0]]


def requests(n=6, law=None, new=12, eos=(EOS,), stop=(), name="c"):
    """n requests on three prompts of different lengths."""
    draw = stream("conformance").generator()
    prompts = [draw.integers(4, 60, length).astype(np.int32) for length in (1, 9, 14)]
    law = law or SamplingLaw()
    return [Request(prompts[i % 3], stream(name, i), law, new, eos, stop) for i in range(n)]


def same(a, b, tolerance=0.0):
    assert a.finish == b.finish
    assert np.array_equal(a.tokens, b.tokens)
    for name in NUMBERS:
        assert np.abs(getattr(a, name) - getattr(b, name)).max() <= tolerance, name
    assert (a.kept is None) == (b.kept is None)
    for x, y in zip(a.kept or (), b.kept or (), strict=True):
        assert np.array_equal(x, y)


def test_completions_come_in_order_with_one_number_a_token(pair):
    engine, policy = pair
    asked = requests()
    given = engine.generate(policy, asked)
    assert len(given) == len(asked)
    for r, c in zip(asked, given, strict=True):
        assert c.tokens.dtype == np.int32
        assert 1 <= len(c.tokens) <= r.max_new_tokens
        for name in NUMBERS:
            values = getattr(c, name)
            assert values.dtype == np.float32
            assert values.shape == c.tokens.shape
            assert np.isfinite(values).all()
        assert (c.finish == Finish.EOS) == (c.tokens[-1] == EOS)
        assert EOS not in c.tokens[:-1]
    assert engine.generate(policy, []) == []


def test_a_completion_is_its_request_alone(pair, tolerance):
    engine, policy = pair
    assert engine.exact == (engine.rounding is None)
    bits = 0.0 if engine.exact else tolerance
    asked = requests(6, SamplingLaw(temperature=1.3, top_k=20))
    together = engine.generate(policy, asked)
    again = engine.generate(policy, asked[::-1], batch=2)[::-1]
    alone = [engine.generate(policy, [r])[0] for r in asked]
    for a, b, c in zip(together, again, alone, strict=True):
        same(a, b, bits)
        same(a, c, bits)
    other = engine.generate(policy, requests(6, name="d"))
    assert any(
        len(a.tokens) != len(b.tokens) or (a.tokens != b.tokens).any() for a, b in zip(together, other)
    )


@pytest.mark.parametrize("t", [0.6, 1.0, 1.3])
@pytest.mark.parametrize("cut", [{}, {"top_k": 9}, {"top_p": 0.8}, {"min_p": 0.05}, {"banned": (7, 8, 9)}])
def test_annotation_agrees_with_what_was_sampled(pair, tolerance, t, cut):
    engine, policy = pair
    asked = requests(3, SamplingLaw(temperature=t, **cut))
    given = engine.generate(policy, asked)
    texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, given, strict=True)]
    kept = None
    if given[0].kept is not None:
        kept = [[None] * len(r.tokens) + list(c.kept) for r, c in zip(asked, given, strict=True)]
    notes = engine.annotate(policy, texts, law=asked[0].law, kept=kept, hidden=True)
    for r, c, note in zip(asked, given, notes, strict=True):
        for name in NUMBERS:
            values = getattr(note, name)
            assert values[0] == 0
            assert values.dtype == np.float32
            assert np.abs(values[len(r.tokens) :] - getattr(c, name)).max() <= tolerance, name
        assert note.hidden.shape[1] == len(values)
        for token, ids in zip(c.tokens, c.kept or (), strict=False):
            assert token in ids


def test_every_end_id_ends_and_a_limit_truncates(pair):
    engine, policy = pair
    ends = tuple(range(4, 24))
    given = engine.generate(policy, requests(12, SamplingLaw(temperature=1.5), new=30, eos=ends))
    assert len({c.tokens[-1] for c in given if c.finish == Finish.EOS}) > 1
    for c in given:
        inside = np.isin(c.tokens, ends)
        assert not inside[:-1].any()
        assert inside[-1] == (c.finish == Finish.EOS)
    cut = engine.generate(policy, requests(3, new=5, eos=()))
    assert [(c.finish, len(c.tokens)) for c in cut] == [(Finish.LENGTH, 5)] * 3


def test_a_stop_string_keeps_the_token_that_completes_it(pair, tolerance):
    engine, policy = pair
    law = SamplingLaw(allowed=tuple(range(4, 60)))  # one character a token
    free = engine.generate(policy, requests(9, law, new=20, eos=()))
    texts = [policy.tokenizer.decode(c.tokens) for c in free]
    stop = (texts[0][3:5], texts[1][6])
    cut = engine.generate(policy, requests(9, law, new=20, eos=(), stop=stop))
    for text, before, after in zip(texts, free, cut, strict=True):
        ends = [text.find(s) + len(s) for s in stop if s in text]
        assert after.finish == (Finish.STOP if ends else Finish.LENGTH)
        n = min(ends, default=20)
        assert np.array_equal(after.tokens, before.tokens[:n])
        bits = 0.0 if engine.exact else tolerance
        assert np.abs(after.logprobs - before.logprobs[:n]).max() <= bits
    assert cut[0].finish == Finish.STOP


def test_greedy_takes_the_best_and_has_nothing_to_weigh(pair):
    engine, policy = pair
    asked = requests(6, GREEDY)
    given = engine.generate(policy, asked)
    for i in range(3):
        assert np.array_equal(given[i].tokens, given[i + 3].tokens)  # the stream does not matter
        assert not given[i].logprobs.any()
        assert given[i].raw_logprobs.all()
        assert given[i].kept is None


def test_banned_tokens_never_come_and_allowed_ones_only(pair):
    engine, policy = pair
    given = engine.generate(policy, requests(6, SamplingLaw(allowed=(4, 5, 6, 7), banned=(5,)), eos=()))
    assert set(np.concatenate([c.tokens for c in given])) == {4, 6, 7}


def test_what_does_not_fit_the_context_is_refused_by_name(pair):
    engine, policy = pair
    with pytest.raises(SharpenError, match=r"c/1.*context of 256"):
        engine.generate(policy, requests(3, new=250))
    with pytest.raises(SharpenError, match="257 tokens"):
        engine.annotate(policy, [np.full(257, 5, np.int32)])


def test_progress_ends_at_the_whole(pair):
    engine, policy = pair
    seen = []
    given = engine.generate(policy, requests(), on_progress=lambda *at: seen.append(at))
    assert seen[-1] == (sum(len(c.tokens) for c in given), len(given))
    assert seen == sorted(seen)
