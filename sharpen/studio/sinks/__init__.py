"""Metrics sent on as a run writes them, to trackers that people have already. A run never depends on one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sharpen.errors import missing, unknown

PROJECT = "sharpen"
"""What the runs are filed under, where a tracker has projects."""


@dataclass(frozen=True, slots=True)
class About:
    """What a sink is told of a run before the first row.

    Attributes:
        folder: the run.
        name: a name for people, unique: it ends in a part of ``id``.
        id: made once a run and sink, kept for a continued run; letters and digits.
        config: the settings by dotted key, and ``recipe`` and ``seed``.
        sent: rows that this sink has been sent before.
    """

    folder: Path
    name: str
    id: str
    config: Mapping[str, Any]
    sent: int


class Sink(Protocol):
    """Takes a run's metrics. Whatever it raises ends the sending, never the run."""

    def begin(self, about: About) -> None:
        """Before the first row of this process."""

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """One row of ``metrics.jsonl``: its place from 0, and its finite numbers as ``name/measure``."""

    def close(self) -> None:
        """After the last row."""


SINKS: dict[str, str] = {
    "tensorboard": "sharpen.studio.sinks.tensorboard:TensorBoard",
    "trackio": "sharpen.studio.sinks.trackio:Trackio",
    "wandb": "sharpen.studio.sinks.wandb:Wandb",
}
"""Sink -> ``module:class``; its library and its extra have the same name."""


def open_sinks(names: Sequence[str]) -> dict[str, Sink]:
    """The sinks of these names. SharpenError for an unknown one, and where its library is not installed."""
    found: dict[str, Sink] = {}
    for name in names:
        if name not in SINKS:
            raise unknown("sink", name, SINKS)
        try:
            importlib.import_module(name)
        except ImportError:
            raise missing(f"--sink {name}", name, name) from None
        module, _, cls = SINKS[name].partition(":")
        found[name] = getattr(importlib.import_module(module), cls)()
    return found
