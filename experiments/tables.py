"""Write the measured tables into the pages: ``python experiments/tables.py [--check]``.

Reads ``results/*.json`` and fills the marked regions of ``PAGES``; a region is named KIND-BASE
(``demo-nano``). ``--check`` changes nothing and exits 1 where a page is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import auto_cei_tables
import autothink_tables
import certainty_tables
import confidence_tables
import efficiency_rl_tables
import judging_tables
import self_evolution_tables
import self_rationalization_tables
import sharpening_tables
import strategies_tables
from outcomes import (
    GREEDY,
    INTERVALS,
    T1,
    VARIED,
    Arm,
    Interval,
    Result,
    best_round,
    change,
    difference,
    fixed,
    last,
    learnt,
    read,
    samples,
)
from overthinking_tables import REGIONS as OVERTHINKING
from regions import ROOT, markdown, unmeasured, update
from sharpening_exact import REGIONS as SHARPENING_EXACT
from spiral_tables import REGIONS as SPIRAL
from steering import REGIONS as STEERING
from verifying import checks, disagreements, numbers

from sharpen.measure.report import METRICS
from sharpen.recipes import RECIPES
from sharpen.recipes.b_star import Settings
from sharpen.runs.config import load

PAGES = (
    "README.md",
    "docs/methods/auto_cei.md",
    "docs/methods/autothink.md",
    "docs/methods/b_star.md",
    "docs/methods/efficiency_steering.md",
    "docs/methods/overthinking.md",
    "docs/methods/policy_gradients.md",
    "docs/methods/self_certainty.md",
    "docs/methods/self_efficiency.md",
    "docs/methods/self_evolution.md",
    "docs/methods/self_prm.md",
    "docs/methods/self_rationalization.md",
    "docs/methods/sharpening.md",
    "docs/methods/spiral.md",
    "docs/strategies.md",
    "docs/methods/verbal_confidence.md",
    "docs/verifiers.md",
    "docs/engines.md",
)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def span(found: Interval) -> str:
    """A change in points and its interval."""
    mean, low, high = (100 * x for x in found)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def mean_last(arm: Arm, measure: str) -> str:
    """A held-out measure after the last round, mean over seeds, in percent."""
    values = [last(run, measure) for run in arm.runs]
    known = [v for v in values if v is not None]
    return percent(sum(known) / len(known)) if len(known) == len(values) else "-"


def ends(arm: Arm, measure: str) -> list[str]:
    """Base, final and change of a measure."""
    base, final = (float(arm.outcomes(measure, end).mean()) for end in ("base", "final"))
    return [percent(base), percent(final), span(change(arm, measure))]


def batch_rows(run: dict) -> int:
    """Rows an update, from the run's own command."""
    _, _, recipe, *rest = run["command"].split(" --")[0].split()
    settings = [s for s in rest if s.startswith("batch_rows=")]
    return load(RECIPES[recipe].load()[1], None, settings).batch_rows  # type: ignore[attr-defined]


def row_length(run: dict) -> float:
    """Mean learnt tokens of a row, over every time that a row was learnt from."""
    steps = learnt(run)
    rows = sum(step["updates"] for step in steps) * batch_rows(run)
    return sum(step["targets"] for step in steps) / rows if rows else 0.0


def spent(arm: Arm) -> list[str]:
    """Attempts for training, other attempts, updates: means over seeds."""
    return [
        f"{arm.mean(lambda r: samples(r)[0]):,.0f}",
        f"{arm.mean(lambda r: samples(r)[1]):,.0f}",
        f"{arm.mean(lambda r: sum(step['updates'] for step in learnt(r))):,.0f}",
    ]


BOTH = ["greedy: base", "final", "change", "T=1: base", "final", "change"]
SPENT = ["attempts", "other attempts", "updates"]
NOTE = (
    "Accuracy in percent, changes in points with a 95 % interval (bootstrap over seeds and questions). "
    "Attempts are those for training; other attempts are a method's own besides (balance search, "
    "rationalization, validation), held-out questions not counted. "
)


def demo(result: Result) -> str:
    """The default run and its controls."""
    heads = ["arm", *BOTH, "rows selected", "tokens a row", *SPENT]
    rows = [
        [
            arm.name,
            *ends(arm, GREEDY),
            *ends(arm, T1),
            f"{arm.mean(lambda r: sum(step['rows'] for step in learnt(r))):,.0f}",
            f"{arm.mean(row_length):.1f}",
            *spent(arm),
        ]
        for arm in result.arms
    ]
    return f"{markdown(heads, rows)}\n\n{NOTE}{result.caption}\n\n{demo_words(result)}"


def demo_words(result: Result) -> str:
    """What was asked of the demo, and whether it is so."""
    ours = result.arm("online_rft")
    gain, greedy_low, _ = change(ours, GREEDY)
    _, low, high = change(result.arm("shuffled rewards"), GREEDY)
    t1 = change(ours, T1)
    enough = "yes" if gain >= 0.15 else "no"
    return (
        f"The default run's greedy change is {100 * gain:+.1f} points. At least 15: {enough}. "
        f"Interval above 0: {'yes' if greedy_low > 0 else 'no'}; at T=1: {'yes' if t1[1] > 0 else 'no'}. "
        f"With shuffled rewards the interval of the change lies within 3 points of 0: "
        f"{'yes' if low >= -0.03 and high <= 0.03 else 'no'}."
    )


def recipes(result: Result) -> tuple[dict[str, Arm], str]:
    """Every recipe's arm by its name, and where they come from; Online RFT and SFT were run by the demo.

    B-STaR has a task of its own, and tables of its own."""
    found, captions = {arm.name: arm for arm in result.arms}, [result.caption]
    if first := read("demo", result.base):
        found = {"sft": first.arm("gold SFT"), **found, "online_rft": first.arm("online_rft")}
        captions.append(f"`sft` and `online_rft`: {first.caption}")
    if own := read("b_star", result.base):
        found["b_star"] = own.arm("b_star")
        captions.append(f"`b_star`, on `countdown`: {own.caption}")
    return found, " ".join(captions)


def methods(result: Result) -> str:
    """Every recipe."""
    found, caption = recipes(result)
    rows = [[f"`{n}`", *ends(arm, GREEDY), *ends(arm, T1), *spent(arm)] for n, arm in found.items()]
    return f"{markdown(['recipe', *BOTH, *SPENT], rows)}\n\n{NOTE}{caption}"


def summary(result: Result) -> str:
    """Every recipe, for the front page."""
    found, caption = recipes(result)
    heads = ["recipe", "what", "greedy: base", "final", "change", "T=1: change", "attempts"]
    rows = [
        [
            f"`{name}`",
            RECIPES[name].title,
            *ends(arm, GREEDY),
            span(change(arm, T1)),
            f"{arm.mean(lambda r: sum(samples(r))):,.0f}",
        ]
        for name, arm in found.items()
    ]
    return (
        f"{markdown(heads, rows, left=2)}\n\nHeld-out accuracy in percent, changes in points with a 95 % "
        f"interval over seeds and questions; attempts without those on held-out questions. {caption}"
    )


def gradients(result: Result) -> str:
    """Policy gradients, their controls, and Online RFT."""
    rows = [[arm.name, *ends(arm, GREEDY), *ends(arm, T1), *spent(arm)] for arm in result.arms]
    told = [
        f"`{name}` minus its control with shuffled rewards, paired by question: greedy "
        f"{span(difference(result.arm(name), result.arm(f'{name}, shuffled rewards'), GREEDY))} points, "
        f"T=1 {span(difference(result.arm(name), result.arm(f'{name}, shuffled rewards'), T1))}."
        for name in ("grpo", "ppo")
        if {name, f"{name}, shuffled rewards"} <= {arm.name for arm in result.arms}
    ]
    return f"{markdown(['arm', *BOTH, *SPENT], rows)}\n\n{NOTE}{result.caption}\n\n{' '.join(told)}"


def star(result: Result) -> str:
    """STaR on a real language model, and its control."""
    heads = ["arm", *BOTH, "rows selected", *SPENT, "minutes"]
    rows = [
        [
            arm.name,
            *ends(arm, GREEDY),
            *ends(arm, T1),
            f"{arm.mean(lambda r: sum(step['rows'] for step in learnt(r))):,.0f}",
            *spent(arm),
            f"{arm.mean(lambda r: r['seconds'] / 60):.0f}",
        ]
        for arm in result.arms
    ]
    ours, control = result.arm("star"), result.arm("shuffled rewards")
    gap = difference(ours, control, GREEDY)
    sure = "above 0" if gap[1] > 0 else "below 0" if gap[2] < 0 else "not apart from 0"
    commands = "\n".join(arm.runs[0]["command"].split(" --out")[0] for arm in result.arms)
    return (
        f"{markdown(heads, rows)}\n\n{NOTE}Minutes are of one thread, on a machine that had other work too. "
        f"{result.caption}\n\nSTaR minus its control, paired by question: greedy {span(gap)} points "
        f"({sure}), T=1 {span(difference(ours, control, T1))}.\n```shell\n{commands}\n```"
    )


def real(result: Result) -> str:
    """STaR on a real language model, in a sentence for the front page."""
    ours, control = result.arm("star"), result.arm("shuffled rewards")
    base, final, gain = ends(ours, GREEDY)
    minutes = ours.mean(lambda r: r["seconds"] / 60)
    return (
        f"On a real language model, {result.base}, STaR takes greedy accuracy on held-out questions of "
        f"reasoning-gym from {base} to {final} %: {gain} points, in {minutes:.0f} minutes on one "
        f"thread; with shuffled rewards {span(change(control, GREEDY))}. "
        "[Settings, numbers and caveats](docs/methods/b_star.md#on-a-real-language-model)."
    )


def b_star(result: Result) -> str:
    """B-STaR against fixed, random and shuffled schedules."""
    ours = result.arm("b_star")
    k = max(int(m.rpartition("_")[2]) for m in ours.rows("held_out")[0][0] if _plain_pass(m))
    measures = [f"pass_at_{k}", f"pass_at_{k}_4"]
    heads = ["arm", "final greedy", "best round", "T=1", f"pass@{k}", f"Pass@{k}-4", "attempts", "search",
             "B-STaR minus this: greedy", "T=1", f"Pass@{k}-4"]  # fmt: skip
    rows = []
    for arm in result.arms:
        other = arm is not ours
        rows.append(
            [
                arm.name,
                percent(arm.final),
                percent(arm.mean(best_round)),
                mean_last(arm, T1),
                *(mean_last(arm, m) for m in measures),
                *spent(arm)[:2],
                *(span(difference(ours, arm, m)) if other else "" for m in (GREEDY, T1, VARIED)),
            ]
        )
    return (
        f"{markdown(heads, rows)}\n\nMeans over seeds, in percent; differences in points, paired by seed and "
        "question, with a 95 % interval (bootstrap over both). The best round is picked by the same "
        f"questions it is told of, so it flatters every arm. Search: B-STaR's monitored "
        f"questions. {result.caption}\n\n"
        f"{b_star_words(result)}"
    )


def _plain_pass(measure: str) -> bool:
    return measure.startswith("pass_at_") and measure.removeprefix("pass_at_").isdigit()


def b_star_words(result: Result) -> str:
    """Whether the claim's criteria are met, from the numbers."""
    ours = result.arm("b_star")
    best = max(fixed(result.arms), key=lambda arm: arm.final)  # max keeps the first of equals
    found = {
        f"the best fixed setting in hindsight ({best.name})": (best, True),
        "the random schedule": (result.arm("random schedule"), False),
        "its own schedule in shuffled order": (result.arm("shuffled schedule"), False),
    }
    lines = [
        "The claim is taken as supported where B-STaR's mean final greedy accuracy is at least that of the "
        "best fixed setting in hindsight, and above the random and the shuffled schedule. B-STaR has "
        f"{percent(ours.final)} %."
    ]
    all_met = True
    for name, (arm, ties) in found.items():
        d = difference(ours, arm, GREEDY)
        met = d[0] >= 0 if ties else d[0] > 0
        all_met &= met
        sure = "the interval is above 0" if d[1] > 0 else "below 0" if d[2] < 0 else "the interval holds 0"
        told = "met" if met else "not met"
        lines.append(f"- Against {name}, {percent(arm.final)} %: {span(d)} points, {told} ({sure}).")
    lines.append(f"\n**The criteria are {'met' if all_met else 'not met'} by the means on {result.base}.**")
    return "\n".join(lines)


def schedule(result: Result) -> str:
    """The (T, tau) that B-STaR chose."""
    arm = result.arm("b_star")
    chosen = arm.rows("balance")
    n = max(map(len, chosen))
    rows = [
        [f"seed {seed}", *(f"{row['temperature']:g}, {row['threshold']:g}" for row in rows)]
        for seed, rows in zip(arm.seeds, chosen, strict=True)
    ]
    scores = [sum(r[i]["balance"] for r in chosen) / len(chosen) for i in range(n)]
    rows.append(["mean balance score", *(f"{s:.3f}" for s in scores)])
    heads = ["T, tau", *(f"round {i + 1}" for i in range(n))]
    return f"{markdown(heads, rows)}\n\n{result.caption}"


ROUNDS = ("accuracy_greedy", "accuracy_t1", "pass_at_16_4", "unique_correct", "distinct_equations", "entropy")


def rounds(result: Result) -> str:
    """Held-out measures round by round: B-STaR, Online RFT and the best fixed setting."""
    best = max(fixed(result.arms), key=lambda arm: arm.final)
    arms = dict.fromkeys([result.arm("b_star"), *fixed(result.arms)[:1], best])
    numbers = sorted({row["round"] for seed in result.arm("b_star").rows("held_out") for row in seed})
    rows = [
        [arm.name, f"`{measure}`", *(_at(arm, measure, r) for r in numbers)]
        for arm in arms
        for measure in ROUNDS
    ]
    heads = ["arm", "measure", "base", *(f"round {r}" for r in numbers[1:])]
    return f"{markdown(heads, rows, left=2)}\n\nMeans over seeds. {result.caption}"


def _at(arm: Arm, measure: str, r: int) -> str:
    values = [row.get(measure) for seed in arm.rows("held_out") for row in seed if row["round"] == r]
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return "-"
    value = sum(known) / len(known)
    return f"{value:.2f}" if measure in ("unique_correct", "entropy") else percent(value)


def engines(result: Result) -> str:
    """Learning curves by what sampled."""
    native = result.arm("native")
    numbers = sorted({row["round"] for seed in native.rows("held_out") for row in seed})
    rows = [
        [
            f"`{arm.name}`",
            *(_at(arm, GREEDY, r) for r in numbers),
            "-" if arm is native else span(difference(arm, native, GREEDY)),
            *(_at(arm, T1, r) for r in numbers[-1:]),
            *gaps(arm),
        ]
        for arm in result.arms
    ]
    heads = ["engine", "base", *(f"round {r}" for r in numbers[1:]), "minus native", "T=1"]
    heads += ["mean gap, nats a token", "largest of a step"]
    told = "Differences in points with a 95 % interval (bootstrap over seeds and questions, paired). "
    return f"{markdown(heads, rows)}\n\n{told}{result.caption}"


def gaps(arm: Arm) -> list[str]:
    """The mean and the largest log-probability gap of an arm's sample steps."""
    found = [gap for run in arm.runs for gap in run.get("gaps", {}).values()]
    return [f"{sum(found) / len(found):.1e}", f"{max(found):.1e}"] if found else ["-", "-"]


def settings() -> str:
    """B-STaR's defaults here beside the paper's values."""
    ours = Settings()
    o, target = ours.optimizer, -(-ours.selected // ours.queries)
    rate = f"{o.lr:g} to {o.min_lr:g}, {o.schedule}, {o.warmup_steps} steps of warm-up"
    rows = [
        ["`rounds`", "9", str(ours.rounds)],
        ["`queries` a round (M)", "11,500 (MATH)", f"{ours.queries:,} of a pool of {ours.pool:,}"],
        ["`samples` a question (K)", "64", str(ours.samples)],
        ["`selected` (N)", "67,500", f"{ours.selected:,}"],
        ["n* = N / M, rounded up", "6 (the code: 8)", str(target)],
        ["`temperatures`", "0.5 to 1.2, step 0.1", listed(ours.temperatures)],
        ["`thresholds`", "-1 to 1, step 0.1", listed(ours.thresholds)],
        ["`monitored` questions", "600", str(ours.monitored)],
        ["`steps` a round", "500", str(ours.steps)],
        ["`batch_rows`", "128", str(ours.batch_rows)],
        ["`optimizer`: learning rate", "4.12e-6 to 2e-7, one cosine", rate],
        ["`method`", "all weights", f"{ours.method}, rank {ours.lora.rank}"],
        ["`max_new_tokens`", "768", str(ours.max_new_tokens)],
    ]
    one = (
        "With n* = 1 the balance score of a question is the share of right answers among those "
        "selected, and 0 without one: a second right answer earns nothing."
    )
    table = markdown(["setting", "paper or its code", "default here"], rows, left=3)
    return f"{table}\n\n{one}" if target == 1 else table


def listed(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def measures() -> str:
    """Every logged measure."""
    rows = [[f"`{name}`", meaning] for name, meaning in METRICS.items()]
    return markdown(["name", "meaning"], rows, left=2)


KINDS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "demo": ("demo", demo),
    "methods": ("methods", methods),
    "summary": ("methods", summary),
    "engines": ("engines", engines),
    "gradients": ("gradients", gradients),
    "star": ("star", star),
    "real": ("star", real),
    "b_star": ("b_star", b_star),
    "schedule": ("b_star", schedule),
    "rounds": ("b_star", rounds),
}
"""Kind of region -> (experiment that it tells of, what writes it)."""


PLAIN = {
    "measures": measures,
    "settings": settings,
    "disagreements": disagreements,
    "checks": checks,
    "numbers": numbers,
    **STEERING,
    **OVERTHINKING,
    **SHARPENING_EXACT,
    **SPIRAL,
}
"""Regions that rest on no experiment."""

BY_BASE = (
    auto_cei_tables,
    autothink_tables,
    certainty_tables,
    confidence_tables,
    efficiency_rl_tables,
    judging_tables,
    self_evolution_tables,
    self_rationalization_tables,
    sharpening_tables,
    strategies_tables,
)
"""Pages with a result file for each base."""


def region(name: str) -> str:
    """The body of a region. KeyError for a name that nothing writes."""
    if name in PLAIN:
        return PLAIN[name]()
    kind, _, base = name.partition("-")
    for page in BY_BASE:
        if kind in page.KINDS:
            return page.region(kind, base)
    experiment, write = KINDS[kind]
    result = read(experiment, base)
    if result is None:
        return unmeasured(f"python experiments/run.py {experiment} --base {base}")
    return write(result)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 where a page is out of date"
    )
    check = parser.parse_args(argv).check
    stale = [page for page in PAGES if not update(ROOT / page, region, check=check)]
    if not check:
        INTERVALS.save()
    for page in stale:
        print(f"{page}: {'out of date: run python experiments/tables.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
