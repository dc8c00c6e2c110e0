"""Selection of the attempt that overthinks least (arXiv 2502.08235)."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream


def least_overthinking(scores: Sequence[float | None], *, stream: Stream) -> int:
    """Index of the lowest score, of equal ones one at random; so are attempts chosen where none is scored.

    Args:
        scores: 0..10, larger is worse; None or NaN is unscored and ranks last.
        stream: names the draw. The expectation over it is ``sharpen.measure.overthinking.lowest_at_k``.
    """
    tied = lowest(scores)
    if not tied:
        raise SharpenError("selection: there is no attempt to choose from")
    return tied[int(stream.generator().integers(len(tied)))]


def lowest(scores: Sequence[float | None]) -> list[int]:
    """The indices that share the lowest score; all of them where none is scored."""
    known = [s for s in scores if s is not None and s == s]
    if not known:
        return list(range(len(scores)))
    return [i for i, s in enumerate(scores) if s == min(known)]
