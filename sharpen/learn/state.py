"""The state of training as a value, and its folder on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.learn.config import OptimizerConfig
from sharpen.learn.head import Head
from sharpen.sample.policy import Policy, checksum, load_policy, save_policy

STATE_FILE = "state.json"
SCHEMA = 1


@dataclass(frozen=True, eq=False, slots=True)
class TrainState:
    """Everything that the next update depends on. Learning returns a new one; nobody writes to its tensors.

    The three ways of training on: pass it again (weights, moments and schedule carry on);
    ``fresh_optimizer()`` (weights carry on); ``TrainState.start(base, ...)`` (nothing does).

    Attributes:
        policy: the weights.
        optimizer: AdamW's settings; the schedule runs over all learn steps of this state.
        moments: ``first/<parameter>`` and ``second/<parameter>``, float32, shaped as the parameter; empty
            before the first update.
        step: updates since ``start``.
        position: updates since the optimizer was fresh: the schedule's argument and AdamW's bias correction.
        heads: named scalar heads that travel with the policy.
    """

    policy: Policy
    optimizer: OptimizerConfig
    moments: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = 0
    position: int = 0
    heads: Mapping[str, Head] = field(default_factory=dict)

    @classmethod
    def start(cls, policy: Policy, optimizer: OptimizerConfig | None = None) -> TrainState:
        """The state before the first update."""
        return cls(policy, optimizer or OptimizerConfig())

    def fresh_optimizer(self, optimizer: OptimizerConfig | None = None) -> TrainState:
        """The same weights with moments 0 and the schedule at its start (and other settings, if given)."""
        return replace(self, optimizer=optimizer or self.optimizer, moments={}, position=0)

    @property
    def digest(self) -> str:
        """32 hex digits of the content: equal digests mean bit-equal weights, moments, heads and counters."""
        h = hashlib.blake2b(digest_size=16)
        h.update(json.dumps([SCHEMA, checksum(self.policy), self._counters()], sort_keys=True).encode())
        for name, tensor in sorted({**self.moments, **_head_tensors(self.heads)}.items()):
            h.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            h.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data)
        return h.hexdigest()

    def _counters(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "position": self.position,
            "optimizer": self.optimizer.model_dump(mode="json"),
            "heads": {name: dict(head.report) for name, head in self.heads.items()},
        }


@dataclass(frozen=True, eq=False, slots=True)
class Partial:
    """A learn step on its way: the state after ``len(metrics)`` of its updates, and their metrics."""

    state: TrainState
    metrics: tuple[dict[str, float], ...] = ()

    @property
    def done(self) -> int:
        """Updates made so far in this learn step."""
        return len(self.metrics)


def save_state(state: TrainState, folder: str | Path, base: str = "") -> None:
    """Write a state into an empty or new folder; the same state gives the same bytes.

    ``policy/`` is what ``save_policy`` writes, given ``base``; ``moments.safetensors`` and
    ``heads.safetensors`` are there when there are any, and ``state.json``, with size and SHA-256 of every
    file, is written last. Making the folder appear at once (fsync, rename) is the caller's part.
    """
    folder = Path(folder)
    save_policy(state.policy, folder / "policy", base)
    # one metadata key at most: safetensors writes several in no fixed order
    for name, tensors in (("moments", state.moments), ("heads", _head_tensors(state.heads))):
        if tensors:
            ordered = {k: tensors[k].detach().contiguous() for k in sorted(tensors)}
            save_file(ordered, folder / f"{name}.safetensors")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != STATE_FILE)
    files = {p.relative_to(folder).as_posix(): _fingerprint(p) for p in paths}
    content = {"schema": SCHEMA, "version": state.policy.version, "digest": state.digest, "files": files}
    text = json.dumps({**content, **state._counters()}, indent=1, sort_keys=True)
    (folder / STATE_FILE).write_text(text + "\n", encoding="utf-8")


def load_state(folder: str | Path, base: Policy | None = None) -> TrainState:
    """Read what ``save_state`` wrote; ``base`` is what is under an adapter, where the caller has it.

    Raises:
        SharpenError: a file is missing, truncated or corrupt; names it.
    """
    folder = Path(folder)
    content = _read_manifest(folder)
    for name, (size, digest) in content["files"].items():
        _check_file(folder, name, size, digest)
    policy = load_policy(folder / "policy", content["version"], base)
    tensors = _load(folder / "heads.safetensors")
    heads = {
        name: Head(
            {k.removeprefix(f"head/{name}/"): t for k, t in tensors.items() if k.startswith(f"head/{name}/")},
            r,
        )
        for name, r in content["heads"].items()
    }
    optimizer = OptimizerConfig.model_validate(content["optimizer"])
    moments = _load(folder / "moments.safetensors")
    state = TrainState(policy, optimizer, moments, content["step"], content["position"], heads)
    if state.digest != content["digest"]:
        raise SharpenError(f"checkpoint {folder.name!r}: its content is not what {STATE_FILE} says")
    return state


def save_partial(partial: Partial, folder: str | Path, base: str = "") -> None:
    """Write a learn step on its way: its state, and ``metrics.json``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(partial.metrics) + "\n", encoding="utf-8")
    save_state(partial.state, folder, base)


def load_partial(folder: str | Path, base: Policy | None = None) -> Partial:
    """Read what ``save_partial`` wrote; raises as ``load_state`` does."""
    state = load_state(folder, base)
    metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return Partial(state, tuple(metrics))


def _head_tensors(heads: Mapping[str, Head]) -> dict[str, Tensor]:
    return {f"head/{name}/{key}": t for name, head in heads.items() for key, t in head.weights.items()}


def _load(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.exists() else {}


def _fingerprint(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / STATE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
    except FileNotFoundError:
        raise SharpenError(
            f"checkpoint {folder.name!r} has no {STATE_FILE}: it was not written whole"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise SharpenError(f"checkpoint {folder.name!r}: {STATE_FILE} is corrupt") from None
    if schema != SCHEMA:
        raise SharpenError(f"checkpoint {folder.name!r} has schema {schema}, this version reads {SCHEMA}")
    return content


def _check_file(folder: Path, name: str, size: int, digest: str) -> None:
    path = folder / name
    where = f"checkpoint {folder.name!r}: file {name!r}"
    if not path.is_file():
        raise SharpenError(f"{where} is missing")
    found, found_digest = _fingerprint(path)
    if found != size:
        raise SharpenError(
            f"{where} is truncated: {found} of {size} bytes" if found < size else f"{where} has grown"
        )
    if found_digest != digest:
        raise SharpenError(f"{where} is corrupt: its SHA-256 differs from the one recorded")
