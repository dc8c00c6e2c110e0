"""Metrics as TensorBoard event files, in the folder ``tensorboard`` beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpen.studio.sinks import About


class TensorBoard:
    """``tensorboard --logdir runs/tensorboard`` shows them. Every continued run adds an event file."""

    def begin(self, about: About) -> None:
        """Open an event file."""
        from tensorboard.summary import Writer

        self._writer: Any = Writer(str(about.folder.parent / "tensorboard" / about.name))

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar a measure."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
