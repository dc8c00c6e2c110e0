"""From episodes and gold texts to rows, with a ledger that adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError
from sharpen.learn.row import Row
from sharpen.sample.episode import Episode


@dataclass(frozen=True, slots=True)
class RowLedger:
    """Where the given rows went; ``given == kept + too_long + empty``.

    Attributes:
        given: rows offered.
        kept: rows that a learner will see.
        too_long: keys of those longer than the limit.
        empty: keys of those without a weighted token.
    """

    given: int
    kept: int
    too_long: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.given != self.kept + len(self.too_long) + len(self.empty):
            raise AssertionError(f"row ledger does not add up: {self}")


def row_of(episode: Episode, weight: float = 1.0) -> Row:
    """The row of an episode: its spans end to end, exactly as sampled.

    ``weight`` lies on every token of the trainable sampled spans, the sampled end token included, and 0
    on everything else. ``old_logprob`` holds what the engine said under the sampling law, in nats; where it
    did not say of every token, the row has none. ``kept`` holds what a truncating law kept.
    """
    weights, old = [], []
    kept: list[NDArray[np.int32] | None] = []
    for span in episode.spans:
        n = len(span.tokens)
        learnt = span.trainable and span.sampled is not None
        weights.append(np.full(n, weight if learnt else 0.0, dtype=np.float32))
        kept += span.sampled.kept if span.sampled is not None and span.sampled.kept else [None] * n
        old.append(span.sampled.logprobs if span.sampled is not None else np.zeros(n, dtype=np.float32))
    arrays = {"weight": np.concatenate(weights)}
    said = np.concatenate(old).astype(np.float32, copy=False)
    if not np.isnan(said).any():
        arrays["old_logprob"] = said
    cut = any(ids is not None for ids in kept)
    tokens = episode.tokens.astype(np.int32, copy=False)
    return Row(tokens, arrays, key=episode.key, kept=tuple(kept) if cut else None)


def row_of_text(
    prompt_ids: ArrayLike,
    completion_ids: ArrayLike,
    *,
    key: str = "",
    weight: float = 1.0,
    eos_id: int | None = None,
) -> Row:
    """The row of an authored text (gold): the prompt has weight 0, the completion ``weight``.

    Args:
        prompt_ids: ints ``(P,)``, P >= 1: the first token of a row is never a target.
        completion_ids: ints ``(C,)``.
        eos_id: appended to the completion, with weight, unless None.
    """
    prompt = np.asarray(prompt_ids, dtype=np.int32)
    completion = np.asarray(completion_ids, dtype=np.int32)
    if eos_id is not None:
        completion = np.append(completion, np.int32(eos_id))
    if len(prompt) == 0:
        raise SharpenError(f"row {key!r}: a prompt needs at least one token")
    weights = np.zeros(len(prompt) + len(completion), dtype=np.float32)
    weights[len(prompt) :] = weight
    return Row(np.concatenate([prompt, completion]), {"weight": weights}, key=key)


def distinct(rows: Iterable[Row]) -> tuple[list[Row], list[int]]:
    """The rows of different tokens, each the first of its kind; and of each given row the place of the one
    among them that has its tokens. Attempts of a small model, or at an easy question, are often alike."""
    places: dict[bytes, int] = {}
    once: list[Row] = []
    where: list[int] = []
    for row in rows:
        place = places.setdefault(row.tokens.tobytes(), len(once))
        if place == len(once):
            once.append(row)
        where.append(place)
    return once, where


@dataclass(frozen=True, slots=True)
class Laid:
    """Rows as a model goes through them: a prompt that several begin with stands once, before what follows.

    Attributes:
        sequences: int32 ids; parents: of each the place of the prompt that it goes on from, -1 without one.
        prompts: of each row how many tokens its prompt has, 0 where it is whole.
        starts: of each row the place of its prompt's first token, and of the first one behind it, when all
            sequences stand end to end, ``(rows, 2)``.
    """

    sequences: list[NDArray[np.int32]]
    parents: list[int]
    prompts: NDArray[np.int64]
    starts: NDArray[np.int64]

    def places(self, row: int, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these tokens of a row stand."""
        cut, (first, behind) = self.prompts[row], self.starts[row]
        return np.where(tokens < cut, first + tokens, behind + tokens - cut)


def laid(rows: Sequence[Row], *, shared: bool = True) -> Laid:
    """Rows laid out for a model; without ``shared`` each as it is."""
    families = [prompt_of(row) if shared else b"" for row in rows]
    many = Counter(families)
    sequences: list[NDArray[np.int32]] = []
    parents: list[int] = []
    known: dict[bytes, int] = {}
    of, cuts = [], []
    for row, family in zip(rows, families, strict=True):
        cut = len(family) // row.tokens.itemsize if many[family] > 1 else 0
        if cut and family not in known:
            known[family] = len(sequences)
            sequences.append(row.tokens[:cut])
            parents.append(-1)
        of.append(len(sequences))
        cuts.append(cut)
        sequences.append(row.tokens[cut:])
        parents.append(known[family] if cut else -1)
    begins = np.cumsum([0, *map(len, sequences)])
    starts = [(begins[parents[i]] if parents[i] >= 0 else begins[i], begins[i]) for i in of]
    return Laid(sequences, parents, np.array(cuts), np.array(starts))


LEAST = 8
"""Shorter prompts are not shared: they cost less than telling rows apart."""


def prompt_of(row: Row) -> bytes:
    """The tokens before the first one that is learnt; empty where they are too few to be worth sharing, and
    for a row that nothing is learnt of."""
    learnt = row.arrays["weight"][1:] != 0 if "weight" in row.arrays else np.zeros(0)
    cut = int(learnt.argmax()) + 1 if learnt.any() else 0
    return row.tokens[:cut].tobytes() if cut >= LEAST else b""


def kept_rows(
    rows: Iterable[Row], *, max_tokens: int, on_long: Literal["error", "skip"] = "error"
) -> tuple[list[Row], RowLedger]:
    """The rows a learner can use, and where the others went.

    A unit (pair, triplet) stays or goes as a whole. Rows on which no token carries weight are counted
    as ``empty``.

    Args:
        max_tokens: the longest row allowed, in tokens (the model's context).
        on_long: what a longer row does: raise, or be counted and left out.

    Raises:
        SharpenError: a row is too long and ``on_long`` is ``error``; names its key.
    """
    rows = list(rows)
    long = {_unit(i, r) for i, r in enumerate(rows) if len(r.tokens) > max_tokens}
    if on_long == "error":
        for row in rows:
            if len(row.tokens) > max_tokens:
                raise SharpenError(
                    f"row {row.key!r} has {len(row.tokens)} tokens, the limit is {max_tokens} "
                    "(on_long=skip leaves such rows out)"
                )
    empty = {_unit(i, r) for i, r in enumerate(rows) if not r.arrays["weight"][1:].any()}
    kept, too_long, without = [], [], []
    for i, row in enumerate(rows):
        unit = _unit(i, row)
        if unit in long:
            too_long.append(row.key)
        elif unit in empty:
            without.append(row.key)
        else:
            kept.append(row)
    return kept, RowLedger(len(rows), len(kept), tuple(too_long), tuple(without))


def check_rows(rows: Sequence[Row], *, vocabulary: int, context: int) -> None:
    """Raise SharpenError, naming the row, where one is malformed: shorter than two tokens or longer than
    ``context``, an array of another length, a number that is not finite, an id outside ``vocabulary``."""
    for row in rows:
        n = len(row.tokens)
        if not 2 <= n <= context:
            raise SharpenError(f"row {row.key!r} has {n} tokens; the model takes rows of 2 to {context}")
        if "weight" not in row.arrays:
            raise SharpenError(f"row {row.key!r} has no array 'weight'")
        for name, values in row.arrays.items():
            if len(values) != n:
                raise SharpenError(
                    f"row {row.key!r}: array {name!r} has {len(values)} entries for {n} tokens"
                )
            if not np.isfinite(values).all():
                raise SharpenError(f"row {row.key!r}: array {name!r} holds a number that is not finite")
        if row.kept is not None and len(row.kept) != n:
            raise SharpenError(f"row {row.key!r} has {len(row.kept)} kept sets for {n} tokens")
        low, high = int(row.tokens.min()), int(row.tokens.max())
        if low < 0 or high >= vocabulary:
            bad = low if low < 0 else high
            raise SharpenError(f"row {row.key!r}: token id {bad} is outside the vocabulary of {vocabulary}")


def _unit(index: int, row: Row) -> tuple[str, int]:
    return (row.unit, -1) if row.unit else ("", index)
