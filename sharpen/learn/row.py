"""All that a learner sees: token rows with named numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence.

    Attributes:
        tokens: int32 ``(T,)``, T >= 2.
        arrays: named float32 ``(T,)`` arrays; entry t belongs to token t *as a target* (predicted from
            tokens before it). ``weight`` is required, 0 on prompts and observations; others are
            ``old_logprob``, ``ref_logprob``, ``advantage``, ``return``.
        scalars: named numbers of the whole row.
        unit: rows with the same non-empty unit share a micro-batch (a pair, a triplet).
        key: where it came from, for people.
        kept: where a truncating law sampled, the ids that it kept at each token, one entry a token (None
            where nothing was cut).
    """

    tokens: NDArray[np.int32]
    arrays: Mapping[str, NDArray[np.float32]]
    scalars: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    key: str = ""
    kept: tuple[NDArray[np.int32] | None, ...] | None = None

    @property
    def weight(self) -> float:
        """The sum of its targets' weights; the first token has nothing before it and is never a target."""
        return float(self.arrays["weight"][1:].sum(dtype=np.float64))
