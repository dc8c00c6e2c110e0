"""What a strategy achieved and what it cost: one flat row, every name explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpen.measure.calibration import ece
from sharpen.measure.intervals import wilson
from sharpen.measure.separation import auroc
from sharpen.score.group import Groups

WEIGHED = "strategy"
"""The name of a strategy's metrics rows."""
STRATEGY_METRICS: dict[str, str] = {
    "questions": "questions answered",
    "accuracy": "share of questions whose final answer is right; unknown verdicts count as wrong",
    "accuracy_low": "lower end of the 95 % Wilson interval of accuracy",
    "accuracy_high": "upper end of the 95 % Wilson interval of accuracy",
    "accuracy_upper": "accuracy if every unknown verdict were right",
    "coverage": "share of questions for which any answer that the strategy considered is right",
    "selection": "accuracy / coverage: how well it chose among what it had",
    "none_share": "share of questions left without an answer",
    "calls": "completions sampled for a question, mean",
    "tokens": "tokens sampled for a question, mean",
    "prompt_tokens": "prompt tokens of these calls, mean",
    "evals": "texts scored without sampling for a question, mean",
    "eval_tokens": "tokens of these texts, mean",
    "tools": "uses of tools for a question, mean",
    "calls_before": "completions sampled on training questions beforehand, in all",
    "tokens_before": "tokens of these",
    "batch_fill": "share of the engine's batch in use, mean over decoding steps; None for other engines",
    "shared": "share of the calls that an earlier strategy of the run had made already",
    "stopped_{reason}": "share of questions at which it stopped so: done, max, budget, dropped, error, ...",
    "errors": "questions at which the strategy failed or the engine dropped a reply",
    "confidence": "mean stated confidence of the answers that have one",
    "ece": "expected calibration error of these confidences, 10 bins",
    "auroc": "chance that a right answer is stated with more confidence than a wrong one",
    "mended": "share of questions whose first candidate was wrong and whose final answer is right",
    "spoilt": "share of questions whose first candidate was right and whose final answer is wrong",
}
"""Every metric and its meaning."""

_COSTS = ("calls", "tokens", "prompt_tokens", "evals", "eval_tokens", "tools")


def strategy_items(rows: Sequence[Mapping[str, Any]], judged: Groups) -> dict[str, list[Any]]:
    """One entry a question: ``task_id``, ``correct``, ``unknown``, ``covered`` (0 or 1), ``began`` (whether
    the first candidate was right, None without one), ``confidence``, ``stop``, ``answered`` and the costs.

    Args:
        rows: of ``Solved``, in the groups' order.
        judged: per question the final answer, then the other candidates, with verdicts.
    """
    items: dict[str, list[Any]] = {
        "task_id": [row["task_id"] for row in rows],
        "correct": [float(c.correct[0]) for c in judged.columns],
        "unknown": [float(c.unknown[0]) for c in judged.columns],
        "covered": [float(c.correct.any()) for c in judged.columns],
        "began": [_began(row, c.texts, c.correct) for row, c in zip(rows, judged.columns, strict=True)],
        "confidence": [row["confidence"] for row in rows],
        "answered": [float(row["answer"] is not None) for row in rows],
        "stop": [row["stop"].partition(":")[0] for row in rows],
    }
    return items | {name: [row[name] for row in rows] for name in _COSTS}


def _began(row: Mapping[str, Any], texts: Sequence[str], correct: NDArray[np.bool_]) -> float | None:
    first = row.get("first")
    if first is None:
        return None
    return float(correct[texts.index(first)])


def strategy_metrics(items: Mapping[str, Sequence[Any]], told: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a strategy; ``STRATEGY_METRICS`` explains its names.

    Args:
        items: of ``strategy_items``.
        told: the step's result: ``batch_rows``, ``batch_seats``, ``shared``, ``errors``, ``calls``.
    """
    n, right = len(items["correct"]), int(sum(items["correct"]))
    low, high = wilson(right, n)
    covered = sum(items["covered"])
    pairs = [(c, r) for c, r in zip(items["confidence"], items["correct"], strict=True) if c is not None]
    confidence, marks = [c for c, _ in pairs], [r for _, r in pairs]
    changed = [(b, c) for b, c in zip(items["began"], items["correct"], strict=True) if b is not None]
    return {
        "questions": n,
        "accuracy": right / n,
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_upper": (right + sum(items["unknown"])) / n,
        "coverage": covered / n,
        "selection": right / covered if covered else None,
        "none_share": 1 - sum(items["answered"]) / n,
        **{name: float(np.mean(items[name])) for name in _COSTS},
        "batch_fill": told["batch_rows"] / told["batch_seats"] if told["batch_seats"] else None,
        "shared": told["shared"] / told["calls"] if told["calls"] else 0.0,
        **{f"stopped_{reason}": k / n for reason, k in sorted(Counter(items["stop"]).items())},
        "errors": told["errors"],
        "confidence": float(np.mean(confidence)) if confidence else None,
        "ece": ece(confidence, marks) if confidence else None,
        "auroc": auroc(confidence, marks) if confidence else None,
        "mended": sum(1 for b, c in changed if not b and c) / n if changed else None,
        "spoilt": sum(1 for b, c in changed if b and not c) / n if changed else None,
    }
