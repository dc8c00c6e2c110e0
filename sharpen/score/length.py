"""Rewards for length."""

from __future__ import annotations

from sharpen.errors import SharpenError


def overlong_penalty(length: int, *, limit: int, buffer: int, factor: float = 1.0) -> float:
    """What a response close to the length limit loses (DAPO, arXiv 2503.14476): 0 up to
    ``limit - buffer`` tokens, then falling in a straight line to ``-factor`` at ``limit``; never below.

    Added to the reward. All lengths in sampled tokens.
    """
    if not 0 < buffer <= limit:
        raise SharpenError(f"overlong penalty: buffer={buffer} must be in 1..{limit}")
    over = max(length - (limit - buffer), 0)
    return -factor * min(over / buffer, 1.0) + 0.0
