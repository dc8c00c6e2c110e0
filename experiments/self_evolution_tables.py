"""The regions of ``docs/methods/self_evolution.md``, from ``results/self_evolution-BASE.json`` alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from compared import Values, by_base, dated, difference, mean, names, of, span, sure
from regions import Row, markdown
from self_evolution import BLIND, META, OURS, PAIRS, SHUFFLED

from sharpen.measure.refinement import filter_purity, refined_accuracy

interval = partial(difference, "self_evolution")
DIRECT, REFINED = "greedy", "self_feedback"
AT_META = 1
"""The stage after the lessons: where meta-skills are all there is, every run of SELF has been measured."""
INFORMED = 0.2
"""TPR - FPR of verdicts above which a filter should help."""


def stages(run: Row) -> list[str]:
    """The stages of a run at which inference was measured: start, lessons, rounds."""
    return list(dict.fromkeys(row["stage"] for row in run["right"]))


def ways(run: Row, at: int) -> list[str]:
    """The ways of inference of a run's stage."""
    return [row["strategy"] for row in run["right"] if row["stage"] == stages(run)[at]]


def right(found: Row, arm: str, way: str, at: int = -1) -> Values:
    """Whether each question was right at a stage, by seed and question."""
    rows = []
    for run in of(found, arm):
        stage = stages(run)[at]
        place = (stage, way)
        rows.append(next(r["right"] for r in run["right"] if (r["stage"], r["strategy"]) == place))
    return np.array(rows, float)


def numbers(found: Row, arm: str, name: str, stage: str, column: str) -> list[float]:
    """A number of the rows ``name`` of a stage (or round, as ``round 1``), by seed, where it is known."""
    rows = [
        row
        for run in of(found, arm)
        for row in run["rows"]
        if row["name"] == name and row.get("stage", f"round {row['round']}") == stage
    ]
    return [row[column] for row in rows if row.get(column) is not None]


def arms(found: Row) -> str:
    """Every arm's final accuracy against the start model and the pairs alone."""
    start = right(found, names(found)[0], DIRECT, 0)
    heads = ["arm", "direct, %", "minus the start, points", f"minus {PAIRS}, points", "refined, %",
             "refined minus direct, points", "kept of prompts, %", "right among the kept, %",
             "minutes"]  # fmt: skip
    rows = [
        ["the start model", mean(start.ravel()), "", "", *_refined(found, names(found)[0], 0), "", "", ""]
    ]

    def gains(arm: str, label: str, at: int = -1) -> list[str]:
        end = right(found, arm, DIRECT, at)
        known = PAIRS in names(found) and arm != PAIRS
        pairs = span(interval(end - right(found, PAIRS, DIRECT), label)) if known else ""
        change = span(interval(end - start, f"{label} start"))
        return [label, mean(end.ravel()), change, pairs, *_refined(found, arm, at)]

    if OURS in names(found):
        rows.append([*gains(OURS, META, AT_META), "", "", ""])
    for arm in names(found):
        kept = [r for run in of(found, arm) for r in run["rows"] if r["name"] == "evolution"]
        rows.append([
            *gains(arm, arm),
            mean([r["yield"] for r in kept]),
            mean([r["purity"] for r in kept if r["purity"] is not None]),
            f"{np.mean([run['seconds'] for run in of(found, arm)]) / 60:.0f}",
        ])  # fmt: skip
    return "\n\n".join((markdown(heads, rows), verdict(found), caption(found)))


def _refined(found: Row, arm: str, at: int) -> list[str]:
    end, direct = right(found, arm, REFINED, at), right(found, arm, DIRECT, at)
    return [mean(end.ravel()), span(interval(end - direct, f"{arm} {at} refined"))]


def verdict(found: Row) -> str:
    """What was asked of the method, and whether it is so, from the numbers."""
    known, lines = names(found), list[str]()
    if OURS not in known:
        return ""
    end = right(found, OURS, DIRECT)

    def against(arm: str, what: str, at: int = -1, label: str = "") -> None:
        if arm in known:
            gap = interval(end - right(found, arm, DIRECT, at), f"claim {label or arm}")
            lines.append(
                f"- {what}: {span(gap)} points, **{'met' if gap[0] > 0 else 'not met'}** ({sure(gap)})."
            )

    against(PAIRS, "Direct accuracy above supervised learning on the same pairs")
    against(OURS, "Direct accuracy above meta-skills alone", AT_META, META)
    against(SHUFFLED, "Direct accuracy above shuffled verdicts")
    against(BLIND, "Direct accuracy above as many random answers")
    before, taught, last = (
        interval(right(found, OURS, REFINED, at) - right(found, OURS, DIRECT, at), f"refining {at}")
        for at in (0, AT_META, -1)
    )
    lines.append(
        f"- Refinement at inference helps after the lessons, {span(taught)} points ({sure(taught)}), and not "
        f"before them, {span(before)}: **{'met' if taught[1] > 0 >= before[0] else 'not met'}**. After the "
        f"last round, whose direct answers are better, it adds {span(last)} ({sure(last)})."
    )
    rates = [numbers(found, OURS, "critic", "meta", f"verdict_{n}") for n in ("tpr", "fpr")]
    informed = float(np.mean(rates[0]) - np.mean(rates[1])) if all(rates) else 0.0
    lines.append(
        f"- Precondition, TPR - FPR of verdicts above {INFORMED:g} after the lessons: {informed:.2f}, "
        f"**{'met' if informed > INFORMED else 'not met'}**."
    )
    return "\n".join(lines)


def rounds(found: Row) -> str:
    """SELF stage by stage: accuracy by way, verdicts, refinements, and what was kept."""
    runs = of(found, OURS)
    heads = ["stage", "direct, %", f"minus {PAIRS}, points", "refined, %", "as the rates say, %",
             "verdicts right, %", "TPR", "FPR",
             "unparsable, %", "fixed, %", "spoilt, %", "prompts", "no answer, %", "copied, %",
             "verdict unparsable, %", "kept, %", "right among the kept, %",
             "as the rates say, %"]  # fmt: skip
    rows = []
    for at, stage in enumerate(stages(runs[0])):
        direct, refined = (right(found, OURS, way, at).mean() for way in (DIRECT, REFINED))
        critic = {
            n: numbers(found, OURS, "critic", stage, n)
            for n in ("verdict_accuracy", "verdict_tpr", "verdict_fpr", "verdict_unparsable", "fix", "spoil")
        }
        rates = [float(np.mean(critic[n])) if critic[n] else None
                 for n in ("verdict_tpr", "verdict_fpr", "fix", "spoil")]  # fmt: skip
        known = [r for r in rates if r is not None]
        told = f"{100 * refined_accuracy(float(direct), *known):.1f}" if len(known) == 4 else "-"
        pairs = ""
        if PAIRS in names(found):
            gap = right(found, OURS, DIRECT, at) - right(found, PAIRS, DIRECT)
            pairs = span(interval(gap, f"{stage} pairs"))
        rows.append([
            stage, f"{100 * direct:.1f}", pairs, f"{100 * refined:.1f}", told,
            mean(critic["verdict_accuracy"]),
            mean(critic["verdict_tpr"], ".2f", 1), mean(critic["verdict_fpr"], ".2f", 1),
            mean(critic["verdict_unparsable"]), mean(critic["fix"]), mean(critic["spoil"]),
            *_kept(found, stage),
        ])  # fmt: skip
    note = (
        "Held-out questions but for the last seven columns, which are of the round's prompts. What the rates "
        "say is computed from TPR, FPR, fixed and spoilt; of the kept, from all verdicts of the round."
    )
    return "\n\n".join((markdown(heads, rows), f"{note} {caption(found)}"))


def _kept(found: Row, stage: str) -> list[str]:
    cells = {n: numbers(found, OURS, "evolution", stage, n)
             for n in ("prompts", "yield", "purity", "first_accuracy", "verdict_tpr",
                       "verdict_fpr")}  # fmt: skip
    if not cells["prompts"]:
        return [""] * 7
    known = [cells[n] for n in ("first_accuracy", "verdict_tpr", "verdict_fpr")]
    due = filter_purity(*(float(np.mean(values)) for values in known)) if all(known) else None
    told = "-" if due is None else f"{100 * due:.1f}"
    rows = [r for run in of(found, OURS) for r in run["rows"]
            if r["name"] == "evolution" and f"round {r['round']}" == stage]  # fmt: skip
    lost = [mean([r.get(n, 0) / r["prompts"] for r in rows]) for n in ("no_answer", "copied", "unparsable")]
    return [mean(cells["prompts"], ",.0f", 1), *lost, mean(cells["yield"]), mean(cells["purity"]), told]


def inference(found: Row) -> str:
    """Ways of inference after the lessons and after the last round, with their cost."""
    heads = ["model", "way", "accuracy, %", "minus direct, points", "generations", "tokens"]
    rows = []
    runs = of(found, OURS)
    for label, at in ((META, AT_META), (OURS, -1)):
        direct = right(found, OURS, DIRECT, at)
        for way in ways(runs[0], at):
            end = right(found, OURS, way, at)
            each = [
                [r[n] for run in runs for r in run["rows"]
                 if r["name"] == "inference" and (r["stage"], r["strategy"]) == (stages(run)[at], way)]
                for n in ("calls", "tokens")
            ]  # fmt: skip
            gap = "" if way == DIRECT else span(interval(end - direct, f"{label} {way}"))
            rows.append([
                label, f"`{way}`", mean(end.ravel()), gap, mean(each[0], ".1f", 1), mean(each[1], ".0f", 1),
            ])  # fmt: skip
    return "\n\n".join((markdown(heads, rows, left=2), caption(found)))


def caption(found: Row) -> str:
    """Where the numbers come from."""
    run = found["runs"][0]
    n, seeds = len(run["right"][0]["right"]), len({r["seed"] for r in found["runs"]})
    return (
        "Means over seeds; differences are paired by seed and question, with a 95 % interval (bootstrap over "
        f"both). `{found['command']}`, {seeds} seed{'s' * (seeds != 1)}, {n} held-out questions, base "
        f"{found['base']} ({run['base'][:8]}), {dated(found)}."
    )


KINDS: dict[str, Callable[[Row], str]] = {
    "self_evolution": arms,
    "self_evolution_rounds": rounds,
    "self_evolution_inference": inference,
}

region = partial(by_base, "self_evolution", KINDS)
"""The body of a region, by its kind and base."""
