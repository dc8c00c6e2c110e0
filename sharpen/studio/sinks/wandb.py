"""Metrics for Weights & Biases, kept in files beside the run unless ``WANDB_MODE`` says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sharpen.studio.sinks import PROJECT, About


class Wandb:
    """Offline: ``wandb sync runs/wandb/offline-run-*`` sends them later. Only rows and settings are told: no
    code, no machine's numbers, no output."""

    def begin(self, about: About) -> None:
        """Begin a run, or go on with the one of this id."""
        import wandb

        self._run: Any = wandb.init(
            project=PROJECT,
            name=about.name,
            id=about.id,
            dir=str(about.folder.parent),
            config=dict(about.config),
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            resume="allow",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        )

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """A row."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Wait until all is written."""
        self._run.finish()
