"""Speed never changes results: every technique turned off alone gives what it promises."""

import numpy as np
import pytest
import techniques
import w1_rollouts
import w3_signals

from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy


@pytest.mark.parametrize("name", techniques.TECHNIQUES)
def test_results_stay_as_promised(name):
    given = techniques.job(name, smoke=True)
    work = techniques.work_of(name, given)
    on, off = work(True), work(False)
    assert on.size > 4
    largest = techniques.difference(on, off)
    assert techniques.kept_promise(name, largest), largest


def test_a_broken_promise_is_seen():
    assert not techniques.kept_promise("refill", 1e-9)
    assert techniques.kept_promise("packing", 1e-9)
    assert not techniques.kept_promise("packing", 1e-3)
    assert techniques.difference(np.zeros(2), np.zeros(3)) == float("inf")


def test_all_switches_at_once_change_no_bit():
    given = techniques.job("refill", smoke=True)
    policy = load_policy(given["model"])
    asked = w1_rollouts.requests(policy, given)
    plain = NativeEngine(refill=False, compact=False, share=False, split=False).generate(
        policy, asked, batch=2
    )
    fast = NativeEngine().generate(policy, asked)
    assert np.array_equal(techniques.numbers(plain), techniques.numbers(fast))


def test_signals_change_no_token_and_are_back_afterwards():
    from sharpen.sample import decode, rows

    given = {**w3_signals.small(True, 0, 1), "signals": "none"}
    policy, engine = load_policy(given["model"]), NativeEngine()
    bare = w3_signals.decoded(engine, policy, given)
    told = w3_signals.decoded(engine, policy, {**given, "signals": "with"})
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(bare, told, strict=True))
    assert not any(c.entropy.any() for c in bare)
    assert all(c.entropy.all() for c in told)
    assert rows.draw is decode.draw


def test_one_technique_is_measured_with_and_without_in_turns():
    given = {**techniques.job("compaction", smoke=True), "technique": "compaction", "repeats": 2}
    said = techniques.main(given)
    assert len(said["on"]) == len(said["off"]) == 2
    assert said["largest_difference"] == 0.0
