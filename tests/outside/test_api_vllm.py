"""The api engine against vLLM's own server on loopback, with the shipped model. Needs vllm, which lives in an
environment of its own (docs/engines.md)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.learn.config import LoraConfig
from sharpen.learn.lora import adapter_of, with_lora
from sharpen.runs.streams import stream
from sharpen.runs.tape import Tape
from sharpen.sample import api_weights
from sharpen.sample.api import ApiConfig, ApiEngine
from sharpen.sample.episode import Finish, Request
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy, shipped

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")

PATIENCE = 300  # seconds until the server must answer
KEY = "key-of-the-test"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A server of the shipped model, adapters and reloading allowed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--model", str(shipped()["nano"]), "--served-model-name", "nano"]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64", "--api-key", KEY]
    command += ["--enable-lora", "--max-lora-rank", "8"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_SERVER_DEV_MODE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # the session is the server's own: its workers are in it
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server, address, log):
    pause = threading.Event()
    for _ in range(2 * PATIENCE):
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            pause.wait(0.5)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("NANO_KEY", KEY)


@pytest.fixture(scope="module")
def nano():
    return load_policy("nano")


def engine_for(url, tape=None, **settings):
    given = {"model": "nano", "key_variable": "NANO_KEY", "rounding": 1e-4, **settings}
    return ApiEngine(ApiConfig(url=url, **given), tape)


def requests(policy, n=24, law=None, new=48, eos=None, stop=(), name="v"):
    texts = ["3+4*2=", "Sort these letters: qkz\n", "12-5", "Start 4, add 3, double it.\n"]
    prompts = [np.array(policy.tokenizer(t)["input_ids"], np.int32) for t in texts]
    eos = policy.eos_ids if eos is None else eos
    law = law or SamplingLaw()
    return [Request(prompts[i % 4], stream(name, i), law, new, eos, stop) for i in range(n)]


def gap(policy, asked, given):
    """Largest and mean difference from the policy's own log-probabilities."""
    texts = [np.concatenate([r.tokens, c.tokens]) for r, c in zip(asked, given, strict=True)]
    notes = NativeEngine().annotate(policy, texts)
    own = np.concatenate([n.raw_logprobs[len(r.tokens) :] for r, n in zip(asked, notes, strict=True)])
    found = np.abs(own - np.concatenate([c.raw_logprobs for c in given]))
    return float(found.max()), float(found.mean())


def learnt(policy, version, seed, size=0.05):
    """The policy with an adapter, made as the learner makes it, that changes it much."""
    module, settings = with_lora(policy, LoraConfig(rank=4, alpha=8), stream("adapter", seed))
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if ".lora_B." in name:
            parameter.data.copy_(size * torch.randn(parameter.shape, generator=draw))
    return policy.with_adapter(adapter_of(module, settings), version)


def test_log_probabilities_are_the_policys_own(url, nano):
    asked = requests(nano)
    given = engine_for(url).generate(nano, asked)
    assert gap(nano, asked, given)[0] <= 1e-4
    assert len({c.tokens.tobytes() for c in given}) > 8
    for r, c in zip(asked, given, strict=True):
        assert np.array_equal(c.logprobs, c.raw_logprobs)
        assert (c.finish is Finish.EOS) == (c.tokens[-1] in r.eos_ids)
    notes = engine_for(url).annotate(nano, [r.tokens for r in asked[:4]])
    own = NativeEngine().annotate(nano, [r.tokens for r in asked[:4]])
    for a, b in zip(notes, own, strict=True):
        assert np.abs(a.raw_logprobs - b.raw_logprobs).max() <= 1e-4


def test_the_same_streams_give_the_same_tokens(url, nano):
    asked = requests(nano, 12)
    first, again = (engine_for(url).generate(nano, asked) for _ in range(2))
    assert [a.tokens.tolist() for a in first] == [b.tokens.tolist() for b in again]
    other = engine_for(url).generate(nano, requests(nano, 12, name="w"))
    assert [a.tokens.tolist() for a in first] != [b.tokens.tolist() for b in other]


def test_laws_are_kept(url, nano):
    engine, native = engine_for(url), NativeEngine()
    greedy = requests(nano, 4, GREEDY)
    for a, b in zip(engine.generate(nano, greedy), native.generate(nano, greedy), strict=True):
        assert np.array_equal(a.tokens, b.tokens)
        assert a.finish is b.finish
        assert not a.logprobs.any()
        assert np.abs(a.raw_logprobs - b.raw_logprobs).max() <= 1e-4
    # a law that leaves one token is greedy, by whichever cut
    for law in (SamplingLaw(top_k=1), SamplingLaw(top_p=1e-6), SamplingLaw(min_p=1.0)):
        for a, b in zip(
            engine.generate(nano, requests(nano, 4, law)), native.generate(nano, greedy), strict=True
        ):
            assert np.array_equal(a.tokens, b.tokens)
            assert np.isnan(a.logprobs).all()
    # greedy under penalties, banned and allowed tokens: the same choices as ours
    digits = tuple(nano.tokenizer("0123456789")["input_ids"])
    for law in (
        SamplingLaw(temperature=0, repetition_penalty=1.3),
        SamplingLaw(temperature=0, presence_penalty=0.7, frequency_penalty=0.4),
        SamplingLaw(temperature=0, banned=digits[:5]),
        SamplingLaw(temperature=0, allowed=digits, banned=digits[:2]),
    ):
        asked = requests(nano, 4, law, new=24)
        for a, b in zip(engine.generate(nano, asked), native.generate(nano, asked), strict=True):
            assert np.array_equal(a.tokens, b.tokens), law


def test_ends_stops_and_limits(url, nano):
    engine = engine_for(url)
    free = engine.generate(nano, requests(nano, 12, new=24, eos=()))
    assert {c.finish for c in free} == {Finish.LENGTH}
    assert {len(c.tokens) for c in free} == {24}
    digit = int(nano.tokenizer("4")["input_ids"][0])
    texts = [nano.tokenizer.decode(c.tokens) for c in free]
    stop = (texts[0][5:8], "=")
    for c, before in zip(engine.generate(nano, requests(nano, 12, new=24, eos=(digit,))), free, strict=True):
        found = np.flatnonzero(before.tokens == digit)
        assert c.finish is (Finish.EOS if len(found) else Finish.LENGTH)
        assert np.array_equal(c.tokens, before.tokens[: found[0] + 1 if len(found) else None])
    cut = engine.generate(nano, requests(nano, 12, new=24, eos=(), stop=stop))
    assert cut[0].finish is Finish.STOP
    for c, text in zip(cut, texts, strict=True):
        ends = [text.find(s) + len(s) for s in stop if s in text]
        assert c.finish is (Finish.STOP if ends else Finish.LENGTH)
        assert nano.tokenizer.decode(c.tokens) == text[: min(ends, default=None)]


def test_adapters_change_the_answers_and_a_dropped_one_shows(url, nano, monkeypatch):
    engine = engine_for(url, weights="lora")
    asked = requests(nano)
    one, two = learnt(nano, "adapter-1", 1), learnt(nano, "adapter-2", 2)
    answers = {}
    for policy in (nano, one, two, nano):
        given = engine.generate(policy, asked)
        assert gap(policy, asked, given)[0] <= 1e-4
        answers.setdefault(policy.version, [c.tokens.tolist() for c in given])
        assert answers[policy.version] == [c.tokens.tolist() for c in given]
    assert len({str(a) for a in answers.values()}) == 3
    # dropped: the server is asked for the base although the policy has learnt
    assert gap(one, asked, engine_for(url).generate(nano, asked))[1] > 0.05
    monkeypatch.setattr(api_weights, "_save_adapter", _zeros(api_weights._save_adapter))
    with pytest.raises(SharpenError, match="does not answer with the weights of policy adapter-3"):
        engine.generate(learnt(nano, "adapter-3", 3), asked)


def _zeros(save):
    """Adapters that arrive, and say nothing."""

    def write(policy, folder):
        nothing = {name: torch.zeros_like(t) for name, t in policy.adapter.tensors.items()}
        save(
            policy.with_adapter(type(policy.adapter)(policy.adapter.config, nothing), policy.version), folder
        )

    return write


def test_the_tape_replays_without_the_server(url, nano, tmp_path):
    asked = requests(nano, 6, name="tape")
    first = engine_for(url, Tape(tmp_path / "tape.jsonl")).generate(nano, asked)
    assert KEY not in (tmp_path / "tape.jsonl").read_text()
    nobody = engine_for("http://127.0.0.1:1/v1", Tape(tmp_path / "tape.jsonl"), retries=0)
    for a, b in zip(first, nobody.generate(nano, asked), strict=True):
        assert np.array_equal(a.tokens, b.tokens)
        assert np.array_equal(a.raw_logprobs, b.raw_logprobs)


def test_a_refusal_is_one_line(url, nano, monkeypatch):
    with pytest.raises(SharpenError, match="status 404: The model `other` does not exist"):
        engine_for(url, model="other", logprobs="none").generate(nano, requests(nano, 1))
    monkeypatch.setenv("NANO_KEY", "wrong")
    with pytest.raises(SharpenError, match="status 401") as error:
        engine_for(url, logprobs="none").generate(nano, requests(nano, 1))
    assert "wrong" not in str(error.value)


def test_all_weights_are_reloaded(url, nano):
    """Last: it changes what the server serves under the base's name, and puts it back."""
    engine = engine_for(url, weights="reload")
    asked = requests(nano)
    draw = torch.Generator().manual_seed(0)
    weights = {name: w + 0.02 * torch.randn(w.shape, generator=draw) for name, w in nano.weights.items()}
    full = nano.with_weights(weights, "full-1")
    for policy in (full, learnt(nano, "merged", 4), nano):
        assert gap(policy, asked, engine.generate(policy, asked))[0] <= 1e-4
    assert gap(full, asked, engine.generate(nano, asked))[1] > 0.05
