"""Flat metric rows: what held-out evaluation and each round's samples show, every name explained."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.measure.diversity import (
    Equations,
    distinct_equations,
    distinct_texts,
    group_shares,
    mean_certainty,
    mean_entropy,
    mean_length,
    status_shares,
    truncated_share,
    written_equations,
)
from sharpen.measure.intervals import wilson
from sharpen.measure.passk import best_of_k, pass_at_k, pass_at_k_s, reward_at_k_s
from sharpen.score.group import Columns, Groups
from sharpen.score.verdict import Status
from sharpen.select.selection import Selection, Unique, name_of, stripped

Metrics = dict[str, float | int | None]
"""A flat row; None where a number is undefined."""

METRICS: dict[str, str] = {
    "n_questions": "questions evaluated",
    "n_samples": "samples drawn over all questions",
    "accuracy_greedy": "share of questions right by greedy decoding; unknown verdicts count as wrong",
    "accuracy_greedy_low": "lower end of the 95 % Wilson interval of accuracy_greedy",
    "accuracy_greedy_high": "upper end of the 95 % Wilson interval of accuracy_greedy",
    "accuracy_greedy_upper": "accuracy_greedy if every unknown verdict were right",
    "accuracy_t1": "share of sampled answers that are right, averaged over questions",
    "accuracy_t1_upper": "accuracy_t1 if every unknown verdict were right",
    "pass_at_{k}": "chance that k samples hold a right one (unbiased), averaged over questions",
    "pass_at_{K}_{S}": "chance that K samples hold S different right ones (B-STaR's Pass@K-S; 0 where K < S)",
    "reward_at_{K}_{S}": "chance that the S best-scored of K samples are all right (Reward@K-S)",
    "best_of_{K}": "chance that the best-scored of K samples is right",
    "distinct_equations": "distinct / all equations in the right answers to a question, averaged",
    "distinct_texts": "distinct texts / samples of a question, averaged over questions",
    "unique_correct": "different right answers of a question, averaged over questions",
    "entropy": "mean next-token entropy of the untouched model over sampled tokens, nats",
    "certainty": "mean self-certainty over sampled tokens, nats",
    "length": "mean sampled tokens of a sample",
    "length_greedy": "mean sampled tokens of a greedy answer",
    "truncated_share": "share of samples cut at the length limit",
    "truncated_greedy_share": "share of greedy answers cut at the length limit",
    "all_right_share": "share of groups whose known verdicts are all right (dead: nothing to compare)",
    "all_wrong_share": "share of groups whose known verdicts are all wrong (dead)",
    "mixed_share": "share of groups with right and wrong samples",
    "unjudged_share": "share of groups without any known verdict",
    "unknown_share": "share of samples whose verifier failed (timeout, crash, bad gold, abstained)",
    "status_{status}": "share of samples with this verdict status",
    "reward_mean": "mean reward of the samples with a known verdict",
    "correct_share": "share of samples that are right; unknown verdicts count as wrong",
    "selected": "responses chosen for learning, gold included",
    "selected_gold": "worked solutions among them",
    "selected_accuracy": "share of the chosen that are right",
    "selected_per_query": "chosen responses a question, over all questions",
    "selected_cap": "per-question cap in force",
}
"""Every metric: name, or pattern with ``{}``, and its meaning."""


def explain(name: str) -> str:
    """The meaning of a metric, patterns resolved (``pass_at_8_4``). SharpenError for an unknown name."""
    if name in METRICS:
        return METRICS[name]
    for pattern, meaning in METRICS.items():
        if "{" in pattern:
            regex = re.sub(r"\{\w+\}", "[0-9]+", pattern.replace("{status}", "(" + "|".join(Status) + ")"))
            if re.fullmatch(regex, name):
                return meaning
    raise unknown("metric", name, METRICS)


def held_out_metrics(
    greedy: Groups,
    sampled: Groups,
    *,
    canonical: Unique = stripped,
    equations: Equations | None = None,
    s: int = 4,
) -> Metrics:
    """The row of a held-out evaluation; ``METRICS`` explains its names.

    K is the smallest number of samples that a question has; every k of pass@k is a power of two up to K.

    Args:
        greedy: scored groups of one greedy answer each; may be empty.
        sampled: scored groups at temperature 1; may be empty.
        canonical: identity by which right answers are counted once.
        equations: the equations of a text, for diversity; arithmetic ones where None.
        s: the S of Pass@K-S and Reward@K-S.
    """
    row: Metrics = {"n_questions": len(greedy) or len(sampled), "n_samples": sampled.n_samples}
    if len(greedy):
        row |= _greedy(greedy)
    if len(sampled):
        row |= _sampled(sampled, canonical, s)
        row |= _shape(sampled, equations or written_equations)
    return row


def _greedy(groups: Groups) -> Metrics:
    for c in groups.columns:
        if len(c) != 1:
            raise SharpenError(f"task {c.task.id!r} has {len(c)} greedy answers, one is meant")
    right = sum(int(c.correct[0]) for c in groups.columns)
    maybe = sum(int(c.unknown[0]) for c in groups.columns)
    n = len(groups)
    low, high = wilson(right, n)
    return {
        "accuracy_greedy": right / n,
        "accuracy_greedy_low": low,
        "accuracy_greedy_high": high,
        "accuracy_greedy_upper": (right + maybe) / n,
        "length_greedy": mean_length(groups),
        "truncated_greedy_share": truncated_share(groups),
    }


def unique_correct(columns: Columns, canonical: Unique = stripped) -> int:
    """Different right answers of one group."""
    pairs = zip(columns.texts, columns.correct, strict=True)
    return len({name_of(canonical, columns.task, text) for text, right in pairs if right})


def _sampled(groups: Groups, canonical: Unique, s: int) -> Metrics:
    rows = groups.columns
    k_all = min(len(c) for c in rows)
    if not k_all:
        raise SharpenError("held-out metrics: a question has no samples")
    right = [int(c.correct.sum()) for c in rows]
    unique = [unique_correct(c, canonical) for c in rows]
    sizes = [len(c) for c in rows]
    out: Metrics = {
        "accuracy_t1": _mean([c.correct.mean() for c in rows]),
        "accuracy_t1_upper": _mean([(c.correct | c.unknown).mean() for c in rows]),
        "unique_correct": _mean(unique),
    }
    k = 1
    while k <= k_all:
        out[f"pass_at_{k}"] = _mean([pass_at_k(n, c, k) for n, c in zip(sizes, right, strict=True)])
        k *= 2
    out[f"pass_at_{k_all}_{s}"] = _mean(
        [pass_at_k_s(n, c, k_all, s) for n, c in zip(sizes, unique, strict=True)]
    )
    out[f"reward_at_{k_all}_{s}"] = _mean([reward_at_k_s(c.scores, c.correct, k_all, s) for c in rows])
    out[f"best_of_{k_all}"] = _mean([best_of_k(c.scores, c.correct, k_all) for c in rows])
    return out


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _shape(groups: Groups, extract: Equations) -> Metrics:
    """What a table of samples looks like, right or wrong."""
    shares = group_shares(groups)
    statuses = status_shares(groups)
    return {
        "distinct_equations": distinct_equations(groups, extract),
        "distinct_texts": distinct_texts(groups),
        "entropy": mean_entropy(groups),
        "certainty": mean_certainty(groups),
        "length": mean_length(groups),
        "truncated_share": truncated_share(groups),
        **{f"{name}_share": share for name, share in shares.items()},
        "unknown_share": sum(statuses[s] for s in Status if s.unknown),
        **{f"status_{name}": share for name, share in statuses.items()},
    }


def rollout_metrics(
    groups: Groups, selection: Selection | None = None, *, equations: Equations | None = None
) -> Metrics:
    """The row of one round's training samples and of what was chosen from them."""
    scores = np.concatenate([np.zeros(0), *groups.scores])
    known = scores[~np.isnan(scores)]
    marks = np.concatenate([np.zeros(0, np.bool_), *groups.correct])
    row: Metrics = {
        "n_samples": groups.n_samples,
        "reward_mean": float(known.mean()) if len(known) else None,
        "correct_share": float(marks.mean()) if len(marks) else None,
        **_shape(groups, equations or written_equations),
    }
    if selection is not None:
        row |= {
            "selected": len(selection),
            "selected_gold": sum(item.gold for item in selection),
            "selected_accuracy": selection.accuracy,
            "selected_per_query": len(selection) / len(groups) if len(groups) else None,
            "selected_cap": selection.m,
        }
    return row
