"""Sharpening where everything can be counted: ``python experiments/sharpening_exact.py``

Policies over all strings of 4 letters out of 8, whose probabilities are known, so that nothing hangs on a
network. Four questions: does the error of best-of-N labels hang on N / C_cov alone? What does adaptive
sampling save where prompts differ? How small must beta be, given the margin? Does exploration find what the
base hardly ever says? Writes ``results/sharpening-exact.json``; ``tables.py`` fills the page. A minute.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from launch import today, write
from numpy.typing import NDArray
from regions import RESULTS, Row, markdown, regions_of

from sharpen.learn.preference import PreferenceConfig, pair_loss
from sharpen.measure.sharpness import coverage, found_by, margin, tilted
from sharpen.runs.streams import stream
from sharpen.select.sharpest import stops_at

LETTERS, LENGTH = 8, 4
STRINGS = LETTERS**LENGTH
PROMPTS, SEEDS, DELTA = 200, 5, 0.2
COVERAGES, RATIOS = (3, 10, 30, 100), (0.5, 1.0, 2.0, 3.0, 5.0)
COMMAND = "python experiments/sharpening_exact.py"
RESULT = RESULTS / "sharpening-exact.json"

Floats = NDArray[np.float64]


def policy(best: float, gap: float, rng: np.random.Generator) -> Floats:
    """A law over all strings: ``best`` on one, that over ``1 + gap`` on another (or what is left), and less
    on each of the rest, which have what remains."""
    rival = min(best / (1 + gap), 1 - best)
    rest = rng.exponential(size=STRINGS - 2)
    rest *= max(1 - best - rival, 0.0) / rest.sum()
    while rest.max() >= rival:  # what would be above the rival is spread over the others
        over = rest >= rival
        spare = float((rest[over] - 0.9 * rival).sum())
        rest[over] = 0.9 * rival
        rest[~over] += spare * rest[~over] / rest[~over].sum()
    return rng.permutation(np.concatenate([[best, rival], rest]))


# 1: the error hangs on N / C_cov ---------------------------------------------------------------------
def labels(best: float, n: int, rng: np.random.Generator) -> float:
    """The share of prompts whose best-of-``n`` label is not the likeliest string."""
    laws = [policy(best, 0.1, rng) for _ in range(PROMPTS)]
    wrong = 0
    for law in laws:
        drawn = rng.choice(STRINGS, size=n, p=law)
        wrong += int(drawn[law[drawn].argmax()] != law.argmax())
    return wrong / PROMPTS


def collapse() -> list[Row]:
    """Errors by coverage and N / C_cov, by seed, beside what theory says."""
    rows = []
    for c in COVERAGES:
        for ratio in RATIOS:
            n = max(1, round(ratio * c))
            found = [labels(1 / c, n, stream("collapse", c, n, s).generator()) for s in range(SEEDS)]
            rows.append({"coverage": c, "ratio": ratio, "n": n, "errors": found,
                         "theory": 1 - found_by(1 / c, n)})  # fmt: skip
    return rows


# 2: adaptive sampling --------------------------------------------------------------------------------
def adaptive() -> list[Row]:
    """Prompts whose coverage lies between 2 and 100: how many samples which share of errors takes."""
    rows = []
    for delta in (0.5, 0.2, 0.1):
        mu = math.log(2 / delta)
        found = []
        for s in range(SEEDS):
            rng = stream("adaptive", s).generator()
            bests = 1 / np.exp(rng.uniform(math.log(2), math.log(100), size=PROMPTS))
            used, missed = [], 0
            for best in bests:
                law = policy(best, 0.1, rng)
                drawn = rng.choice(STRINGS, size=4000, p=law)
                k = stops_at(np.log(law[drawn]), mu) or len(drawn)
                used.append(k)
                missed += int(drawn[law[drawn[:k]].argmax()] != law.argmax())
            error = missed / PROMPTS
            # the least N, the same for all prompts, that misses no more
            fixed = next(n for n in range(1, 5000) if np.mean(1 - found_by(bests, n)) <= max(error, 1e-3))
            found.append({"used": float(np.mean(used)), "error": error, "fixed": fixed,
                          "coverage": coverage(np.log(bests))})  # fmt: skip
        rows.append({"delta": delta, "runs": found})
    return rows


# 3: beta and the margin ------------------------------------------------------------------------------
def sharp_by_beta() -> list[Row]:
    """How likely the optimum of the regression makes the likeliest string, by margin and beta."""
    rows = []
    for gap in (0.02, 1.0):
        law = policy(0.05, gap, stream("margin", str(gap)).generator())
        for beta in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003):
            best = float(tilted(law, beta)[law.argmax()])
            rows.append({"margin": margin(law), "beta": beta, "best": best})
    return rows


# 4: exploration --------------------------------------------------------------------------------------
def rare() -> tuple[Floats, NDArray[np.int64]]:
    """A law whose likeliest string begins with a letter that is hardly ever said, and goes on from it in one
    way; after any other letter all continuations are alike. And the first letters of all strings."""
    first = np.arange(STRINGS) // (STRINGS // LETTERS)
    law = np.where(first == 0, 0.0, (1 - 1e-3) / (STRINGS - STRINGS // LETTERS))
    law[0] = 1e-3
    return law, first


def explored(optimism: float, seed: int, *, online: bool, beta: float = 0.1, most: int = 4000) -> int:
    """How many samples it takes until the likeliest string has 1 - DELTA. The policy is the base times a
    factor for each first letter, ``pi(y) ~ pi_base(y) exp(theta[first(y)])``. ``most`` where it does not."""
    law, first = rare()
    rng = stream("rare", seed, int(online), str(optimism)).generator()
    base = np.bincount(first, weights=law, minlength=LETTERS)
    logs, config = np.log(np.maximum(law, 1e-300)), PreferenceConfig(kind="regression", beta=beta)
    theta = np.zeros(LETTERS)
    pairs: list[tuple[int, int]] = []
    drawn, lot = 0, 10
    while drawn < most:
        tilt = base * np.exp(theta - theta.max())
        letters = tilt / tilt.sum()
        if letters[0] >= 1 - DELTA:
            return drawn
        for _ in range(lot):
            y = _string(letters if online else base, law, first, rng)
            pairs.append((y, _string(base, law, first, rng)))
        drawn += 2 * lot
        theta = _fitted(pairs, first, logs, base, config, optimism, theta)
    return most


def _string(letters: Floats, law: Floats, first: NDArray[np.int64], rng: np.random.Generator) -> int:
    """A string whose first letter is drawn from ``letters`` and the rest from the base."""
    letter = int(rng.choice(LETTERS, p=letters))
    inside = law * (first == letter)
    return int(rng.choice(STRINGS, p=inside / inside.sum()))


def _fitted(
    pairs: list[tuple[int, int]],
    first: NDArray[np.int64],
    logs: Floats,
    base: Floats,
    config: PreferenceConfig,
    optimism: float,
    start: Floats,
) -> Floats:
    """The factors that minimise the mean regression loss plus ``optimism`` times the mean log-probability of
    the base's samples, within 40 nats of each other."""
    ys, bs = (np.array(side) for side in zip(*pairs, strict=True))
    gap = torch.as_tensor(logs[ys] - logs[bs])
    mine, theirs = torch.as_tensor(first[ys]), torch.as_tensor(first[bs])
    log_base = torch.as_tensor(np.log(np.maximum(base, 1e-300)))
    theta = torch.tensor(start, requires_grad=True)
    search = torch.optim.LBFGS([theta], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        away = theta - torch.logsumexp(theta + log_base, 0)  # log pi - log base, by first letter
        value = pair_loss(config, away[mine] - away[theirs], gap).mean()
        value = value + optimism * (away[theirs]).mean() + 1e-6 * (theta**2).sum()
        value.backward()
        return value

    search.step(loss)  # type: ignore[arg-type]
    return theta.detach().clamp(-20, 20).numpy()


def exploration() -> list[Row]:
    """Samples until sharp, by seed."""
    ways = [("offline", 0.0, False), ("online", 0.0, True)]
    ways += [(f"online, optimism {a:g}", a, True) for a in (1e-3, 1e-2, 1e-1)]
    return [
        {"way": name, "samples": [explored(a, s, online=online) for s in range(SEEDS)]}
        for name, a, online in ways
    ]


# the page --------------------------------------------------------------------------------------------
def collapse_table(found: Row) -> str:
    """Errors by coverage over N / C_cov."""
    rows = []
    for c in COVERAGES:
        at = [r for r in found["collapse"] if r["coverage"] == c]
        rows.append([f"C_cov = {c}", *(f"{100 * np.mean(r['errors']):.1f} (N={r['n']})" for r in at)])
    rows.append(["exp(-N / C_cov)", *(f"{100 * math.exp(-r):.1f}" for r in RATIOS)])
    heads = ["errors, %", *(f"N = {r:g} C_cov" for r in RATIOS)]
    gap = max(abs(float(np.mean(r["errors"])) - r["theory"]) for r in found["collapse"])
    return (
        f"{markdown(heads, rows)}\n\nShare of {PROMPTS} prompts whose label is not the likeliest of "
        f"{STRINGS} strings, means over {SEEDS} seeds; at most {100 * gap:.1f} points from (1 - 1/C_cov)^N. "
        f"`{COMMAND}`, {found['date']}."
    )


def adaptive_table(found: Row) -> str:
    """Samples of the adaptive rule against a fixed number with as few errors."""
    rows = []
    for row in found["adaptive"]:
        means = {k: float(np.mean([r[k] for r in row["runs"]])) for k in ("used", "error", "fixed")}
        ratios = [r["fixed"] / r["used"] for r in row["runs"]]
        rows.append([f"{row['delta']:g}", f"{100 * means['error']:.1f}", f"{means['used']:.0f}",
                     f"{means['fixed']:.0f}", f"{min(ratios):.1f} to {max(ratios):.1f}"])  # fmt: skip
    heads = ["delta", "errors, %", "samples a prompt", "the same N for all", "times as many"]
    return f"{markdown(heads, rows)}\n\nCoverage between 2 and 100, log-uniform; {SEEDS} seeds. `{COMMAND}`."


def beta_table(found: Row) -> str:
    """How likely the optimum makes the likeliest string."""
    margins = list(dict.fromkeys(r["margin"] for r in found["beta"]))
    betas = list(dict.fromkeys(r["beta"] for r in found["beta"]))
    held = {(r["margin"], r["beta"]): r["best"] for r in found["beta"]}
    rows = [[f"margin {m:.2f}", *(f"{held[m, b]:.3f}" for b in betas)] for m in margins]
    heads = ["probability of y*", *(f"beta = {b:g}" for b in betas)]
    return f"{markdown(heads, rows)}\n\nThe base gives y* 0.05. Exact. `{COMMAND}`."


def exploration_table(found: Row) -> str:
    """Samples until the likeliest string has 1 - DELTA."""
    rows = [
        [r["way"], f"{np.median(r['samples']):.0f}", f"{min(r['samples'])} to {max(r['samples'])}"]
        for r in found["exploration"]
    ]
    heads = ["", "samples until sharp, median", "range"]
    return (
        f"{markdown(heads, rows)}\n\nThe base gives y* 0.001, all of it behind a first letter that it hardly "
        f"says; {SEEDS} seeds, stopped at 4000. `{COMMAND}`."
    )


REGIONS = regions_of(
    RESULT,
    COMMAND,
    {
        "sharpening_collapse": collapse_table,
        "sharpening_adaptive": adaptive_table,
        "sharpening_beta": beta_table,
        "sharpening_exploration": exploration_table,
    },
)


def main() -> None:
    """Command line."""
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "command": COMMAND,
        "date": today(),
        "collapse": collapse(),
        "adaptive": adaptive(),
        "beta": sharp_by_beta(),
        "exploration": exploration(),
    }
    write(RESULT, result)


if __name__ == "__main__":
    main()
