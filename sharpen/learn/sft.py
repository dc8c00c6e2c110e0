"""Supervised fine-tuning: cross-entropy on the weighted tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from sharpen.learn.objective import Forward
from sharpen.learn.row import Row


@dataclass(frozen=True, slots=True)
class SFT:
    """Cross-entropy ``-log p(token)``, weighted by the rows' ``weight``.

    Attributes:
        mean: over ``tokens``: ``sum(w * nll) / sum(w)`` of the batch, so long rows count more; over
            ``rows``: each row's own weighted mean, then the mean over rows.
    """

    mean: Literal["tokens", "rows"] = "tokens"

    @property
    def name(self) -> str:
        """``sft``."""
        return "sft"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {"name": self.name, "mean": self.mean}

    @property
    def weights(self) -> Mapping[str, float]:
        """One term, ``cross_entropy``."""
        return {"cross_entropy": 1.0}

    def denominators(self, rows: Sequence[Row]) -> dict[str, float]:
        """The sum of weights, or the number of rows that have any."""
        totals = [r.weight for r in rows]
        return {"cross_entropy": sum(totals) if self.mean == "tokens" else float(np.count_nonzero(totals))}

    def __call__(self, forward: Forward, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The summed cross-entropy of a micro-batch, nats."""
        nll = -forward.logprobs() * forward.array("weight")
        if self.mean == "rows":
            # a row without weight adds 0, not 0 / 0
            totals = nll.new_tensor([r.weight or 1.0 for r in rows])
            nll = forward.per_row(nll) / totals
        return {"cross_entropy": nll.sum()}
