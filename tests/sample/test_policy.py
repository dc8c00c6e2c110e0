"""Policies: loading, saving, refusing, merging."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample.policy import Adapter, averaged, checksum, load_policy, save_policy
from tests.shapes import SHAPES, tiny


@pytest.fixture
def folder(tmp_path):
    save_policy(tiny("qwen2"), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize("shape", SHAPES)
def test_saved_and_loaded_is_the_same_policy_and_the_same_bytes(shape, tmp_path):
    policy = tiny(shape)
    save_policy(policy, tmp_path / "a")
    loaded = load_policy(tmp_path / "a")
    assert loaded.version == policy.version == checksum(loaded)
    assert loaded.eos_ids == policy.eos_ids
    assert loaded.tokenizer.get_vocab() == policy.tokenizer.get_vocab()
    text = "12+(3*4)=\n"
    assert loaded.tokenizer.encode(text) == policy.tokenizer.encode(text)
    save_policy(loaded, tmp_path / "b")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_anyone_can_load_what_is_saved(folder):
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        ours = tiny("qwen2").module()(ids).logits
        assert torch.allclose(theirs(ids).logits, ours, atol=1e-5)


def test_modules_of_two_policies_of_one_architecture_do_not_mix():
    a = tiny("llama")
    other = {k: v + 0.01 for k, v in a.weights.items()}
    b = a.with_weights(other, "b")
    ids = torch.arange(5, 25)[None]
    first = a.module()
    before = first(ids).logits
    assert not torch.allclose(b.module()(ids).logits, before)
    assert torch.equal(first(ids).logits, before)
    assert a.module() is first
    # the policy's own tensors, not copies; and tied weights stay tied
    assert first.get_input_embeddings().weight.data_ptr() == a.weights["model.embed_tokens.weight"].data_ptr()
    assert first.get_output_embeddings().weight is first.get_input_embeddings().weight


def test_every_end_id_counts(folder):
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [3, 9]}))
    assert load_policy(folder).eos_ids == (2, 3, 9)


def test_the_version_follows_the_content():
    policy = tiny("llama")
    name = next(iter(policy.weights))
    moved = {**policy.weights, name: policy.weights[name].clone()}
    assert checksum(policy.with_weights(moved, "")) == policy.version
    moved[name].view(-1)[0] += 1e-3
    assert checksum(policy.with_weights(moved, "")) != policy.version


def test_refusals_name_the_trouble(folder, tmp_path):
    def refused(match, error=SharpenError):
        with pytest.raises(error, match=match) as caught:
            load_policy(folder)
        assert "\n" not in str(caught.value)

    with pytest.raises(SharpenError, match="no model folder"):
        load_policy(tmp_path / "absent")
    weights = load_file(folder / "model.safetensors")
    bad = {k: v.clone() for k, v in weights.items()}
    bad["model.norm.weight"][3] = float("nan")
    save_file(bad, folder / "model.safetensors")
    refused(r"model.norm.weight is not finite", NotFinite)
    del bad["model.norm.weight"]
    save_file(bad, folder / "model.safetensors")
    refused("missing keys: model.norm.weight")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-50])
    refused("cannot be loaded")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    refused("pytorch_model.bin is a pickle")
    shutil.copy(folder / "tokenizer.json", tmp_path)
    (folder / "tokenizer.json").unlink()
    refused("no tokenizer")


def test_a_tokenizer_larger_than_the_embedding_is_refused(folder):
    path = folder / "tokenizer.json"
    words = json.loads(path.read_text())
    words["model"]["vocab"]["surplus"] = len(words["model"]["vocab"])
    path.write_text(json.dumps(words))
    with pytest.raises(SharpenError, match=r"tokenizer has \d+ tokens, its embedding only"):
        load_policy(folder)


@pytest.mark.parametrize(("shape", "targets"), [("llama", ["q_proj", "down_proj"]), ("gpt2", ["c_attn"])])
def test_a_merged_adapter_equals_pefts_own_forward(shape, targets, tmp_path):
    policy = tiny(shape)
    config = LoraConfig(r=3, lora_alpha=7, target_modules=targets, fan_in_fan_out=shape == "gpt2")
    wrapped = get_peft_model(copy.deepcopy(policy.module()), config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(len(name)))
    ids = torch.arange(5, 25)[None]
    adapter = Adapter(config.to_dict(), get_peft_model_state_dict(wrapped))
    trained = policy.with_adapter(adapter, "lora")
    with torch.no_grad():
        want = wrapped(ids).logits
        assert not torch.allclose(policy.module()(ids).logits, want, atol=1e-2)
        assert torch.allclose(trained.module()(ids).logits, want, atol=1e-5)
        save_policy(trained, tmp_path)
        assert torch.equal(load_policy(tmp_path).module()(ids).logits, trained.module()(ids).logits)
    assert load_policy(tmp_path).version == checksum(trained) != policy.version


def test_adapters_may_share_a_base(tmp_path):
    policy = tiny("llama")
    config = LoraConfig(r=2, target_modules=["q_proj"])
    wrapped = get_peft_model(copy.deepcopy(policy.module()), config)
    trained = policy.with_adapter(Adapter(config.to_dict(), get_peft_model_state_dict(wrapped)), "lora")
    save_policy(policy, tmp_path / "base")
    save_policy(trained, tmp_path / "1/policy", base="../../base")
    save_policy(trained, tmp_path / "whole")
    assert {p.name for p in (tmp_path / "1/policy").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    # where the base lies is no part of what the policy is
    loaded = load_policy(tmp_path / "1/policy")
    assert loaded.version == load_policy(tmp_path / "whole").version == checksum(trained)
    assert loaded.base == trained.base == policy.version
    assert load_policy(tmp_path / "1/policy", base=policy).version == loaded.version
    # and peft loads it as it loads any adapter
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "1/policy"
    )
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.allclose(theirs(ids).logits, loaded.module()(ids).logits, atol=1e-5)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(SharpenError, match="no model folder"):
        load_policy(tmp_path / "1/policy")


def test_an_adapter_for_another_model_is_refused():
    adapter = Adapter({"r": 1, "lora_alpha": 1}, {"base_model.model.nowhere.lora_A.weight": torch.ones(1, 1)})
    with pytest.raises(SharpenError, match="nowhere"):
        tiny("llama").with_adapter(adapter, "x").module()


def test_the_average_of_policies():
    a = tiny("llama")
    b = a.with_weights({k: v + 1 for k, v in a.weights.items()}, "b")
    mean = averaged([a, b])
    assert all(torch.allclose(mean.weights[k], v + 0.5, atol=1e-6) for k, v in a.weights.items())
    same = averaged([a, a])
    assert same.version == checksum(same) == a.version
    assert all(torch.equal(same.weights[k], v) for k, v in a.weights.items())


def test_an_adapter_is_added_before_it_is_averaged():
    a = tiny("llama")
    name = next(k for k in a.weights if k.endswith("q_proj.weight"))
    rows, columns = a.weights[name].shape
    path = f"base_model.model.{name.removesuffix('.weight')}.lora_"
    lora = {f"{path}A.weight": torch.ones(1, columns), f"{path}B.weight": torch.ones(rows, 1)}
    adapted = a.with_adapter(Adapter({"r": 1, "lora_alpha": 1}, lora), "x")
    found = averaged([a, adapted])
    assert found.adapter is None
    assert torch.allclose(found.weights[name], a.weights[name] + 0.5)


def test_what_cannot_be_averaged_is_named():
    a = tiny("llama")
    name = next(iter(a.weights))
    other = a.with_weights({**a.weights, name: a.weights[name][:-1]}, "b")
    with pytest.raises(SharpenError, match=f"{name} of .* has the shapes"):
        averaged([a, other])
    with pytest.raises(SharpenError, match="has the shapes"):
        averaged([a, tiny("gpt2")])
    with pytest.raises(SharpenError, match="no policy"):
        averaged([])
