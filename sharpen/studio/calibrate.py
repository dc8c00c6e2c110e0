"""Whether a run's confidences mean what they say, over its stored and judged episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.measure.abstention import abstention
from sharpen.measure.calibration import by_length, calibrate
from sharpen.measure.intervals import Estimate, question_bootstrap
from sharpen.measure.separation import Separation, risk_coverage, separation
from sharpen.runs.streams import Stream, stream
from sharpen.score.confidence import INVALID_SHARE, Mode
from sharpen.studio.confidences import NAMES, Items, Signal, read_items, signal_of, step_of
from sharpen.verbs.seeds import read_plan, seed_folder

RISKS = (0.05, 0.1, 0.2)
"""Shares of errors at which the coverage is told."""
CURVE = 50
"""Points of a risk-coverage curve."""
LENGTH_BINS = 4

Numbers = NDArray[np.float64]
Told = dict[str, Any]


def calibrate_run(
    folder: Path,
    *,
    step: str | None = None,
    signals: Sequence[str] = (),
    mode: Mode = "percent",
    forced: str | None = None,
) -> Told:
    """How well the confidences of a run's judged episodes are calibrated, and how well they separate.

    Args:
        folder: a run, or one with several seeds: then the episodes of all are pooled, and those of one
            question stay together in the bootstrap.
        step: a sampling step or the one that judged it; None is the last one judged.
        signals: names of ``sharpen.studio.confidences``; none: all that the episodes have.
        mode: how stated confidences are read, see ``sharpen.score.confidence.stated``.
        forced: a step in which the same questions had to be answered, for the precision of abstentions.

    Returns:
        JSON values: ``run``, ``step``, ``seeds``, ``episodes``, ``questions``, ``unknown`` (the verifier
        could not judge), ``truncated``, ``abstention`` (see ``sharpen.measure.abstention``; its interval
        is over questions where one has several answers), ``signals`` (see
        ``told``) and ``absent`` (name -> why the run has no such confidence).
    """
    runs = [(f, step) for f in _runs(folder)]
    items = read_items(runs)
    known, names = ~items.unknown, signals or NAMES
    when_forced = None if forced is None else _forced(items, [f for f, _ in runs], forced)
    rates = abstention(
        items.declined[known], items.correct[known], None if when_forced is None else when_forced[known]
    )
    interval: Sequence[float | None] = rates.interval
    if len(set(items.questions[known].tolist())) < rates.n:  # then Wilson's is too narrow
        no = items.declined[known].astype(np.float64)
        draws = stream("calibrate", "abstention")
        share = question_bootstrap(lambda i: float(no[i].mean()), items.questions[known], stream=draws)
        interval = share[1:]
    found = {name: signal_of(items, name, mode) for name in names}
    return {
        "run": str(folder),
        "step": step_of(*runs[-1])[0],
        "seeds": len(runs),
        "episodes": len(items.episodes),
        "questions": len(set(items.questions.tolist())),
        "unknown": int(items.unknown.sum()),
        "truncated": float(items.truncated.mean()) if len(items.episodes) else None,
        "abstention": {**asdict(rates), "interval": list(interval)},
        "forced": forced,
        "signals": [told(items, s, stream("calibrate")) for s in found.values() if isinstance(s, Signal)],
        "absent": {name: s for name, s in found.items() if isinstance(s, str)},
    }


def _runs(folder: Path) -> list[Path]:
    plan = read_plan(folder)
    if plan is None:
        return [folder]
    found = [seed_folder(folder, seed) for seed in plan[1]]
    begun = [f for f in found if (f / "manifest.jsonl").is_file()]
    if len(begun) < len(found):
        raise SharpenError(f"{folder}: not all seeds have begun; continue with: sharpen resume {folder}")
    return found


def _forced(items: Items, folders: Sequence[Path], step: str) -> NDArray[np.bool_]:
    """Whether each item's question was answered rightly by the same run's first attempt in ``step``."""
    right: dict[tuple[int, str], bool] = {}
    for number, folder in enumerate(folders):
        answered = read_items([(folder, step)])
        for task, correct in zip(answered.questions.tolist(), answered.correct.tolist(), strict=True):
            right.setdefault((number, task), correct)
    pairs = list(zip(items.runs.tolist(), items.questions.tolist(), strict=True))
    if missing := next((task for run, task in pairs if (run, task) not in right), None):
        raise SharpenError(f"step {step!r} does not ask question {missing!r}")
    return np.array([right[pair] for pair in pairs], dtype=np.bool_)


def told(items: Items, signal: Signal, draws: Stream) -> Told:
    """All that is told of one confidence, over attempted items.

    ``n`` (valid), ``invalid``, ``invalid_share``, ``problems``, ``about``, ``warning``, ``measures`` (name ->
    value, low, high), ``undefined`` (name -> why), ``table`` (reliability, where there is a scale),
    ``lengths`` (by tokens, likewise) and ``curve`` (coverage, risk).
    """
    asked = items.attempted
    valid = asked & ~np.isnan(signal.values)
    n, lost = int(valid.sum()), int((asked & ~valid).sum())
    share = lost / (n + lost) if n + lost else None
    out: Told = {"name": signal.name, "scale": signal.scale, "n": n, "invalid": lost, "invalid_share": share}
    out |= {"problems": signal.problems, "about": signal.about}
    out["warning"] = warning(signal.name, out)
    c, right, of = signal.values[valid], items.correct[valid], items.questions[valid]
    measures: dict[str, Estimate] = {}
    if signal.scale:
        # runs may give two episodes one key
        keys = np.array([f"{e.key} {r}" for e, r in zip(items.episodes, items.runs, strict=True)])[valid]
        found = calibrate(c, right, of, stream=draws, ids=keys)
        measures |= {k: getattr(found, k) for k in ("accuracy", "confidence", "ece", "ace")}
        measures |= {"ace_over_ties": Estimate(found.ace_over_ties, None, None), "brier": found.brier}
        measures |= {"overconfidence": found.overconfidence}
        out["table"] = [asdict(b) for b in found.table]
        out["lengths"] = _lengths(items.lengths[valid], c, right)
        parts = found.separation
    else:
        share_right = question_bootstrap(lambda i: float(right[i].mean()), of, stream=draws.child("accuracy"))
        measures["accuracy"] = share_right
        parts = separation(c, right, of, stream=draws.child("separation"))
    measures |= _separations(parts) | _coverages(c, right, of, draws)
    out["measures"] = {name: list(values) for name, values in measures.items()}
    out["undefined"] = {n: _why(n, right) for n, v in measures.items() if v[0] is None}
    curve = risk_coverage(c, right)
    at = np.unique(np.linspace(0, len(c) - 1, CURVE).round().astype(int)) if len(c) else []
    out["curve"] = [[float(curve.coverage[i]), float(curve.risk[i])] for i in at]
    return out


def warning(name: str, counts: Told) -> str:
    """One line where more are invalid than is published, else empty."""
    if (counts["invalid_share"] or 0) <= INVALID_SHARE:
        return ""
    n = counts["n"] + counts["invalid"]
    why = ", ".join(f"{reason} {k:,}" for reason, k in counts["problems"].items())
    share = 100 * counts["invalid_share"]
    return f"{name}: {counts['invalid']:,} of {n:,} ({share:.1f} %) are invalid and left out: {why}"


def _separations(parts: Separation) -> dict[str, Estimate]:
    return {k: getattr(parts, k) for k in ("auroc", "within", "auprc_right", "auprc_wrong", "aurc")}


def _coverages(
    c: Numbers, right: NDArray[np.bool_], of: NDArray[np.str_], draws: Stream
) -> dict[str, Estimate]:
    order = np.argsort(c, kind="stable")
    c, right, of = c[order], right[order], of[order]

    def at(risk: float) -> Callable[[NDArray[np.int64]], float | None]:
        return lambda i: risk_coverage(c[i], right[i]).coverage_at(risk)

    return {
        f"coverage_at_{risk:g}": question_bootstrap(at(risk), of, stream=draws.child("coverage", f"{risk:g}"))
        for risk in RISKS
    }


def _why(measure: str, right: NDArray[np.bool_]) -> str:
    if not len(right):
        return "no valid item"
    if measure == "within":
        return "no question has right and wrong answers"
    return "every answer is right" if right.all() else "every answer is wrong"


def _lengths(tokens: NDArray[np.int64], c: Numbers, right: NDArray[np.bool_]) -> list[Told]:
    """Quarters of the items by length."""
    if not len(tokens):
        return []
    inner = np.quantile(tokens, np.linspace(0, 1, LENGTH_BINS + 1)[:-1], method="higher")
    edges = [*np.unique(inner).tolist(), int(tokens.max()) + 1]
    return [asdict(b) for b in by_length(tokens, c, right, edges)]
