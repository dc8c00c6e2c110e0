"""How varied, long, cut and alive a table of scored groups is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.group import Groups
from sharpen.score.verdict import Status

Equations = Callable[[str], Sequence[str]]
"""The equations written in a text."""

_EQUATION = re.compile(r"[0-9(][0-9+\-*/(). ]*=[ ]*-?[0-9][0-9.]*")


def written_equations(text: str) -> list[str]:
    """Arithmetic equations such as ``3*7 = 21``, without spaces and closing full stops, in order."""
    return [found.replace(" ", "").rstrip(".") for found in _EQUATION.findall(text)]


def distinct_equations(groups: Groups, equations: Equations = written_equations) -> float | None:
    """B-STaR's diversity: distinct equations / all equations over a query's correct responses, averaged
    over the queries that have one; None where no query has."""
    ratios = []
    for row in groups.columns:
        found = [
            e for text, right in zip(row.texts, row.correct, strict=True) if right for e in equations(text)
        ]
        if found:
            ratios.append(len(set(found)) / len(found))
    return float(np.mean(ratios)) if ratios else None


def distinct_texts(groups: Groups) -> float | None:
    """Distinct texts (stripped) / samples, averaged over groups; None without samples."""
    ratios = [len({t.strip() for t in row.texts}) / len(row) for row in groups.columns if len(row)]
    return float(np.mean(ratios)) if ratios else None


def mean_length(groups: Groups) -> float | None:
    """Mean number of sampled tokens; None without samples."""
    lengths = np.concatenate([np.zeros(0, np.int64), *groups.lengths])
    return float(lengths.mean()) if len(lengths) else None


def truncated_share(groups: Groups) -> float | None:
    """Share of samples that ended at the length limit; None without samples."""
    ends = [f for row in groups.columns for f in row.finish]
    return sum(f is Finish.LENGTH for f in ends) / len(ends) if ends else None


def group_shares(groups: Groups) -> dict[str, float]:
    """Shares of groups whose known verdicts are ``all_right``, ``all_wrong`` or ``mixed``; ``unjudged``
    are those without a known verdict. They add up to 1 (all 0 without groups)."""
    counts: Counter[str] = Counter()
    for row in groups.columns:
        known = row.correct[~row.unknown]
        if not len(known):
            counts["unjudged"] += 1
        elif known.all():
            counts["all_right"] += 1
        else:
            counts["mixed" if known.any() else "all_wrong"] += 1
    total = max(len(groups), 1)
    return {name: counts[name] / total for name in ("all_right", "all_wrong", "mixed", "unjudged")}


def status_shares(groups: Groups) -> dict[str, float]:
    """Share of samples with each verdict status; every status is present."""
    counts = Counter(s for row in groups.status for s in row)
    total = max(sum(counts.values()), 1)
    return {str(status): counts[status] / total for status in Status}


def mean_entropy(groups: Groups) -> float | None:
    """Mean over samples of the mean raw next-token entropy, nats; None where nothing was sampled."""
    return _mean([row.entropy for row in groups.columns])


def mean_certainty(groups: Groups) -> float | None:
    """Mean over samples of the mean self-certainty, nats; None where nothing was sampled."""
    return _mean([row.certainty for row in groups.columns])


def _mean(parts: Sequence[ArrayLike]) -> float | None:
    values = np.concatenate([np.zeros(0), *(np.asarray(p, dtype=np.float64) for p in parts)])
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def logprob_gap(engine: ArrayLike, learner: ArrayLike) -> tuple[float, float]:
    """Mean and largest absolute difference, nats, between the log-probabilities that the engine recorded
    and those that the learner computes for the same tokens. (0, 0) without tokens; NaN stays NaN."""
    a, b = np.asarray(engine, dtype=np.float64), np.asarray(learner, dtype=np.float64)
    if a.shape != b.shape:
        raise SharpenError(f"log-probability gap: shapes {a.shape} and {b.shape} differ")
    gap = np.abs(a - b)
    return (float(gap.mean()), float(gap.max())) if gap.size else (0.0, 0.0)
