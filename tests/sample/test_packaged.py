"""Models that packages carry as GGUF: converted once, rightly, and kept whole."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.models import names
from sharpen.sample import packaged
from sharpen.sample.packaged import convert, ready
from sharpen.sample.policy import load_policy

pytest.importorskip("gguf")
from tests import tiny_gguf


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The stand-in model, known by name and installed, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "tiny_model_gguf", raising=False)
    model = tiny_gguf.package(tmp_path / "site")
    monkeypatch.setitem(names.PACKAGED, model.name, model)
    return model


def test_the_weights_are_those_of_the_file(tmp_path):
    numbers = tiny_gguf.write(tmp_path / "model.gguf")
    convert(tmp_path / "model.gguf", tmp_path, name="tiny", end_tokens=("<end_of_turn>",))
    weights = load_policy(tmp_path).weights
    assert all(w.dtype == torch.float32 for w in weights.values())
    pairs = {"model.embed_tokens": "token_embd", "model.layers.1.self_attn.k_proj": "blk.1.attn_k"}
    pairs |= {"model.layers.0.mlp.down_proj": "blk.0.ffn_down"}
    for ours, theirs in pairs.items():
        assert np.array_equal(weights[f"{ours}.weight"].numpy(), numbers[theirs])
    # llama.cpp keeps Gemma's norms as 1 + weight
    assert torch.all(weights["model.layers.0.post_feedforward_layernorm.weight"] == 0.5)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "quantization_config" not in config


def test_anyone_can_load_the_folder(model):
    folder = ready(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab ab\nca").input_ids) == [
        "<bos>", "ab", "▁ab", "\n", "c", "a",
    ]  # fmt: skip
    policy = load_policy(model.name)
    assert policy.eos_ids == (1, 5)
    ids = torch.tensor([tokenizer("ab+1=").input_ids])
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        assert torch.allclose(policy.module()(ids, use_cache=False).logits, theirs, atol=1e-5)


def test_it_is_converted_once(model, monkeypatch, capsys):
    first = load_policy(model.name).version
    told = capsys.readouterr().err
    assert "converting once to" in told
    assert "no terms" in told
    assert len(told.splitlines()) == 2
    monkeypatch.setattr(packaged, "convert", None)
    assert load_policy(model.name).version == first
    assert capsys.readouterr().err == ""
    assert [p.name for p in model.folder.parent.glob("[!.]*")] == ["tiny-model-1.0-1"]


@pytest.mark.parametrize("damage", ["flip", "gone", "unlisted"])
def test_a_damaged_folder_is_made_again(model, damage, capsys):
    first = load_policy(model.name).version
    weights = model.folder / "model.safetensors"
    if damage == "flip":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "gone":
        weights.unlink()
    else:
        (model.folder / packaged.MADE).unlink()
    assert load_policy(model.name).version == first
    assert capsys.readouterr().err.count("converting once") == 2


def test_another_version_of_the_package_has_a_folder_of_its_own(model, tmp_path, monkeypatch):
    ready(model)
    monkeypatch.syspath_prepend(str(tmp_path / "newer"))
    newer = tiny_gguf.package(tmp_path / "newer", "2.0")
    assert ready(newer).name == "tiny-model-2.0-1"
    assert len(list(newer.folder.parent.glob("tiny-model-*"))) == 2


def test_a_failure_leaves_nothing(model, monkeypatch):
    with pytest.raises(SharpenError, match="another file than expected"):
        ready(replace(model, sha256="0" * 64))
    with pytest.raises(SharpenError, match="end token '<nowhere>'"):
        ready(replace(model, end_tokens=("<nowhere>",)))
    left = [p.name for p in model.folder.parent.iterdir()]
    assert left == [".tiny-model-1.0-1.lock"]
    assert not model.folder.exists()
    # what a killed process left is swept
    half = model.folder.with_name(".tmp-tiny-model-1.0-1")
    half.mkdir()
    (half / "model.gguf").write_text("half")
    assert ready(model) == model.folder
    assert not half.exists()


def test_what_is_missing_is_named(model, monkeypatch, capsys):
    absent = replace(model, name="far", package="far-model-gguf", extra="far")
    monkeypatch.setitem(names.PACKAGED, "far", absent)
    with pytest.raises(SharpenError, match=r"needs the extra 'far': pip install 'sharpen\[far\]'"):
        load_policy("far")
    assert main(["list", "models", "--json"]) == 0
    rows = {r["model"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["far"] == {"model": "far", "parameters": 42, "about": "pip install 'sharpen[far]'"}
    assert rows["tiny-model"]["about"] == "installed; no terms"
    assert rows["nano"]["about"] == "shipped"
    with pytest.raises(SharpenError, match="did you mean 'tiny-model'"):
        load_policy("tiny-modell")
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SharpenError, match="needs the library gguf"):
        load_policy(model.name)


def test_a_plan_needs_no_conversion(model, monkeypatch, capsys):
    monkeypatch.setattr(packaged, "convert", None)
    assert main(["run", "star", f"model={model.name}", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["parameters"] == 42
    assert not model.folder.exists()
