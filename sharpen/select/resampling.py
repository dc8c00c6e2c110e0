"""Responses drawn again by their rewards, beside the ones that were sampled (Auto-CEI, arXiv 2410.07627)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream
from sharpen.score.group import Columns, Groups
from sharpen.score.verdict import Status
from sharpen.select.selection import Selected, Selection

NONE = -1.0
"""The temperature that means no resampling."""
_LEDGER = ("sampled", "unknown", "duplicate", "wrong", "short_refusal", "kept")


def softmax(rewards: ArrayLike, tau: float) -> NDArray[np.float64]:
    """``exp(R / tau)`` in proportion, float64 ``(n,)``. SharpenError where tau is not above 0."""
    if not tau > 0:
        raise SharpenError(f"resampling: tau={tau} must be above 0 ({NONE:g}: no resampling)")
    values = np.asarray(rewards, np.float64)
    grown = np.exp((values - values.max()) / tau) if values.size else values
    return grown / grown.sum() if values.size else grown


def resampled(
    groups: Groups, tau: float, stream: Stream, *, drop_negative_idk: bool = False, dedup: bool = False
) -> Selection:
    """Each question's K samples and, behind them, K drawn from them with replacement by ``softmax``; of all
    these, those whose reward is above -1.

    So a wrong answer is never learnt, what is unlikely is not lost, and a refusal that is worth less than 0
    is hardly ever there twice. A question whose samples are all wrong gives nothing.

    Args:
        groups: scored by ``sharpen.score.refusal_reward.rewarded``: -1 is wrong. Unknown verdicts are
            left out and not drawn.
        tau: the temperature; -1: nothing is drawn.
        drop_negative_idk: leave out refusals of a reward below 0, copies too.
        dedup: of equal texts to a question only the first is a sample. Drawn copies stay.

    Returns:
        The selection, question by question; its ledger counts each sample and each drawn copy once, as
        ``unknown``, ``duplicate``, ``wrong``, ``short_refusal`` or ``kept``.
    """
    ledger: Counter[str] = Counter()
    items: list[Selected] = []
    for g, row in enumerate(groups.columns):
        own = _samples(row, dedup, ledger)
        drawn = own[:0]
        if tau != NONE and len(own):
            rng = stream.child(row.task.id, g).generator()
            p = softmax([row.judged[k].score for k in own], tau)
            drawn = own[rng.choice(len(own), size=len(own), p=p)]
        ledger["sampled"] += len(row) + len(drawn)
        for k in (int(k) for k in (*own, *drawn)):
            verdict = row.judged[k]
            if verdict.score <= -1.0:
                ledger["wrong"] += 1
            elif drop_negative_idk and verdict.status is Status.REFUSED and verdict.score < 0:
                ledger["short_refusal"] += 1
            else:
                items.append(Selected(row.task, row.texts[k], verdict.score, verdict.correct, g, k, groups))
    ledger["kept"] = len(items)
    spec = {
        "rule": "resampled",
        "tau": tau,
        "drop_negative_idk": drop_negative_idk,
        "dedup": dedup,
        "stream": list(stream.names),
    }
    return Selection(tuple(items), spec, None, {name: ledger[name] for name in _LEDGER})


def _samples(row: Columns, dedup: bool, ledger: Counter[str]) -> NDArray[np.int64]:
    """Which samples take part; the others are booked."""
    kept: list[int] = []
    seen: set[str] = set()
    for k, verdict in enumerate(row.judged):
        if verdict.status.unknown:
            ledger["unknown"] += 1
        elif dedup and row.texts[k] in seen:
            ledger["duplicate"] += 1
        else:
            kept.append(k)
            seen.add(row.texts[k])
    return np.array(kept, np.int64)


def all_refused(rows: Sequence[Columns]) -> float:
    """Share of questions all of whose samples refuse: near 1, the policy has given up answering."""
    given_up = [bool(len(r)) and all(v.status is Status.REFUSED for v in r.judged) for r in rows]
    return sum(given_up) / len(given_up) if given_up else 0.0
