"""Metrics in trackio's own database, on this machine unless its environment variables name a server."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from sharpen.studio.sinks import PROJECT, About


class Trackio:
    """``trackio show --project sharpen`` shows them."""

    def begin(self, about: About) -> None:
        """Begin a run, or go on with the one of this name."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):  # our output may be JSON
            self._run: Any = trackio.init(
                project=PROJECT,
                name=about.name,
                config=dict(about.config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """A row."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Wait until all is written."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()  # the run's own would be called once more at exit
