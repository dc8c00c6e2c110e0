"""Progress as plain lines: no escape codes, each flushed, one a step."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from sharpen.score.verdict import Verdict
from sharpen.studio.words import cells, clean, duration, label


class Plain:
    """Writes to ``stream``. For pipes, log files, ``NO_COLOR`` and ``--plain``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._step = ""
        self._done = self._tokens = 0
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return None

    def begin(self, step: str, verb: str, total: int | None = None) -> None:
        """Remembers when the step began."""
        self._step, self._done, self._tokens = step, 0, 0
        self._began = time.monotonic()

    def advance(self, done: int, tokens: int = 0) -> None:
        """Counts."""
        self._done += done
        self._tokens += tokens

    def end(self) -> None:
        """Writes the step's line."""
        seconds = time.monotonic() - self._began
        parts = [f"{self._done:,} done"] if self._done else []
        if self._tokens:
            parts += [f"{self._tokens:,} tokens", f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s"]
        self._line(f"{self._step}: {', '.join([*parts, duration(seconds)])}")

    def say(self, text: str) -> None:
        """Writes it."""
        self._line(text)

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Writes the headline measures, or what there is."""
        shown = [f"{label(n)} {c}" for n, c in cells(row).items()][:4]
        where = [f"round {row['round']}"] if "round" in row else []
        self._line(f"{' '.join([*where, str(row.get('name', 'metrics'))])}: {', '.join(shown)}")

    def warn(self, text: str) -> None:
        """Writes it, marked."""
        self._line(f"warning: {text}")

    def rollout(self, prompt: str, text: str, verdict: Verdict | None) -> None:
        """Nothing: one line a step, and the rollouts are stored."""

    def _line(self, text: str) -> None:
        try:
            self._stream.write(clean(text) + "\n")
            self._stream.flush()
        except BrokenPipeError:  # `| head` has seen enough; the run goes on without a reader
            self._stream = open(os.devnull, "w")  # noqa: SIM115
            if sys.stdout is not None:
                os.dup2(self._stream.fileno(), sys.stdout.fileno())
