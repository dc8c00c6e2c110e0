"""Math-Verify in a ``multiprocessing`` pool, called as its documentation does, with its own time limits.

As many processes as ours has; 32 answers a message, which is no slower than other sizes here.
"""

import logging
import multiprocessing
from typing import Any

import math_verify
import side


def quiet() -> None:
    """It logs every answer that it cannot read."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)


def check(pair: list[str]) -> bool | None:
    """Whether answer and gold are equal; None where the gold cannot be read."""
    wanted, given = (math_verify.parse(f"\\boxed{{{text}}}") for text in pair)
    return bool(math_verify.verify(wanted, given)) if wanted else None


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Start the pool, warm it up, time it."""
    pairs = [[gold, answer] for gold, answer, _ in job["answers"]]
    with multiprocessing.get_context("spawn").Pool(job["workers"], initializer=quiet) as pool:
        pool.map(check, pairs[: 64 * job["workers"]], chunksize=32)
        clock = side.Clock()
        found = pool.map(check, pairs, chunksize=32)
        spent = clock.read()
    truth = [bool(equal) for _, _, equal in job["answers"]]
    errors = {
        "accepted": sum(said is True and not right for said, right in zip(found, truth, strict=True)),
        "refused": sum(said is False and right for said, right in zip(found, truth, strict=True)),
        "unknown": found.count(None),
    }
    marks = "".join("?" if said is None else str(int(said)) for said in found)
    work = {"answers": len(pairs)}
    return {**spent, "unit": "answers", "work": work, "errors": errors, "verdicts": marks}


if __name__ == "__main__":
    side.run(main)
