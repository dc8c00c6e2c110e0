"""The regions of ``docs/methods/self_rationalization.md``, from its result file alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from compared import Values, by_base, crossed, dated, difference, mean, names, of, span, sure
from numpy.typing import NDArray
from regions import Row, markdown
from self_rationalization import ALONE, OURS, SCORES, SEED, SRE

from sharpen.measure.likert import pearson

interval = partial(difference, "self_rationalization")
SETS = ("seen", "unseen")
BLIND = ("majority", "meta-judge")
RIVALS = ("SFT on the chosen", "SFT on best of N", ALONE, *BLIND)
ASKED = dict.fromkeys((SCORES, ALONE), "bare")
"""How a judge is asked: in one text with its reasons, but for those that learnt scores alone."""


def last(run: Row) -> int:
    """A run's last round."""
    return max(x["round"] for x in run["items"])


def numbers(found: Row, arm: str, name: str, on: str, column: str, at: int = -1) -> list[float]:
    """A number of the rows ``name``, by seed, where it is known."""
    told = []
    for run in of(found, arm):
        r = last(run) if at < 0 else at
        told += [x[column] for x in run["rows"] if (x["name"], x.get("on", on), x["round"]) == (name, on, r)]
    return [v for v in told if v is not None]


def scores(found: Row, arm: str, on: str, at: int = -1) -> tuple[Values, Values]:
    """Gold scores and a judge's, asked greedily, ``(seeds, items)``; NaN is unread."""
    gold, said = [], []
    for run in of(found, arm):
        r = last(run) if at < 0 else at
        held = next(x for x in run["items"] if (x["round"], x["on"]) == (r, on))
        gold.append(held["gold"])
        said.append([np.nan if s is None else s for s in held[ASKED.get(arm, "greedy")]])
    return np.array(gold, float), np.array(said, float)


def exact(found: Row, arm: str, on: str, at: int = -1) -> Values:
    """Whether each score is the gold one, ``(seeds, items)``; what cannot be read is not."""
    gold, said = scores(found, arm, on, at)
    return (gold == said).astype(float)


def correlation(gold: Values, said: Values) -> float | None:
    """Pearson's correlation of what was read, mean over seeds; None where one is undefined."""
    known = ~np.isnan(said)
    each = [pearson(g[k], s[k]) for g, s, k in zip(gold, said, known, strict=True)]
    told = [v for v in each if v is not None]
    return float(np.mean(told)) if len(told) == len(each) else None


def pearsons(found: Row, arm: str, on: str, at: int = -1, *, minus: tuple[str, int] | None = None) -> str:
    """Pearson with its interval, or the difference to that of other judges, ``minus`` (an arm, a round)."""
    parts = [scores(found, arm, on, at)] + ([] if minus is None else [scores(found, minus[0], on, minus[1])])

    def statistic(seeds: NDArray[np.int64], items: NDArray[np.int64]) -> float | None:
        place = np.ix_(seeds, items)
        told = [correlation(gold[place], said[place]) for gold, said in parts]
        if any(v is None for v in told):
            return None
        return told[0] if minus is None else told[0] - told[1]  # type: ignore[operator]

    found_ = crossed("self_rationalization", statistic, parts[0][0].shape, f"{arm} {on} {at} {minus}")
    if found_ is None:
        return "-"
    form = ".3f" if minus is None else "+.3f"
    return "{:{form}} ({:{form}} to {:{form}})".format(*found_, form=form)


def arms(found: Row) -> str:
    """Every arm's last judge against the seed judge, on criteria that were learnt and on others."""
    heads = ["", "criteria", "exact, %", "minus the seed judge, points", "Pearson", "minus the seed judge",
             "defects named, %", "of those named true, %", "unread, %", "always the same score, % of judges",
             "pairs right by scores, %", "tied, %"]  # fmt: skip
    rows = []
    for arm in names(found):
        for on in SETS:
            end = exact(found, arm, on)
            gap = (
                span(interval(end - exact(found, arm, on, 0), f"{arm} {on}"))
                if last(of(found, arm)[0])
                else ""
            )
            alone = "judge_bare" if arm in ASKED else "judge"
            cells = [numbers(found, arm, "judge", on, n) for n in ("defects_recall", "defects_precision")]
            cells += [numbers(found, arm, alone, on, n) for n in ("unread", "same")]
            learnt = last(of(found, arm)[0])
            told = [numbers(found, arm, "judge_pairs", on, f"scored_{n}") for n in ("accuracy", "ties")]
            rows.append([arm if on == SETS[0] else "", on, mean(end.ravel()), gap, pearsons(found, arm, on),
                         pearsons(found, arm, on, minus=(arm, 0)) if learnt else "",
                         *(mean(c) for c in cells), *(mean(t) for t in told)])  # fmt: skip
    return "\n\n".join((markdown(heads, rows, left=2), verdict(found), caption(found)))


def verdict(found: Row) -> str:
    """What was asked of the method, from the numbers."""
    if OURS not in names(found):
        return ""
    lines = []
    for on in SETS:
        end = exact(found, OURS, on)
        rivals = {"the seed judge": (OURS, 0)}
        rivals |= {arm: (arm, -1) for arm in RIVALS if arm in names(found)}
        for name, (arm, at) in rivals.items():
            gap = interval(end - exact(found, arm, on, at), f"claim {on} {name}")
            lines.append(
                f"- {OURS} minus {name}, {on} criteria: {span(gap)} points exact ({sure(gap)}), Pearson "
                f"{pearsons(found, OURS, on, minus=(arm, at))}."
            )
    return "\n".join(lines)


def rounds(found: Row) -> str:
    """Round by round: accuracy and correlation, and where the items went."""
    heads = ["", "round", "exact, seen, %", "unseen, %", "minus the round before, unseen, points",
             "Pearson, seen", "unseen", "items", *(f"{name}, %" for name in WENT.values()),
             "judgments unread, %", "ratings unread, %", "pairs", "mean score: chosen",
             "rejected"]  # fmt: skip
    rows = []
    for arm in names(found):
        runs = of(found, arm)
        for r in range(min(map(last, runs)) + 1):
            if not r and arm not in (SEED, OURS):
                continue
            pairs = [x for run in runs for x in run["rows"] if (x["name"], x["round"]) == ("pairs", r)]
            shares = {n: [sum(x.get(k, 0) for k in n.split("+")) / x["items"] for x in pairs] for n in WENT}
            both = [exact(found, arm, on, r) for on in SETS]
            gap = ""
            if r:
                before = exact(found, arm, SETS[1], r - 1)
                gap = span(interval(both[1] - before, f"{arm} round {r}"))
            rows.append([
                arm, f"{r}", *(mean(b.ravel()) for b in both), gap,
                *(pearsons(found, arm, on, r) for on in SETS),
                mean([x["items"] for x in pairs], ".0f", 1), *(mean(shares[n]) for n in WENT),
                mean([x["unread_share"] for x in pairs]),
                mean([x["unrated"] / (x["items"] * SRE().samples) for x in pairs if "unrated" in x]),
                mean([x["pairs"] for x in pairs], ".0f", 1),
                *(mean(_known(pairs, n), ".2f", 1) for n in ("chosen_score", "rejected_score")),
            ])  # fmt: skip
    return f"{markdown(heads, rows, left=2)}\n\n{caption(found)}"


WENT = {
    "paired": "paired",
    "all_right": "all right",
    "all_wrong": "all wrong",
    "no_margin": "no margin",
    "tie+too_few": "tied vote",
    "unread": "nothing read",
    "nothing_to_tell": "nothing to tell apart",
}
"""Where a round's items go, by the ledger's names."""


def _known(rows: Sequence[Row], name: str) -> list[float]:
    """A number of the rows that know it: a round without a pair has no mean score."""
    return [x[name] for x in rows if x.get(name) is not None]


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
        "Means over seeds; differences are paired by seed and item; 95 % intervals by bootstrap over both."
        f" `{found['command']}`, {count} "
        f"seed{'s' * (count != 1)}, {n} held-out items a set, base {found['base']}, {dated(found)}."
    )


KINDS: dict[str, Callable[[Row], str]] = {
    "self_rationalization": arms,
    "self_rationalization_rounds": rounds,
    "self_rationalization_judges": judges,
}

region = partial(by_base, "self_rationalization", KINDS)
"""The body of a region, by its kind and base."""
