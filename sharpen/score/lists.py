"""Answers of several items: sets, where order does not count, and sequences, where it does."""

from __future__ import annotations

from collections.abc import Callable

from sharpen.score.answers import extract_answer, parse_number
from sharpen.score.verdict import Status, Verdict

MOST_ITEMS = 1000

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_CLOSING = frozenset(_PAIRS.values())


def parse_items(text: str) -> list[str] | None:
    r"""The items of ``1, 2``, ``[1; 2]``, ``(a, b)``, ``{1, 2}`` or ``\{1, 2\}``, each stripped; inner
    brackets are left as they stand.

    None where brackets do not match, an item is empty, or there are more than ``MOST_ITEMS``. A text without
    a separator is one item; empty brackets are no items.
    """
    text = text.replace("\\{", "{").replace("\\}", "}").replace("\\left", "").replace("\\right", "").strip()
    whole = _inside(text)
    body = text if whole is None else whole
    items: list[str] = []
    depth: list[str] = []
    start = 0
    for i, c in enumerate(body):
        if c in _PAIRS:
            depth.append(_PAIRS[c])
        elif c in _CLOSING:
            if not depth or depth.pop() != c:
                return None
        elif c in ",;" and not depth:
            items.append(body[start:i].strip())
            start = i + 1
            if len(items) >= MOST_ITEMS:
                return None
    if depth:
        return None
    items.append(body[start:].strip())
    if items == [""] and whole is not None:
        return []
    return None if "" in items else items


def _inside(text: str) -> str | None:
    """What stands inside the one pair of brackets around all of ``text``, None where there is none."""
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return None
    depth = 0
    for i, c in enumerate(text):
        depth += (c in _PAIRS) - (c in _CLOSING)
        if depth == 0:
            return text[1:-1] if i == len(text) - 1 else None
    return None


def _key(item: str) -> str:
    """Equal for items that are the same number, or the same text up to white space."""
    value = parse_number(item)
    return f"text {' '.join(item.split())}" if value is None else f"number {value}"


def sequence_verdict(*, gold: str, completion: str) -> Verdict:
    """1.0 where the final answer has the items of ``gold`` in its order. Items are compared as rational
    numbers where both are numbers, else as text. ``unparsable`` where it is no list, ``bad_gold`` where the
    gold is none."""
    return _judge(gold, completion, lambda keys: keys)


def set_verdict(*, gold: str, completion: str) -> Verdict:
    """As ``sequence_verdict``, but order and repetition do not count."""
    return _judge(gold, completion, lambda keys: sorted(set(keys)))


def _judge(gold: str, completion: str, form: Callable[[list[str]], list[str]]) -> Verdict:
    wanted = parse_items(gold) if gold.strip() else None
    if wanted is None:
        return Verdict(0.0, Status.BAD_GOLD, detail=f"gold {gold[:80]!r} is no list")
    answer = extract_answer(completion)
    given = None if answer is None else parse_items(answer)
    if given is None:
        return Verdict(0.0, Status.UNPARSABLE, detail="no list as final answer")
    right = form([_key(i) for i in given]) == form([_key(i) for i in wanted])
    detail = "" if right else f"{(answer or '')[:80]!r} is not {gold[:80]!r}"
    return Verdict(float(right), detail=detail, parts={"correct": float(right)})
