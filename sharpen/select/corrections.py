"""Pairs of a worse and a better answer to one question: what a corrector learns from (arXiv 2211.00053)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.score.group import Columns, Groups
from sharpen.select.selection import Selected, Selection
from sharpen.tasks.task import Task


def pair_weights(gains: ArrayLike, likeness: ArrayLike, alpha: float, beta: float) -> NDArray[np.float64]:
    """Weights in proportion to ``exp(alpha * gain + beta * likeness)``, summing to 1; float64 ``(n,)``."""
    exponents = alpha * np.asarray(gains, dtype=np.float64) + beta * np.asarray(likeness, dtype=np.float64)
    grown = np.exp(exponents - exponents.max()) if exponents.size else exponents
    return grown / grown.sum() if exponents.size else exponents


def alike(a: str, b: str) -> float:
    """How much of two texts is the same, in [0, 1]."""
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def corrections(
    groups: Groups,
    ask: Callable[[Task, str], Task],
    stream: Stream,
    *,
    per_query: int = 4,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Selection:
    """Of each question up to ``per_query`` pairs, drawn by weight without replacement: the better answer is
    to be learnt as the reply to ``ask(task, worse answer)``.

    A pair is two different texts of known score, the second one's higher. In the ledger a sample that is the
    better one of several drawn pairs counts as often.
    """
    if per_query < 1:
        raise SharpenError(f"corrections: per_query={per_query} must be at least 1")
    items: list[Selected] = []
    sampled = used = 0
    for g, row in enumerate(groups.columns):
        sampled += len(row)
        pairs = _pairs(row)
        gains = [row.judged[j].score - row.judged[i].score for i, j in pairs]
        weights = pair_weights(gains, [alike(row.texts[i], row.texts[j]) for i, j in pairs], alpha, beta)
        n = min(per_query, len(pairs))
        rng = stream.child(row.task.id).generator()
        drawn = sorted(rng.choice(len(pairs), size=n, replace=False, p=weights)) if n else []
        used += len({pairs[int(k)][1] for k in drawn})
        for i, j in (pairs[int(k)] for k in drawn):
            verdict = row.judged[j]
            chosen = Selected(row.task, row.texts[j], verdict.score, verdict.correct, g, j, groups)
            items.append(replace(chosen, task=ask(row.task, row.texts[i])))
    copies = len(items) - used
    ledger = {"sampled": sampled + copies, "gold": 0, "not_drawn": sampled - used, "kept": len(items)}
    spec = {"rule": "corrections", "per_query": per_query, "alpha": alpha, "beta": beta,
            "stream": list(stream.names)}  # fmt: skip
    return Selection(tuple(items), spec, per_query, ledger)


def _pairs(row: Columns) -> list[tuple[int, int]]:
    """Indices of worse and better, each text once: of equal texts the first."""
    first = {text: k for k, text in reversed(list(enumerate(row.texts)))}
    fresh = [k for k in sorted(first.values()) if not row.judged[k].status.unknown]
    scores = row.scores
    return [(i, j) for i in fresh for j in fresh if scores[j] > scores[i]]
