"""Rewards for answers behind thinking: ``verifier=sharpen.score.thought:number_after``."""

from __future__ import annotations

from sharpen.score.answers import extract_answer, same_number

CLOSED = "</think>"


def number_after(prompt: str, completion: str, answer: str) -> float:
    """1.0 where the final answer behind the last ``</think>`` is the same number as ``answer``, on the same
    line or a later one; 0.0 where it is not, or nothing was closed."""
    _, closed, said = completion.rpartition(CLOSED)
    found = extract_answer(said.lstrip()) if closed else None
    return float(found is not None and same_number(gold=answer, answer=found))
