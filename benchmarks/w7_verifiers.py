"""W7, verifiers: 100,000 numeric and 2,000 LaTeX answers through the killable pool.

What is right is known of every answer, so the errors of both sides are counted and their disagreements kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import inputs
import latex
import numerals
from measuring import OURS, Clock, Side, run_side
from workload import HERE, Job, Workload, peer

NUMERIC, LATEX = 100_000, 2_000
Judged = list[bool | None]


def judged(pool: Any, drawn: Sequence[Sequence[str]]) -> Judged:
    """Right, wrong (also where an answer could not be read) or None: the verifier gave no verdict."""
    jobs = [{"gold": gold, "completion": f"\\boxed{{{answer}}}"} for gold, answer, _ in drawn]
    return [
        None if o.how != "answered" or o.value["status"] == "bad_gold" else o.value["score"] == 1.0
        for o in pool.map(jobs)
    ]


def told(drawn: Sequence[Sequence[Any]], found: Judged) -> dict[str, Any]:
    """Counts that both sides share, and the verdicts as a string of 1, 0 and ?."""
    errors = {
        "accepted": sum(said is True and not equal for (_, _, equal), said in zip(drawn, found, strict=True)),
        "refused": sum(
            said is False and bool(equal) for (_, _, equal), said in zip(drawn, found, strict=True)
        ),
        "unknown": found.count(None),
    }
    marks = "".join("?" if said is None else str(int(said)) for said in found)
    return {"unit": "answers", "work": {"answers": len(drawn)}, "errors": errors, "verdicts": marks}


def main(job: Job) -> dict[str, Any]:
    """Our side: as many workers as threads, started and warm before the clock runs."""
    from sharpen.score.pool import Pool

    with Pool("sharpen.score.maths:check", workers=job["workers"]) as pool:
        judged(pool, job["answers"][: 64 * job["workers"]])
        clock = Clock()
        found = judged(pool, job["answers"])
        spent = clock.read()
        return {**spent, **told(job["answers"], found), "replaced": pool.replaced}


@cache
def drawn_cases(kind: Any, total: int) -> list[tuple[str, str, bool]]:
    """Gold, answer and whether they are equal."""
    return [(c.gold, c.answer, c.equal) for c in kind.cases(total)]


def job(kind: Any, total: int, smoke: bool, repeat: int, repeats: int) -> Job:
    """Each repeat takes its share of the answers."""
    drawn = drawn_cases(kind, 130 if smoke else total)
    return {"answers": inputs.part(drawn, repeat, repeats), "workers": 2, "seed": repeat}


def disagreements(job: Job, ours: str, theirs: str) -> list[list[Any]]:
    """Gold, answer, whether they are equal, our verdict and theirs, where the two differ."""
    return [
        [gold, answer, int(equal), a, b]
        for (gold, answer, equal), a, b in zip(job["answers"], ours, theirs, strict=True)
        if a != b
    ]


OUR_SIDE = Side(OURS, HERE / "w7_verifiers.py")
THEIRS = peer("math-verify", "math_verify_pool.py", "trl")

W7 = Workload(
    "W7",
    "verifiers: 100,000 numeric answers",
    lambda smoke, k, n: job(numerals, NUMERIC, smoke, k, n),
    OUR_SIDE,
    (THEIRS,),
    {"math-verify": 20.0},
    ("answers",),
)
W7L = Workload(
    "W7l",
    "verifiers: 2,000 LaTeX answers",
    lambda smoke, k, n: job(latex, LATEX, smoke, k, n),
    OUR_SIDE,
    (THEIRS,),
    {"math-verify": 1.2},
    ("answers",),
)

if __name__ == "__main__":
    run_side(main)
