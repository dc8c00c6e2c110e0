"""What finished steps cost, from their manifest lines alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sharpen.runs.step import verb_of

REFILL = "refill"
"""Scopes whose samples make up for dead groups begin with this."""


def cost(steps: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Samples and tokens drawn, by purpose where a scope names one, calls of strategies, and updates made.

    ``steps`` are the manifest's lines of finished steps.
    """
    spent = {
        "samples": 0,
        "tokens": 0,
        "samples_held_out": 0,
        "samples_search": 0,
        "samples_refill": 0,
        "calls": 0,
        "updates": 0,
        "rows_learnt": 0,
    }
    for line in steps:
        verb = verb_of(line["step"])
        if verb == "sample":
            scope = line["step"].split("/")
            purpose = "held_out" if "held_out" in scope or "validation" in scope else "training"
            purpose = "search" if "balance" in scope else purpose
            purpose = "refill" if any(part.startswith(REFILL) for part in scope) else purpose
            spent["samples" if purpose == "training" else f"samples_{purpose}"] += line["result"].get(
                "samples", 0
            )
            spent["tokens"] += line["result"].get("tokens", 0)
        if verb == "solve":
            spent["calls"] += line["result"]["calls"]
            spent["tokens"] += line["result"].get("tokens", 0)
        if verb == "learn" and line["result"]["rows"]:
            spent["updates"] += line["inputs"]["learn"]["steps"]
            spent["rows_learnt"] += line["inputs"]["learn"]["steps"] * line["inputs"]["learn"]["batch_rows"]
    return spent
