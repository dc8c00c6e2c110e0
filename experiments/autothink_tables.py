"""The regions of ``docs/methods/autothink.md``, from ``results/autothink-BASE.json`` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from compared import Values, by_base, dated, difference, of, span
from regions import Row, markdown

Place = tuple[str, str, str]
"""Arm, which count of its runs (the 0th is of the base, -1 the last), mode."""

interval = partial(difference, "autothink")
OURS, FREE, THINKING, DIRECT = "autothink", "free", "thinking", "direct"
REFERENCE: Place = (OURS, "0", THINKING)
MARGIN, AGAIN = 2.0, ", again"


def column(run: Row, at: str, mode: str, name: str) -> Values:
    """A count by question."""
    counts = run["counts"][str(len(run["counts"]) - 1) if at == "-1" else at]
    return np.array([v for v, m in zip(counts[name], counts["mode"], strict=True) if m == mode], float)


def each(found: Row, place: Place, name: str) -> Values:
    """``name`` an attempt, by seed and question."""
    arm, at, mode = place
    runs = of(found, arm)
    return np.array([column(r, at, mode, name) / column(r, at, mode, "samples") for r in runs])


def best_forced(found: Row, arm: str = OURS) -> Mapping[str, Values]:
    """The base in whichever forced mode is right more often at a question's difficulty, of equals the direct
    one: accuracy, tokens and think rate by seed and question."""
    held = {n: {m: each(found, (arm, "0", m), n) for m in (THINKING, DIRECT)} for n in ("right", "tokens")}
    level = np.array([column(r, "0", THINKING, "level") for r in of(found, arm)])
    thinks = np.zeros(level.shape, bool)
    for k in np.unique(level):
        at = level == k
        thinks[at] = held["right"][THINKING][at].mean() > held["right"][DIRECT][at].mean()
    chosen = {n: np.where(thinks, v[THINKING], v[DIRECT]) for n, v in held.items()}
    return {**chosen, "thinking": thinks.astype(float)}


def told(found: Row, place: Place, name: str) -> list[float | None]:
    """A number of the rows of a place, by seed; the rows ``e_f1`` have no mode."""
    arm, at, mode = place
    values = []
    for run in of(found, arm):
        stage = run["stages"][int(at)]
        rows = [r for r in run["rows"] if r["stage"] == stage and r.get("mode", mode) == mode and name in r]
        values.append(rows[0][name] if rows else None)
    return values


def mean(values: Sequence[float | None], form: str = ".2f") -> str:
    """The mean for a table, ``-`` where one is missing."""
    known = [v for v in values if v is not None]
    return format(float(np.mean(known)), form) if known and len(known) == len(values) else "-"


def places(found: Row) -> dict[str, Place]:
    """The lines of the table."""
    lines: dict[str, Place] = {
        "the base thinks": REFERENCE,
        "the base does not": (OURS, "0", DIRECT),
        "the base chooses": (OURS, "0", FREE),
    }
    stages = of(found, OURS)[0]["stages"]
    lines |= {f"after stage {k}": (OURS, str(i), FREE) for i, k in enumerate(stages) if k}
    others = dict.fromkeys(run["arm"] for run in found["runs"] if run["arm"] != OURS)
    return lines | {arm: (arm, "-1", FREE) for arm in others}


def frontier(found: Row) -> str:
    """Accuracy and tokens by stage against forced modes and controls."""
    base = {n: each(found, REFERENCE, n) for n in ("right", "tokens")}

    def line(name: str, values: Mapping[str, Values], more: Sequence[str]) -> list[str]:
        right, tokens = values["right"], values["tokens"]
        gain, saved = ["", ""] if values is base else [
            span(interval(right - base["right"], name)),
            span(interval((base["tokens"] - tokens) / base["tokens"].mean(), name)),
        ]  # fmt: skip
        rate = f"{100 * values['thinking'].mean():.0f}"
        return [name, rate, f"{100 * right.mean():.1f}", gain, f"{tokens.mean():.1f}", saved, *more]

    rows = []
    for name, place in places(found).items():
        values = {n: each(found, place, n) for n in ("right", "tokens", "thinking")}
        coin = [told(found, place, f"coin_{n}") for n in ("accuracy", "length")]
        blind = f"{mean([v and 100 * v for v in coin[0]], '.1f')} / {mean(coin[1], '.1f')}"
        free = place[2] == FREE
        more = (
            [mean(told(found, place, "awareness")), blind, mean(told(found, place, "f1"), ".0f")]
            if free
            else [""] * 3
        )
        rows.append(
            line(name, base | {"thinking": values["thinking"]} if place == REFERENCE else values, more)
        )
        if name == "the base does not":
            rows.append(line("its best forced mode by difficulty", best_forced(found), [""] * 3))
    heads = ["", "think rate, %", "accuracy, %", "minus thinking, points", "tokens", "saved, %",
             "rank correlation with difficulty", "a coin: accuracy / tokens", "E-F1"]  # fmt: skip
    return "\n\n".join((markdown(heads, rows), verdict(found), lost(found) + caption(found)))


def verdict(found: Row) -> str:
    """Whether the criteria are met, from the numbers: those measured again on more questions."""
    last = {"runs": found["again"]}
    base, end = f"base{AGAIN}", f"{OURS}{AGAIN}"
    held = {n: {m: each(last, (base, "0", m), n) for m in (THINKING, DIRECT)} for n in ("right", "tokens")}
    right, tokens = each(last, (end, "0", FREE), "right"), each(last, (end, "0", FREE), "tokens")
    reference = held["right"][THINKING]
    close = interval(right - reference, "claim")
    lines = [
        (f"Accuracy is at most {MARGIN:g} points below thinking ({span(close)})", 100 * close[1] > -MARGIN)
    ]
    forced = best_forced(last, base)
    rivals = {"the best forced mode by difficulty": (forced["right"], forced["tokens"])}
    for arm in dict.fromkeys(r["arm"] for r in last["runs"] if "price" in r["arm"]):
        place: Place = (arm, "0", FREE)
        rivals[arm.removesuffix(AGAIN)] = (each(last, place, "right"), each(last, place, "tokens"))
    for arm, (others, length) in rivals.items():
        saved = interval((length - tokens) / held["tokens"][THINKING].mean(), arm)
        behind = interval(others - reference, f"{arm}, right")
        loses = 100 * behind[2] < -MARGIN
        ahead = interval(right - others, f"{arm}, ahead")
        equal = 100 * ahead[1] > -MARGIN
        why = (
            ", which loses accuracy against its thinking"
            if loses
            else ""
            if equal
            else ", not equal accuracy"
        )
        less = f"Fewer tokens than {arm}: {tokens.mean():.1f} against {length.mean():.1f}"
        share = f"{span(saved)} % of those of thinking; accuracy minus its {span(ahead)} points{why}"
        lines.append((f"{less}, {share}", (saved[1] > 0 and equal) or loses))
    rates = told(found, (OURS, "-1", FREE), "awareness")
    lines.append((f"The think rate rises with difficulty (rank correlation {mean(rates)})",
                  all((r or 0) > 0 for r in rates)))  # fmt: skip
    met = [f"- {what}: **{'met' if good else 'not met'}**." for what, good in lines]
    good = "is" if all(good for _, good in lines) else "is not"
    n = reference.shape[1]
    head = f"The last policies again, on {n} questions:"
    return "\n".join([head, "", *met, "", f"**The claim {good} supported on {found['base']}.**"])


def lost(found: Row) -> str:
    """In how many runs of an arm a mode died out by the end."""
    said = []
    for arm in dict.fromkeys(run["arm"] for run in found["runs"]):
        ends = [np.mean(run["think_rate"][-10:]) for run in of(found, arm)]
        dead = sum(not 0.02 <= e <= 0.98 for e in ends)
        said.append(f"{arm} {dead} of {len(ends)}")
    return f"Runs whose last ten rounds have a think rate outside 0.02 to 0.98: {', '.join(said)}. "


def caption(found: Row) -> str:
    """Where the numbers come from."""
    run = found["runs"][0]
    n, seeds = len(column(run, "0", FREE, "right")), len({r["seed"] for r in found["runs"]})
    return (
        "Means over seeds; changes against the base made to think, paired by question, with a 95 % interval "
        f"(bootstrap over seeds and questions). `{found['command']}`, {seeds} seeds, {n} held-out questions, "
        f"{dated(found)}."
    )


def levels(found: Row) -> str:
    """Think rate, accuracy and tokens by difficulty: the base in its forced modes, and the last policy."""
    runs = of(found, OURS)
    steps = sorted({x for r in runs for x in column(r, "0", FREE, "level")})
    rows = []
    for level in steps:
        cells = [f"{level:g}"]
        for place in ((OURS, "0", THINKING), (OURS, "0", DIRECT), (OURS, "0", FREE), (OURS, "-1", FREE)):
            at = np.array([column(r, "0", FREE, "level") for r in runs]) == level
            right, tokens, thinks = (
                each(found, place, n)[at].mean() for n in ("right", "tokens", "thinking")
            )
            cells.append(f"{100 * right:.0f} / {tokens:.0f}")
            cells += [f"{100 * thinks:.0f}"] if place[2] == FREE else []
        rows.append(cells)
    heads = ["difficulty", "the base thinks", "does not", "chooses", "think rate, %", "after stage 3",
             "think rate, %"]  # fmt: skip
    return f"{markdown(heads, rows)}\n\nAccuracy in percent / tokens. {caption(found)}"


KINDS: dict[str, Callable[[Row], str]] = {"autothink": frontier, "autothink_levels": levels}

region = partial(by_base, "autothink", KINDS)
"""The body of a region, by its kind and base."""
