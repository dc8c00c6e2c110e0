"""The regions of ``docs/methods/overthinking.md``, from ``results/overthinking-machine.json`` alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overthinking import FEWER, MAIN, OTHERS, RESULT, SELECTORS, any_of, bands, chosen_at
from regions import Row, markdown, regions_of

from sharpen.measure.intervals import hierarchical_bootstrap, wilson
from sharpen.measure.overthinking import Line, least_squares, relative_change
from sharpen.runs.streams import stream

Values = NDArray[np.float64]
OURS = "overthinking"


def of(found: Row, knob: int) -> list[Row]:
    """The attempts of a policy, a table a seed."""
    return [run["attempts"] for run in found["runs"] if run["knob"] == knob]


def caption(found: Row) -> str:
    """Where the numbers come from."""
    runs = found["runs"]
    n, seeds = len(of(found, MAIN)[0]["right"]), len({r["seed"] for r in runs})
    return (
        f"`{found['command']}`, {seeds} seeds, {n} test machines, base `machines` ({runs[0]['base'][:8]}), "
        f"{found['date']}."
    )


def taken(found: Row, k: int, selector: str, *, shuffled: bool = False) -> Values:
    """Success of what a selector takes of k attempts of the main policy, ``(seeds, questions)``."""
    return np.array(
        [
            chosen_at(t, k, selector, stream("overthinking", "shuffled", seed) if shuffled else None)
            for seed, t in enumerate(of(found, MAIN))
        ]
    )


def passed(found: Row, k: int) -> Values:
    """pass@k of the main policy, ``(seeds, questions)``."""
    return np.array([any_of(t, k) for t in of(found, MAIN)])


def tokens(found: Row) -> float:
    """Mean sampled tokens of an attempt of the main policy."""
    return float(np.mean([np.mean(t["tokens"]) for t in of(found, MAIN)]))


def gain(values: Values, name: str) -> tuple[float, float, float]:
    """A difference with its 95 % interval over seeds and questions, in points."""
    mean, low, high = hierarchical_bootstrap(values, stream=stream("overthinking", name), n=4000)
    return 100 * mean, 100 * low, 100 * high


def span(values: Values, name: str) -> str:
    """The same for a table."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*gain(values, name))


def percent(values: Values | float) -> str:
    return f"{100 * float(np.mean(values)):.1f}"


# between policies --------------------------------------------------------------------------------
def points(found: Row) -> list[tuple[int, float, float, int]]:
    """Each policy's mean score, success in percent and number of attempts."""
    out = []
    for knob in sorted((MAIN, *OTHERS)):
        tables = of(found, knob)
        scores, right = (
            np.concatenate([np.concatenate([np.array(v) for v in t[c]]) for t in tables])
            for c in ("score", "right")
        )
        out.append((knob, float(scores.mean()), 100 * float(right.mean()), len(right)))
    return out


def line(found: Row) -> Line:
    """Success in percent on the mean score, a point a policy."""
    x, y = ([p[i] for p in points(found)] for i in (1, 2))
    return least_squares(x, y)


def between(found: Row) -> str:
    """The policies, and the line through them."""
    rows = []
    for knob, score, success, n in points(found):
        low, high = wilson(round(success * n / 100), n)
        rows.append(
            [str(knob), str(n), f"{score:.2f}", f"{success:.1f} ({100 * low:.1f} to {100 * high:.1f})"]
        )
    fit = line(found)
    heads = ["knob", "attempts", "mean score", "success, % (Wilson)"]
    return (
        f"{markdown(heads, rows)}\n\nsuccess = {fit.intercept:.1f} {fit.slope:+.2f} x score, "
        f"R2 = {fit.r2 or 0:.3f}, two-sided p = {fit.p:.2g}, {fit.n} points. {caption(found)}"
    )


# within one policy --------------------------------------------------------------------------------
def scale(found: Row) -> str:
    """Success by the score's bands, within the main policy."""
    every = bands(of(found, MAIN))
    total, rows = sum(n for _, _, n, _ in every), []
    for name, _, n, right in every:
        low, high = wilson(right, n)
        success = f"{100 * right / n:.1f} ({100 * low:.1f} to {100 * high:.1f})" if n else "-"
        rows.append([name, f"{100 * n / total:.1f}", success])
    return (
        f"{markdown(['score', 'share of attempts, %', 'success, % (Wilson)'], rows)}\n\nAll attempts of the "
        f"policy with knob {MAIN}. {caption(found)}"
    )


def lowest(found: Row) -> str:
    """LO@k and pass@k."""
    one, rows = passed(found, 1), []
    for k in range(1, 5):
        ours, ceiling = taken(found, k, OURS), passed(found, k)
        room = float((ceiling - one).mean())
        closed = f"{100 * float((ours - one).mean()) / room:.0f}" if room else "-"
        more = span(ours - one, f"lowest at {k}") if k > 1 else "-"
        rows.append([str(k), percent(ours), more, percent(ceiling), closed, f"{k * tokens(found):.0f}"])
    heads = ["k", "LO@k, %", "LO@k - pass@1, points", "pass@k, %", "of the gap closed, %", "policy tokens"]
    return (
        f"{markdown(heads, rows)}\n\nKnob {MAIN}, 4 attempts at a machine, all subsets of k, ties shared; "
        "differences paired by machine, with a 95 % interval (bootstrap over seeds and machines). The rules "
        f"cost no token. {caption(found)}"
    )


def arms(found: Row, k: int = 2) -> dict[str, Values]:
    """Every selector at k, the shuffled control included."""
    out = {name: taken(found, k, name) for name in SELECTORS}
    return {**out, "overthinking, scores shuffled": taken(found, k, OURS, shuffled=True)}


def controls(found: Row) -> str:
    """What else could choose of two."""
    one, ours, room = (
        passed(found, 1),
        taken(found, 2, OURS),
        float((passed(found, 2) - passed(found, 1)).mean()),
    )
    rows = []
    for name, values in arms(found).items():
        closed = f"{100 * float((values - one).mean()) / room:.0f}" if room else "-"
        against = "-" if name == OURS else span(ours - values, f"against {name}")
        rows.append([name, percent(values), span(values - one, name), closed, against])
    rows.append(
        ["pass@2, a ceiling", percent(passed(found, 2)), span(passed(found, 2) - one, "pass"), "100", "-"]
    )
    heads = [
        "the lower of two by",
        "success, %",
        "minus pass@1",
        "of the gap closed, %",
        "overthinking minus this",
    ]
    return f"{markdown(heads, rows)}\n\nKnob {MAIN}; a log-probability is higher, not lower. {caption(found)}"


def cost(found: Row) -> str:
    """Accuracy beside cost."""
    one, each = passed(found, 1), tokens(found)
    listed = [
        ("one attempt", one, 1),
        ("best of 2 by log-probability", taken(found, 2, "log-probability"), 2),
    ]
    listed += [(f"lowest overthinking of {k}", taken(found, k, OURS), k) for k in (2, 3, 4)]
    rows = [
        [name, percent(values), f"{k * each:.0f}", "0",
         "-" if k == 1 else f"{100 * relative_change(float(values.mean()), float(one.mean())):+.0f}"]
        for name, values, k in listed
    ]  # fmt: skip
    for knob in (k for k in OTHERS if k > MAIN):
        t = of(found, knob)
        values = np.array([any_of(x, 1) for x in t])
        spent = float(np.mean([np.mean(x["tokens"]) for x in t]))
        rows.append([f"one attempt of knob {knob}", percent(values), f"{spent:.0f}", "0",
                     f"{100 * relative_change(float(values.mean()), float(one.mean())):+.0f}"])  # fmt: skip
    heads = ["", "success, %", "policy tokens", "judge tokens", "against one attempt, %"]
    note = f"Sampled tokens a machine; other knobs on the first {FEWER} machines."
    return f"{markdown(heads, rows)}\n\n{note} {caption(found)}"


# the claim --------------------------------------------------------------------------------------------
def verdict(found: Row) -> str:
    """Whether the criteria are met, from the numbers."""
    fit, one = line(found), passed(found, 1)
    every, room = arms(found), float((passed(found, 2) - one).mean())
    ours = gain(every[OURS] - one, "lowest at 2")
    closed = 100 * float((every[OURS] - one).mean()) / room if room else 0.0
    relative = 100 * relative_change(float(every[OURS].mean()), float(one.mean()))
    drift = float(np.abs(every["random"] - one).max())
    lines = [
        (f"Between policies: slope below 0 ({fit.slope:+.2f}) and R2 above 0.5 ({fit.r2:.2f})",
         fit.slope < 0 and (fit.r2 or 0) > 0.5),
        ("Within a policy: LO@2 - pass@1 above 0 ({:+.1f} points, {:+.1f} to {:+.1f})".format(*ours),
         ours[1] > 0),
        (f"It closes at least a fifth of the gap to pass@2 ({closed:.0f} %)", closed >= 20),
        (f"Relative gain within the 10 to 30 % that was expected ({relative:+.0f} %)", 10 <= relative <= 30),
        (f"Random choice of two is pass@1 exactly (largest difference {drift:.1g})", drift < 1e-12),
    ]  # fmt: skip
    for name in [n for n in every if n not in (OURS, "random")]:
        found_gain = gain(every[OURS] - every[name], f"against {name}")
        said = "{:+.1f} points, {:+.1f} to {:+.1f}".format(*found_gain)
        lines.append((f"Better than the choice by {name} ({said})", found_gain[1] > 0))
    return "\n".join([*(f"- {what}: **{'met' if good else 'not met'}**." for what, good in lines), "",
                      caption(found)])  # fmt: skip


REGIONS = regions_of(
    RESULT,
    "python experiments/overthinking.py",
    {
        "overthinking_between": between,
        "overthinking_scale": scale,
        "overthinking_lowest": lowest,
        "overthinking_controls": controls,
        "overthinking_cost": cost,
        "overthinking_verdict": verdict,
    },
)
"""The regions of ``docs/methods/overthinking.md``."""
