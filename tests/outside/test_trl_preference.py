"""Losses and gradients on pairs and single answers are those of TRL's trainers on its own batches.
`make test-outside`."""

import copy
import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from sharpen.learn.kto import KTO, KTOConfig
from sharpen.learn.learner import accumulate
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.learn.row import Row
from sharpen.runs.streams import stream
from tests.shapes import char_tokenizer, tiny

if importlib.util.find_spec("trl") is None:
    pytest.skip("needs TRL: make test-outside", allow_module_level=True)

from datasets import Dataset

WORDS = "abcdefghij"


def text(draw) -> str:
    return "".join(draw.choice(list(WORDS), size=draw.integers(2, 12)))


def learning() -> torch.nn.Module:
    """The model that learns."""
    return copy.deepcopy(tiny("llama").module()).requires_grad_(True)


def reference() -> torch.nn.Module:
    """The model, a little moved."""
    module, draw = copy.deepcopy(tiny("llama").module()), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=draw)
    return module


def settings(folder, **more):
    same = {"output_dir": str(folder), "per_device_train_batch_size": 6, "report_to": "none"}
    return {**same, "max_steps": 1, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, **more}


def row(ids, mask, other, unit, **scalars: float) -> Row:
    tokens = np.asarray(ids, np.int32)
    with torch.no_grad():
        logits = other(torch.as_tensor(ids)[None], use_cache=False).logits[0]
    ref = logits.log_softmax(-1)[np.arange(len(tokens) - 1), tokens[1:]].numpy()
    arrays = {"weight": np.asarray(mask, np.float32), "ref_logprob": np.concatenate([[0], ref])}
    return Row(tokens, arrays, scalars, unit)


def unpadded(batch, prefix: str = ""):
    """Token ids and completion masks of a batch, row by row."""
    kept = zip(
        *(batch[f"{prefix}{n}"] for n in ("input_ids", "completion_mask", "attention_mask")), strict=True
    )
    return [(ids[a > 0].tolist(), mask[a > 0].tolist()) for ids, mask, a in kept]


def gradient(module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters()])


def same(trainer, batch, rows, objective) -> None:
    theirs = trainer.compute_loss(trainer.model, batch)
    theirs.backward()
    own = learning()
    terms, _ = accumulate(own, [rows], objective)
    loss = sum(objective.weights[t] * v for t, v in terms.items())
    assert loss == pytest.approx(float(theirs.detach()), rel=1e-5)
    expected = gradient(trainer.model)
    assert float((gradient(own) - expected).norm() / expected.norm()) < 1e-5


PAIRS = {
    "sigmoid": ({}, PreferenceConfig(beta=0.3)),
    "with sft": (
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.4]},
        PreferenceConfig(beta=0.3, sft_coef=0.4),
    ),
    "normalised": (
        {"loss_type": ["sigmoid_norm"]}, PreferenceConfig(beta=0.3, length_normalised=True),
    ),
    "ipo": ({"loss_type": ["ipo"]}, PreferenceConfig(kind="ipo", beta=0.3, length_normalised=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name, tmp_path):
    from trl import DPOConfig, DPOTrainer

    theirs, config = PAIRS[name]
    draw = stream("trl").generator()
    data = [{"prompt": text(draw), "chosen": text(draw), "rejected": text(draw)} for _ in range(6)]
    other = reference()
    trainer = DPOTrainer(
        model=learning(), ref_model=copy.deepcopy(other),
        args=DPOConfig(**settings(tmp_path, beta=0.3, **theirs)),
        train_dataset=Dataset.from_list(data), processing_class=char_tokenizer(),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    found = unpadded(batch)
    n = len(found) // 2
    rows = []
    for i in range(n):
        for place, preferred in ((i, 1.0), (n + i, 0.0)):
            rows.append(row(*found[place], other, f"pair-{i}", preferred=preferred))
    assert n == 6
    same(trainer, batch, rows, Preference(config))


def test_single_answers(tmp_path):
    from trl import KTOConfig as TheirConfig
    from trl import KTOTrainer

    draw = stream("trl").generator()
    data = [{"prompt": text(draw), "completion": text(draw), "label": i % 3 > 0} for i in range(6)]
    other = reference()
    shared = {"beta": 0.3, "desirable_weight": 1.3, "undesirable_weight": 0.8}
    trainer = KTOTrainer(
        model=learning(), ref_model=copy.deepcopy(other),
        args=TheirConfig(**settings(tmp_path, **shared)),
        train_dataset=Dataset.from_list(data), processing_class=char_tokenizer(),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    wanted = zip(unpadded(batch), batch["label"], strict=True)
    rows = [row(*found, other, "", desirable=float(label)) for found, label in wanted]
    rows += [row(*found, other, "", mismatched=1.0) for found in unpadded(batch, "KL_")]
    rows = [replace(r, key=str(i)) for i, r in enumerate(rows)]
    same(trainer, batch, rows, KTO(KTOConfig(beta=0.3, desirable=1.3, undesirable=0.8)))
