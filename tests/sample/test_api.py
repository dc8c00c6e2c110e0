"""The api engine against a server on loopback that samples from a tiny model, and fails on demand."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.measure.diversity import mean_certainty, mean_entropy
from sharpen.runs.config import build, load
from sharpen.runs.streams import stream
from sharpen.runs.tape import TAPE, Tape
from sharpen.sample.api import ApiConfig, ApiEngine
from sharpen.sample.api_client import Session
from sharpen.sample.api_weights import CONTROL
from sharpen.sample.episode import Episode, Finish, Request, Span
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Adapter
from sharpen.score.group import Group, Groups
from sharpen.score.table import PARQUET, episodes_to_table, table_to_episodes
from sharpen.tasks.task import Task
from tests.sample.completions_server import serving
from tests.shapes import BOS, EOS, tiny

POLICY = tiny("llama")
KEY = "sk-not-for-anybodys-eyes"


@pytest.fixture
def server():
    with serving(POLICY) as server:
        yield server


@pytest.fixture
def tape(tmp_path):
    return Tape(tmp_path / TAPE)


class Sleeps(list):
    async def __call__(self, seconds):
        self.append(seconds)


def engine_for(server, tape=None, say=None, **settings):
    config = ApiConfig(url=server.url, model="base", rounding=1e-3, **settings)
    return ApiEngine(config, tape, say=say, sleep=Sleeps())


def sleeps(engine):
    return engine._client.sleep


def requests(n=6, law=None, new=12, eos=(EOS,), stop=(), name="c"):
    draw = stream("api").generator()
    prompts = [draw.integers(4, 60, length).astype(np.int32) for length in (1, 9, 14)]
    law = law or SamplingLaw()
    return [Request(prompts[i % 3], stream(name, i), law, new, eos, stop) for i in range(n)]


def own(policy, asked, given):
    """The policy's own log-probabilities of what was sampled."""
    texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, given, strict=True)]
    notes = NativeEngine().annotate(policy, texts)
    return [n.raw_logprobs[len(r.tokens) :] for r, n in zip(asked, notes, strict=True)]


def gap(policy, asked, given):
    pairs = zip(own(policy, asked, given), given, strict=True)
    return max(np.abs(a - c.raw_logprobs).max() for a, c in pairs)


def same(a, b):
    assert a.finish == b.finish
    for name in ("tokens", "logprobs", "raw_logprobs", "entropy", "certainty"):
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name


# --- what comes back --------------------------------------------------------------------------------
def test_completions_in_order_with_the_policys_own_log_probabilities(server):
    engine = engine_for(server, concurrency=4)
    asked = requests(12)
    given = engine.generate(POLICY, asked)
    assert gap(POLICY, asked, given) < 1e-5
    expected = NativeEngine().generate(POLICY, [server.request_of(POLICY, b) for b in server.bodies])
    by_seed = {b["seed"]: c.tokens for b, c in zip(server.bodies, expected, strict=True)}
    for r, c in zip(asked, given, strict=True):
        assert np.array_equal(c.tokens, by_seed[r.stream.seed()])
        assert c.tokens.dtype == np.int32
        assert np.array_equal(c.logprobs, c.raw_logprobs)  # the law is the model's own
        assert c.finish == (Finish.EOS if c.tokens[-1] == EOS else Finish.LENGTH)
        assert np.isnan(c.entropy).all()
        assert np.isnan(c.certainty).all()
        assert c.kept is None
        for name in ("logprobs", "raw_logprobs", "entropy", "certainty"):
            assert getattr(c, name).dtype == np.float32
    assert {c.finish for c in given} == {Finish.EOS, Finish.LENGTH}
    assert engine.generate(POLICY, []) == []
    assert not engine.exact


@pytest.mark.parametrize("kind", ["raw", "processed", "none"])
@pytest.mark.parametrize(
    ("law", "under", "raw"),
    [  # what is known of each: with raw numbers, and with processed ones
        (SamplingLaw(), "both", "both"),
        (GREEDY, "both", "both"),
        (SamplingLaw(temperature=0.7), "processed", "raw"),
        (SamplingLaw(top_k=9), "processed", "raw"),
        (SamplingLaw(temperature=0, banned=(7,)), "both", "raw"),
        (SamplingLaw(repetition_penalty=1.2), "processed", "raw"),
        (SamplingLaw(allowed=tuple(range(4, 30)), banned=(5, 6)), "processed", "raw"),
    ],
)
def test_unknown_numbers_are_nan_and_known_ones_are_not(server, kind, law, under, raw):
    engine = engine_for(server, logprobs=kind)
    for c in engine.generate(POLICY, requests(3, law, eos=())):
        known = np.isfinite(c.raw_logprobs).all(), np.isfinite(c.logprobs).all()
        assert known[0] == (kind != "none" and raw in ("both", kind))
        assert known[1] == (law.greedy or (kind != "none" and under in ("both", kind)))
        assert not (law.greedy and c.logprobs.any())


def test_the_law_reaches_the_server(server):
    law = SamplingLaw(0.8, 5, 0.9, 0.02, 1.1, 0.2, 0.3, banned=(7, 9))
    asked = requests(2, law, eos=(EOS, 17), stop=("ab",))
    engine_for(server).generate(POLICY, asked)
    for body in server.bodies:
        of = server.request_of(POLICY, body)
        assert of.law == law
        assert (of.eos_ids, of.stop, of.max_new_tokens) == ((EOS, 17), ("ab",), 12)
        assert body["cache_salt"] == POLICY.version


def test_end_ids_stop_strings_and_the_limit(server):
    engine = engine_for(server)
    ends = tuple(range(4, 24))
    given = engine.generate(POLICY, requests(12, new=30, eos=ends))
    assert len({c.tokens[-1] for c in given if c.finish is Finish.EOS}) > 1
    for c in given:
        assert not np.isin(c.tokens[:-1], ends).any()
        assert np.isin(c.tokens[-1], ends) == (c.finish is Finish.EOS)
    law = SamplingLaw(allowed=tuple(range(4, 60)))  # one character a token
    free = engine.generate(POLICY, requests(9, law, eos=()))
    assert {c.finish for c in free} == {Finish.LENGTH}
    texts = [POLICY.tokenizer.decode(c.tokens) for c in free]
    stop = (texts[0][3:5], texts[1][6])
    for text, c in zip(texts, engine.generate(POLICY, requests(9, law, eos=(), stop=stop)), strict=True):
        found = [text.find(s) + len(s) for s in stop if s in text]
        assert c.finish is (Finish.STOP if found else Finish.LENGTH)
        assert POLICY.tokenizer.decode(c.tokens) == text[: min(found, default=None)]


def test_progress_ends_at_the_whole_and_equal_requests_are_asked_once(server):
    seen = []
    asked = requests(5)
    given = engine_for(server).generate(
        POLICY, asked + asked[:2], batch=2, on_progress=lambda *a: seen.append(a)
    )
    assert seen[-1] == (sum(len(c.tokens) for c in given), 7)
    assert seen == sorted(seen)
    assert len(server.bodies) == 5
    assert server.busiest <= 2
    same(given[0], given[5])


def test_concurrency_is_used_and_limited(server):
    server.pace = 0.02
    engine_for(server, concurrency=3).generate(POLICY, requests(9))
    assert server.busiest == 3


def test_texts_are_scored(server, tape):
    engine = engine_for(server, tape)
    texts = [np.array([5], np.int32), *(r.tokens for r in requests(3))]
    notes = engine.annotate(POLICY, texts)
    for note, ours in zip(notes, NativeEngine().annotate(POLICY, texts), strict=True):
        assert np.abs(note.raw_logprobs - ours.raw_logprobs).max() < 1e-5
        assert np.array_equal(note.raw_logprobs, note.logprobs)
        assert np.isnan(note.entropy[1:]).all()
        assert note.certainty[0] == note.entropy[0] == note.raw_logprobs[0] == 0
    other = engine.annotate(POLICY, texts, law=SamplingLaw(temperature=0.5))
    assert np.isnan(other[1].logprobs[1:]).all()
    assert np.array_equal(other[1].raw_logprobs, notes[1].raw_logprobs)
    with pytest.raises(SharpenError, match="hidden states"):
        engine.annotate(POLICY, texts, hidden=True)
    with pytest.raises(SharpenError, match="257 tokens"):
        engine.annotate(POLICY, [np.full(257, 5, np.int32)])
    server.plain = True
    with pytest.raises(SharpenError, match="cannot score text"):
        engine.annotate(POLICY, [np.array([5, 6, 7], np.int32)])


def test_unknown_numbers_are_stored_as_such_and_average_to_nothing(server):
    asked = requests(3, SamplingLaw(temperature=0.7))
    episodes = [
        Episode(
            f"k{i}",
            "t",
            i,
            (Span("prompt", r.tokens), Span("assistant", c.tokens, True, sampled=c)),
            c.finish,
            "",
        )
        for i, (r, c) in enumerate(zip(asked, engine_for(server).generate(POLICY, asked), strict=True))
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(episodes_to_table(episodes), sink, **PARQUET)
    stored = table_to_episodes(pq.read_table(pa.BufferReader(sink.getvalue())))
    for a, b in zip(episodes, stored, strict=True):
        same(a.spans[1].sampled, b.spans[1].sampled)
    groups = Groups([Group(Task("t", "", ""), tuple(stored))])
    assert mean_entropy(groups) is None
    assert mean_certainty(groups) is None


# --- servers that fail ------------------------------------------------------------------------------
def test_passing_faults_are_retried(server):
    server.faults.extend(["429", "500", "drop", "garbage", "abort"])
    engine = engine_for(server, concurrency=1)
    asked = requests(3)
    assert gap(POLICY, asked, engine.generate(POLICY, asked)) < 1e-5
    assert len(server.bodies) == 3 + 5
    pauses = sleeps(engine)
    assert len(pauses) == 5
    assert pauses[0] == 7  # as the server asked
    for k, pause in enumerate(pauses[1:], 1):
        assert 0.25 * 2**k <= pause <= 0.5 * 2**k
    again = engine_for(server, concurrency=1)
    server.faults.extend(["429", "500", "drop", "garbage", "abort"])
    again.generate(POLICY, asked)
    assert sleeps(again) == pauses  # chance of a named stream


def test_a_hang_is_cut(server):
    server.faults.append("hang")
    engine = engine_for(server, timeout=0.3)
    assert len(engine.generate(POLICY, requests(1))) == 1
    assert len(server.bodies) == 2
    server.faults.extend(["hang"] * 2)
    with pytest.raises(SharpenError, match=r"no answer in 0\.3 seconds \(2 tries, c/7\)"):
        engine_for(server, timeout=0.3, retries=1).generate(POLICY, requests(8)[7:])


def test_a_fault_that_stays_is_one_clear_line(server):
    server.faults.extend(["500"] * 3)
    engine = engine_for(server, retries=2)
    with pytest.raises(SharpenError, match=r"status 500: engine died \(3 tries, c/0\)$"):
        engine.generate(POLICY, requests(1))
    assert len(server.bodies) == 3
    server.faults.append("400")
    with pytest.raises(SharpenError, match=r"status 400: max_tokens is too large$"):
        engine.generate(POLICY, requests(1))
    assert len(server.bodies) == 4  # and no further try


def test_no_server(server):
    url = server.url
    server.server_close()
    engine = ApiEngine(ApiConfig(url=url, retries=1), sleep=Sleeps())
    with pytest.raises(SharpenError, match=r"ConnectError.*\(2 tries"):
        engine.generate(POLICY, requests(1))


def test_after_an_error_what_is_in_flight_is_kept(server, tape, monkeypatch):
    """Two answers come while the third is refused; they reach the tape once the refusal is known."""
    made, put = [], tape.put

    class Watched(Session):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    def put_after_the_refusal(key, reply):
        for _ in range(20_000 if "tokens" in reply else 0):
            if made[0]._failed is not None:
                break
            server.over.wait(0.001)
        put(key, reply)

    monkeypatch.setattr("sharpen.sample.api_client.Session", Watched)
    monkeypatch.setattr(tape, "put", put_after_the_refusal)
    server.faults.append("400")
    with pytest.raises(SharpenError, match="400"):
        engine_for(server, tape, concurrency=3).generate(POLICY, requests(9))
    assert len(server.bodies) == 3
    assert sum("tokens" in r for r in tape.replies()) == 2


def test_a_filtered_answer_ends_in_an_error_and_kills_nothing(server):
    server.faults.append("filtered")
    given = engine_for(server, concurrency=1).generate(POLICY, requests(2))
    assert [c.finish is Finish.ERROR for c in given] == [True, False]


def test_a_server_that_does_not_do_as_asked_is_refused_and_nothing_is_kept(server, tape):
    real = server.complete

    def wrong(change):
        def complete(body):
            found = real(body)
            if body["seed"] != CONTROL.seed():
                change(found["choices"][0])
            return found

        server.complete = complete

    cases = [
        (lambda c: c.update(token_ids=[5, EOS, 6], logprobs={"token_logprobs": [-1.0] * 3}), "went on"),
        (lambda c: c.update(token_ids=[500], logprobs={"token_logprobs": [-1.0]}), "another model"),
        (lambda c: c.update(token_ids=[7], logprobs={"token_logprobs": [-1.0]}), "the law forbids"),
        (
            lambda c: c.update(token_ids=[8], logprobs={"token_logprobs": [-1.0]}, finish_reason="stop"),
            "none of the end ids",
        ),
        (lambda c: c.update(prompt_token_ids=[BOS, 5]), "changed the prompt"),
        (lambda c: c.pop("logprobs"), "api.logprobs=none"),
    ]
    for change, said in cases:
        wrong(change)
        with pytest.raises(SharpenError, match=said):
            engine_for(server, tape).generate(POLICY, requests(1, SamplingLaw(banned=(7,)), name=said))
    assert not any("usage" in r for r in tape.replies())


def test_requests_that_cannot_be_are_refused_before_they_are_sent(server):
    engine = engine_for(server)
    with pytest.raises(SharpenError, match=r"c/1.*context of 256"):
        engine.generate(POLICY, requests(3, new=250))
    with pytest.raises(SharpenError, match=r"temperature 0\.01"):
        engine.generate(POLICY, requests(1, SamplingLaw(temperature=0.001)))
    assert not server.bodies


# --- text only --------------------------------------------------------------------------------------
@pytest.mark.parametrize("set_by", ["hand", "what the server lacks"])
def test_a_server_without_ids_gets_text(server, tape, set_by):
    server.plain = True
    said = []
    settings = {"tokens": "text"} if set_by == "hand" else {}
    engine = engine_for(server, tape, said.append, **settings)
    law = SamplingLaw(temperature=0.9)
    asked = [
        Request(np.concatenate([[BOS], r.tokens]).astype(np.int32), r.stream, law, 20, (EOS,), ("0", "z"))
        for r in requests(9)
    ]
    given = engine.generate(POLICY, asked)
    engine.generate(POLICY, requests(3, GREEDY, name="d"))
    assert len(said) == (set_by != "hand")  # once
    texts = [b for b in server.bodies if isinstance(b["prompt"], str)]
    assert not any("<bos>" in b["prompt"] or "top_k" in b or "stop" in b for b in texts)
    assert {c.finish for c in given} >= {Finish.EOS, Finish.STOP}
    for c in given:
        text = POLICY.tokenizer.decode(c.tokens)
        assert (c.tokens[-1] == EOS) == (c.finish is Finish.EOS)
        assert text.endswith(("0", "z")) == (c.finish is Finish.STOP)
        assert sum(text.count(s) for s in "0z") == (c.finish is Finish.STOP)
        for name in ("logprobs", "raw_logprobs", "entropy", "certainty"):
            assert np.isnan(getattr(c, name)).all()
    n = len(server.bodies)
    for a, b in zip(given, engine_for(server, tape, **settings).generate(POLICY, asked), strict=True):
        same(a, b)
    assert len(server.bodies) == n
    with pytest.raises(SharpenError, match="cannot sample with banned, top_k"):
        engine.generate(POLICY, requests(1, SamplingLaw(top_k=3, banned=(4,))))
    with pytest.raises(SharpenError, match="text only"):
        engine.annotate(POLICY, [asked[0].tokens])


# --- the tape ---------------------------------------------------------------------------------------
def test_a_second_time_nothing_is_asked(server, tape, tmp_path):
    asked = requests(6)
    first = engine_for(server, tape).generate(POLICY, asked)
    seen, n = [], len(server.paths)
    engine = engine_for(server, Tape(tmp_path / TAPE))
    again = engine.generate(POLICY, asked[::-1], on_progress=lambda *a: seen.append(a))[::-1]
    for a, b in zip(first, again, strict=True):
        same(a, b)
    assert len(server.paths) == n
    assert seen[-1] == (sum(len(c.tokens) for c in first), 6)
    engine.generate(POLICY, requests(6, new=11))  # another limit is another question
    assert len(server.bodies) == 12


def test_interrupted_it_asks_only_for_what_is_missing(server, tape, tmp_path):
    """Ctrl-C in the middle; then the same call in another process."""
    server.faults.extend(["", "", ""] + ["hang"] * 20)
    watching = threading.Thread(
        target=interrupt_when, args=(lambda: len(server.bodies) == 5 and len(tape) >= 4,)
    )
    # a shell starts what runs in its background with Ctrl-C ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watching.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            engine_for(server, tape, concurrency=2).generate(POLICY, requests(8))
    finally:
        signal.signal(signal.SIGINT, before)
        watching.join()
    kept = Tape(tmp_path / TAPE)
    assert sum("tokens" in r for r in kept.replies()) == 3
    server.faults.clear()
    before = len(server.bodies)
    given = engine_for(server, kept).generate(POLICY, requests(8))
    assert len(server.bodies) - before == 5
    assert gap(POLICY, requests(8), given) < 1e-5


def interrupt_when(ready):
    pause = threading.Event()
    while not ready():
        pause.wait(0.005)
    # to the main thread: delivered to another one, it would not wake the event loop
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


# --- limits -----------------------------------------------------------------------------------------
def test_requests_are_limited_over_the_whole_run(server, tape, tmp_path):
    engine = engine_for(server, tape, concurrency=2, max_requests=6)
    with pytest.raises(SharpenError, match=r"max_requests = 6 does not allow.*6 were sent, .*sharpen resume"):
        engine.generate(POLICY, requests(9))
    assert len(server.bodies) + server.probed == 6
    assert (engine.spent.requests, engine.spent.sampled > 0) == (6, True)
    # taken up with a higher limit: what was answered is not asked again, and counts
    kept = len(server.bodies)
    more = engine_for(server, Tape(tmp_path / TAPE), logprobs="raw", max_requests=30)
    assert more.spent.requests == kept
    more.generate(POLICY, requests(9))
    assert len(server.bodies) == 9


def test_tokens_and_cost_are_never_exceeded(server):
    asked = requests(12, eos=tuple(range(4, 24)), new=30)
    whole = engine_for(server)
    whole.generate(POLICY, asked)
    all_tokens = whole.spent.prompt + whole.spent.sampled
    worst = sum(len(r.tokens) + r.max_new_tokens for r in asked)
    assert all_tokens < 0.7 * worst
    # enough for what is used, though not for the worst case of all at once
    engine = engine_for(server, max_tokens=all_tokens + 44, concurrency=12)
    engine.generate(POLICY, asked)
    small = engine_for(server, max_tokens=all_tokens // 2)
    with pytest.raises(SharpenError, match=f"max_tokens = {all_tokens // 2}"):
        small.generate(POLICY, asked)
    assert all_tokens // 4 < small.spent.prompt + small.spent.sampled <= all_tokens // 2
    prices = {"price_prompt": 1e3, "price_sampled": 1e4}
    cost = whole.spent.cost(ApiConfig(**prices))
    assert cost == (whole.spent.prompt + 10 * whole.spent.sampled) / 1e3
    costly = engine_for(server, **prices, max_cost=cost / 2)
    with pytest.raises(SharpenError, match=r"max_cost = \S+ does not allow .* used, cost \d"):
        costly.generate(POLICY, asked)
    assert 0 < costly.spent.cost(costly.config) <= cost / 2


# --- secrets ----------------------------------------------------------------------------------------
def test_the_key_goes_to_the_server_and_nowhere_else(server, tape, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("SOME_KEY", KEY + "\n")
    engine = engine_for(server, tape, key_variable="SOME_KEY")
    engine.generate(POLICY, requests(3))
    assert server.keys == {f"Bearer {KEY}"}
    server.faults.append("echo key")
    with pytest.raises(SharpenError, match=r"wrong key: Bearer \*\*\*") as error:
        engine.generate(POLICY, requests(1, name="d"))
    assert KEY not in str(error.getrepr(style="long"))
    assert KEY not in (tmp_path / TAPE).read_text()
    assert KEY not in engine.config.to_toml() + "".join(capfd.readouterr())
    monkeypatch.setenv("SOME_KEY", KEY + "\nX: y")
    with pytest.raises(SharpenError, match="cannot have") as error:
        engine_for(server, key_variable="SOME_KEY").generate(POLICY, requests(1))
    assert KEY not in str(error.value)
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(SharpenError, match="SOME_KEY is not set"):
        engine_for(server, key_variable="SOME_KEY").generate(POLICY, requests(1))


def test_settings_that_hold_a_secret_are_refused_without_repeating_it():
    for wrong in (
        {"key_variable": KEY},
        {"url": f"https://me:{KEY}@host/v1"},
        {"url": f"https://h/v1?k={KEY}"},
    ):
        with pytest.raises(SharpenError) as error:
            build(ApiConfig, wrong)
        assert KEY not in str(error.value)
    with pytest.raises(SharpenError, match=r"url.*http://HOST"):
        load(ApiConfig, None, ["url=localhost:8000"])
    with pytest.raises(SharpenError, match="price_prompt"):
        load(ApiConfig, None, ["max_cost=1"])
    with pytest.raises(SharpenError, match="tokens = 'ids'"):
        load(ApiConfig, None, ["tokens=text", "weights=lora"])


# --- new weights ------------------------------------------------------------------------------------
def learnt(version="v1", seed=1):
    """The policy with an adapter that changes it."""
    draw = torch.Generator().manual_seed(seed)
    tensors, targets = {}, ("q_proj", "down_proj")
    for name, w in POLICY.weights.items():
        if name.split(".")[-2] in targets:
            head = "base_model.model." + name.removesuffix(".weight")
            tensors[head + ".lora_A.weight"] = torch.randn(4, w.shape[1], generator=draw) * 0.2
            tensors[head + ".lora_B.weight"] = torch.randn(w.shape[0], 4, generator=draw) * 0.2
    config = {"r": 4, "lora_alpha": 8, "peft_type": "LORA", "target_modules": list(targets)}
    return POLICY.with_adapter(Adapter(config, tensors), version)


def test_fixed_weights_refuse_another_policy_also_when_taken_up(server, tape, tmp_path):
    engine = engine_for(server, tape)
    engine.generate(POLICY, requests(1))
    for later in (engine, engine_for(server, Tape(tmp_path / TAPE))):
        for ask in (lambda e: e.generate(learnt(), requests(1)), lambda e: e.annotate(learnt(), [])):
            with pytest.raises(SharpenError, match=r"v1 has other weights .* api\.weights=fixed sends none"):
                ask(later)
    assert len(server.bodies) == 1


def test_a_server_with_another_model_is_noticed_before_it_samples(server, tape):
    with pytest.raises(SharpenError, match=r"does not answer with the weights of policy v1: .* nats"):
        engine_for(server, tape).generate(learnt(), requests(3))
    assert not server.bodies
    loose = ApiConfig(url=server.url, model="base", rounding=100)
    assert len(ApiEngine(loose).generate(learnt(), requests(3))) == 3


def test_adapters_reach_the_server(server, tape):
    engine = engine_for(server, tape, weights="lora")
    asked = requests(6)
    for policy in (POLICY, learnt(), learnt("v2", 2), POLICY, learnt()):
        given = engine.generate(policy, [Request(*r_of(r, policy)) for r in asked])
        assert gap(policy, asked, given) < 1e-5
    assert set(server.adapters) == {"base", "v2"}  # v1 was answered from the tape the second time
    other = POLICY.with_weights({k: 1.01 * v for k, v in POLICY.weights.items()}, "full")
    with pytest.raises(SharpenError, match="sends adapters only"):
        engine.generate(other, requests(1))


def r_of(r, policy):
    return r.tokens, r.stream.child(policy.version), r.law, r.max_new_tokens, r.eos_ids, r.stop


def test_an_adapter_left_by_a_process_before_is_replaced(server):
    engine_for(server, weights="lora").generate(learnt(), requests(2))
    same_name = learnt("v1", 3)
    given = engine_for(server, weights="lora").generate(same_name, requests(2))
    assert gap(same_name, requests(2), given) < 1e-5


def test_all_weights_reach_the_server(server, tmp_path):
    engine = engine_for(server, weights="reload", folder=str(tmp_path / "served"))
    full = POLICY.with_weights({k: 1.1 * v for k, v in POLICY.weights.items()}, "v2")
    asked = requests(6)
    for policy in (POLICY, learnt(), full, full):
        given = engine.generate(policy, asked)
        assert gap(policy, asked, given) < 1e-5
    assert server.paths.count("/collective_rpc") == 3  # once a version
    assert [p.name for p in (tmp_path / "served").iterdir()] == ["v2-all"]


@pytest.mark.parametrize("weights", ["lora", "reload"])
def test_a_dropped_update_is_noticed_before_anything_is_sampled(server, tape, weights):
    engine = engine_for(server, tape, weights=weights)
    engine.generate(POLICY, requests(2))
    server.drops = True
    with pytest.raises(SharpenError, match="does not answer with the weights of policy v1"):
        engine.generate(learnt(), requests(2))
    assert len(server.bodies) == 2
    server.drops = False
    given = engine.generate(learnt(), requests(2))
    assert gap(learnt(), requests(2), given) < 1e-5


@pytest.mark.parametrize(("weights", "hint"), [("lora", "--enable-lora"), ("reload", "DEV_MODE")])
def test_a_server_that_takes_no_weights_says_what_to_do(server, weights, hint):
    server.plain = True
    with pytest.raises(SharpenError, match=f"404: Not Found: start vLLM .*{hint}"):
        engine_for(server, weights=weights).generate(learnt(), requests(1))
