"""An engine that samples from other weights than it was given is found out within one step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.streams import stream
from sharpen.sample.episode import Episode, Request, Span
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.verbs.agreement import agreement
from tests.shapes import EOS, tiny
from tests.tiny import settings, steps


class Apart(NativeEngine):
    """Right, but judged as an engine that runs elsewhere."""

    rounding = 3e-5


class Stale(Apart):
    """Never takes new weights."""

    first = None

    def generate(self, policy, requests, **options):
        self.first = self.first or policy
        return super().generate(self.first, requests, **options)


def episodes(law, policy=None, **changes):
    """Four attempts, their completions changed as told."""
    policy = policy or tiny("llama")
    prompt = np.array([5, 6, 7], np.int32)
    asked = [Request(prompt, stream("agreement", i), law, 8, (EOS,)) for i in range(4)]
    out = []
    for i, c in enumerate(NativeEngine().generate(policy, asked)):
        told = replace(c, **{name: np.full_like(getattr(c, name), x) for name, x in changes.items()})
        spans = (Span("prompt", prompt), Span("assistant", c.tokens, trainable=True, sampled=told))
        out.append(Episode(f"k/{i}", "k", i, spans, c.finish, ""))
    return out


@pytest.mark.parametrize("law", [SamplingLaw(), SamplingLaw(temperature=0.7, top_k=5), GREEDY])
def test_an_engine_with_the_right_weights_agrees(law):
    gap = agreement(Apart(), tiny("llama"), law, episodes(law))
    assert gap is not None
    assert 0 <= gap < 1e-6


def test_without_raw_numbers_those_under_the_law_are_compared():
    law = SamplingLaw(temperature=0.7)
    told = episodes(law, raw_logprobs=np.nan)
    gap = agreement(Apart(), tiny("llama"), law, told)
    assert gap is not None
    assert gap < 1e-6
    other = tiny("llama").with_weights({k: 1.01 * w for k, w in tiny("llama").weights.items()}, "other")
    with pytest.raises(SharpenError, match="does not sample from policy other"):
        agreement(Apart(), other, law, told)


def test_what_cannot_be_compared_is_not():
    assert agreement(NativeEngine(), tiny("llama"), SamplingLaw(), episodes(SamplingLaw())) is None
    assert agreement(FakeEngine(), tiny("llama"), SamplingLaw(), episodes(SamplingLaw())) is None
    unknown = episodes(SamplingLaw(), raw_logprobs=np.nan, logprobs=np.nan)
    assert agreement(Apart(), tiny("llama"), SamplingLaw(), unknown) is None
    cut = SamplingLaw(top_k=5)
    assert agreement(Apart(), tiny("llama"), cut, episodes(cut, raw_logprobs=np.nan)) is None


def test_a_dropped_update_is_caught_within_one_step(tmp_path):
    execute("online_rft", settings("online_rft"), tmp_path / "right", engine=Apart())
    gaps = [s["result"]["logprob_gap"] for s in steps(tmp_path / "right", "sample").values()]
    assert max(gaps) < 1e-6
    with pytest.raises(SharpenError, match="Stale does not sample from policy"):
        execute("online_rft", settings("online_rft"), tmp_path / "stale", engine=Stale())
    # the next step after the first update, and nothing that the old weights sampled is stored
    assert list(steps(tmp_path / "stale", "sample")) == [
        "held_out/sample:0",
        "held_out/sample:1",
        "round-0001/sample:0",
    ]
    assert not list((tmp_path / "stale" / "rollouts").rglob("*round-0001*held_out*"))
