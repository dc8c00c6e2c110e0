"""The tables of Self-PRM's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from certainty_tables import points, share
from regions import RESULTS, from_result, markdown

KINDS = ("judging",)
CONTROLS = ("Self-PRM, judgments shuffled",)
BANDS = {
    "hard": "hard: up to 10 % of the other samples right",
    "middle": "middle: up to 50 %",
    "easy": "easy: more",
    "none_right": "no sample right (ceiling 0)",
    "all": "all",
}
Found = Mapping[str, Any]


def region(kind: str, base: str) -> str:
    """The body of the region KIND-BASE."""
    return from_result(RESULTS / f"{kind}-{base}.json", "python experiments/judging.py", whole)


def whole(found: Found) -> str:
    """All tables, and how they were made."""
    told = (
        f"{found['questions']:,} questions of `{found['tasks']}`, {found['seeds']} seeds, base "
        f"{found['base'][:8]}; a sample takes {found['tokens']:.0f} tokens, a judgment "
        f"{found['judge_tokens']:.0f}. One run: `{found['command']}`. `{found['made_by']}`, {found['date']}. "
        "95 % intervals over seeds and questions."
    )
    return "\n\n".join([rules(found), pairs(found), accepted(found), benchmark(found), told])


def rules(found: Found) -> str:
    """Accuracy of every rule by N, best first; then the control and the ceiling."""
    told = found["rules"]
    sizes = sorted({n for name in told for n in told[name] if name != "greedy"}, key=int)
    plain = [n for n in told if n not in (*CONTROLS, "any right", "greedy")]
    plain.sort(key=lambda n: -told[n][sizes[-1]]["mean"])
    names = {n: n for n in plain} | {n: f"{n} (control)" for n in CONTROLS}
    names["any right"] = "any of N right (ceiling)"
    rows = [[label, *(share(told[name][n]) for n in sizes)] for name, label in names.items()]
    rows.append(["greedy, one answer", share(told["greedy"]["1"]), *[""] * (len(sizes) - 1)])
    return markdown(["rule", *(f"N={n}" for n in sizes)], rows)


def pairs(found: Found) -> str:
    """Paired differences at equal samples, and at about equal tokens."""
    equal = [p for p in found["pairs"] if p["n"] == p["m"]]
    sizes = sorted({p["n"] for p in equal})
    by = {(p["a"], p["b"], p["n"]): p for p in equal}
    rows = [
        [f"{a} – {b}", *(points(by[a, b, n]) for n in sizes)]
        for a, b in dict.fromkeys((p["a"], p["b"]) for p in equal)
    ]
    for p in found["pairs"]:
        if p["n"] != p["m"]:
            cells = [points(p) if n == p["n"] else "" for n in sizes]
            rows.append([f"{p['a']} of {p['n']} – {p['b']} of {p['m']} (equal tokens)", *cells])
    return markdown(["difference in points", *(f"N={n}" for n in sizes)], rows)


def accepted(found: Found) -> str:
    """Precision and recall of "this solution is right" by difficulty, by the judge and by solving again."""
    told = found["acceptance"]
    rows = []
    for band, label in BANDS.items():
        judge, again = told["judge"][band], told["solving again"][band]
        rows.append(
            [label, f"{judge['n']:,}", percent(judge["correct"], judge["n"]), of(judge["precision"]),
             of(judge["recall"]), of(again["precision"]), of(again["recall"])]
        )  # fmt: skip
    heads = ["solutions", "how many", "right, %", "judge: precision, %", "recall, %"]
    heads += ["solving again: precision, %", "recall, %"]
    return markdown(heads, rows)


def benchmark(found: Found) -> str:
    """First-error F1 on solutions by others, and whether it hangs on solving, seed by seed."""
    rows = [
        [
            b["kind"],
            *(str(b[name]) for name in ("seed", "items", "with_error", "unread")),
            *(of(b[name]) for name in ("acc_err", "acc_cor", "f1")),
            *(number(b[name], form) for name, form in (("chi2", ".1f"), ("p", ".2g"), ("phi", ".2f"))),
            *(of(b[name]) for name in ("given_solved", "given_not")),
        ]
        for b in found["benchmark"]
    ]
    heads = [
        "errors",
        "seed",
        "items",
        "with error",
        "unread",
        "first error named, %",
        "accepted where right, %",
    ]
    heads += ["F1, %", "chi2", "p", "phi", "judged rightly where solved, %", "where not, %"]
    return markdown(heads, rows)


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


def of(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
