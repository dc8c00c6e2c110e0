"""AdamW on plain tensors, its moments kept by parameter name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from sharpen.errors import NotFinite, SharpenError
from sharpen.learn.config import OptimizerConfig

# each parameter starts on a cache line of the flat buffer (16 float32), as it would alone
ALIGN = 16


class AdamW:
    """The parameters of one module, end to end in one buffer, and the update rule on it.

    A flat buffer makes an update, a gradient norm and a check each one pass over memory, whatever the
    number of parameters. The module's parameters become views of it.

    Args:
        module: its parameters with ``requires_grad`` are taken over; all of one dtype and device.
        moments: ``first/<name>`` and ``second/<name>`` of every parameter, or empty to start at 0.

    Raises:
        SharpenError: nothing to train, mixed dtypes, or moments of other parameters.
    """

    def __init__(self, module: nn.Module, moments: Mapping[str, Tensor]) -> None:
        self.parameters = _ordered(module)
        named = self.parameters
        kinds = {(p.dtype, p.device) for p in named.values()}
        if len(kinds) != 1:
            raise SharpenError(
                f"a learner needs parameters of one dtype and device, got {sorted(map(str, kinds))}"
            )
        self._spans: dict[str, slice] = {}
        end = 0
        for name, p in named.items():
            self._spans[name] = slice(end, end + p.numel())
            end += -(-p.numel() // ALIGN) * ALIGN
        embeddings = _embedding_weights(module)
        decayed = [n for n, p in named.items() if _decays(p, embeddings)]
        self._decay_end = self._spans[decayed[-1]].stop if decayed else 0
        like = next(iter(named.values()))
        self.weights, self.grads, self.first, self.second = (
            torch.zeros(end, dtype=like.dtype, device=like.device) for _ in range(4)
        )
        self._load_moments(moments)
        for name, p in named.items():
            self._view(self.weights, name).copy_(p.detach())
            p.data = self._view(self.weights, name)
            p.grad = self._view(self.grads, name)

    def zero_grad(self) -> None:
        """Set the gradients to 0; they stay where backward adds to them."""
        self.grads.zero_()

    def grad_norm(self) -> float:
        """The global 2-norm of the gradients. Raises NotFinite, naming a parameter."""
        norm = float(torch.linalg.vector_norm(self.grads))
        if not math.isfinite(norm):
            raise NotFinite(f"gradient norm is {norm} ({self._culprit(self.grads)})")
        return norm

    @torch.no_grad()
    def update(self, config: OptimizerConfig, position: int, grad_norm: float) -> float:
        """One update in place, number ``position`` (from 0) of this optimizer; returns its learning rate.

        Raises NotFinite, naming a parameter, when a weight is not finite afterwards.
        """
        lr = config.lr_at(position)
        if config.clip and grad_norm > config.clip:
            self.grads.mul_(config.clip / grad_norm)
        b1, b2 = config.betas
        if config.weight_decay:
            self.weights[: self._decay_end].mul_(1 - lr * config.weight_decay)
        self.first.lerp_(self.grads, 1 - b1)
        self.second.mul_(b2).addcmul_(self.grads, self.grads, value=1 - b2)
        t = position + 1
        root = (self.second.sqrt() / math.sqrt(1 - b2**t)).add_(config.eps)
        self.weights.addcdiv_(self.first, root, value=-lr / (1 - b1**t))
        if not bool(self.weights.isfinite().all()):
            raise NotFinite(f"a weight is not finite ({self._culprit(self.weights)})")
        return lr

    def moments(self) -> dict[str, Tensor]:
        """Copies of the moments: ``first/<name>`` and ``second/<name>``, shaped as the parameters."""
        return {
            f"{kind}/{name}": self._view(buffer, name).clone()
            for kind, buffer in (("first", self.first), ("second", self.second))
            for name in self.parameters
        }

    def _load_moments(self, moments: Mapping[str, Tensor]) -> None:
        if not moments:
            return
        wanted = {f"{kind}/{name}" for kind in ("first", "second") for name in self.parameters}
        if wanted != set(moments):
            name = min(wanted ^ set(moments))
            raise SharpenError(
                f"the optimizer's moments belong to other parameters ({name!r}): start with fresh_optimizer()"
            )
        for kind, buffer in (("first", self.first), ("second", self.second)):
            for name in self.parameters:
                self._view(buffer, name).copy_(moments[f"{kind}/{name}"])

    def _view(self, buffer: Tensor, name: str) -> Tensor:
        return buffer[self._spans[name]].view(self.parameters[name].shape)

    def _culprit(self, buffer: Tensor) -> str:
        bad: Iterable[str] = (n for n in self.parameters if not bool(self._view(buffer, n).isfinite().all()))
        return next(iter(bad), "overflow of the sum")


def _ordered(module: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters by name, those with weight decay first, so that decay is one slice."""
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    if not named:
        raise SharpenError("nothing to train: no parameter requires a gradient")
    embeddings = _embedding_weights(module)
    return dict(sorted(named.items(), key=lambda item: not _decays(item[1], embeddings)))


def _decays(parameter: nn.Parameter, embeddings: set[int]) -> bool:
    return parameter.ndim >= 2 and id(parameter) not in embeddings


def _embedding_weights(module: nn.Module) -> set[int]:
    return {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
