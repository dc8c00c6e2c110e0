"""The native engine: bit-exact rows on every shape, and agreement with the library's own forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpen.errors import NotFinite, SharpenError
from sharpen.runs.streams import stream
from sharpen.sample import native
from sharpen.sample.episode import Finish, Request
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.rows import StopWatch
from tests.sample.test_conformance import NUMBERS, same
from tests.sample.test_forward import plain
from tests.shapes import END, EOS, SHAPES, tiny

MIXED = (
    SamplingLaw(),
    SamplingLaw(temperature=0.6),
    SamplingLaw(temperature=1.3, top_p=0.9),
    SamplingLaw(repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.1),
    GREEDY,
)


SHORT, LONG = (1, 60), (50, 180)
"""Tokens of prompts: all in front of their rows, and most of them on tiles."""


def requests(n, laws=(SamplingLaw(),), new=26, samples=4, lengths=SHORT):
    """Prompts of so many tokens, some sharing all but the last; several samples each; limits vary, so
    rows leave at different times."""
    draw = stream("native").generator()
    prompts = [
        draw.integers(4, 60, draw.integers(*lengths)).astype(np.int32) for _ in range(-(-n // samples))
    ]
    prompts[1] = np.append(prompts[0][:-1], 9).astype(np.int32)
    return [
        Request(
            prompts[i // samples],
            stream("n", i),
            laws[i % len(laws)],
            new - (7 * i) % 20,
            (EOS, END, 20, 21),
            ("1", "a", "+") if i % 5 == 0 else (),
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(("lengths", "samples"), [(SHORT, 4), (LONG, 11)], ids=["short", "long"])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_batch_order_refill_or_compaction(shape, lengths, samples):
    policy = tiny(shape)
    asked = requests(64, MIXED, samples=samples, lengths=lengths)
    want = NativeEngine().generate(policy, asked, batch=64)
    assert len({c.finish for c in want}) == 3
    order = stream("order").generator().permutation(64)
    for engine, batch, chosen in (
        (NativeEngine(), 7, range(64)),
        (NativeEngine(compact=False), 64, order),
        (NativeEngine(refill=False), 24, order),
        (NativeEngine(share=False), 40, order[:50]),
        (NativeEngine(), 1, range(0, 64, 9)),
    ):
        got = engine.generate(policy, [asked[i] for i in chosen], batch=batch)
        for i, completion in zip(chosen, got, strict=True):
            same(completion, want[i])


def test_bits_do_not_depend_on_width_where_sequences_are_long():
    """A short row beside one of 250 tokens, with several query heads a key head (see ``cache``)."""
    policy = tiny("llama")
    draw = stream("long").generator()
    short = [Request(np.array([5, 6 + i], np.int32), stream("s", i), SamplingLaw(), 60, ()) for i in range(6)]
    prompts = [draw.integers(4, 60, 190 - i).astype(np.int32) for i in range(2)]
    long = [Request(prompt, stream("l", i), SamplingLaw(), 60, ()) for i, prompt in enumerate(prompts)]
    together = NativeEngine().generate(policy, short + long)
    for r, c in zip(short + long, together, strict=True):
        same(NativeEngine().generate(policy, [r])[0], c)


def test_bits_hold_with_two_threads(two_threads):
    """Kernels split their work by size then: rows must still not feel each other."""
    policy = tiny("gemma3")
    asked = [*requests(8, MIXED), *requests(12, MIXED, samples=6, lengths=LONG)]
    want = NativeEngine().generate(policy, asked)
    got = NativeEngine().generate(policy, asked[::-1], batch=5)
    for a, b in zip(want, got[::-1], strict=True):
        same(a, b)


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_how_many_batches_share_the_work(shape, two_threads):
    policy = tiny(shape)
    asked = [*requests(40, MIXED), *requests(48, MIXED, samples=12, lengths=LONG)]
    told = []
    whole = NativeEngine(split=False).generate(policy, asked)
    engine = NativeEngine()
    split = engine.generate(policy, asked, batch=72, on_progress=lambda *counts: told.append(counts))
    for a, b in zip(whole, split, strict=True):
        same(a, b)
    assert told == sorted(told)
    assert told[-1] == (sum(len(c.tokens) for c in whole), len(asked))
    assert engine.fill.rows == told[-1][0]


def test_each_core_has_a_batch_where_a_model_is_small_and_rows_are_many(two_threads, monkeypatch):
    policy, members = tiny("llama"), []

    def watched(loops):
        members.append(len(loops))
        return [loop(lambda: False) for loop in loops]

    monkeypatch.setattr(native, "together", watched)
    engine = NativeEngine()
    engine.generate(policy, requests(64))
    engine.generate(policy, requests(63))
    engine.generate(policy, requests(64), batch=40)
    monkeypatch.setattr(native, "SMALL", 1)
    engine.generate(policy, requests(64))
    assert members == [2, 1, 1, 1]


def test_requests_are_dealt_evenly_and_those_that_read_a_prompt_together_stay_together():
    asked = requests(30, samples=10)
    assert native._shares(asked, 1) == [list(range(30))]
    # of ten siblings eight read a prompt together
    assert native._shares(asked, 2) == [[*range(8), *range(18, 28)], [*range(8, 18), 28, 29]]
    assert [len(share) for share in native._shares(requests(80, samples=10), 2)] == [40, 40]
    assert native._shares(asked[:3], 2) == [[0, 1, 2]]


@pytest.mark.parametrize("lengths", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("shape", SHAPES)
def test_log_probabilities_equal_a_teacher_forced_forward(shape, lengths):
    """Against the library's model with its eager attention, one unpadded sequence at a time."""
    policy = tiny(shape)
    reference = plain(policy)
    cuts = ({}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1})
    laws = [SamplingLaw(temperature=t, **cut) for t in (0.6, 1.0, 1.3) for cut in cuts]
    asked = requests(24, laws, lengths=lengths)
    worst = 0.0
    for r, c in zip(asked, NativeEngine().generate(policy, asked), strict=True):
        ids = torch.from_numpy(np.concatenate([r.tokens, c.tokens])).long()
        with torch.no_grad():
            z = reference(ids[None]).logits[0, len(r.tokens) - 1 : -1].double()
        rows = torch.arange(len(c.tokens))
        raw = z.log_softmax(-1)
        scores = z / r.law.temperature
        for t, kept in enumerate(c.kept or ()):
            cut = torch.ones(z.shape[1], dtype=torch.bool)
            cut[torch.from_numpy(kept).long()] = False
            scores[t, cut] = -torch.inf
        want = {
            "logprobs": scores.log_softmax(-1)[rows, ids[len(r.tokens) :]],
            "raw_logprobs": raw[rows, ids[len(r.tokens) :]],
            "entropy": -(raw.exp() * raw).sum(-1),
            "certainty": z.logsumexp(-1) - z.mean(-1) - np.log(z.shape[1]),
        }
        for name in NUMBERS:
            worst = max(worst, float(np.abs(getattr(c, name) - want[name].numpy()).max()))
    assert worst <= 1e-5


def test_penalties_follow_the_history_through_refill_and_compaction():
    policy = tiny("qwen3")
    law = SamplingLaw(repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.25)
    asked = requests(20, [law])
    reference = plain(policy)
    for r, c in zip(asked, NativeEngine().generate(policy, asked, batch=8), strict=True):
        ids = torch.from_numpy(np.concatenate([r.tokens, c.tokens])).long()
        with torch.no_grad():
            z = reference(ids[None]).logits[0]
        for t in range(len(c.tokens)):
            at = len(r.tokens) + t
            row = z[at - 1].double()
            seen = ids[:at].unique()
            row[seen] = torch.where(row[seen] > 0, row[seen] / 1.4, row[seen] * 1.4)
            counts = torch.bincount(ids[len(r.tokens) : at], minlength=len(row))
            row = row - 0.5 * (counts > 0) - 0.25 * counts
            assert c.logprobs[t] == pytest.approx(row.log_softmax(-1)[ids[at]].item(), abs=1e-5)


def test_a_prompt_is_prefilled_once_for_all_its_samples(monkeypatch):
    from sharpen.sample import native

    policy, seen = tiny("llama"), []

    class Counting(native.Prefill):
        def attend(self, layer, q, k, v):
            if layer.index == 0:
                seen.append(q.shape[0])
            return super().attend(layer, q, k, v)

    monkeypatch.setattr(native, "Prefill", Counting)
    asked = requests(64)
    NativeEngine().generate(policy, asked, batch=16)
    assert sum(seen) == len({r.tokens[:-1].tobytes() for r in asked if len(r.tokens) > 1})


@pytest.mark.parametrize(("n", "first"), [(8, "n/0"), (64, "n/[04]")], ids=["one batch", "two"])
def test_logits_that_are_not_numbers_name_policy_and_stream(n, first, two_threads):
    """The first request of a batch, of whichever of two."""
    policy = tiny("llama")
    weights = {**policy.weights, "model.norm.weight": torch.full((48,), torch.inf)}
    engine, asked = NativeEngine(), requests(n)
    engine.generate(policy, asked)
    broken = policy.with_weights(weights, "broken")
    with pytest.raises(NotFinite, match=rf"policy broken: logits of {first}"):
        engine.generate(broken, asked)
    with pytest.raises(NotFinite, match=r"policy broken: logits of sequence 0"):
        engine.annotate(broken, [r.tokens for r in asked[4:]])


def test_bad_requests_are_refused_by_name():
    engine, policy = NativeEngine(), tiny("llama")

    def refused(match, tokens=(5,), law=None, new=4):
        ids = np.array(tokens, np.int32)
        with pytest.raises(SharpenError, match=match):
            engine.generate(policy, [Request(ids, stream("x", 1), law or SamplingLaw(), new, (EOS,))])

    refused("x/1: no tokens", ())
    refused("x/1: token 900 is not in the vocabulary", (5, 900))
    refused("x/1: max_new_tokens is 0", new=0)
    refused("token 4000 is not in the vocabulary", law=SamplingLaw(banned=(4000,)))


def test_two_policies_may_take_turns():
    a = tiny("gpt2")
    b = a.with_weights({k: -v for k, v in a.weights.items()}, "negative")
    engine, asked = NativeEngine(), requests(8)
    first = engine.generate(a, asked)
    second = engine.generate(b, asked)
    assert any((x.tokens[0] != y.tokens[0]) for x, y in zip(first, second, strict=True))
    for x, y in zip(first, engine.generate(a, asked), strict=True):
        same(x, y)


def test_stop_strings_are_found_across_the_bytes_of_a_character():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(alphabet)}
    vocabulary["ab"] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    text = "x∀yab" * 9 + "é∀b." + "tail"
    for stop in (["∀b"], ["bx"], ["é"], ["b.t"], ["yabx∀yabx∀yabx∀yabé"], ["nowhere", "é∀"]):
        watch = StopWatch(tokenizer, stop)
        ids = tokenizer.encode(text)
        end = next((t for t in range(len(ids)) if watch.push(ids[t])), None)
        want = (t for t in range(len(ids)) if any(s in tokenizer.decode(ids[: t + 1]) for s in stop))
        assert end == next(want, None)


def test_a_stop_string_may_be_the_end_token_itself():
    policy = tiny("llama")
    prompt, law = np.array([5], np.int32), SamplingLaw(temperature=3.0)
    asked = [Request(prompt, stream("e", i), law, 200, (), ("<end>",)) for i in range(8)]
    given = NativeEngine().generate(policy, asked)
    assert any(c.finish == Finish.STOP and c.tokens[-1] == END for c in given)
