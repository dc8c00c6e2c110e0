"""A policy: weights, tokenizer and version, as one value that nothing changes in place."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as hf_logging

from sharpen.errors import NotFinite, SharpenError, nearest
from sharpen.models.names import PACKAGED, known, shipped
from sharpen.sample.attention import NAME as ATTENTION
from sharpen.sample.steering import FILE as STEERING
from sharpen.sample.steering import Steering, read_steering, save_steering, steer, steered_version

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
# of a configuration, what says how it was saved and not which function it is
_INCIDENTAL = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache")
_LORA_KEY = re.compile(r"^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$")
_LORA_UNSUPPORTED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")


@dataclass(frozen=True, eq=False, slots=True)
class Adapter:
    """A LoRA adapter (arXiv 2106.09685) in peft's naming.

    Attributes:
        config: peft's ``adapter_config.json`` as a dict; ``r``, ``lora_alpha`` and ``use_rslora`` are read.
        tensors: ``base_model.model.<module>.lora_A.weight`` ``(r, in)`` and ``lora_B`` ``(out, r)``.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Policy:
    """A language model as a value; compare versions, not objects.

    Attributes:
        name: for people.
        version: names the weights; the content checksum of a loaded one.
        config: the library's configuration of the model.
        tokenizer: its tokenizer.
        weights: float32 tensors by parameter name, without the aliases of tied weights. Never written to.
        eos_ids: every id that ends a completion, ascending.
        context: the longest sequence that the model takes, in tokens.
        adapter: a LoRA adapter on top of ``weights``, or None.
        base: the version of the policy under the adapter, ``""`` without one.
        steering: what is added to hidden states while it samples, or None.
        unsteered: the policy under the steering, None without one.
    """

    name: str
    version: str
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    weights: Mapping[str, Tensor] = field(repr=False)
    eos_ids: tuple[int, ...]
    context: int
    adapter: Adapter | None = None
    base: str = ""
    steering: Steering | None = None
    unsteered: Policy | None = None
    _built: list[PreTrainedModel] = field(default_factory=list, init=False, repr=False)

    def module(self) -> PreTrainedModel:
        """The model with these weights: evaluation mode, CPU, float32, no gradients, our attention.

        Built once a policy and shared: do not change it (``copy.deepcopy`` gives one to train). Its
        tensors are the policy's own, not copies; a LoRA adapter is merged into new ones. Raises SharpenError
        where the policy is steered: its weights alone are not it.
        """
        if self.steering is not None:
            raise SharpenError(f"policy {self.name!r} is steered: only the native engine samples from it")
        if not self._built:
            self._built.append(_assemble(self.config, merged(self)))
        return self._built[0]

    def with_weights(self, weights: Mapping[str, Tensor], version: str) -> Policy:
        """The same model with other weights (by the same names), no adapter and no steering."""
        return replace(
            self,
            weights=dict(weights),
            version=version,
            adapter=None,
            base="",
            steering=None,
            unsteered=None,
        )

    def with_adapter(self, adapter: Adapter, version: str) -> Policy:
        """The same base weights under another adapter."""
        if self.unsteered is not None:
            return self.unsteered.with_adapter(adapter, version)
        return replace(self, adapter=adapter, version=version, base=self.base or self.version)

    def steered(self, steering: Steering) -> Policy:
        """This policy with vectors added to hidden states while it samples (``sharpen.sample.steering``).

        A new policy, whose version is a hash of this one's content and the steering; this one stays as it
        is. Raises SharpenError where the steering was made on another base, has another hidden size or a
        layer that the model lacks, or where this policy is steered already.
        """
        return steer(self, steering)


def policy_from(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> Policy:
    """A policy holding a copy of an in-memory model's weights; its version is the checksum."""
    config = copy.deepcopy(module.config)
    weights = {k: v.detach().to(torch.float32, copy=True).contiguous() for k, v in state(module).items()}
    eos = _eos_ids(module.generation_config, config, tokenizer)
    context = getattr(config.get_text_config(), "max_position_embeddings", None) or sys.maxsize
    policy = Policy(name, "", config, tokenizer, weights, eos, context)
    _check(policy, name)
    return replace(policy, version=checksum(policy))


def state(module: PreTrainedModel) -> dict[str, Tensor]:
    """The module's parameters and saved buffers by name, tied weights once."""
    tied = module.all_tied_weights_keys
    return {name: tensor for name, tensor in module.state_dict().items() if name not in tied}


def load_policy(source: str | Path, version: str | None = None, base: Policy | None = None) -> Policy:
    """The policy in a folder of the Hugging Face layout, or one by its name (``models.names``).

    Weights are read from safetensors only, and code that comes with a model is never run. ``version``
    names it where the caller knows better than the content checksum, and ``base`` is what is under an
    adapter, where the caller has it already. Raises SharpenError where the folder, its tokenizer or its
    weights will not do. Nothing is written, but for the cache of a packaged model.
    """
    folder = _folder(str(source))
    if (folder / "adapter_config.json").is_file():
        config = json.loads((folder / "adapter_config.json").read_text())
        named = config.get("base_model_name_or_path") or "base"
        config["base_model_name_or_path"] = None  # where it lies is not what it is
        adapter = Adapter(config, load_file(folder / "adapter_model.safetensors"))
        under = folder / named if (folder / named).is_dir() else named
        policy = (base or load_policy(under)).with_adapter(adapter, "")
        return replace(policy, name=str(source), version=version or checksum(policy))
    if (folder / STEERING).is_file() and not (folder / "config.json").is_file():
        steering, under = read_steering(folder)
        if base is None and not under:
            raise SharpenError(f"{folder}: its base is not beside it: load_policy(base).steered(...)")
        steered = (base or load_policy(folder / under)).steered(steering)
        return replace(steered, name=str(source), version=version or steered.version)
    _check_folder(str(source), folder)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = _load_tokenizer(folder, options)
        with _no_progress_bar():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise SharpenError(
            f"model {str(source)!r} cannot be loaded: {' '.join(str(error).split())}"
        ) from None
    module, report = loaded
    for kind in ("missing_keys", "mismatched_keys"):
        if report[kind]:
            raise SharpenError(f"model {str(source)!r}: {kind.replace('_', ' ')}: {sorted(report[kind])[0]}")
    policy = policy_from(module, tokenizer, Path(source).name)
    return policy if version is None else replace(policy, version=version)


def save_policy(policy: Policy, folder: str | Path, base: str = "") -> None:
    """Write the policy in the Hugging Face layout; the same policy gives the same bytes.

    ``AutoModelForCausalLM.from_pretrained(folder)`` loads it. With an adapter, ``folder`` holds the
    adapter in peft's layout and ``folder/base`` the model under it, unless ``base`` says, relative to
    ``folder``, where that lies already. So it is with a steering.
    """
    folder = Path(folder)
    if policy.steering is not None and policy.unsteered is not None:
        save_steering(policy.steering, folder, under=base or "base")
        if not base:
            save_policy(policy.unsteered, folder / "base")
        return
    folder.mkdir(parents=True, exist_ok=True)
    policy.tokenizer.save_pretrained(folder)
    if policy.adapter is not None:
        config = {**policy.adapter.config, "base_model_name_or_path": base or None}
        text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
        (folder / "adapter_config.json").write_text(text + "\n")
        _save_tensors(policy.adapter.tensors, folder / "adapter_model.safetensors")
        if not base:
            save_policy(replace(policy, adapter=None), folder / "base")
        return
    config = copy.deepcopy(policy.config)
    config.architectures = [type(_skeleton(policy.config)).__name__]
    config.dtype = torch.float32
    config.save_pretrained(folder)
    generation = GenerationConfig(eos_token_id=list(policy.eos_ids), bos_token_id=config.bos_token_id)
    generation.save_pretrained(folder)
    _save_tensors(policy.weights, folder / "model.safetensors")


def checksum(policy: Policy) -> str:
    """32 hex digits of the policy's content: weights, adapter, configuration, tokenizer and steering."""
    if policy.steering is not None:
        return steered_version(policy.steering)
    h = hashlib.blake2b(digest_size=16)
    config = {k: v for k, v in policy.config.to_dict().items() if k not in _INCIDENTAL}
    tokenizer: Any = policy.tokenizer
    words = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else json.dumps(tokenizer.get_vocab())
    identity = [config, words, tokenizer.special_tokens_map, tokenizer.chat_template, policy.eos_ids]
    adapter = policy.adapter or Adapter({}, {})
    identity.append(dict(adapter.config))
    h.update(json.dumps(identity, sort_keys=True, default=_plain).encode())
    for tensors in (policy.weights, adapter.tensors):
        for name in sorted(tensors):
            tensor = tensors[name].detach()
            h.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            h.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return h.hexdigest()


def merged(policy: Policy) -> Mapping[str, Tensor]:
    """The weights with the adapter added: ``W + scale * B @ A``; the weights themselves without one.

    Raises SharpenError for kinds of adapter other than plain LoRA on weights that the model has.
    """
    if policy.adapter is None:
        return policy.weights
    config, tensors = policy.adapter.config, policy.adapter.tensors
    for key in _LORA_UNSUPPORTED:
        if config.get(key):
            raise SharpenError(f"adapter of policy {policy.name!r}: {key} is not supported")
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _LORA_KEY.match(key)
        if match is None or f"{match[1]}.weight" not in policy.weights:
            raise SharpenError(f"adapter of policy {policy.name!r}: no weight for {key!r}")
        pairs.setdefault(match[1], {})[match[2]] = tensor
    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    shell = _skeleton(policy.config)
    weights = dict(policy.weights)
    for name, pair in pairs.items():
        delta = scale * (pair["B"].float() @ pair["A"].float())
        if isinstance(shell.get_submodule(name), Conv1D):
            delta = delta.T  # GPT-2 stores its weights as (in, out)
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + delta
    return weights


def averaged(policies: Sequence[Policy], name: str = "average") -> Policy:
    """The plain mean of the policies' weights (a linear merge with equal shares, as of 2405.01535), adapters
    added first; its version is its checksum. Raises SharpenError where they are not of one shape, have other
    tokenizers, or there is none."""
    if not policies:
        raise SharpenError("average: no policy is given")
    first, weights = policies[0], [merged(policy) for policy in policies]
    for policy, held in zip(policies, weights, strict=True):
        if policy.steering is not None:
            raise SharpenError(f"average: policy {policy.name!r} is steered: its weights alone are not it")
        shapes = [{key: tuple(t.shape) for key, t in some.items()} for some in (weights[0], held)]
        if shapes[0] != shapes[1]:
            odd = sorted(k for k in {*shapes[0], *shapes[1]} if shapes[0].get(k) != shapes[1].get(k))[0]
            told = " and ".join(str(s.get(odd, "nothing")) for s in shapes)
            raise SharpenError(f"average: {odd} of {first.name!r} and {policy.name!r} has the shapes {told}")
        if policy.tokenizer.get_vocab() != first.tokenizer.get_vocab():
            raise SharpenError(f"average: {first.name!r} and {policy.name!r} have other tokenizers")
    mean = {key: torch.stack([held[key] for held in weights]).mean(dim=0) for key in weights[0]}
    found = replace(first.with_weights(mean, ""), name=name)
    return replace(found, version=checksum(found))


def config_key(config: PreTrainedConfig) -> str:
    """The configuration as text: equal for models that differ in nothing but weights."""
    return json.dumps(config.to_dict(), sort_keys=True, default=_plain)


def _load_tokenizer(folder: Path, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, exactly as its ``tokenizer.json`` says.

    For some model types ``AutoTokenizer`` puts the type's own class, with its own splitting and extra
    tokens, in place of a plain one that the folder names; then ids would change without a word.
    """
    path = folder / "tokenizer_config.json"
    named = json.loads(path.read_text()).get("tokenizer_class") if path.is_file() else None
    plain = named in ("TokenizersBackend", "PreTrainedTokenizerFast")
    tokenizer = (PreTrainedTokenizerFast if plain else AutoTokenizer).from_pretrained(folder, **options)
    for key in ("is_local", *options):  # how it was loaded, which it would save among its settings
        tokenizer.init_kwargs.pop(key, None)
    return tokenizer


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()


def _folder(source: str) -> Path:
    """Where the model that ``source`` names lies; a packaged one is made ready first."""
    if source in PACKAGED:
        from sharpen.sample.packaged import ready  # which needs this module

        return ready(PACKAGED[source])
    return shipped().get(source, Path(source))


def _check_folder(source: str, folder: Path) -> None:
    """Refuse a folder that is missing or lacks what a policy needs."""
    if not folder.is_dir():
        near = nearest(source, known())
        hint = f"did you mean {near!r}?" if near else f"models by name: {', '.join(known())}"
        raise SharpenError(f"no model folder {source!r}: {hint}")
    if not (folder / "config.json").is_file():
        raise SharpenError(f"model folder {source!r} has no config.json")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise SharpenError(f"model folder {source!r} has no tokenizer (expected {_TOKENIZER_FILES[0]})")
    if not any(folder.glob("*.safetensors")):
        other = next((p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern)), None)
        reason = f"{other} is a pickle; convert it to safetensors" if other else "none found"
        raise SharpenError(f"model folder {source!r} has no safetensors weights: {reason}")


def _check(policy: Policy, source: str) -> None:
    """Refuse tokenizers that reach beyond the embedding and weights that are not finite."""
    rows = policy.config.get_text_config().vocab_size
    words = len(policy.tokenizer)
    if words > rows:
        raise SharpenError(f"model {source!r}: its tokenizer has {words} tokens, its embedding only {rows}")
    for name, tensor in policy.weights.items():
        if not torch.isfinite(tensor).all():
            raise NotFinite(f"model {source!r}: weight {name} is not finite")


def _eos_ids(
    generation: GenerationConfig | None, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    """Every end id that any of the three names: models list several, and missing one turns finished
    completions into truncated ones."""
    found: set[int] = set()
    for owner in (generation, config, config.get_text_config(), tokenizer):
        ids = getattr(owner, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return tuple(sorted(i for i in found if 0 <= i < config.get_text_config().vocab_size))


_SKELETONS: dict[str, PreTrainedModel] = {}


def _skeleton(config: PreTrainedConfig) -> PreTrainedModel:
    """The architecture without weights (parameters without storage), built once a configuration."""
    key = config_key(config)
    if key not in _SKELETONS:
        with no_init_weights():
            shell = AutoModelForCausalLM.from_config(
                copy.deepcopy(config), attn_implementation=ATTENTION, dtype=torch.float32
            )
        for module in shell.modules():
            for name, parameter in module.named_parameters(recurse=False):
                empty = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
                module.register_parameter(name, empty)
        _SKELETONS[key] = shell.eval()
    return _SKELETONS[key]


def _assemble(config: PreTrainedConfig, weights: Mapping[str, Tensor]) -> PreTrainedModel:
    """A module of its own for each policy, so that two alternating ones never see each other's weights;
    only the tensors' storage is shared."""
    shell = copy.deepcopy(_skeleton(config))
    absent, extra = shell.load_state_dict(dict(weights), strict=False, assign=True)
    absent = [name for name in absent if name not in shell.all_tied_weights_keys]
    if absent or extra:
        raise SharpenError(f"weights do not fit the model: {(absent or extra)[0]}")
    shell.tie_weights()
    return shell.requires_grad_(False)


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    ordered = {name: tensors[name].detach().contiguous() for name in sorted(tensors)}
    save_file(ordered, path, metadata={"format": "pt"})


def _plain(value: Any) -> Any:
    """JSON for what peft and transformers keep in configurations: sets, enums, dtypes."""
    return sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", str(value))
