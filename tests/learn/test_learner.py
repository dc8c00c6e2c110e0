"""Learning: values in, values out; resumed to the bit; stopped before harm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.config import LearnConfig, LoraConfig, OptimizerConfig
from sharpen.learn.learner import learn
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of_text
from sharpen.learn.sft import SFT
from sharpen.learn.state import Partial, TrainState, load_partial, load_state, save_partial, save_state
from sharpen.runs.streams import stream
from sharpen.sample.policy import merged
from tests.shapes import tiny

OPTIMIZER = OptimizerConfig(lr=3e-3, schedule="linear", warmup_steps=2, total_steps=8, weight_decay=0.1)
WAYS = {
    "full": {},
    "dropout": {"dropout": 0.2},
    "lora": {"method": "lora", "lora": LoraConfig(rank=2)},
}


def some_rows(n: int = 6) -> list[Row]:
    draw = stream("learner rows").generator()
    return [
        row_of_text(draw.integers(4, 60, 5), draw.integers(4, 60, draw.integers(4, 15)), key=str(i), eos_id=2)
        for i in range(n)
    ]


def run(state: TrainState, steps: int = 4, rows=None, name="learn", start=None, save=None, **config):
    config = {"steps": steps, "batch_rows": 4, "tokens_per_microbatch": 40, **config}
    return learn(
        state,
        some_rows() if rows is None else rows,
        objective=SFT(),
        config=LearnConfig(**config),
        stream=stream(name),
        start=start,
        save=save,
    )


def bits(state: TrainState) -> dict[str, torch.Tensor]:
    adapter = dict(state.policy.adapter.tensors) if state.policy.adapter else {}
    return {**state.policy.weights, **adapter, **state.moments}


def same(a: TrainState, b: TrainState) -> bool:
    x, y = bits(a), bits(b)
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) and a.digest == b.digest


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_resumed_at_every_save_point_gives_the_same_bits(shape, way, tmp_path):
    state, saved = TrainState.start(tiny(shape), OPTIMIZER), []

    def save(partial: Partial) -> None:
        save_partial(partial, tmp_path / str(partial.done))
        saved.append(partial.done)

    after, metrics = run(state, save=save, save_every=1, **WAYS[way])
    assert saved == [1, 2, 3]
    for done in saved:
        again, metrics_again = run(state, start=load_partial(tmp_path / str(done)), **WAYS[way])
        assert same(again, after)
        assert metrics_again == metrics


def test_the_old_state_is_untouched():
    state, _ = run(TrainState.start(tiny("llama"), OPTIMIZER))
    before = {name: tensor.clone() for name, tensor in bits(state).items()}
    digest = state.digest
    after, _ = run(state, name="second")
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(state).items())
    assert state.digest == digest != after.digest
    assert not torch.equal(
        next(iter(after.policy.weights.values())), next(iter(state.policy.weights.values()))
    )


def test_a_saved_partial_is_untouched_by_later_updates():
    kept: list[Partial] = []
    run(TrainState.start(tiny("llama"), OPTIMIZER), save=kept.append, save_every=1)
    alone, _ = run(TrainState.start(tiny("llama"), OPTIMIZER), steps=2)
    assert same(kept[1].state, alone)


def test_one_schedule_runs_over_two_learn_steps_and_restarts_with_a_fresh_optimizer():
    state = TrainState.start(tiny("llama"), OPTIMIZER)
    first, m1 = run(state, steps=3)
    second, m2 = run(first, steps=4, name="other")
    assert [m["step"] for m in m1 + m2] == [1, 2, 3, 4, 5, 6, 7]
    assert [m["lr"] for m in m1 + m2] == [OPTIMIZER.lr_at(k) for k in range(7)]
    assert (second.step, second.position) == (7, 7)

    fresh = second.fresh_optimizer()
    assert (fresh.step, fresh.position, fresh.moments) == (7, 0, {})
    assert fresh.policy is second.policy
    third, m3 = run(fresh, steps=2)
    assert [m["lr"] for m in m3] == [OPTIMIZER.lr_at(0), OPTIMIZER.lr_at(1)]
    assert [m["step"] for m in m3] == [8, 9]
    assert third.position == 2


def test_cut_in_two_learn_steps_on_the_same_batches_is_one():
    rows = some_rows(4)
    whole, _ = run(TrainState.start(tiny("llama"), OPTIMIZER), steps=4, rows=rows)
    half, _ = run(TrainState.start(tiny("llama"), OPTIMIZER), steps=2, rows=rows)
    other, _ = run(half, steps=2, rows=rows, name="learn")
    # every batch is all four rows, so only their order, hence rounding, differs
    for name, tensor in whole.policy.weights.items():
        assert torch.allclose(tensor, other.policy.weights[name], atol=1e-5), name
    restarted, _ = run(half.fresh_optimizer(), steps=2, rows=rows)
    assert any(
        not torch.allclose(t, restarted.policy.weights[n], atol=1e-4) for n, t in whole.policy.weights.items()
    )


def test_equal_runs_are_bit_equal_and_streams_matter():
    state = TrainState.start(tiny("gpt2"), OPTIMIZER)
    a, _ = run(state)
    b, _ = run(state)
    c, _ = run(state, name="elsewhere")
    assert same(a, b)
    assert not same(a, c)
    assert a.policy.version == b.policy.version != c.policy.version


def test_the_global_generator_is_neither_read_nor_moved():
    state = TrainState.start(tiny("gpt2"), OPTIMIZER)
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append([run(state, steps=2, **way)[0] for way in WAYS.values()])
        assert torch.equal(torch.get_rng_state(), before)
    assert all(same(a, b) for a, b in zip(*results, strict=True))


def test_dropout_changes_training_and_zero_does_not():
    state = TrainState.start(tiny("llama"), OPTIMIZER)
    plain, _ = run(state, steps=1)
    assert same(run(state, steps=1, dropout=0.0)[0], plain)
    assert not same(run(state, steps=1, dropout=0.2)[0], plain)


def test_what_is_not_finite_stops_the_run_and_leaves_the_state():
    state = TrainState.start(tiny("llama"), OPTIMIZER)
    digest = state.digest
    saved: list[Partial] = []
    wild = replace(state, optimizer=OptimizerConfig(lr=1e30))
    with pytest.raises(NotFinite, match=r"step \d of 4: "):
        run(wild, save=saved.append, save_every=1)
    assert all(torch.isfinite(t).all() for p in saved for t in p.state.policy.weights.values())
    name = "model.norm.weight"
    weights = {**state.policy.weights, name: state.policy.weights[name] * torch.nan}
    with pytest.raises(NotFinite, match="step 1 of 4: sft: term 'cross_entropy' is nan"):
        run(replace(state, policy=state.policy.with_weights(weights, "x")))
    assert state.digest == digest


def test_it_overfits_four_rows():
    state = TrainState.start(tiny("llama"), OptimizerConfig(lr=5e-3))
    _, metrics = run(state, steps=60, rows=some_rows(4))
    assert metrics[0]["loss"] > 3
    assert metrics[-1]["loss"] < 0.05


def test_metrics_say_what_was_seen():
    rows, seen = some_rows(), []
    config = LearnConfig(steps=2, batch_rows=6)
    state = TrainState.start(tiny("llama"))
    _, metrics = learn(state, rows, objective=SFT(), config=config, stream=stream(0), on_step=seen.append)
    assert metrics == seen
    for m in metrics:
        assert m["rows"] == 6
        assert m["tokens"] == sum(len(r.tokens) for r in rows)
        assert m["targets"] == sum(r.arrays["weight"].sum() for r in rows)
        assert m["loss"] == m["loss/cross_entropy"] > 0
        assert m["grad_norm"] > 0


def test_bad_rows_and_settings_are_errors():
    state = TrainState.start(tiny("llama"))
    long = Row(np.full(300, 5, dtype=np.int32), {"weight": np.ones(300, dtype=np.float32)}, key="long one")
    with pytest.raises(SharpenError, match="'long one' has 300 tokens"):
        run(state, rows=[long])
    with pytest.raises(SharpenError, match="no rows"):
        run(state, rows=[])
    with pytest.raises(SharpenError, match="did you mean 'q_proj'"):
        run(state, method="lora", lora=LoraConfig(targets=("q_porj",)))
    trained, _ = run(state, steps=1, method="lora")
    with pytest.raises(SharpenError, match="method=lora"):
        run(trained)
    full, _ = run(state, steps=1)
    with pytest.raises(SharpenError, match="fresh_optimizer"):
        run(full, steps=1, method="lora")


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_lora_trains_an_adapter_on_an_unchanged_base(shape):
    base = tiny(shape)
    before = {name: t.clone() for name, t in base.weights.items()}
    state, metrics = run(TrainState.start(base, OptimizerConfig(lr=2e-2)), steps=6, method="lora")
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert state.policy.adapter is not None
    assert all(torch.equal(t, before[n]) for n, t in state.policy.weights.items())
    assert all(torch.equal(t, before[n]) for n, t in base.weights.items())
    assert set(state.moments) == {
        f"{kind}/{name.removeprefix('base_model.model.').replace('.weight', '.default.weight')}"
        for kind in ("first", "second")
        for name in state.policy.adapter.tensors
    }
    changed = [n for n, t in merged(state.policy).items() if not torch.equal(t, before[n])]
    assert changed
    assert not any("embed" in n or "wte" in n for n in changed)
    more, _ = run(state, steps=1, method="lora", name="second")
    assert more.position == 7


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_merged_and_unmerged_adapters_agree(shape):
    from sharpen.learn.lora import with_lora
    from sharpen.learn.objective import Forward

    state, _ = run(TrainState.start(tiny(shape), OptimizerConfig(lr=2e-2)), steps=4, method="lora")
    unmerged, _ = with_lora(state.policy, LoraConfig(), stream("unused"))
    rows = some_rows()
    with torch.no_grad():
        a = Forward(unmerged, rows).logprobs()
        b = Forward(state.policy.module(), rows).logprobs()
        c = Forward(tiny(shape).module(), rows).logprobs()
    assert float((a - b).abs().max()) < 1e-5
    assert float((a - c).abs().max()) > 1e-2


@pytest.mark.parametrize("way", ["full", "lora"])
def test_saved_and_loaded_is_the_same_state_and_the_same_bytes(way, tmp_path):
    state, _ = run(TrainState.start(tiny("llama"), OPTIMIZER), steps=2, **WAYS[way])
    save_state(state, tmp_path / "a")
    loaded = load_state(tmp_path / "a")
    assert same(loaded, state)
    assert loaded.policy.version == state.policy.version
    assert (loaded.step, loaded.position, loaded.optimizer) == (2, 2, OPTIMIZER)
    save_state(loaded, tmp_path / "b")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert same(run(loaded, name="on", **WAYS[way])[0], run(state, name="on", **WAYS[way])[0])


def test_a_damaged_checkpoint_is_named(tmp_path):
    state, _ = run(TrainState.start(tiny("llama"), OPTIMIZER), steps=1)
    save_state(state, tmp_path / "c")
    for name in ("moments.safetensors", "policy/model.safetensors", "policy/tokenizer.json"):
        path = tmp_path / "c" / name
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for damage, word in ((whole[:-7], "truncated"), (bytes(flipped), "corrupt")):
            path.write_bytes(damage)
            with pytest.raises(SharpenError, match=f"{name}.* is {word}"):
                load_state(tmp_path / "c")
        path.unlink()
        with pytest.raises(SharpenError, match=f"{name}.* is missing"):
            load_state(tmp_path / "c")
        path.write_bytes(whole)
    assert same(load_state(tmp_path / "c"), state)
    manifest = tmp_path / "c" / "state.json"
    manifest.write_text(manifest.read_text()[:-40])
    with pytest.raises(SharpenError, match=r"state\.json is corrupt"):
        load_state(tmp_path / "c")
    manifest.unlink()
    with pytest.raises(SharpenError, match=r"no state\.json"):
        load_state(tmp_path / "c")
