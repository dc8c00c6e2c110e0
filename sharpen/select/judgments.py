"""Which judgments of an item are preferred to which: pairs for a judge that learns from its own
(arXiv 2410.05495). Pure functions of scores; only ``by_gold`` may see the gold one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sharpen.errors import SharpenError
from sharpen.runs.streams import Stream


class Sides(NamedTuple):
    """Indices of judgments that are preferred, and of those that are not; ``why`` there is no pair, where
    there is none: ``unread`` (no judgment can be read), ``all_right``, ``all_wrong``, ``no_margin``, ``tie``
    or ``too_few``."""

    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    why: str = ""


def by_gold(scores: Sequence[int | None], gold: int, *, margin: int = 2) -> Sides:
    """Judgments with the gold score, against those that miss it by ``margin`` or more, on either side."""
    if margin < 1:
        raise SharpenError(f"judgments: margin={margin} must be at least 1")
    read = [(k, s) for k, s in enumerate(scores) if s is not None]
    chosen = tuple(k for k, s in read if s == gold)
    wrong = [(k, s) for k, s in read if s != gold]
    rejected = tuple(k for k, s in wrong if abs(s - gold) >= margin)
    if chosen and rejected:
        return Sides(chosen, rejected)
    why = "no_margin" if chosen and wrong else "all_right" if chosen else "all_wrong" if wrong else "unread"
    return Sides((), (), why)


def by_majority(scores: Sequence[int | None], *, margin: int = 1) -> Sides:
    """As ``by_gold`` with the most frequent score in the gold's place, where it is the only one of its
    frequency and at least two judgments can be read. No label."""
    read = [s for s in scores if s is not None]
    if len(read) < 2:
        return Sides((), (), "too_few" if read else "unread")
    (first, n), *others = Counter(read).most_common(2)
    if others and others[0][1] == n:
        return Sides((), (), "tie")
    return by_gold(scores, first, margin=margin)


def by_rating(ratings: Sequence[float | None], *, margin: float = 1.0) -> list[tuple[int, int]]:
    """Every pair (preferred, other) whose ratings by a meta-judge differ by ``margin`` or more; what it did
    not rate is in none. No label."""
    rated = [(k, r) for k, r in enumerate(ratings) if r is not None]
    return [(i, j) for i, a in rated for j, b in rated if a - b >= margin]


def any_two(scores: Sequence[int | None]) -> list[tuple[int, int]]:
    """Every pair of readable judgments, in both orders: a control that prefers nothing."""
    read = [k for k, s in enumerate(scores) if s is not None]
    return [(i, j) for i in read for j in read if i != j]


Pairing = Literal["gold", "majority", "meta", "swapped", "random"]


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgments of an item.

    Attributes:
        key: names the item, and with it the random stream of its draws.
        scores, texts: of each; a score is None where none could be read, or the text did not end.
        gold: the right score; None where it is out of reach.
        ratings: a meta-judge's of each; empty where none was asked.
    """

    key: str
    scores: Sequence[int | None]
    texts: Sequence[str]
    gold: int | None = None
    ratings: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Paired:
    """Pairs (item, preferred, other), and where each item went: ``items`` is the sum of ``paired`` and of the
    reasons why there is no pair."""

    pairs: tuple[tuple[int, int, int], ...]
    ledger: Mapping[str, int]


def paired(
    rule: Pairing, items: Sequence[Judged], stream: Stream, *, margin: int = 2, most: int = 4
) -> Paired:
    """Up to ``most`` pairs of each item.

    gold is ``by_gold``; majority ``by_majority`` with the same margin; meta is ``by_rating`` at a margin of
    1; as controls, swapped takes gold's pairs the wrong way round, and random any two. SharpenError where
    gold or swapped is asked for and an item has no gold score.
    """
    found: list[tuple[int, int, int]] = []
    ledger: Counter[str] = Counter(items=len(items), paired=0, pairs=0)
    for g, item in enumerate(items):
        sides, why = _sides(rule, item, margin)
        chosen = drawn(sides, item.scores, item.texts, stream.child(item.key), most=most)
        found += [(g, j, i) if rule == "swapped" else (g, i, j) for i, j in chosen]
        unread = all(s is None for s in item.scores)
        ledger["paired" if chosen else why or ("unread" if unread else "nothing_to_tell")] += 1
        ledger["pairs"] += len(chosen)
    return Paired(tuple(found), dict(ledger))


def _sides(rule: Pairing, item: Judged, margin: int) -> tuple[Sides | list[tuple[int, int]], str]:
    if rule == "meta":
        return by_rating(item.ratings), ""
    if rule == "random":
        return any_two(item.scores), ""
    if rule == "majority":
        sides = by_majority(item.scores, margin=margin)
    elif item.gold is None:
        raise SharpenError(f"judgments: pairs by {rule} need the gold score")
    else:
        sides = by_gold(item.scores, item.gold, margin=margin)
    return sides, sides.why


def drawn(
    sides: Sides | Sequence[tuple[int, int]],
    scores: Sequence[int | None],
    texts: Sequence[str],
    stream: Stream,
    *,
    most: int = 4,
) -> list[tuple[int, int]]:
    """Up to ``most`` of the pairs, at random without replacement; rejected scores that are not there yet come
    first. A pair of equal texts is none."""
    pairs = [(i, j) for i in sides.chosen for j in sides.rejected] if isinstance(sides, Sides) else [*sides]
    pairs = [(i, j) for i, j in pairs if texts[i] != texts[j]]
    order = stream.generator().permutation(len(pairs))
    seen: Counter[int | None] = Counter()
    ranked = []
    for place in order:
        i, j = pairs[int(place)]
        ranked.append((seen[scores[j]], len(ranked), (i, j)))
        seen[scores[j]] += 1
    return [pair for _, _, pair in sorted(ranked)[:most]]
