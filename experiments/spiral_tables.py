"""The regions of ``docs/methods/spiral.md``, from ``results/spiral-nano.json`` alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from compared import dated, names, of
from numpy.typing import NDArray
from regions import RESULTS, Row, markdown, regions_of, unmeasured

from sharpen.measure.intervals import hierarchical_bootstrap
from sharpen.runs.streams import stream

RESULT = RESULTS / "spiral-nano.json"
OURS, GOAL = "kuhn, RAE", 0.3
SHUFFLED, EXPERT = "kuhn, returns shuffled", "kuhn, won games of an equilibrium"
COMMAND = "python experiments/spiral.py"
UNMEASURED = unmeasured(COMMAND)
LATE = 50
"""How many of the last rounds lengths, invalid moves and gradients are told of."""


def on(game: str, found: Row) -> list[str]:
    """The arms of a game."""
    return [arm for arm in names(found) if arm.startswith(f"{game},")]


def ends(found: Row, arm: str, name: str) -> tuple[list[float], list[float]]:
    """A measure of the first and of the last contest, by seed."""
    first, last = ([run["contests"][i].get(name, np.nan) for run in of(found, arm)] for i in (0, -1))
    return first, last


def late(found: Row, arm: str, name: str) -> list[float]:
    """A curve's mean over the last rounds, by seed."""
    return [float(np.mean(run[name][-LATE:])) for run in of(found, arm)]


def mean(values: Sequence[float] | NDArray[np.float64], form: str = ".3f", scale: float = 1.0) -> str:
    """The mean over seeds with its 95 % interval, ``-`` where it was not measured."""
    if np.isnan(values).any():
        return "-"
    array = scale * np.asarray(values, dtype=np.float64)[:, None]
    middle, low, high = hierarchical_bootstrap(array, stream=stream("spiral", "tables"))
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def caption(found: Row) -> str:
    """Where the numbers come from."""
    counts = {arm: len(of(found, arm)) for arm in names(found)}
    most = max(counts.values())
    fewer = [f"{arm} {n}" for arm, n in counts.items() if n < most]
    seeds = f"{most} seeds" + (f" ({', '.join(fewer)})" if fewer else "")
    return f"`{found['command']}`, {seeds}, base {found['base']}, {dated(found)}."


def seeds(found: Row) -> str:
    """Self-play with RAE on Kuhn poker, seed by seed."""
    rows = []
    for run in of(found, OURS):
        first, last = run["contests"][0], run["contests"][-1]
        rows.append(
            [
                f"{run['seed']}",
                f"{first['value']:+.3f}",
                f"{first['nash_conv']:.3f}",
                f"{last['value']:+.3f}",
                _between(last, "nash_conv"),
                f"{last['nash_conv_bias']:+.4f}",
                _between(last, "nash_conv_average"),
                f"{100 * last['illegal']:.1f}",
                f"{run['seconds'] / 60:.0f}",
            ]
        )
    heads = ["seed", "start: value", "NashConv", "end: value", "NashConv", "its bias", "of the average",
             "no valid move, %", "minutes"]  # fmt: skip
    average = [run["contests"][-1]["nash_conv_average"] for run in of(found, OURS)]
    bias = "; ".join(
        f"of {known['profile']} play, {known['nash_conv']:.3f} in truth, {known['bias']:+.4f}"
        for known in found["known"]
    )
    return (
        f"{markdown(heads, rows)}\n\nFrom {found['known'][0]['samples']} replies in each of 12 information "
        "sets, intervals of 95 % by drawing these again. The average is over every measured policy, in "
        f"realisation weights. How much too large such an estimate is, on known profiles: {bias}. Minutes "
        f"are of one thread, on a machine that had other work too. {caption(found)}\n\nNashConv of the "
        f"average policy, mean over seeds: {mean(average)}. Below {GOAL} in {sum(v < GOAL for v in average)} "
        f"of {len(average)} seeds."
    )


def _between(row: Row, name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def kuhn(found: Row) -> str:
    """Every arm on Kuhn poker."""
    rows = [
        [
            arm.partition(", ")[2],
            mean(ends(found, arm, "nash_conv")[1]),
            mean(ends(found, arm, "nash_conv_average")[1]),
            mean(_chips(found, arm, "random"), "+.2f"),
            mean(_chips(found, arm, "frozen"), "+.2f"),
            mean(ends(found, arm, "illegal")[1], ".1f", 100),
        ]
        for arm in on("kuhn", found)
    ]
    heads = [
        "arm",
        "NashConv, last",
        "average",
        "chips a game from random",
        "from itself as it began",
        "no valid move, %",
    ]
    return f"{markdown(heads, rows)}\n\nMeans over seeds with 95 % intervals. {caption(found)}"


def _chips(found: Row, arm: str, opponent: str) -> list[float]:
    """The mean return from both seats, by seed."""
    by_seat = [ends(found, arm, f"{opponent}/return_{seat}")[1] for seat in (0, 1)]
    return [(a + b) / 2 for a, b in zip(*by_seat, strict=True)]


def tictactoe(found: Row) -> str:
    """Every arm on tic-tac-toe: won against random moves and not lost against minimax, before and after."""
    arms = on("tictactoe", found)
    if not arms:
        return UNMEASURED
    rows = [
        [
            arm.partition(", ")[2],
            *(mean(some, ".1f", 100) for some in ends(found, arm, "random/won")),
            *(mean(some, ".1f", 100) for some in not_lost(found, arm)),
            mean(ends(found, arm, "frozen/won")[1], ".1f", 100),
            mean(ends(found, arm, "random/invalid")[1], ".1f", 100),
        ]
        for arm in arms
    ]
    heads = ["arm", "won against random, %: before", "after", "not lost against minimax, %: before", "after",
             "won against itself as it began, %", "no valid move, %"]  # fmt: skip
    return f"{markdown(heads, rows)}\n\nMeans over seeds with 95 % intervals. {caption(found)}"


def not_lost(found: Row, arm: str) -> list[list[float]]:
    """Won or drawn against minimax that moves at random three times in ten: in the first contest and the
    last, by seed."""
    won, drawn = (ends(found, arm, f"minimax:epsilon=0.3/{end}") for end in ("won", "drawn"))
    return [[a + b for a, b in zip(*both, strict=True)] for both in zip(won, drawn, strict=True)]


def roles(found: Row) -> str:
    """With a baseline for each role, with one for both, and without."""
    rows = []
    for game in ("kuhn", "tictactoe"):
        if f"{game}, RAE" not in names(found):
            continue
        with_rae = variance(found, f"{game}, RAE")
        for name in ("RAE", "shared baseline", "no baseline"):
            arm = f"{game}, {name}"
            if arm not in names(found):
                continue
            spread = variance(found, arm)
            first = [run["length"][0] for run in of(found, arm)]
            rows.append(
                [
                    game,
                    name,
                    f"{np.mean(spread):.4f}",
                    f"{np.mean(spread) / np.mean(with_rae):.2f}",
                    mean(relative(found, arm), ".2f"),
                    mean(late(found, arm, "invalid_share"), ".1f", 100),
                    f"{np.mean(first):.1f}",
                    mean(late(found, arm, "length"), ".1f"),
                    mean(ends(found, arm, "random/won")[1], ".1f", 100),
                    mean(not_lost(found, arm)[1], ".1f", 100),
                ]
            )
    heads = ["game", "baseline", "variance of the gradient norm", "times RAE's", "standard deviation / mean",
             "games ended by an invalid move, %", "tokens of a player a game: first round", f"last {LATE}",
             "won against random, %", "not lost against minimax, %"]  # fmt: skip
    return f"{markdown(heads, rows, left=2)}\n\nMeans over seeds with 95 % intervals. {caption(found)}"


def variance(found: Row, arm: str) -> list[float]:
    """Of the gradient norm over rounds, by seed."""
    return [float(np.var(run["grad_norm"])) for run in of(found, arm)]


def relative(found: Row, arm: str) -> list[float]:
    """Standard deviation of the gradient norm over its mean: arms whose advantages are larger have larger
    gradients."""
    return [float(np.std(run["grad_norm"]) / np.mean(run["grad_norm"])) for run in of(found, arm)]


def transfer(found: Row) -> str:
    """What the games did to a task that none of them rewards."""
    arms = [arm for arm in on("kuhn", found) if of(found, arm)[0]["held_out"]]
    if not arms:
        return UNMEASURED
    rows = []
    for arm in arms:
        cells = [arm.partition(", ")[2]]
        for name in ("accuracy_greedy", "accuracy_t1"):
            first, last = held_out(found, arm, name)
            cells += [mean(first, ".1f", 100), mean(last, ".1f", 100), mean(last - first, "+.1f", 100)]
        rows.append(cells)
    heads = ["arm", "greedy: before, %", "after, %", "change, points",
             "T=1: before, %", "after, %", "change, points"]  # fmt: skip
    asked = of(found, arms[0])[0]["held_out"][0]["n_questions"]
    elsewhere = (
        "The equilibrium's games are learnt in it, with the task a smaller part: that arm starts elsewhere, "
        "and its change is one round's. "
    )
    return (
        f"{markdown(heads, rows)}\n\n{asked} held-out questions, means over seeds with 95 % intervals. The "
        f"warm-up comes before. {elsewhere if EXPERT in arms else ''}{_apart(found)}{caption(found)}"
    )


def held_out(found: Row, arm: str, name: str) -> NDArray[np.float64]:
    """A held-out accuracy ``(2, seeds)``: before the first round and after the last."""
    return np.array([[run["held_out"][i][name] for run in of(found, arm)] for i in (0, -1)])


def _apart(found: Row) -> str:
    """Self-play's change beyond that of shuffled returns, seed by seed: both begin as the same policy."""
    both = OURS, SHUFFLED
    if not set(both) <= set(names(found)):
        return ""
    parts = []
    for label, name in (("greedy", "accuracy_greedy"), ("at T=1", "accuracy_t1")):
        ours, shuffled = (last - first for first, last in (held_out(found, arm, name) for arm in both))
        parts.append(f"{mean(ours - shuffled, '+.1f', 100)} points {label}")
    return f"RAE's change beyond that with shuffled returns: {', '.join(parts)}. "


REGIONS = regions_of(
    RESULT,
    COMMAND,
    {
        "spiral_seeds": seeds,
        "spiral_kuhn": kuhn,
        "spiral_tictactoe": tictactoe,
        "spiral_roles": roles,
        "spiral_transfer": transfer,
    },
)
"""The regions of ``docs/methods/spiral.md``."""
