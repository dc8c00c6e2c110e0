"""Activation steering: vectors added to the outputs of chosen blocks while sampling (arXiv 2506.15647).

Which positions are steered. A sequence is the prompt (all tokens of the request, an assistant prefill
included) and the generated tokens behind it.

- ``scope="decode"``: the positions that hold a generated token, each from the pass that first reads it. The
  paper adds the vector "at the last position of the current input"; when the first token is drawn that
  position is the prompt's last. Taken literally the rule would change a prompt position. We read it with the
  paper's other half, "at every newly generated token": no prompt position is ever changed, though our engine
  sends the prompt's last token through the decode loop. So the first token is drawn from the untouched
  distribution and every later one is steered. This alone fulfils both that prompt states equal the
  unsteered ones and that a steered sequence can be scored afterwards: what is steered follows from the
  prompt's length, not from the passes in which it was computed.
- ``scope="prefill"``: the positions of the prompt, the last one included, at all given layers; no generated
  one.

Keys and values of later layers are computed from steered states, as a forward pass of the whole text under
the same rule gives them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from sharpen.errors import NotFinite, SharpenError, unknown

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy

Scope = Literal["decode", "prefill"]
FILE = "steering.safetensors"
CARD = "README.md"


@dataclass(frozen=True, eq=False, slots=True)
class Steering:
    """What is added, where, and how strongly: ``h_l <- h_l + strength * vector_l``.

    Attributes:
        base: content checksum of the policy that it was made on (``policy.checksum``); no other takes it.
        layers: indices of the blocks whose outputs are changed, ascending, from 0.
        vectors: float32 ``(len(layers), H)``, finite, none of norm 0.
        strength: lambda, finite; 0 changes nothing. Of either sign.
        scope: ``decode`` or ``prefill``, see the module.

    Raises:
        SharpenError: any of this does not hold.
    """

    base: str
    layers: tuple[int, ...]
    vectors: NDArray[np.float32]
    strength: float = 1.0
    scope: Scope = "decode"

    def __post_init__(self) -> None:
        vectors = np.array(self.vectors, dtype=np.float32)  # its own copy
        vectors.flags.writeable = False
        object.__setattr__(self, "vectors", vectors)
        if vectors.ndim != 2 or len(vectors) != len(self.layers) or not self.layers:
            raise SharpenError(
                f"steering: vectors of shape {vectors.shape} for {len(self.layers)} layers, "
                "one (H,) a layer is meant"
            )
        if list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0:
            raise SharpenError(f"steering: layers {list(self.layers)} are not ascending indices from 0")
        if self.scope not in get_args(Scope):
            raise unknown("steering scope", str(self.scope), get_args(Scope))
        if not math.isfinite(self.strength):
            raise NotFinite(f"steering: strength {self.strength} is not finite")
        for layer, vector in zip(self.layers, vectors, strict=True):
            if not np.isfinite(vector).all():
                raise NotFinite(f"steering: the vector of layer {layer} is not finite")
            if not vector.any():
                raise SharpenError(f"steering: the vector of layer {layer} has norm 0")
            if abs(self.strength) * float(np.abs(vector).max()) > float(np.finfo(np.float32).max):
                raise NotFinite(f"steering: layer {layer} at strength {self.strength:g} is not finite")

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.vectors.shape[1])

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity but for the vectors."""
        return {
            "base": self.base,
            "layers": list(self.layers),
            "strength": float(self.strength),
            "scope": self.scope,
        }

    @property
    def digest(self) -> str:
        """32 hex digits of all of it."""
        h = hashlib.blake2b(json.dumps(self.spec, sort_keys=True).encode(), digest_size=16)
        h.update(np.ascontiguousarray(self.vectors, dtype="<f4").tobytes())
        return h.hexdigest()

    def scaled(self, strength: float) -> Steering:
        """The same with another strength."""
        return replace(self, strength=strength)


def single(base: str, layer: int, vector: ArrayLike, strength: float = 1.0) -> Steering:
    """The usual case: one vector ``(H,)`` at one layer, while decoding."""
    return Steering(base, (layer,), np.asarray(vector, dtype=np.float32)[None], strength)


def steer(policy: Policy, steering: Steering) -> Policy:
    """See ``Policy.steered``."""
    from sharpen.sample.policy import checksum

    if policy.steering is not None:
        raise SharpenError(f"policy {policy.name!r} is steered already: steer the one under it")
    config = policy.config.get_text_config()
    if steering.hidden_size != config.hidden_size:
        raise SharpenError(
            f"steering: vectors of {steering.hidden_size}, model {policy.name!r} has hidden size "
            f"{config.hidden_size}"
        )
    if steering.layers[-1] >= config.num_hidden_layers:
        raise SharpenError(
            f"steering: layer {steering.layers[-1]}, model {policy.name!r} has layers 0 to "
            f"{config.num_hidden_layers - 1}"
        )
    if steering.base != policy.version and steering.base != checksum(policy):
        raise SharpenError(
            f"steering was made on base {steering.base[:8]}, policy {policy.name!r} is another, "
            f"{checksum(policy)[:8]}"
        )
    return replace(policy, version=steered_version(steering), steering=steering, unsteered=policy)


def steered_version(steering: Steering) -> str:
    """The version of a steered policy: a hash of the base's content and the whole steering."""
    return hashlib.blake2b(f"steered {steering.digest}".encode(), digest_size=16).hexdigest()


def refuse_steered(policy: Policy, who: str) -> None:
    """Raise SharpenError where ``policy`` is steered and ``who`` cannot run its hooks."""
    if policy.steering is not None:
        raise SharpenError(f"{who} cannot steer policy {policy.name!r}: use engine=native")


# hooks ---------------------------------------------------------------------------------------------
def blocks(module: nn.Module) -> nn.ModuleList:
    """The blocks of a causal language model, in order; each one's output is the residual stream after it.

    Raises SharpenError for an architecture in which they are not found.
    """
    n = int(module.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr, operator]
    stack = module.get_decoder()  # type: ignore[operator]
    for child in stack.children():
        if isinstance(child, nn.ModuleList) and len(child) == n:
            return child
    raise SharpenError(f"{type(module).__name__}: its {n} blocks are not found, so it cannot be steered")


def output_state(output: Any) -> Tensor:
    """The residual stream in what a block returns: some return it in a tuple."""
    return output[0] if isinstance(output, tuple) else output


class Hooks:
    """A steering at work in a module, between ``with`` and its end, whatever happens inside.

    Before each forward pass set ``generated``: bool ``(B, T)``, whether a position holds a generated token.
    Without a steering, or with strength 0, no hook is registered at all.
    """

    def __init__(self, module: nn.Module, steering: Steering | None) -> None:
        self.generated: Tensor | None = None
        self._module = module
        self._steering = steering if steering is not None and steering.strength != 0 else None
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        if self._steering is None:
            return self
        found = blocks(self._module)
        try:
            for layer, vector in zip(self._steering.layers, self._steering.vectors, strict=True):
                delta = torch.from_numpy(np.float32(self._steering.strength) * vector)
                # before the library's own hooks, so that hidden states which it records are the steered ones
                handle = found[layer].register_forward_hook(self._adding(delta), prepend=True)
                self._handles.append(handle)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _adding(self, delta: Tensor) -> Any:
        assert self._steering is not None
        decode = self._steering.scope == "decode"

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            assert self.generated is not None, "which positions are generated must be said before each pass"
            chosen = self.generated if decode else ~self.generated
            state = output_state(output)
            # where, not a product with 0: untouched positions keep their bits, the sign of zeros included
            changed = torch.where(chosen[..., None], state + delta, state)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook


# files ---------------------------------------------------------------------------------------------
def save_steering(
    steering: Steering, folder: str | Path, about: Mapping[str, Any] | None = None, under: str = ""
) -> None:
    """Write ``steering.safetensors`` and its card, ``README.md``; the same steering gives the same bytes.

    Args:
        about: what the card says besides: pool, pairs, measured numbers, how it was made.
        under: where the base policy lies, relative to ``folder``, for ``load_policy(folder)``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**steering.spec, "under": under}, sort_keys=True)
    tensors = {f"layer.{n}": np.array(v) for n, v in zip(steering.layers, steering.vectors, strict=True)}
    # one entry: several would be written in an order that changes from process to process
    save_file(tensors, folder / FILE, metadata={"steering": text})
    (folder / CARD).write_text(card(steering, about or {}), encoding="utf-8")


def load_steering(folder: str | Path) -> Steering:
    """The steering in a folder, or in a file. SharpenError where it is missing, damaged or not usable."""
    return read_steering(folder)[0]


def read_steering(folder: str | Path) -> tuple[Steering, str]:
    """``load_steering``, and where the base lies relative to the folder, ``""`` where that is not said."""
    path = Path(folder) / FILE if Path(folder).is_dir() else Path(folder)
    try:
        with safe_open(path, framework="np") as file:
            spec = json.loads((file.metadata() or {})["steering"])
            layers = tuple(int(n) for n in spec["layers"])
            vectors = np.stack([file.get_tensor(f"layer.{n}") for n in layers])
            found = Steering(str(spec["base"]), layers, vectors, float(spec["strength"]), spec["scope"])
            return found, str(spec.get("under", ""))
    except SharpenError as error:
        raise type(error)(f"{path}: {error}") from None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise SharpenError(f"{path} is no steering file: {' '.join(str(error).split())}") from None


def card(steering: Steering, about: Mapping[str, Any]) -> str:
    """The card's text: front matter for machines, then a table."""
    norms = ", ".join(f"{np.linalg.norm(v.astype(np.float64)):.4g}" for v in steering.vectors)
    rows = {
        "base (content checksum)": f"`{steering.base}`",
        "layer": ", ".join(map(str, steering.layers)),
        "strength (lambda)": f"{steering.strength:g}",
        "scope": steering.scope,
        "norm of the vector": norms,
        "hidden size": str(steering.hidden_size),
        **{str(k): _told(v) for k, v in about.items()},
    }
    lines = [f"| {k} | {v} |" for k, v in rows.items()]
    return (
        "---\nlibrary_name: sharpen\ntags: [activation-steering]\n---\n# Steering vector\n\n"
        f"Adds strength x vector to the output of the layer at {_WHERE[steering.scope]} positions. It fits "
        "the base named below and no other model.\n\n|  |  |\n| --- | --- |\n" + "\n".join(lines) + "\n\n"
        "```python\nfrom sharpen.sample.policy import load_policy\n"
        "from sharpen.sample.steering import load_steering\n\n"
        'policy = load_policy(BASE).steered(load_steering("."))\n```\n'
    )


_WHERE = {"decode": "generated", "prefill": "prompt"}


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")
