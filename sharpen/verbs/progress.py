"""What a run tells whoever watches it. Nothing here changes what the run does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sharpen.score.verdict import Verdict


class Progress(Protocol):
    """A watcher. Steps do not nest; calls come from the recipe's own thread."""

    def begin(self, step: str, verb: str, total: int | None = None) -> None:
        """A step starts; ``total`` items lie ahead where that is known."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """``done`` more items of the step are finished, and ``tokens`` more tokens (not totals so far)."""

    def end(self) -> None:
        """The step that began last is over."""

    def say(self, text: str) -> None:
        """A line for people."""

    def metrics(self, row: Mapping[str, Any]) -> None:
        """A row of ``metrics.jsonl`` as it is written."""

    def warn(self, text: str) -> None:
        """A line that must not be missed."""

    def rollout(self, prompt: str, text: str, verdict: Verdict | None) -> None:
        """An example of what was just sampled. The text is the model's: untrusted."""


class Silent:
    """Watches and says nothing: for use as a library."""

    def begin(self, step: str, verb: str, total: int | None = None) -> None:
        """Nothing."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def rollout(self, prompt: str, text: str, verdict: Verdict | None) -> None:
        """Nothing."""
