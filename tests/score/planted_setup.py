"""A check that is set up first, for the pool's tests."""

from __future__ import annotations

from collections.abc import Callable

from planted import check


def checker(bonus: float, places: dict[str, str]) -> Callable[..., dict]:
    """A check as outside sources want it: right is the gold text, and every answer gets a bonus."""

    def judged(gold: str, completion: str) -> dict:
        if completion in ("unread", "unsure", "nan"):
            status = {"unread": "unparsable", "unsure": "abstain", "nan": "ok"}[completion]
            score = float("nan") if completion == "nan" else 0.0
            return {"score": score, "parts": {"correct": 0.0}, "status": status, "detail": completion}
        check(completion)
        right = float(completion == gold)
        parts = {"right": right, "bonus": bonus, "correct": right}
        return {"score": right + bonus, "parts": parts, "status": "ok", "detail": f"{completion} is {gold}"}

    return judged
