"""What choosing the attempt that overthinks least brings, and what scores predict (arXiv 2502.08235)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError


def lowest_at_k(scores: Sequence[float | None], success: Sequence[bool] | ArrayLike, k: int) -> float:
    """LO@k of one task: the expected success of the lowest-scored of k of its n attempts, exactly.

    Over all k-subsets, ties shared evenly; None or NaN is unscored and ranks last. At k = 1 it is the mean.

    Args:
        scores: larger is worse, ``(n,)``.
        success: bool ``(n,)``.
        k: attempts looked at, at most n.
    """
    right = np.asarray(success, dtype=np.bool_)
    n = len(scores)
    if len(right) != n or not 1 <= k <= n:
        raise SharpenError(f"LO@k: {n} scores, {len(right)} outcomes, k={k} is out of range")
    values = [math.inf if s is None or math.isnan(s) else float(s) for s in scores]
    sizes = Counter(values)
    wins = Counter(v for v, r in zip(values, right, strict=True) if r)
    total, left = 0.0, n
    for value in sorted(sizes):
        # subsets whose lowest score is this one: all from here on, less those entirely above
        subsets = math.comb(left, k) - math.comb(left - sizes[value], k)
        total += subsets * wins[value] / sizes[value]
        left -= sizes[value]
    return total / math.comb(n, k)


def relative_change(new: float, old: float) -> float:
    """``new / old - 1``: a gain in accuracy, or (negative) a saving in cost. The judge's cost is a column of
    its own, not part of either."""
    if not old:
        raise SharpenError("relative change: there is none from 0")
    return new / old - 1


@dataclass(frozen=True, slots=True)
class Line:
    """A least-squares line.

    Attributes:
        slope, intercept: of ``y = intercept + slope * x``. r2: ``1 - SSE / SST``, None where y is constant.
        p: two-sided, of a slope of 0 (Student's t, n - 2 degrees of freedom). n: points.
    """

    slope: float
    intercept: float
    r2: float | None
    p: float
    n: int


def least_squares(x: ArrayLike, y: ArrayLike) -> Line:
    """The line through points, one a model. SharpenError for fewer than 3, or where x is constant."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise SharpenError(f"least squares: {a.size} and {b.size} numbers are not 3 points or more")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise SharpenError("least squares: a point is NaN or infinite")
    if (a == a[0]).all():
        raise SharpenError("least squares: all points have the same x")
    n, dx, dy = len(a), a - a.mean(), b - b.mean()
    sxx, sst = float(dx @ dx), float(dy @ dy)
    slope = float(dx @ dy) / sxx
    intercept = float(b.mean() - slope * a.mean())
    if (b == b[0]).all():
        return Line(0.0, float(b[0]), None, 1.0, n)
    sse = float(((dy - slope * dx) ** 2).sum())
    t = math.inf if sse == 0 else slope / math.sqrt(sse / (n - 2) / sxx)
    return Line(slope, intercept, 1 - sse / sst, student_p(t, n - 2), n)


def welch(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """The mean of ``a`` less that of ``b``, and the two-sided p of no difference (Welch's t-test: variances
    may differ). SharpenError for groups of fewer than 2 or without any spread."""
    groups = [np.asarray(g, dtype=np.float64) for g in (a, b)]
    if min(len(g) for g in groups) < 2:
        raise SharpenError("t-test: a group has fewer than 2 numbers")
    errors = [float(g.var(ddof=1)) / len(g) for g in groups]
    if not sum(errors):
        raise SharpenError("t-test: neither group has any spread")
    difference = float(groups[0].mean() - groups[1].mean())
    df = sum(errors) ** 2 / sum(e * e / (len(g) - 1) for e, g in zip(errors, groups, strict=True))
    return difference, student_p(difference / math.sqrt(sum(errors)), df)


def student_p(t: float, df: float) -> float:
    """Two-sided p of Student's t: ``I_x(df / 2, 1 / 2)`` at ``x = df / (df + t^2)``."""
    if math.isinf(t):
        return 0.0
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (modified Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below this point only
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            result *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return math.exp(front) * result / a
