"""The regions of ``docs/methods/self_rationalization.md``, from its result file alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from compared import Values, by_base, dated, difference, mean, names, of, span, sure
from regions import Row, markdown
from self_rationalization import OURS, SEED

interval = partial(difference, "self_rationalization")
SETS = ("seen", "unseen")
BLIND = ("majority", "meta-judge")
RIVALS = ("SFT on the chosen", "SFT on best of N", "scores alone", *BLIND)


def last(run: Row) -> int:
    """A run's last round."""
    return max(x["round"] for x in run["items"])


def exact(found: Row, arm: str, on: str, at: int = -1) -> Values:
    """Whether each greedy score is the gold one, ``(seeds, items)``; what cannot be read is not."""
    rows = []
    for run in of(found, arm):
        r = last(run) if at < 0 else at
        held = next(x for x in run["items"] if (x["round"], x["on"]) == (r, on))
        rows.append([g == s for g, s in zip(held["gold"], held["greedy"], strict=True)])
    return np.array(rows, float)


def numbers(found: Row, arm: str, name: str, on: str, column: str, at: int = -1) -> list[float]:
    """A number of the rows ``name``, by seed, where it is known."""
    told = []
    for run in of(found, arm):
        r = last(run) if at < 0 else at
        told += [x[column] for x in run["rows"] if (x["name"], x.get("on", on), x["round"]) == (name, on, r)]
    return [v for v in told if v is not None]


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """The mean over seeds with the lowest and the highest."""
    if not len(values):
        return "-"
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def arms(found: Row) -> str:
    """Every arm's last judge against the seed judge, on criteria that were learnt and on others."""
    heads = ["", "criteria", "exact, %", "minus the seed judge, points", "Pearson",
             "defects named, %", "of those named true, %", "unread, %", "pairs right by scores, %",
             "tied, %"]  # fmt: skip
    rows = []
    for arm in names(found):
        for on in SETS:
            end = exact(found, arm, on)
            gap = (
                span(interval(end - exact(found, arm, on, 0), f"{arm} {on}"))
                if last(of(found, arm)[0])
                else ""
            )
            cells = [
                numbers(found, arm, "judge", on, n)
                for n in ("pearson", "defects_recall", "defects_precision", "unread")
            ]
            told = [numbers(found, arm, "judge_pairs", on, f"scored_{n}") for n in ("accuracy", "ties")]
            rows.append([arm if on == SETS[0] else "", on, mean(end.ravel()), gap, spread(cells[0]),
                         *(mean(c) for c in cells[1:]), *(mean(t) for t in told)])  # fmt: skip
    return "\n\n".join((markdown(heads, rows, left=2), verdict(found), caption(found)))


def verdict(found: Row) -> str:
    """What was asked of the method, from the numbers."""
    if OURS not in names(found):
        return ""
    lines = []
    for on in SETS:
        end = exact(found, OURS, on)
        rivals = {"the seed judge": exact(found, OURS, on, 0)}
        rivals |= {arm: exact(found, arm, on) for arm in RIVALS if arm in names(found)}
        for arm, other in rivals.items():
            gap = interval(end - other, f"claim {on} {arm}")
            lines.append(f"- {OURS} minus {arm}, {on} criteria: {span(gap)} points exact ({sure(gap)}).")
    return "\n".join(lines)


def rounds(found: Row) -> str:
    """Round by round: accuracy and correlation, and where the items went."""
    heads = ["", "round", "exact, seen, %", "unseen, %", "Pearson, seen", "unseen", "items", "paired, %",
             "all right, %", "pairs", "mean score: chosen", "rejected"]  # fmt: skip
    rows = []
    for arm in names(found):
        runs = of(found, arm)
        for r in range(min(map(last, runs)) + 1):
            if not r and arm not in (SEED, OURS):
                continue
            told = {
                n: [
                    x.get(n) or 0
                    for run in runs
                    for x in run["rows"]
                    if (x["name"], x["round"]) == ("pairs", r)
                ]
                for n in ("items", "paired", "all_right", "pairs", "chosen_score", "rejected_score")
            }
            share = [
                mean([a / b for a, b in zip(told[n], told["items"], strict=True)])
                for n in ("paired", "all_right")
            ]
            rows.append([arm, f"{r}", *(mean(exact(found, arm, on, r).ravel()) for on in SETS),
                         *(mean(numbers(found, arm, "judge", s, "pearson", r), ".3f", 1) for s in SETS),
                         mean(told["items"], ".0f", 1), *share, mean(told["pairs"], ".0f", 1),
                         *(mean(told[n], ".2f", 1) for n in ("chosen_score", "rejected_score"))])  # fmt: skip
    return f"{markdown(heads, rows, left=2)}\n\n{caption(found)}"


def judges(found: Row) -> str:
    """Other ways to ask the seed judges and the last ones."""
    heads = ["", "round", "criteria", "one judgment, %", "vote, %", "agrees with itself, %",
             "without reasons, %",
             "behind another's reasons, %", "score apart from its reasons, %", "compared directly, %",
             "the same in both orders, %", "prefers the first, %", "unread, %"]  # fmt: skip
    rows = []
    for arm in names(found):
        if not arm.startswith(SEED) and arm != OURS:
            continue
        for r in sorted({last(of(found, arm)[0])} | ({0} if arm.startswith(SEED) else set())):
            for on in SETS:

                def cell(name: str, column: str, arm: str = arm, on: str = on, r: int = r) -> str:
                    return mean(numbers(found, arm, name, on, column, r))

                rows.append([arm, f"{r}", on, cell("judge", "exact"), cell("judge_vote", "exact"),
                             cell("judge_vote", "consistency"), cell("judge_bare", "exact"),
                             cell("judge_swapped", "exact"), cell("judge", "contradictory"),
                             cell("judge_pairs", "accuracy"), cell("judge_pairs", "consistent"),
                             cell("judge_pairs", "first"), cell("judge_pairs", "unread")])  # fmt: skip
    return f"{markdown(heads, rows, left=3)}\n\n{caption(found)}"


def caption(found: Row) -> str:
    """Where the numbers come from."""
    run = found["runs"][0]
    n, count = len(run["items"][0]["gold"]), len({r["seed"] for r in found["runs"]})
    return (
        "Means over seeds; Pearson with the lowest and the highest seed; differences are paired by seed and "
        f"item, with a 95 % interval (bootstrap over both). `{found['command']}`, {count} "
        f"seed{'s' * (count != 1)}, {n} held-out items a set, base {found['base']}, {dated(found)}."
    )


KINDS: dict[str, Callable[[Row], str]] = {
    "self_rationalization": arms,
    "self_rationalization_rounds": rounds,
    "self_rationalization_judges": judges,
}

region = partial(by_base, "self_rationalization", KINDS)
"""The body of a region, by its kind and base."""
