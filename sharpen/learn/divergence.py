"""Estimators of the divergence KL(p || q) from tokens that p sampled (http://joschu.net/blog/kl-approx.html).

With ``d = log p - log q`` of a sampled token:

| name | value | mean over p | gradient when it is minimised as it stands |
|---|---|---|---|
| k1 | d | KL(p, q) | grad log p: 0 on average, so noise alone |
| k2 | d^2 / 2 | not KL, but near it where p is near q | d grad log p: that of KL(p, q) |
| k3 | exp(-d) - 1 + d | KL(p, q), less noisy, never negative | (1 - q/p) grad log p: that of KL(q, p) |

So as a loss term k1 takes k2's gradient here (``as_loss``). Taken off the reward, it is the policy gradient
that works on it, and k1 then gives the gradient of KL(p, q) over whole sequences, exactly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
Numbers = TypeVar("Numbers", "Tensor", NDArray[np.float64])


def estimate(name: Estimator, d: Numbers) -> Numbers:
    """The estimator of each token, given ``d = log p - log q`` in nats (arrays or tensors of any shape)."""
    if name == "k1":
        return d
    if name == "k2":
        return d * d / 2
    return math.e ** (-d) - 1 + d


def as_loss(name: Estimator, d: Tensor) -> Tensor:
    """The estimator's value, with a gradient that is a divergence's: k1 and k2 have that of KL(p, q), earlier
    tokens being given; k3 that of KL(q, p), as in GRPO (arXiv 2402.03300, eq. 4)."""
    if name == "k1":
        half = estimate("k2", d)
        return d.detach() + (half - half.detach())
    return estimate(name, d)
