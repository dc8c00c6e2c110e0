"""The tables of self-certainty's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regions import RESULTS, from_result, markdown

SIZES = ("4", "8", "16", "32")
CONTROLS = ("shuffled", "longest", "self-certainty of an untrained model")
SIGNALS = {
    "certainty": "self-certainty",
    "logprob": "average log-probability",
    "entropy": "negative entropy",
    "length": "length (control)",
    "untrained": "self-certainty of an untrained model (control)",
}
Found = Mapping[str, Any]


def share(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def points(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def rules(family: Found) -> str:
    """Accuracy of every rule by N, best at the largest N first; then the controls and the ceiling."""
    told = family["rules"]
    largest = max((n for n in SIZES if n in told["first"]), key=int)
    sizes = [n for n in SIZES if n in told["first"]]
    ceiling, greedy = "any right", "greedy"

    def row(name: str, label: str = "") -> list[str]:
        found = told[name]
        return [label or name, *(share(found[n]) if n in found else "" for n in sizes), closed(name)]

    def closed(name: str) -> str:
        low, high = told["first"][largest]["mean"], told[ceiling][largest]["mean"]
        return f"{100 * (told[name][largest]['mean'] - low) / (high - low):.0f} %" if high > low else "–"

    controls = [n for n in told if n.startswith(CONTROLS)]
    plain = [n for n in told if n not in (*controls, ceiling, greedy)]
    plain.sort(key=lambda n: -told[n][largest]["mean"])
    rows = [row(n) for n in plain]
    rows += [row(n, f"{n} (control)") for n in controls]
    rows.append(row(ceiling, "any of N right (ceiling)"))
    rows.append(["greedy, one answer", share(told[greedy]["1"]), *[""] * (len(sizes) - 1), ""])
    return markdown(["rule", *(f"N={n}" for n in sizes), "gap closed"], rows)


def pairs(family: Found) -> str:
    """Paired differences."""
    sizes = sorted({p["n"] for p in family["pairs"]})
    names = dict.fromkeys((p["a"], p["b"]) for p in family["pairs"])
    by = {(p["a"], p["b"], p["n"]): p for p in family["pairs"]}
    rows = [[f"{a} – {b}", *(points(by[a, b, n]) for n in sizes)] for a, b in names]
    return markdown(["difference in points", *(f"N={n}" for n in sizes)], rows)


def signals(family: Found) -> str:
    """Separation and length bias."""
    rows = []
    for name, told in family["signals"].items():
        within = told["within"]
        rows.append(
            [
                SIGNALS[name],
                f"{within['mean']:.3f} ({within['low']:.3f} to {within['high']:.3f})",
                spread(told["pooled"]),
                spread(told["length"]) if name != "length" else "",
            ]
        )
    heads = ["signal", "AUROC within questions", "AUROC pooled, each seed", "rank correlation with length"]
    return markdown(heads, rows)


def spread(values: list[float | None]) -> str:
    """The values of the seeds."""
    return ", ".join("–" if v is None else f"{v:.3f}" for v in values)


def whole(found: Found) -> str:
    """All tables of a result, family by family."""
    parts = []
    for family in found["families"]:
        distinct = f"{family['distinct']:.1f} different answers a question on average"
        parts.append(f"### `{family['tasks']}`\n{rules(family)}\n\n{pairs(family)}\n\n{signals(family)}")
        parts.append(
            f"{family['questions']:,} questions, {family['seeds']} seeds, {distinct}, "
            f"base {family['base'][:8]}; the runs are `{family['commands'][0]}` and the other seeds."
        )
    return "\n\n".join(
        [*parts, f"`{found['made_by']}`, {found['date']}. 95 % intervals over seeds and questions."]
    )


KINDS: dict[str, Callable[[Found], str]] = {"certainty": whole}


def region(kind: str, base: str) -> str:
    """The body of the region KIND-BASE."""
    path = RESULTS / f"certainty-{base}.json"
    return from_result(path, f"python experiments/certainty.py --base {base}", KINDS[kind])
