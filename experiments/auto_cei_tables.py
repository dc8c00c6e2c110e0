"""The regions of ``docs/methods/auto_cei.md``, from ``results/auto_cei-BASE.json`` alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from auto_cei import OURS
from compared import Interval, Values, by_base, dated, names, of, span
from regions import Row, markdown

from sharpen.measure.reliability import f_score
from sharpen.measure.separation import spearman
from sharpen.runs.streams import stream

FIXED, RANDOM, SHUFFLED, EI = "c1 fixed", "c1 at random", "lengths shuffled", "EI"
REFUSED = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of questions at which frontiers are compared."""
WITHHELD = "EI, its least certain answers withheld"


class Answers(NamedTuple):
    """Whether each question was answered rightly, and at all; ``(seeds, questions)``."""

    right: Values
    given: Values


def column(runs: Sequence[Row], name: str) -> Values:
    """A column of the final answers by seed and question; NaN where there is no number."""
    return np.array([[np.nan if v is None else v for v in run["answers"][name]] for run in runs], float)


def answers(found: Row, arm: str) -> Answers:
    """An arm's final answers."""
    runs = of(found, arm)
    given = 1 - column(runs, "refused")
    return Answers(column(runs, "correct") * given, given)


def withheld(found: Row, arm: str, kept: Sequence[int]) -> Answers | None:
    """An arm that also withholds its least certain answers, until ``kept`` questions of each seed are
    answered; None where it refuses more by itself."""
    plain = answers(found, arm)
    certainty = np.where(plain.given > 0, column(of(found, arm), "certainty"), -np.inf)
    given = np.zeros_like(plain.given)
    for seed, order in enumerate(np.argsort(-certainty, axis=1, kind="stable")):
        if plain.given[seed].sum() < kept[seed]:
            return None
        given[seed, order[: kept[seed]]] = 1
    return Answers(plain.right * given, given)


def scores(a: Answers, lam: float) -> list[float]:
    """f by seed."""
    pairs = [(r.sum() / g.sum() if g.sum() else None, 1 - g.mean()) for r, g in zip(*a, strict=True)]
    return [f_score(precision, idk, lam) for precision, idk in pairs]


def replicates(a: Answers, lam: float, n: int = 2000) -> Values:
    """f in bootstrap replicates, ``(n,)``: seeds and questions drawn with replacement, the same draws
    for every arm of as many of them."""
    seeds, items = a.right.shape
    names_ = stream("auto_cei")
    s = names_.child("seeds").generator().multinomial(seeds, np.full(seeds, 1 / seeds), size=n)
    q = names_.child("items").generator().multinomial(items, np.full(items, 1 / items), size=n)
    right, given = (q @ values.T for values in a)
    precision = np.divide(right, given, out=np.zeros_like(given), where=given > 0)
    f = (1 - lam) * precision + lam * given / items
    return (s * f).sum(axis=1) / seeds


def difference(a: Answers, b: Answers, lam: float) -> Interval:
    """f of the first minus f of the second, paired by seed and question, with its 95 % interval."""
    low, high = np.quantile(replicates(a, lam) - replicates(b, lam), [0.025, 0.975])
    return float(np.mean(scores(a, lam)) - np.mean(scores(b, lam))), float(low), float(high)


def last(run: Row, name: str) -> Row:
    """The last row of a name."""
    return [r for r in run["rows"] if r["name"] == name][-1]


def told(runs: Sequence[Row], name: str) -> str:
    """A number of the final row, mean over the seeds that have it, in percent."""
    values = [v for run in runs if (v := last(run, "reliability")[name]) is not None]
    return f"{100 * np.mean(values):.1f}" if values else "-"


def overview(found: Row) -> str:
    """Every arm's precision, refusals and f."""
    lam, ours = found["lambda"], answers(found, OURS)
    held = {arm: answers(found, arm) for arm in names(found)}
    if EI in held:
        held[WITHHELD] = withheld(found, EI, ours.given.sum(axis=1).astype(int)) or answers(found, EI)
    rows = []
    for arm, a in held.items():
        runs = of(found, arm)
        precision = [r.sum() / g.sum() for r, g in zip(*a, strict=True) if g.sum()]
        low, high = np.quantile(replicates(a, lam), [0.025, 0.975])
        more = [told(runs, name) for name in ("would_be_wrong", "laziness")] if runs else ["", ""]
        spent = [sum(r["name"] == "attempts" for r in run["rows"]) for run in runs]
        rows.append([
            arm, f"{100 * a.right.mean():.1f}", f"{100 * np.mean(precision):.1f}" if precision else "-",
            f"{100 * (1 - a.given.mean()):.1f}",
            f"{100 * np.mean(scores(a, lam)):.1f} ({100 * low:.1f} to {100 * high:.1f})",
            "" if arm == OURS else span(difference(ours, a, lam)), *more,
            f"{np.mean(spent):.1f}" if runs else "",
        ])  # fmt: skip
    heads = ["arm", "accuracy", "precision", "refused", "f", "Auto-CEI's f minus this", "would be wrong",
             "lazy", "rounds"]  # fmt: skip
    return "\n\n".join((markdown(heads, rows), verdict(found), caption(found)))


def frontier(found: Row) -> str:
    """Every arm's precision at equal refusals: its own, and its least certain answers withheld."""
    rows, most = [], len(of(found, OURS)[0]["answers"]["correct"])
    at = {share: [round((1 - share) * most)] * len(of(found, OURS)) for share in REFUSED}
    ours = {share: withheld(found, OURS, kept) for share, kept in at.items()}
    for arm in names(found):
        cells = []
        for share, kept in at.items():
            there = withheld(found, arm, kept)
            if there is None:
                cells.append("-")
                continue
            precision = f"{100 * there.right.sum() / there.given.sum():.1f}"
            best = ours[share]
            known = best is not None and arm != OURS
            cells.append(f"{precision}; {span(difference(best, there, 0.0))}" if known else precision)
        rows.append([arm, *cells])
    heads = ["precision where refused are", *(f"{100 * share:.0f} %" for share in REFUSED)]
    about = (
        "Behind the semicolon: Auto-CEI's precision minus this. -: a seed refuses more than that by itself. "
    )
    return f"{markdown(heads, rows)}\n\n{about}{caption(found)}"


def verdict(found: Row) -> str:
    """Whether the claims hold, from the numbers."""
    lam, ours = found["lambda"], answers(found, OURS)
    lines = []
    for arm, why in ((FIXED, "so the climb pays"), (RANDOM, "so it is not the moving alone"),
                     (SHUFFLED, "so length is the signal")):  # fmt: skip
        if arm in names(found):
            d = difference(ours, answers(found, arm), lam)
            sure = "is above 0" if d[1] > 0 else "is below 0" if d[2] < 0 else "holds 0"
            told_ = f"f is above that of {arm}, {why}: {span(d)}, the interval {sure}"
            lines.append((told_, d[1] > 0))
    depth = depths(found)
    if depth is not None:
        idk = [float((1 - ours.given)[depth == k].mean()) for k in np.unique(depth)]
        rank = spearman(idk, np.unique(depth).astype(float))
        shown = "-" if rank is None else f"{rank:.2f}"
        lines.append((f"Refusals rise with the steps that a question needs (rank correlation {shown})",
                      (rank or 0) > 0.8))  # fmt: skip
    return "\n".join(f"- {what}: **{'met' if good else 'not met'}**." for what, good in lines)


def depths(found: Row) -> Values | None:
    """How many steps each question needs, ``(seeds, questions)``; None where questions do not say."""
    values = column(of(found, OURS), "depth")
    return None if np.isnan(values).any() else values


def by_depth(found: Row) -> str:
    """Error of what was answered, and refusals, by the steps that a question needs."""
    depth = depths(found)
    if depth is None:
        return "The questions do not say how many steps they need."
    levels = np.unique(depth)
    rows = []
    for arm in names(found):
        a = answers(found, arm)
        cells = []
        for k in levels:
            at = depth == k
            given = a.given[at].sum()
            error = f"{100 * (1 - a.right[at].sum() / given):.0f}" if given else "-"
            cells.append(f"{error} / {100 * (1 - a.given[at].mean()):.0f}")
        rows.append([arm, *cells])
    heads = ["steps needed", *(f"{k:g}" for k in levels)]
    share = "Error among the answered / refused, both in percent, all seeds together. "
    return f"{markdown(heads, rows)}\n\n{share}{caption(found)}"


def climbs(found: Row) -> str:
    """Where each climb went."""
    rows = []
    for run in of(found, OURS):
        scale, visits = last(run, "scale"), [r for r in run["rows"] if r["name"] == "climb"]
        path = ", ".join(f"{r['offset']:+d}: {100 * r['f']:.1f}" for r in visits)
        best = max(visits, key=lambda r: r["f"])
        numbers = [f"{scale[name]:.2f}" for name in ("mu", "sigma", "d", "c2", "c1", "tau")]
        rows.append([f"seed {run['seed']}", *numbers, path, f"{best['c1']:.2f}"])
    heads = [
        "",
        "mean steps",
        "deviation",
        "d",
        "c2",
        "first c1",
        "tau",
        "offset: f on validation",
        "chosen c1",
    ]
    return f"{markdown(heads, rows)}\n\n{caption(found)}"


def caption(found: Row) -> str:
    """Where the numbers come from."""
    runs = of(found, OURS)
    n, minutes = len(runs[0]["answers"]["correct"]), np.mean([run["seconds"] / 60 for run in runs])
    return (
        "Percent, means over seeds; 95 % intervals by bootstrap over seeds and questions. "
        f"`{found['command']}`, {len(runs)} seeds, {n} held-out questions, base {found['base']} "
        f"({runs[0]['base'][:8]}), {dated(found)}; a run of Auto-CEI took {minutes:.0f} minutes on a thread."
    )


KINDS: dict[str, Callable[[Row], str]] = {
    "auto_cei": overview,
    "auto_cei_frontier": frontier,
    "auto_cei_depth": by_depth,
    "auto_cei_climb": climbs,
}

region = partial(by_base, "auto_cei", KINDS)
"""The body of a region, by its kind and base."""
