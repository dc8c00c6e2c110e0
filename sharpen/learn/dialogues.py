"""Rows of dialogues in which some replies are taught and others only stand there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sharpen.learn.row import Row
from sharpen.sample.episode import Span


def dialogue_row(spans: Sequence[Span], *, key: str, weight: float = 1.0) -> Row:
    """The row of a dialogue: ``weight`` on every token of replies that were given (``Dialogue.write``), end
    tokens included; 0 on what was shown, and on replies that a policy sampled."""
    weights = [
        np.full(len(s.tokens), weight if s.role == "assistant" and s.sampled is None else 0.0, np.float32)
        for s in spans
    ]
    tokens = np.concatenate([s.tokens for s in spans]).astype(np.int32, copy=False)
    return Row(tokens, {"weight": np.concatenate(weights)}, key=key)
