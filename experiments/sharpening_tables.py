"""The regions of ``docs/methods/sharpening.md``, from ``results/sharpening-BASE.json`` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from compared import Values, by_base, dated, difference, of, span
from regions import Row, markdown

interval = partial(difference, "sharpening")
OURS, ANTI = "SFT", "anti-aligned"
HELD, KEPT = "held_out", 0.5
"""Which questions are told of, and the share of best-of-N's gain that should be kept."""
PICKS = {"best_loglik": "loglik", "best_lennorm": "lennorm", "best_majority": "majority"}


def names(found: Row, *, anti: bool) -> list[str]:
    """The arms that start from the aligned base, or from the other one."""
    return [a for a in dict.fromkeys(r["arm"] for r in found["runs"]) if a.startswith(ANTI) == anti]


def each(runs: Sequence[Row], who: str, name: str) -> Values:
    """Shares of right answers by seed and held-out question."""
    return np.array([run["counts"][who][name] for run in runs], np.float64)


def told(runs: Sequence[Row], name: str, key: str, **where: object) -> list[float | None]:
    """A number of the rows of a name, by seed; None where a run has none."""
    values = []
    for run in runs:
        rows = [r for r in run["rows"] if r["name"] == name and all(r.get(k) == v for k, v in where.items())]
        values.append(rows[-1].get(key) if rows else None)
    return values


def mean(values: Sequence[float | None], form: str = ".2f", scale: float = 1.0) -> str:
    """The mean for a table, empty where one is missing."""
    known = [v for v in values if v is not None]
    return format(scale * float(np.mean(known)), form) if known and len(known) == len(values) else ""


def lines(found: Row, *, anti: bool) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of one base: its greedy answers are what everything is compared with."""
    arms = names(found, anti=anti)
    first = of(found, arms[0])
    greedy = each(first, "base", "greedy")

    def line(name: str, values: Values, more: Sequence[str]) -> list[str]:
        change = "" if values is greedy else span(interval(values - greedy, name))
        return [name, f"{100 * values.mean():.1f}", change, *more]

    base = {"policy_is": "base", "on": HELD}
    after = {"policy_is": "sharpened", "on": HELD}
    rows = [
        line(
            "the base, greedy",
            greedy,
            [mean(told(first, "sharpness", "loglik_greedy", **base)), "", "", "", ""],
        ),
        line("the base, T=1", each(first, "base", "sampled"), _numbers(first, base)),
    ]
    for t in sorted({r["temperature"] for r in first[0]["rows"] if r["name"] == "cooled"}, reverse=True):
        cool = {"on": HELD, "temperature": t}
        shares = told(first, "cooled", "accuracy_t1", **cool)
        rows.append([f"the base, T={t:g}", mean(shares, ".1f", 100), "",
                     mean(told(first, "cooled", "loglik", **cool)), "", "",
                     mean(told(first, "cooled", "entropy", **cool), ".3f"), ""])  # fmt: skip
    n = max(r["n"] for r in first[0]["rows"] if r["name"] == "best_of")
    for column, kind in PICKS.items():
        likely = told(first, "best_of", "loglik", on=HELD, by=kind, n=n)
        rows.append(
            line(f"best of {n} by {kind}", each(first, "base", column), [mean(likely), "", "", "", ""])
        )
    for arm in arms:
        runs = of(found, arm)
        labels = mean(told(runs, "labels", "accuracy"), ".1f", 100)
        name = arm.removeprefix(f"{ANTI}: ")
        rows.append(line(f"{name}, T=1", each(runs, "sharpened", "sampled"), _numbers(runs, after, labels)))
        rows.append(line(f"{name}, greedy", each(runs, "sharpened", "greedy"), _greedy(runs, after)))
    heads = ["", "accuracy, %", "minus the base's greedy, points", "log-likelihood under the base, nats",
             "sharp, %", "KL, nats", "entropy, nats", "labels right, %"]  # fmt: skip
    return heads, rows


def _greedy(runs: Sequence[Row], where: Mapping[str, object]) -> list[str]:
    return [mean(told(runs, "sharpness", "loglik_greedy", **where)), "", "", "", ""]


def _numbers(runs: Sequence[Row], where: Mapping[str, object], labels: str = "") -> list[str]:
    return [
        mean(told(runs, "sharpness", "loglik", **where)),
        mean(told(runs, "sharpness", "sharp", **where), ".0f", 100),
        mean(told(runs, "sharpness", "kl", **where)),
        mean(told(runs, "sharpness", "entropy", **where), ".3f"),
        labels,
    ]


def aligned(found: Row) -> str:
    """What sharpening makes of a base whose likeliest answers are mostly right."""
    heads, rows = lines(found, anti=False)
    return "\n\n".join((markdown(heads, rows), verdict(found), caption(found)))


def verdict(found: Row) -> str:
    """How much of best-of-N's gain is kept, from the numbers."""
    runs = of(found, OURS)
    greedy, best = each(runs, "base", "greedy"), each(runs, "base", "best_loglik")
    gain = best - greedy
    said = []
    for how in ("sampled", "greedy"):
        got = each(runs, "sharpened", how) - greedy
        share = float(got.mean() / gain.mean()) if gain.mean() else float("nan")
        least = interval(got - KEPT * gain, f"kept {how}")
        good = "met" if least[1] > 0 and interval(gain, "gain")[1] > 0 else "not met"
        at = "at T=1" if how == "sampled" else "greedily"
        said.append(
            f"- {at}, {100 * share:.0f} % of best-of-N's gain over the base's greedy answers is kept; what "
            f"is above half of it: {span(least)} points: **{good}**."
        )
    return "\n".join(said)


def anti(found: Row) -> str:
    """The control: a base whose likeliest answers are mostly wrong."""
    heads, rows = lines(found, anti=True)
    runs = of(found, names(found, anti=True)[0])
    fall = interval(each(runs, "sharpened", "sampled") - each(runs, "base", "sampled"), "anti")
    rise = np.array(told(runs, "sharpness", "loglik", policy_is="sharpened", on=HELD), np.float64)
    rise -= np.array(told(runs, "sharpness", "loglik", policy_is="base", on=HELD), np.float64)
    shown = "shows what it should" if fall[2] < 0 and (rise > 0).all() else "does not show what it should"
    said = (
        f"By loglik, accuracy at T=1 changes by {span(fall)} points and the log-likelihood under the base by "
        f"{rise.mean():+.2f} nats: the control {shown}."
    )
    return "\n\n".join((markdown(heads, rows), said, caption(found)))


def curve(found: Row) -> str:
    """Best-of-N by N and self-reward, and how well each self-reward tells right from wrong."""
    rows = []
    for side in (False, True):
        runs = of(found, names(found, anti=side)[0])
        kinds = list(PICKS.values())
        counts = sorted({r["n"] for r in runs[0]["rows"] if r["name"] == "best_of"})
        for kind in kinds:
            cells = [f"{'anti-aligned' if side else 'aligned'}, {kind}"]
            cells += [
                mean(told(runs, "best_of", "accuracy", on=HELD, by=kind, n=n), ".1f", 100) for n in counts
            ]
            rows.append([*cells, mean(told(runs, "best_of", "signal", on=HELD, by=kind, n=1))])
        heads = ["base, self-reward", *(f"N={n}, %" for n in counts), "AUROC within questions"]
    return f"{markdown(heads, rows)}\n\n{caption(found)}"


def transductive(found: Row) -> str:
    """The same on the questions that were trained on, without their answers, as the paper reports it."""
    rows = []
    for arm in dict.fromkeys(r["arm"] for r in found["runs"]):
        runs, cells = of(found, arm), [arm]
        for on in (HELD, "trained"):
            for who in ("base", "sharpened"):
                where = {"policy_is": who, "on": on}
                cells.append(mean(told(runs, "sharpness", "accuracy_t1", **where), ".1f", 100))
        rows.append(cells)
    heads = ["arm", "held out: before, %", "after, %", "trained on: before, %", "after, %"]
    return f"{markdown(heads, rows)}\n\nAccuracy at T=1. {caption(found)}"


def caption(found: Row) -> str:
    """Where the numbers come from."""
    runs = of(found, names(found, anti=False)[0])
    n = len(runs[0]["counts"]["base"]["greedy"])
    return (
        f"Means over {len(runs)} seeds and {n} held-out questions, 95 % intervals by a bootstrap over both. "
        f"`{found['command']}`, {dated(found)}."
    )


KINDS: dict[str, Callable[[Row], str]] = {
    "sharpening": aligned,
    "sharpening_anti": anti,
    "sharpening_curve": curve,
    "sharpening_trained": transductive,
}

region = partial(by_base, "sharpening", KINDS)
"""The body of a region, by its kind and base."""
