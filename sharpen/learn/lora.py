"""Low-rank adapters by peft: injected for training, handed back as a value."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sharpen.errors import unknown
from sharpen.learn.config import LoraConfig
from sharpen.runs.streams import Stream
from sharpen.sample.policy import Adapter, Policy

PREFIX = "base_model.model."


def with_lora(policy: Policy, config: LoraConfig, stream: Stream) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A copy of the base model in which only adapters are trainable, and peft's settings as JSON.

    A policy that has an adapter goes on with it, and ``config`` is not read. A new one starts as peft's
    does, A uniform in +-1/sqrt(in) (drawn from ``stream``) and B 0, so the model is unchanged at first.

    Raises:
        SharpenError: a target names no linear layer.
    """
    import peft  # takes a second, which only training needs

    module = copy.deepcopy(replace(policy, adapter=None).module())
    if policy.adapter is not None:
        names = {f.name for f in peft.LoraConfig.__dataclass_fields__.values() if f.init}
        settings = peft.LoraConfig(**{k: v for k, v in policy.adapter.config.items() if k in names})
    else:
        settings = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]
            target_modules=_targets(module, config),
            lora_dropout=0.0,
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in module.modules()),
            task_type="CAUSAL_LM",
        )
    # peft draws its own initial weights from the global generator; they are replaced below, and the
    # generator is left as it was
    with torch.random.fork_rng(devices=[]):
        peft.inject_adapter_in_model(settings, module)
    _fill(module, policy.adapter, stream)
    return module, _as_json(settings)


def adapter_of(module: nn.Module, settings: dict[str, Any]) -> Adapter:
    """The adapter now in a module made by ``with_lora``: copies, in peft's naming on disk."""
    tensors = {_saved_name(n): p.detach().clone() for n, p in module.named_parameters() if ".lora_" in n}
    return Adapter(settings, tensors)


def _targets(module: PreTrainedModel, config: LoraConfig) -> list[str]:
    head = module.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, m in module.named_modules()
        if isinstance(m, (nn.Linear, Conv1D)) and m is not head
    }
    for name in config.targets:
        if name not in linear:
            raise unknown("lora target", name, linear)
    return sorted(config.targets or linear)


@torch.no_grad()
def _fill(module: nn.Module, adapter: Adapter | None, stream: Stream) -> None:
    for name, parameter in module.named_parameters():
        if ".lora_" not in name:
            continue
        if adapter is not None:
            parameter.copy_(adapter.tensors[_saved_name(name)])
        elif ".lora_A." in name:
            bound = parameter.shape[1] ** -0.5
            values = stream.child(name).generator().uniform(-bound, bound, size=tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
        else:
            parameter.zero_()


def _saved_name(name: str) -> str:
    return PREFIX + name.replace(".default.", ".")


def _as_json(settings: Any) -> dict[str, Any]:
    """peft's settings with sets sorted and enums as their values, so that they are written one way."""

    def plain(value: Any) -> Any:
        return sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", str(value))

    return json.loads(json.dumps(settings.to_dict(), default=plain, sort_keys=True))
