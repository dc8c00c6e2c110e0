"""New prompts: what a model proposes, without what is known (Self-Instruct's filters, arXiv 2212.10560)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHORTEST, LONGEST = 3, 150
"""A prompt of so many words or fewer, or of more than so many, is dropped."""


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """ROUGE-L F of two word lists, in [0, 1]: twice their longest common subsequence over all their words."""
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for x in a:
        above = 0  # what the row before had one place to the left
        for j, y in enumerate(b, 1):
            here = row[j]
            row[j] = above + 1 if x == y else max(here, row[j - 1])
            above = here
    return 2 * row[-1] / (len(a) + len(b))


def grams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """The runs of ``n`` words; of a shorter text the whole of it."""
    size = min(n, len(words))
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)} if size else set()


@dataclass(frozen=True, slots=True)
class Novelty:
    """When a prompt counts as new.

    Attributes:
        likeness: it is dropped where its ROUGE-L F against a seed or an accepted prompt is above this; 1
            drops none.
        ngram: it is dropped where it shares so many words in a row with a held-out question.
    """

    likeness: float = 0.7
    ngram: int = 8


def novel(
    candidates: Iterable[str], seeds: Iterable[str], held_out: Iterable[str], rule: Novelty
) -> tuple[list[int], dict[str, int]]:
    """Positions of the candidates that are new, in order, and where all went.

    Exact repeats of seeds, of accepted ones and of held-out questions go whatever the rule.
    """
    known = {tuple(t.split()) for t in seeds}
    banned = {tuple(t.split()) for t in held_out}
    runs = {g for words in banned for g in grams(words, rule.ngram)}
    held = [(words, Counter(words)) for words in known]
    kept: list[int] = []
    ledger = Counter({"candidates": 0, "length": 0, "held_out": 0, "known": 0, "alike": 0})
    for i, text in enumerate(candidates):
        words = tuple(text.split())
        ledger["candidates"] += 1
        if not SHORTEST < len(words) <= LONGEST:
            ledger["length"] += 1
        elif words in banned or grams(words, rule.ngram) & runs:
            ledger["held_out"] += 1
        elif words in known:
            ledger["known"] += 1
        elif _alike(words, held, rule.likeness):
            ledger["alike"] += 1
        else:
            kept.append(i)
            known.add(words)
            held.append((words, Counter(words)))
    return kept, {**ledger, "kept": len(kept)}


def _alike(words: Sequence[str], held: Sequence[tuple[Sequence[str], Counter[str]]], most: float) -> bool:
    if most >= 1:
        return False
    bag = Counter(words)
    for other, others in held:
        # a common subsequence is no longer than the words in common
        reach = 2 * sum(min(n, others[w]) for w, n in bag.items()) / (len(words) + len(other))
        if reach > most and rouge_l(words, other) > most:
            return True
    return False
