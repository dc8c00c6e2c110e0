"""A scalar head on frozen hidden states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.learn.head import HeadConfig, score, train_head
from sharpen.learn.row import Row
from sharpen.learn.state import TrainState, load_state, save_state
from sharpen.runs.streams import stream
from tests.shapes import tiny


def labelled(n: int, name: str) -> list[Row]:
    """Rows whose label, at every third token, is whether that token's id is even."""
    draw = stream(name).generator()
    rows = []
    for i in range(n):
        tokens = draw.integers(4, 16, size=draw.integers(6, 20)).astype(np.int32)
        weight = (np.arange(len(tokens)) % 3 == 2).astype(np.float32)
        label = np.where(weight > 0, tokens % 2 == 0, 0).astype(np.float32)
        rows.append(Row(tokens, {"weight": weight, "label": label}, key=str(i)))
    return rows


@pytest.mark.parametrize(("width", "bar"), [(0, 0.7), (32, 0.88)])
def test_it_learns_labels_from_hidden_states_and_scores_unseen_rows(width, bar):
    policy = tiny("llama")
    before = {n: t.clone() for n, t in policy.weights.items()}
    head = train_head(policy, labelled(400, "train"), config=HeadConfig(width=width), stream=stream("head"))
    test = labelled(40, "test")
    where = [np.flatnonzero(r.arrays["weight"]) for r in test]
    logits = torch.cat(score(policy, head, [r.tokens for r in test], where))
    truth = torch.cat([torch.as_tensor(r.tokens[w] % 2 == 0) for r, w in zip(test, where, strict=True)])
    assert float(((logits > 0) == truth).double().mean()) > bar
    assert head.report["labels"] == sum(r.arrays["weight"].sum() for r in labelled(400, "train"))
    assert all(torch.equal(t, before[n]) for n, t in policy.weights.items())


def test_only_labelled_tokens_count_and_equal_runs_are_bit_equal():
    policy, rows = tiny("gpt2"), labelled(10, "a")
    config = HeadConfig(epochs=2)
    first = train_head(policy, rows, config=config, stream=stream("head"))
    noise = [
        replace(
            r,
            arrays={**r.arrays, "label": np.where(r.arrays["weight"] > 0, r.arrays["label"], 1).astype("f4")},
        )
        for r in rows
    ]
    again = train_head(policy, noise, config=config, stream=stream("head"))
    assert all(torch.equal(t, again.weights[n]) for n, t in first.weights.items())
    other = train_head(policy, rows, config=config, stream=stream("other"))
    assert not torch.equal(first.weights["in.weight"], other.weights["in.weight"])


def test_scores_do_not_depend_on_what_else_is_scored():
    policy, rows = tiny("llama"), labelled(12, "b")
    head = train_head(policy, rows, config=HeadConfig(epochs=1), stream=stream("head"))
    ids, where = [r.tokens for r in rows], [np.arange(len(r.tokens)) for r in rows]
    together = score(policy, head, ids, where)
    small = score(policy, head, ids, where, tokens_per_microbatch=30)
    for i in range(len(rows)):
        alone = score(policy, head, [ids[i]], [where[i]])[0]
        assert alone.shape == (len(ids[i]),)
        assert torch.allclose(alone, together[i], atol=1e-5)
        assert torch.allclose(alone, small[i], atol=1e-5)


def test_labels_are_checked():
    policy, rows = tiny("llama"), labelled(2, "c")
    with pytest.raises(SharpenError, match="at least one"):
        train_head(policy, [], config=HeadConfig(), stream=stream(0))
    bad = [replace(r, arrays={**r.arrays, "label": r.arrays["label"] + 2}) for r in rows]
    with pytest.raises(SharpenError, match=r"\[0, 1\]"):
        train_head(policy, bad, config=HeadConfig(), stream=stream(0))


def test_heads_travel_with_a_state(tmp_path):
    policy = tiny("llama")
    head = train_head(policy, labelled(5, "d"), config=HeadConfig(epochs=1), stream=stream("head"))
    state = replace(TrainState.start(policy), heads={"steps": head})
    save_state(state, tmp_path / "s")
    loaded = load_state(tmp_path / "s")
    assert loaded.digest == state.digest != TrainState.start(policy).digest
    assert dict(loaded.heads["steps"].report) == dict(head.report)
    assert all(torch.equal(t, loaded.heads["steps"].weights[n]) for n, t in head.weights.items())
