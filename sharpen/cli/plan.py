"""``--dry-run``: what would be run, with the numbers that follow from the settings."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.models.names import PACKAGED, shipped
from sharpen.runs.config import Config

_FLOAT = 4  # bytes of a float32
_STORED = 24  # bytes a token in rollouts: its id and the signals that come with it, before compression


def show_plan(recipe: str, config: Config, folder: Path, seeds: Sequence[int], *, as_json: bool) -> None:
    """Print the resolved settings and the derived numbers; nothing is written."""
    derived = {**config.plan(), **footprint(config)}
    if as_json:
        told = {"recipe": recipe, "run": str(folder), "seeds": list(seeds), "config": config.values()}
        print(json.dumps({**told, "digest": config.digest, "plan": derived}, indent=1))
        return
    from sharpen.studio.table import settings_lines, show
    from sharpen.studio.words import size

    shown = {
        k.removesuffix("_bytes").replace("_", " "): size(v) if k.endswith("_bytes") else v
        for k, v in derived.items()
    }
    for name in ("tokens", "memory", "disk"):
        if name in shown:
            text = shown[name] if isinstance(shown[name], str) else f"{shown[name]:,}"
            shown[name] = f"{text} at most" if name == "tokens" else f"about {text}"
    head = {"recipe": recipe, "run": str(folder), "seeds": ", ".join(map(str, seeds))}
    many = "derived" if len(seeds) == 1 else f"derived, for each of the {len(seeds)} seeds"
    show(
        sys.stdout,
        settings_lines(head),
        "\nsettings",
        settings_lines({f"  {k}": _short(v) for k, v in config.flatten().items()}),
        f"\n{many}",
        settings_lines({f"  {k}": v for k, v in shown.items()}),
    )


def footprint(config: Config) -> dict[str, int]:
    """Memory and disk of one run in bytes, roughly: from the size of ``config.model``, where it is found.

    Memory counts weights, gradients and Adam's two moments; with adapters, which are small, the base, the
    same with an adapter merged, and the copy that trains. Disk counts the base once, a checkpoint a round
    (weights and moments) and every token at its stored width; compression makes it less.
    """
    n = model_size(str(getattr(config, "model", "")))
    if n is None:
        return {}
    plan: Mapping[str, Any] = config.plan()
    adapters = getattr(config, "method", "full") == "lora"
    checkpoints = 0 if adapters else int(plan.get("checkpoints", plan.get("rounds", 1)))
    disk = (1 + checkpoints * 3) * n * _FLOAT + int(plan.get("tokens", 0)) * _STORED
    return {"parameters": n, "memory_bytes": (3 if adapters else 4) * n * _FLOAT, "disk_bytes": disk}


def model_size(model: str) -> int | None:
    """How many numbers the model of this name or folder holds; None where there is no such model."""
    if model in PACKAGED:
        return PACKAGED[model].parameters
    folder = shipped().get(model, Path(model))
    return parameters(folder) if (folder / "config.json").is_file() else None


def parameters(folder: Path) -> int:
    """How many numbers the safetensors files in ``folder`` hold, from their headers alone."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(min(length, path.stat().st_size)))
        for name, tensor in header.items():
            if name != "__metadata__":
                count = 1
                for n in tensor["shape"]:
                    count *= n
                total += count
    return total


def _short(value: Any) -> Any:
    """As written on the command line."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
