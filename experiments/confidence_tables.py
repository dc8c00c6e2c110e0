"""The tables of the confidence experiment, from its result file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import regions
from regions import markdown

Told = dict[str, Any]
Three = Sequence[float | None]
CHILDREN = {"I": "I", "S": "S", "S-idk": "S'", "R": "R"}
"""Child in the result file -> its name in the paper's terms."""
FAMILIES = ("chain", "facts")
NONE = "–"
SHARES = ("accuracy", "abstention")


def share(x: float | None) -> str:
    return NONE if x is None else f"{100 * x:.1f}"


def number(x: float | None) -> str:
    return NONE if x is None else f"{x:.3f}"


def with_ends(values: Three | None, form: str, scale: float = 1.0) -> str:
    """A value with its interval."""
    if values is None or values[0] is None:
        return NONE
    value, low, high = (None if v is None else scale * v for v in values)
    return f"{value:{form}}" if low is None else f"{value:{form}} ({low:{form}} to {high:{form}})"


def caption(found: Told) -> str:
    """Where the numbers come from."""
    chain, facts = (found["exam"]["I"][f]["questions"] for f in FAMILIES)
    return (
        f"`{found['command']}`, {found['seeds']} seeds, {chain} chains and {facts} facts a child "
        f"and seed, base {found['base']} ({found['checksum'][:8]}), {found['date']}, "
        f"{found['seconds'] / 60:.0f} minutes."
    )


def exam(found: Told) -> str:
    """Every child on both families."""
    heads = ["child", "on", "right", "I don't know", "invalid", "valid", "mean confidence", "ECE", "AUROC",
             "AUPRC-P", "AUPRC-N", "Brier"]  # fmt: skip
    rows = []
    for family in FAMILIES:
        for child, name in CHILDREN.items():
            e = found["exam"][child][family]
            m = e["measures"]
            rows.append(
                [
                    name,
                    family,
                    share(e["abstention"]["accuracy"]),
                    share(e["abstention"]["rate"]),
                    share(e["invalid_share"]),
                    f"{e['n']:,}",
                    share((m.get("confidence") or [None])[0]),
                    with_ends(m.get("ece"), ".3f"),
                    with_ends(m.get("auroc"), ".3f"),
                    *(number((m.get(k) or [None])[0]) for k in ("auprc_right", "auprc_wrong", "brier")),
                ]
            )
    warned = [e["warning"] for c in found["exam"].values() for e in c.values() if e.get("warning")]
    told = f" Invalid above 1.5 %: {len(warned)} of {2 * len(CHILDREN)} rows." if warned else ""
    return (
        f"{markdown(heads, rows, left=2)}\n\nRight, I don't know, invalid and confidence in percent: the "
        f"first two of all answers, invalid of those attempted; all else over valid ones.{told} 95 % "
        f"intervals: bootstrap over questions, all seeds of one together. {caption(found)}"
    )


def levels(found: Told) -> str:
    """Right and said by operations."""
    spans = [f"{a}-{b}" for a, b in (row["ops"] for row in found["levels"]["I"])]
    rows = [
        [name, *(f"{share(r['accuracy'])} / {share(r['confidence'])}" for r in found["levels"][child])]
        for child, name in CHILDREN.items()
    ]
    heads = ["right / said, by operations", *spans]
    return f"{markdown(heads, rows)}\n\nIn percent. {caption(found)}"


def seen(found: Told) -> str:
    """Right, declined and said by how often a key was told."""
    kinds = list(found["seen"]["I"])
    rows = []
    for child, name in CHILDREN.items():
        cells = [found["seen"][child][k] for k in kinds]
        forced = found["exam"][child]["facts"]["abstention"]["precision"]
        told = [f"{share(c['right'])} / {share(c['declined'])} / {share(c['confidence'])}" for c in cells]
        rows.append([name, *told, share(forced)])
    counts = [f"{k} ({found['seen']['I'][k]['n'] // found['seeds']})" for k in kinds]
    heads = ["right / I don't know / said", *counts, "wrong when forced"]
    return (
        f"{markdown(heads, rows)}\n\nIn percent; in brackets, how many keys of the exam. A key that was "
        f"never told is answered rightly by I don't know. Wrong when forced: of the declined questions, "
        f"asked again with the first letter of I don't know banned. {caption(found)}"
    )


def differences(found: Told) -> str:
    """Children compared on identical items."""
    wanted = [("chain", "accuracy"), ("chain", "ece"), ("chain", "auroc"), ("facts", "accuracy"),
              ("facts", "abstention"), ("facts", "ece")]  # fmt: skip
    labels = ["chain: right", "ECE", "AUROC", "facts: right", "I don't know", "ECE"]
    pairs = dict.fromkeys((d["this"], d["that"]) for d in found["differences"])
    rows = []
    for this, that in pairs:
        cells = []
        for family, measure in wanted:
            change = difference(found, this, that, family, measure)
            scaled = measure in SHARES
            cells.append(with_ends(change, "+.1f" if scaled else "+.3f", 100.0 if scaled else 1.0))
        rows.append([f"{CHILDREN[this]} minus {CHILDREN[that]}", *cells])
    return (
        f"{markdown(['', *labels], rows)}\n\nRight and I don't know in points, of all items; ECE and AUROC "
        f"on the items to which both gave an answer with a valid confidence. {caption(found)}"
    )


def difference(found: Told, this: str, that: str, family: str, measure: str) -> Three:
    """The change that the result file holds."""
    (held,) = [
        d["change"]
        for d in found["differences"]
        if (d["this"], d["that"], d["family"], d["measure"]) == (this, that, family, measure)
    ]
    return held


def matched(found: Told) -> str:
    """I and another child, each on chains of which it gets as many right."""
    rows = []
    for m in found["matched"]:
        other = m["other"]
        if "top" not in m:
            rows.append(["I and " + CHILDREN[other], "no two parts match to 5 points", *[NONE] * 5])
            continue
        for label, name, part in (
            ("I", "I", f"up to {m['top']}"),
            (other, CHILDREN[other], f"from {m['bottom']}"),
        ):
            e = m[label]
            cells = [share(e["accuracy"]), share(e["confidence"]), with_ends(e["ece"], ".3f"),
                     with_ends(e["auroc"], ".3f")]  # fmt: skip
            rows.append([name, f"{part} operations", f"{e['n']:,}", *cells])
    return markdown(["child", "chains", "items", "right", "said", "ECE", "AUROC"], rows, left=2)


def controls(found: Told) -> str:
    """Accuracy-matched parts, false confidences, no confidence, other temperatures."""
    placebos = [
        [CHILDREN[child], with_ends(found["exam"][child]["chain"]["measures"].get("ece"), ".3f"),
         *(with_ends(found["placebos"][child].get(kind, {}).get(k), ".3f")
           for kind in ("constant", "shuffled") for k in ("ece", "auroc"))]
        for child in CHILDREN
    ]  # fmt: skip
    plain = [
        [CHILDREN[p["child"]], p["family"], share(p["before"]), with_ends(p["change"], "+.1f", 100.0),
         with_ends(p["abstention"], "+.1f", 100.0)]
        for p in found["plain"]
    ]  # fmt: skip
    dealt = ["child", "its own: ECE", "constant: ECE", "AUROC", "shuffled: ECE", "AUROC"]
    before = ["child", "on", "right before", "right: change", "I don't know: change"]
    heat = []
    for child, name in CHILDREN.items():
        held = [
            found["temperatures"][child]["0"],
            found["exam"][child]["chain"],
            found["temperatures"][child]["1"],
        ]
        cells = [
            f"{share(h['abstention']['accuracy'])} / {number((h['measures'].get('ece') or [None])[0])} / "
            f"{number((h['measures'].get('auroc') or [None])[0])}"
            for h in held
        ]
        heat.append([name, *cells])
    return "\n\n".join(
        [
            "**Equal accuracy.** I on its easier chains, the other on its harder ones, cut where both are "
            f"right about as often.\n\n{matched(found)}",
            "**False confidences**, on chains: for every answer the child's own mean (constant), and its own "
            "confidences dealt out at random (shuffled; the range of 200 deals).\n\n"
            + markdown(dealt, placebos),
            "**No confidence.** The same child before it was taught to state one; changes in points.\n\n"
            + markdown(before, plain, left=2),
            "**Temperature**, on chains: right (percent) / ECE / AUROC.\n\n"
            + markdown(["child", "greedy", "T=0.6, top-p 0.95 (all chains)", "T=1"], heat),
            caption(found),
        ]
    )


def rivals(found: Told) -> str:
    """Other confidences on the same attempts."""
    rows = []
    for child, name in CHILDREN.items():
        for signal, m in found["rivals"][child].items():
            cells = [with_ends(m.get(k), ".3f") for k in ("auroc", "within", "aurc", "ece")]
            rows.append([name, signal, f"{m['n']:,}", *cells])
    heads = ["child", "confidence", "valid", "AUROC", "inside a question", "area under risk-coverage", "ECE"]
    plan = found["plan"]
    return (
        f"{markdown(heads, rows, left=2)}\n\n{plan['rivals']} chains, {plan['rival_samples']} attempts each "
        f"at T=1. {caption(found)}"
    )


def words(found: Told) -> str:
    """The paper's findings, held against the numbers."""
    lines = [
        _line(found, "S is right more often than I on chains", "S", "I", "chain", "accuracy", 1),
        _line(found, "S is better calibrated than I on chains", "S", "I", "chain", "ece", -1),
        _line(found, "R is better calibrated than S on chains", "R", "S", "chain", "ece", -1),
        _line(found, "R is better calibrated than S on facts, too", "R", "S", "facts", "ece", -1),
        _line(found, "S says I don't know less often than I", "S", "I", "facts", "abstention", -1),
        _line(found, "S', with the same examples of it, also does", "S-idk", "I", "facts", "abstention", -1),
        _line(found, "S is worse calibrated than I on facts", "S", "I", "facts", "ece", 1),
        _line(found, "S' is worse calibrated than I on facts", "S-idk", "I", "facts", "ece", 1),
    ]
    by_name = {m["other"]: m for m in found["matched"]}
    if "top" not in by_name["S"]:
        lines.append("- At equal accuracy: cannot be told, no parts of the chains match (below).")
    else:
        one, other = by_name["S"]["I"], by_name["S"]["S"]
        low, high = sorted((one["ece"], other["ece"]), key=lambda e: e[0])
        apart = "apart" if low[2] < high[1] else "not apart"
        lines.append(
            f"- At equal accuracy ({share(one['accuracy'])} and {share(other['accuracy'])} %) the ECE of I "
            f"is {number(one['ece'][0])}, that of S {number(other['ece'][0])}: the intervals are {apart}."
        )
    return "\n".join([*lines, "", caption(found)])


def _line(found: Told, claim: str, this: str, that: str, family: str, measure: str, sign: int) -> str:
    value, low, high = difference(found, this, that, family, measure)
    if value is None or low is None or high is None:
        return f"- {claim}: cannot be told."
    seen_so = "so here" if (low > 0 if sign > 0 else high < 0) else None
    other = "the other way round" if (high < 0 if sign > 0 else low > 0) else "not apart from 0"
    scaled = measure in SHARES
    told = with_ends((value, low, high), "+.1f" if scaled else "+.3f", 100.0 if scaled else 1.0)
    return f"- {claim}: {told}{' points' if scaled else ''}, **{seen_so or other}**."


KINDS: dict[str, Callable[[Told], str]] = {
    "confidence_words": words,
    "confidence_exam": exam,
    "confidence_levels": levels,
    "confidence_seen": seen,
    "confidence_differences": differences,
    "confidence_controls": controls,
    "confidence_rivals": rivals,
}
"""Kind of region -> what writes it."""


def region(kind: str, base: str) -> str:
    """The body of a region on this base."""
    path = regions.RESULTS / f"confidence-{base}.json"
    return regions.from_result(path, f"python experiments/confidence.py --base {base}", KINDS[kind])
