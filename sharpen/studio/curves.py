"""Metrics rows as curves over rounds: every number that a recipe tells of, named, with unit and place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sharpen.errors import SharpenError
from sharpen.measure.report import explain
from sharpen.studio.contests import CONTEST, SOLVED
from sharpen.studio.table import MAIN
from sharpen.studio.words import cells, is_share, label

Row = Mapping[str, Any]

SECTIONS = {
    "accuracy": "Accuracy by round",
    "exploration": "Exploration and exploitation",
    "balance": "Chosen temperature and threshold",
    "self_play": "Self-play",
    "contest": "Contests",
    "strategies": "Strategies",
    "policy_gradient": "Policy gradient",
    "training": "Training attempts",
    "learning": "Learning",
    "other": "Other measures",
}
"""Sections of a report, in the order shown."""

ACCURACY = ("accuracy_greedy", "accuracy_t1")
_EXPLORATION = [
    re.compile(p)
    for p in (
        r"pass_at_\d+",
        r"pass_at_\d+_\d+",
        r"reward_at_\d+_\d+",
        r"best_of_\d+",
        "distinct_equations",
        "distinct_texts",
        "unique_correct",
        "entropy",
        "certainty",
        "length",
        "length_greedy",
        "truncated_share",
    )
]
"""In the order shown."""
_GRADIENT = ("ratio_mean", "ratio_max", "ess", "clip_share", "approx_kl", "kl", "entropy")
_TRAINING = (
    "reward_mean",
    "correct_share",
    "mixed_share",
    "all_right_share",
    "all_wrong_share",
    "distinct_texts",
    "entropy",
    "length",
    "unknown_share",
)
_LEARNING = ("loss", "grad_norm", "lr", "rows", "selection_kept", "selection_accuracy")
_SHARES = re.compile(r".+/(won|drawn|lost|invalid)|illegal")
_SELF_PLAY = re.compile(r"return_\d+|baseline/.+|invalid_share|length|entropy|moves")
_SKIPPED = re.compile(r"status_.+|losses|n_questions|n_samples|updates|step|position")
_UNITS = (
    (re.compile(r"(.*_)?(entropy|certainty|kl)|loss.*|logprob.*|.*_nats"), "nats"),
    (re.compile(r"length.*|tokens|targets|prompt_tokens|eval_tokens"), "tokens"),
    (re.compile(r"rows|selection_(?!accuracy).+|selected|pairs|items|groups.*"), "rows"),
    (re.compile(r"ess"), "share of the rows"),
    (re.compile(r".*return_\d+|baseline/.+|value|nash_conv.*"), "return"),
)
_ABOUT = {
    "ess": "effective sample size of the importance weights, as a share: 1 is on-policy",
    "ratio_mean": "mean probability ratio of the learnt policy to the one that sampled",
    "ratio_max": "largest such ratio of a token",
    "clip_share": "share of tokens whose ratio the clip holds",
    "approx_kl": "estimate of KL(sampled from || learnt), nats a token",
    "kl": "estimate of KL(learnt || reference), nats a token",
    "nash_conv": "what two best responses gain over the policy, together: 0 is an equilibrium",
    "nash_conv_average": "the same, of the average of the policies so far",
    "temperature": "the sampling temperature that the round chose",
    "threshold": "the least reward that the round learnt from",
    "balance": "balance score of the chosen pair",
    "loss": "of the last update of the round",
    "grad_norm": "norm of the last update's gradient, before clipping",
    "lr": "learning rate of the last update",
}  # fmt: skip


def charts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One dict a measure of a row's name: ``id``, ``section``, ``main`` (is shown at once), ``name``,
    ``measure``, ``title``, ``unit``, ``share``, ``about``, ``x`` and ``series``.

    A series is ``{"label", "points"}``; a point ``[x, value, low, high]``, low and high None where there is
    no interval. Rows that share a round are told apart by their texts (``on=seen``). Without a round
    there is no curve.
    """
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row.get("round"), int):
            by_name.setdefault(str(row.get("name", "")), []).append(row)
    found = [chart for name, group in by_name.items() for chart in _charts(name, group)]
    order = list(SECTIONS)
    return sorted(found, key=lambda c: (order.index(c["section"]), _rank(c)))


def _rank(chart: Mapping[str, Any]) -> int:
    if chart["section"] != "exploration":
        return 0
    return next((i for i, p in enumerate(_EXPLORATION) if p.fullmatch(chart["measure"])), len(_EXPLORATION))


def _charts(name: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    split = apart(rows)
    out: dict[str, dict[str, Any]] = {}
    names = list(dict.fromkeys(m for r in rows for m in r))
    for row in rows:
        shown = " ".join(str(row[f]) for f in split if row.get(f) is not None)
        for measure, cell in cells(row).items():
            if _SKIPPED.fullmatch(measure):
                continue
            if measure not in out:
                out[measure] = _chart(name, measure, names)
            series = out[measure]["series"].setdefault(shown, [])
            series.append([row["round"], cell.value, cell.low, cell.high])
    for chart in out.values():
        chart["series"] = [{"label": k, "points": v} for k, v in chart["series"].items()]
    return [*out.values(), *_losses(name, rows)]


def _chart(name: str, measure: str, measures: Sequence[str]) -> dict[str, Any]:
    section, main = place(name, measure, measures)
    share = is_share(measure) or (name == CONTEST and bool(_SHARES.fullmatch(measure)))
    title = SOLVED.get(measure, "") if name == CONTEST else ""
    own = name not in (MAIN, "balance", CONTEST, "self_play", "learn", "score")
    return {
        "id": f"{name}/{measure}",
        "section": section,
        "main": main,
        "name": name,
        "measure": measure,
        "title": title or label(measure) + (f", {name.replace('_', ' ')}" if own else ""),
        "unit": "percent" if share else unit(measure),
        "share": share,
        "about": about(name, measure),
        "x": "round",
        "series": {},
    }


def place(name: str, measure: str, measures: Sequence[str]) -> tuple[str, bool]:
    """The section of a measure, and whether it is among those shown at once."""
    if name == MAIN and measure in ACCURACY:
        return "accuracy", True
    if name == MAIN:
        largest = max((int(m[8:]) for m in measures if re.fullmatch(r"pass_at_\d+", m)), default=0)
        own = any(p.fullmatch(measure) for p in _EXPLORATION[1:])
        return "exploration", own or measure == f"pass_at_{largest}"
    if name == "balance":
        return "balance", True
    if name == CONTEST:
        return "contest", measure.endswith(("/won", "/invalid")) or measure in SOLVED
    if name == "self_play":
        return "self_play", bool(_SELF_PLAY.fullmatch(measure))
    if name == "score":
        return "training", measure in _TRAINING
    if "loss" in measures and "grad_norm" in measures:
        # entropy among a learner's numbers is a policy gradient's monitor
        if measure in _GRADIENT:
            return "policy_gradient", True
        return "learning", name == "learn" and measure in _LEARNING
    return "other", name not in ("greedy", "sampled") and not name.startswith("T=") and name != "practice"


def unit(measure: str) -> str:
    """What a measure is counted in, ``""`` where it is a bare number."""
    return next((u for pattern, u in _UNITS if pattern.fullmatch(measure)), "")


def about(name: str, measure: str) -> str:
    """One line on what a measure means, ``""`` where nothing is known."""
    if name in ("learn", "balance", CONTEST) and measure in _ABOUT:
        return _ABOUT[measure]
    if name == CONTEST and "/" in measure:
        opponent, _, what = measure.rpartition("/")
        return f"games against {opponent}: {what.replace('_', ' ')}"
    try:
        return explain(measure)
    except SharpenError:
        return ""


def apart(rows: Sequence[Row]) -> list[str]:
    """The text fields by which rows of one round are told apart.

    A field whose values each belong to one round says which round it is, and splits nothing.
    """
    fields = dict.fromkeys(
        k for r in rows for k, v in r.items() if isinstance(v, str) and k not in ("key", "name")
    )
    if len({r["round"] for r in rows}) == len(rows):
        return []
    kept = []
    for field in fields:
        rounds: dict[Any, set[int]] = {}
        for row in rows:
            rounds.setdefault(row.get(field), set()).add(row["round"])
        if len(rounds) > 1 and (len({r["round"] for r in rows}) == 1 or max(map(len, rounds.values())) > 1):
            kept.append(field)
    return kept


MOST_UPDATES = 300
"""Points of a loss curve; more updates are averaged."""


def _losses(name: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The loss of every update, one after the other."""
    losses = [v for r in rows for v in r.get("losses") or [] if isinstance(v, int | float)]
    if len(losses) < 2:
        return []
    size = -(-len(losses) // MOST_UPDATES)
    points = []
    for i in range(0, len(losses), size):
        part = losses[i : i + size]
        points.append([i + len(part), sum(part) / len(part), None, None])
    chart = _chart(name, "loss", ("loss", "grad_norm"))
    told = f"mean of {size} updates a point" if size > 1 else "a point an update"
    own = "" if name == "learn" else f", {name.replace('_', ' ')}"
    return [{**chart, "id": f"{name}/losses", "title": f"loss by update{own}", "about": told, "x": "update",
             "main": True, "series": [{"label": "", "points": points}]}]  # fmt: skip


def statuses(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """How judging went, a dict a row that tells it: ``name``, ``round``, and ``shares`` above 0 by status."""
    out = []
    for row in rows:
        found = {k.removeprefix("status_"): float(v) for k, v in row.items() if k.startswith("status_") and v}
        # the exam's own row repeats that of its samples
        if found and row.get("name") != MAIN and isinstance(row.get("round"), int):
            out.append({"name": str(row["name"]), "round": row["round"], "shares": found})
    return out


def searches(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """What a balance search weighed: ``round``, ``cells`` (temperature, threshold, balance), its choice."""
    return [
        {
            "round": row["round"],
            "cells": [cell[:3] for cell in row["table"]],
            "temperature": row.get("temperature"),
            "threshold": row.get("threshold"),
        }
        for row in rows
        if row.get("name") == "balance" and row.get("table") and isinstance(row.get("round"), int)
    ]
