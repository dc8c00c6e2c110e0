"""The gradient of a batch does not depend on how the batch was split, ordered or packed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.batch import micro_batches
from sharpen.learn.learner import accumulate
from sharpen.learn.objective import Forward
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of_text
from sharpen.learn.sft import SFT
from sharpen.runs.streams import stream
from sharpen.sample.law import GREEDY, SamplingLaw
from tests.shapes import tiny

BOUND = {torch.float32: 1e-6, torch.float64: 1e-12}


def some_rows(n: int = 7) -> list[Row]:
    draw = stream("rows").generator()
    rows = []
    for i in range(n):
        prompt, completion = (draw.integers(4, 60, size=draw.integers(2, 25)) for _ in range(2))
        rows.append(row_of_text(prompt, completion, key=str(i), eos_id=2, weight=float(draw.uniform(0.5, 2))))
    return rows


def model(shape: str, dtype: torch.dtype = torch.float32):
    return copy.deepcopy(tiny(shape).module()).to(dtype).requires_grad_(True)


def gradient(module, micro, objective) -> torch.Tensor:
    module.zero_grad()
    accumulate(module, micro, objective)
    return torch.cat([p.grad.flatten() for p in module.parameters()])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def splits(rows: list[Row]) -> dict[str, list[list[Row]]]:
    units = [(i,) for i in range(len(rows))]
    packed = micro_batches(rows, units, tokens_per_microbatch=60)
    return {
        "one pack": [rows],
        "one row a micro-batch": [[r] for r in rows],
        "budgeted": [[rows[i] for i in m] for m in packed],
        "reversed": [rows[::-1]],
        "shuffled pairs": [[rows[3], rows[0]], [rows[6]], [rows[5], rows[1]], [rows[2], rows[4]]],
    }


# no float64 for Gemma 3: the library rounds to float32 inside it
CASES = [(s, d) for s in ("llama", "gpt2", "gemma3") for d in BOUND if (s, d) != ("gemma3", torch.float64)]


@pytest.mark.parametrize(("shape", "dtype"), CASES)
@pytest.mark.parametrize("objective", [SFT(), SFT(mean="rows")], ids=lambda o: o.mean)
def test_split_order_and_packing_change_rounding_only(shape, dtype, objective):
    rows, module = some_rows(), model(shape, dtype)
    ways = {name: gradient(module, micro, objective) for name, micro in splits(rows).items()}
    reference = ways["one row a micro-batch"]
    assert {name: d for name, g in ways.items() if (d := distance(g, reference)) > BOUND[dtype]} == {}


@pytest.mark.parametrize("dtype", BOUND)
def test_the_same_check_catches_one_dropped_token(dtype):
    rows, module = some_rows(), model("llama", dtype)
    whole = gradient(module, [rows], SFT())
    weight = rows[4].arrays["weight"].copy()
    weight[-2] = 0
    planted = [*rows[:4], replace(rows[4], arrays={"weight": weight}), *rows[5:]]
    # the denominator stays that of the whole batch: only the token's own gradient is missing
    objective = _Fixed(SFT().denominators(rows))
    assert distance(gradient(module, [planted], objective), whole) > 1000 * BOUND[dtype]
    assert distance(gradient(module, [rows], objective), whole) <= BOUND[dtype]


# llama's norms round to float32: there gradients that are summed before them differ in that rounding
@pytest.mark.parametrize(("shape", "dtype"), [case for case in CASES if case != ("llama", torch.float64)])
def test_rows_alike_go_through_the_model_once_and_each_still_counts(shape, dtype):
    rows, module = some_rows(3), model(shape, dtype)
    weight = rows[1].arrays["weight"] * 3
    weight[-1] = 0  # alike are the tokens, not what is learnt of them
    given = [rows[0], rows[1], replace(rows[1], arrays={"weight": weight}), rows[2], rows[1]]
    forward = Forward(module, given)
    assert len(forward.hidden) == sum(len(r.tokens) for r in rows)
    assert len(forward.targets) == sum(int((r.arrays["weight"] != 0).sum()) for r in given)
    assert len(Forward(module, given, alike=False).hidden) == sum(len(r.tokens) for r in given)
    apart = gradient(module, [[r] for r in given], SFT())
    assert distance(gradient(module, [given], SFT()), apart) <= BOUND[dtype]
    assert distance(gradient(module, [given[::-1]], SFT()), apart) <= BOUND[dtype]
    without = [r for r in given if r is not given[2]]
    assert distance(gradient(module, [without], SFT()), apart) > 1000 * BOUND[dtype]


@pytest.mark.parametrize(("shape", "dtype"), [case for case in CASES if case != ("llama", torch.float64)])
def test_a_prompt_goes_through_the_model_once_for_all_its_answers(shape, dtype):
    draw = stream("answers").generator()
    first, second, brief = (draw.integers(4, 60, n).tolist() for n in (30, 12, 3))
    prompts = [first, second, first, brief, first, second, brief, first]
    answers = [draw.integers(4, 60, n).tolist() for n in (6, 40, 1, 5, 17, 9, 8, 2)]
    rows = [
        row_of_text(p, a, eos_id=2, key=str(i)) for i, (p, a) in enumerate(zip(prompts, answers, strict=True))
    ]
    rows.append(rows[4])
    # observations after the first learnt token are part of the answer
    weight = rows[0].arrays["weight"].copy()
    weight[33:35] = 0
    rows[0] = replace(rows[0], arrays={"weight": weight})
    module = model(shape, dtype)
    once = 30 + 12 + 2 * 3 + sum(len(a) + 1 for a in answers)
    assert len(Forward(module, rows).hidden) == once
    assert len(Forward(module, rows, alike=False).hidden) == sum(len(r.tokens) for r in rows)
    apart = gradient(module, [[r] for r in rows], SFT())
    assert distance(gradient(module, [rows], SFT()), apart) <= BOUND[dtype]
    assert distance(gradient(module, [rows[::-1]], SFT()), apart) <= BOUND[dtype]


class _Fixed:
    """SFT with given denominators."""

    def __init__(self, denominators):
        self.sft, self._denominators = SFT(), denominators
        self.name, self.spec, self.weights = self.sft.name, self.sft.spec, self.sft.weights

    def denominators(self, rows):
        return self._denominators

    def __call__(self, forward, rows):
        return self.sft(forward, rows)


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_sft_is_plain_cross_entropy_on_each_row_alone(shape):
    rows, module = some_rows(), tiny(shape).module()
    total = 0.0
    for row in rows:
        ids = torch.as_tensor(row.tokens, dtype=torch.long)
        logits = module(ids[None], position_ids=torch.arange(len(ids))[None], use_cache=False).logits[0]
        nll = cross_entropy(logits[:-1], ids[1:], reduction="none")
        total += float((nll * torch.as_tensor(row.arrays["weight"][1:])).sum())
    forward = Forward(module, rows)
    assert float(SFT()(forward, rows)["cross_entropy"]) == pytest.approx(total, rel=1e-5)
    weights = np.concatenate([r.arrays["weight"] for r in rows])
    assert SFT().denominators(rows)["cross_entropy"] == pytest.approx(float(weights.sum()), rel=1e-6)


def test_mean_over_rows_counts_each_row_once():
    rows, module = some_rows(), tiny("llama").module()
    each = []
    for row in rows:
        sums, den = SFT()(Forward(module, [row]), [row]), SFT().denominators([row])
        each.append(float(sums["cross_entropy"]) / den["cross_entropy"])
    objective = SFT(mean="rows")
    unweighted = replace(rows[0], arrays={"weight": np.zeros_like(rows[0].arrays["weight"])})
    given = [*rows, unweighted]
    value = float(objective(Forward(module, given), given)["cross_entropy"])
    assert value / objective.denominators(given)["cross_entropy"] == pytest.approx(np.mean(each), rel=1e-5)


def test_only_weighted_tokens_are_targets():
    row, module = some_rows()[0], tiny("llama").module()
    targets = np.flatnonzero(row.arrays["weight"])
    assert Forward(module, [row]).targets.tolist() == row.tokens[targets].tolist()

    def loss(tokens):
        changed = replace(row, tokens=tokens.astype(np.int32))
        # the inputs stay those of `row`: only what is to be predicted changes
        forward = Forward(module, [changed])
        forward.__dict__["hidden"] = Forward(module, [row]).hidden
        return float(SFT()(forward, [changed])["cross_entropy"])

    other = np.where(row.tokens == 50, 51, 50)
    prompt_changed = np.where(row.arrays["weight"] == 0, other, row.tokens)
    assert loss(prompt_changed) == loss(row.tokens)
    for t in targets:
        one = row.tokens.copy()
        one[t] = other[t]
        assert loss(one) != loss(row.tokens), t


def test_the_end_token_is_learnt():
    row = row_of_text([5, 6], [7, 8], eos_id=2)
    assert row.tokens.tolist() == [5, 6, 7, 8, 2]
    assert row.arrays["weight"].tolist() == [0, 0, 1, 1, 1]
    assert Forward(tiny("llama").module(), [row]).targets.tolist() == [7, 8, 2]


def test_log_probabilities_under_a_law():
    rows, module = some_rows(3), tiny("llama").module()
    forward = Forward(module, rows)
    assert torch.allclose(forward.logprobs(SamplingLaw()), forward.logprobs())
    law = SamplingLaw(temperature=0.7, banned=(3,))
    expected = []
    for row in rows:
        logits = module(torch.as_tensor(row.tokens, dtype=torch.long)[None], use_cache=False).logits[0] / 0.7
        logits[:, 3] = -torch.inf
        at = np.flatnonzero(row.arrays["weight"])
        expected.append(logits.log_softmax(-1)[at - 1, row.tokens[at]])
    assert torch.allclose(forward.logprobs(law), torch.cat(expected), atol=2e-5)
    for refused in (GREEDY, SamplingLaw(top_p=0.5), SamplingLaw(repetition_penalty=1.2)):
        with pytest.raises(SharpenError):
            forward.logprobs(refused)


def test_entropy_is_that_of_the_next_token():
    rows, module = some_rows(2), tiny("gpt2").module()
    forward = Forward(module, rows)
    logits = module(torch.as_tensor(rows[0].tokens, dtype=torch.long)[None], use_cache=False).logits[0]
    expected = torch.distributions.Categorical(logits=logits).entropy()[
        rows[0].arrays["weight"].nonzero()[0] - 1
    ]
    assert torch.allclose(forward.entropy()[forward.row_index == 0], expected, atol=1e-5)


def test_small_chunks_of_logits_change_rounding_only(monkeypatch):
    rows, module = some_rows(), model("llama", torch.float64)
    whole = gradient(module, [rows], SFT())
    monkeypatch.setattr("sharpen.learn.objective.CHUNK", 70 * 9)
    assert distance(gradient(module, [rows], SFT()), whole) < 1e-12


def test_a_batch_without_weight_and_a_loss_that_is_not_finite_are_errors():
    rows, module = some_rows(2), model("llama")
    blank = [replace(r, arrays={"weight": np.zeros_like(r.arrays["weight"])}) for r in rows]
    with pytest.raises(SharpenError, match="cross_entropy"):
        accumulate(module, [blank], SFT())
    with torch.no_grad():
        module.get_input_embeddings().weight[int(rows[0].tokens[0])] = torch.nan
    with pytest.raises(NotFinite, match="cross_entropy"):
        accumulate(module, [rows], SFT())
