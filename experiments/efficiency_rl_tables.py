"""The regions of ``docs/methods/self_efficiency.md``, from ``results/efficiency_rl-BASE.json`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from compared import Values, by_base, dated, difference, names, of, span
from efficiency_rl import ALONE, OURS, TRIED
from regions import Row, markdown

from sharpen.models.checks import TASKS, needs_check
from sharpen.tasks.registry import make

MARGIN = 0.01
"""How far accuracy may lie below that of rewards for right answers alone (the specification's testbed)."""

interval = partial(difference, "efficiency_rl")


def each(runs: Sequence[Row], end: str, name: str) -> Values:
    """``name`` an answer, by seed and question."""
    return np.array([np.array(r["counts"][end][name]) / r["counts"][end]["samples"] for r in runs])


def needed() -> np.ndarray:
    """Which held-out questions cannot be answered without a check."""
    return np.array([needs_check(t) for t in make(TASKS).take("test", TRIED)])


def saved(runs: Sequence[Row]) -> Values:
    """Tokens saved, as shares of what the base says on average."""
    base = each(runs, "base", "tokens")
    return (base - each(runs, "final", "tokens")) / base.mean()


def table(found: Row) -> str:
    """Accuracy and tokens of every arm: on all held-out questions, and where a check is needed."""
    where = needed()
    rows = []
    for kind, mask in (("all", np.ones(TRIED, bool)), ("a check is needed", where)):
        first = of(found, names(found)[0])
        tokens, accuracy, bad = _numbers(first, "base", mask)
        rows.append([kind, "untouched", tokens, "", accuracy, "", bad])
        for arm in names(found):
            runs = of(found, arm)
            change = each(runs, "final", "right") - each(runs, "base", "right")
            tokens, accuracy, bad = _numbers(runs, "final", mask)
            rows.append([
                kind, arm, tokens, span(interval(saved(runs)[:, mask], f"{kind} {arm} tokens")), accuracy,
                span(interval(change[:, mask], f"{kind} {arm}")), bad,
            ])  # fmt: skip
    heads = ["questions", "arm", "tokens", "saved, %", "accuracy, %", "change, points", "degenerate, %"]
    seeds, version = len({r["seed"] for r in found["runs"]}), found["runs"][0]["base"][:8]
    return (
        f"{markdown(heads, rows, left=2)}\n\n{verdict(found)}\n\n{TRIED} held-out questions, "
        f"{int(where.sum())} of them need a check; changes against the untouched base, paired by question, "
        "with a 95 % interval (bootstrap over seeds and questions). "
        f"`{found['command']}`, {seeds} seeds, base `{found['base']}` ({version}), {dated(found)}."
    )


def _numbers(runs: Sequence[Row], end: str, mask: np.ndarray) -> tuple[str, str, str]:
    right, tokens, bad = (
        float(each(runs, end, k)[:, mask].mean()) for k in ("right", "tokens", "degenerate")
    )
    return f"{tokens:.1f}", f"{100 * right:.1f}", f"{100 * bad:.1f}"


def verdict(found: Row) -> str:
    """Whether brevity costs accuracy, against rewards for right answers alone; by the numbers."""
    if not {OURS, ALONE} <= set(names(found)):
        return "Without both arms there is no verdict."
    ours, alone = of(found, OURS), of(found, ALONE)
    right = each(ours, "final", "right") - each(alone, "final", "right")
    said = []
    for kind, mask in (("on all questions", np.ones(TRIED, bool)), ("where a check is needed", needed())):
        low = interval(right[:, mask], f"verdict {kind}")
        good = "met" if low[1] > -MARGIN else "not met"
        said.append(
            f"- Accuracy {kind} is at most {100 * MARGIN:.0f} point below that of {ALONE}: {span(low)}: "
            f"**{good}**."
        )
    spared = interval(saved(ours) - saved(alone), "verdict tokens")
    good = "met" if spared[1] > 0 else "not met"
    return "\n".join([f"- It saves more tokens than {ALONE}: {span(spared)} %: **{good}**.", *said])


KINDS = {"efficiency_rl": table}
"""The regions of ``docs/methods/self_efficiency.md``."""

region = partial(by_base, "efficiency_rl", KINDS)
"""The body of a region, by its kind and base."""
