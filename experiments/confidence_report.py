"""What the confidence experiment found, from its run folders: numbers with intervals, ready to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpen.measure.calibration import difference, ece
from sharpen.measure.intervals import question_bootstrap
from sharpen.measure.separation import auroc
from sharpen.runs.streams import stream
from sharpen.studio.calibrate import calibrate_run
from sharpen.studio.confidences import STATED, Items, Signal, read_items, signal_of
from sharpen.tasks.facts import SEEN
from sharpen.tasks.registry import make
from sharpen.verbs.seeds import seed_folder

CHAIN, FACTS = "chain:level=1,min_ops=1,max_ops=8", "facts:keys=700"
NAMES = {CHAIN: "chain", FACTS: "facts"}
PAIRS = (("S", "I"), ("S-idk", "I"), ("S-idk", "S"), ("R", "S"), ("R", "S-idk"))
"""(this, minus that)."""
DEALS = 200
EQUAL = 0.05
"""Shares of right answers that differ by no more than this are taken as equal."""
ENOUGH = 50
"""Items of a seed that an accuracy-matched part must have."""

Told = dict[str, Any]
Number = float | None
Index = NDArray[np.int64]


class Answers:
    """The answers of one child to one exam, all seeds pooled, in the order of seed and question."""

    def __init__(self, folder: Path, seeds: int, step: str) -> None:
        items = read_items([(seed_folder(folder, s), step) for s in range(seeds)])
        order = np.lexsort((items.questions, items.runs))
        self.questions, self.runs = items.questions[order], items.runs[order]
        self.correct, self.declined = items.correct[order] & ~items.declined[order], items.declined[order]
        self.confidence = _stated(items)[order]
        self.valid = items.attempted[order] & ~np.isnan(self.confidence)

    def ece(self, chosen: Index) -> Number:
        return ece(self.confidence[chosen], self.correct[chosen])

    def auroc(self, chosen: Index) -> Number:
        return auroc(self.confidence[chosen], self.correct[chosen])


def _stated(items: Items) -> NDArray[np.float64]:
    found = signal_of(items, STATED)
    return found.values if isinstance(found, Signal) else np.full(len(items.episodes), np.nan)


def report(folder: Path, seeds: int, children: Sequence[str]) -> Told:
    """Everything that the page shows of the runs below ``folder``."""
    answers = {
        (child, family): Answers(folder, seeds, f"{child}/exam/{family}/sample:0")
        for child in children
        for family in NAMES.values()
    }
    tasks = {t.id: t for source in NAMES for t in _asked(source, answers[children[0], NAMES[source]])}
    chains = {child: answers[child, "chain"] for child in children}
    ops = {i: len(t.data["ops"]) for i, t in tasks.items() if "ops" in t.data}
    seen = {i: t.data["seen"] for i, t in tasks.items() if "seen" in t.data}
    return {
        "exam": {c: {f: _exam(folder, c, f) for f in NAMES.values()} for c in children},
        "levels": {c: _levels(chains[c], ops) for c in children},
        "seen": {c: _seen(answers[c, "facts"], seen) for c in children},
        "differences": [d for pair in PAIRS for f in NAMES.values() for d in _differences(answers, *pair, f)],
        "matched": [_matched(chains["I"], chains[c], c, ops) for c in children if c != "I"],
        "placebos": {c: _placebos(chains[c]) for c in children},
        "plain": [_plain(folder, seeds, c, f, answers[c, f]) for c in children if c != "R"
                  for f in NAMES.values()],
        "temperatures": {c: {t: _exam(folder, c, "chain", f"T{t}") for t in ("0", "1")} for c in children},
        "rivals": {c: _rivals(folder, c) for c in children},
    }  # fmt: skip


def _asked(source: str, answers: Answers) -> Sequence[Any]:
    wanted = set(answers.questions.tolist())
    found = make(source).take("test", len(wanted))
    if {t.id for t in found} != wanted:
        raise ValueError(f"{source}: the exam asked other questions")
    return found


def _kept(found: Told) -> Told:
    """Of ``calibrate_run``, what the page shows of the stated confidence."""
    said = {s["name"]: s for s in found["signals"]}.get(STATED)
    out = {k: found[k] for k in ("episodes", "questions", "truncated", "unknown", "abstention")}
    if said is None:
        return out | {"n": 0, "invalid_share": None, "measures": {}}
    return out | {k: said[k] for k in ("n", "invalid_share", "problems", "warning", "measures", "undefined")}


def _exam(folder: Path, child: str, family: str, name: str = "exam") -> Told:
    forced = f"{child}/forced/sample:0" if family == "facts" else None
    step = f"{child}/{name}/{family}/sample:0"
    return _kept(calibrate_run(folder, step=step, signals=[STATED], forced=forced))


def _levels(a: Answers, ops: dict[str, int]) -> list[Told]:
    of = np.array([ops[q] for q in a.questions.tolist()])
    rows = []
    for low, high in ((1, 2), (3, 4), (5, 6), (7, 8)):
        chosen = (of >= low) & (of <= high)
        held = np.flatnonzero(chosen & a.valid)
        rows.append(
            {
                "ops": [low, high],
                "n": int(chosen.sum()),
                "accuracy": float(a.correct[chosen].mean()) if chosen.any() else None,
                "confidence": float(a.confidence[held].mean()) if len(held) else None,
                "ece": a.ece(held),
            }
        )
    return rows


def _seen(a: Answers, seen: dict[str, str]) -> Told:
    of = np.array([seen[q] for q in a.questions.tolist()])
    out = {}
    for name in SEEN:
        chosen = of == name
        said = a.confidence[chosen & a.valid]
        out[name] = {
            "n": int(chosen.sum()),
            "right": float(a.correct[chosen].mean()) if chosen.any() else None,
            "declined": float(a.declined[chosen].mean()) if chosen.any() else None,
            "confidence": float(said.mean()) if len(said) else None,
        }
    return out


def _bootstrap(of: NDArray[np.str_], statistic: Callable[[Index], Number], *names: str) -> list[Number]:
    return list(question_bootstrap(statistic, of, stream=stream("confidence", *names)))


def _differences(answers: dict[tuple[str, str], Answers], this: str, that: str, family: str) -> list[Told]:
    """This minus that, on identical items: calibration on those that both attempted and gave a confidence."""
    a, b = answers[this, family], answers[that, family]
    if not (np.array_equal(a.questions, b.questions) and np.array_equal(a.runs, b.runs)):
        raise ValueError(f"{this} and {that} were not asked the same")
    shares = {"accuracy": (a.correct, b.correct), "abstention": (a.declined, b.declined)}
    found: dict[str, tuple[int, Sequence[Number]]] = {
        name: (len(x), _share_change(x, y, a.questions)) for name, (x, y) in shares.items()
    }
    one, other = ((np.where(x.valid, x.confidence, np.nan), x.correct) for x in (a, b))
    for name, measure in (("ece", ece), ("auroc", auroc)):
        draws = stream("confidence", "difference")
        found[name] = difference(measure, one, other, a.questions, stream=draws)
    head = {"family": family, "this": this, "that": that}
    return [{**head, "measure": k, "items": n, "change": list(v)} for k, (n, v) in found.items()]


def _share_change(one: NDArray[np.bool_], other: NDArray[np.bool_], of: NDArray[np.str_]) -> list[Number]:
    gap = one.astype(float) - other
    return _bootstrap(of, lambda i: float(gap[i].mean()), "difference")


def _matched(one: Answers, other: Answers, name: str, ops: dict[str, int]) -> Told:
    """I on its easier chains and another child on its harder ones, cut where both are as often right."""
    of = np.array([ops[q] for q in one.questions.tolist()])
    enough = ENOUGH * (int(one.runs.max()) + 1)
    found: list[tuple[float, int, int, Index, Index]] = []
    for top in range(1, 9):
        for bottom in range(1, 9):
            easy, hard = np.flatnonzero(one.valid & (of <= top)), np.flatnonzero(other.valid & (of >= bottom))
            if min(len(easy), len(hard)) >= enough:
                gap = abs(float(one.correct[easy].mean()) - float(other.correct[hard].mean()))
                found.append((gap, top, bottom, easy, hard))
    closest = min((f[0] for f in found), default=1.0)
    if closest > EQUAL:
        return {"other": name, "closest": closest}
    # of cuts that match to a point, the one that keeps most
    near = [f for f in found if f[0] <= max(0.01, closest)]
    _, top, bottom, easy, hard = max(near, key=lambda f: min(len(f[3]), len(f[4])))
    out: Told = {"other": name, "top": top, "bottom": bottom}
    for label, a, chosen in (("I", one, easy), (name, other, hard)):
        ends = {
            "ece": _bootstrap(a.questions[chosen], lambda i, a=a, c=chosen: a.ece(c[i]), "matched"),
            "auroc": _bootstrap(a.questions[chosen], lambda i, a=a, c=chosen: a.auroc(c[i]), "matched"),
        }
        share = float(a.correct[chosen].mean())
        said = float(a.confidence[chosen].mean())
        out[label] = {"n": len(chosen), "accuracy": share, "confidence": said, **ends}
    return out


def _placebos(a: Answers) -> Told:
    """A constant confidence, with a bootstrap over questions; and the child's own ones dealt out at random,
    with the range of ``DEALS`` deals."""
    held = np.flatnonzero(a.valid)
    c, y, of = a.confidence[held], a.correct[held], a.questions[held]
    if not len(held):
        return {}
    constant = np.full(len(c), c.mean())
    rng = stream("confidence", "shuffled").generator()
    deals = [rng.permutation(c) for _ in range(DEALS)]
    told: Told = {"constant": {}, "shuffled": {}}
    for name, measure in (("ece", ece), ("auroc", auroc)):
        told["constant"][name] = _bootstrap(of, lambda i, m=measure: m(constant[i], y[i]), "constant")
        values = [v for v in (measure(d, y) for d in deals) if v is not None]
        ends = np.quantile(values, [0.025, 0.975]).tolist() if values else [None, None]
        told["shuffled"][name] = [float(np.mean(values)) if values else None, *ends]
    return told


def _plain(folder: Path, seeds: int, child: str, family: str, after: Answers) -> Told:
    """Accuracy with the stated confidence minus accuracy before it was taught."""
    before = Answers(folder, seeds, f"{child}/no-confidence/{family}/sample:0")
    asked = np.isin(after.questions, before.questions)  # fewer chains were asked before
    right, declined, of = after.correct[asked], after.declined[asked], after.questions[asked]
    if not np.array_equal(of, before.questions):
        raise ValueError(f"{child}: other questions were asked before")
    return {
        "child": child,
        "family": family,
        "before": float(before.correct.mean()),
        "change": _share_change(right, before.correct, of),
        "abstention": _share_change(declined, before.declined, of),
    }


def _rivals(folder: Path, child: str) -> Told:
    """Every confidence on the same attempts."""
    found = calibrate_run(folder, step=f"{child}/rivals/chain/sample:0")
    kept = ("ece", "auroc", "within", "aurc")
    return {s["name"]: {"n": s["n"], **{k: s["measures"].get(k) for k in kept}} for s in found["signals"]}
