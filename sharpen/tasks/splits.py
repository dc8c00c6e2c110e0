"""Splits that cannot overlap: a question's split follows from its canonical form alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Literal, cast, get_args

from sharpen.errors import SharpenError, unknown
from sharpen.tasks.task import Prompt, Task

Split = Literal["base", "train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_SHARES: dict[Split, int] = {"base": 35, "train": 45, "dev": 5, "test": 15}
"""Percent of all canonical forms. ``base`` feeds the shipped base model and nothing else."""

_SPACE = re.compile(r"\s+")


def split_of(canonical: str) -> Split:
    """The split of a question: a hash of its canonical form, in the shares 35 : 45 : 5 : 15.

    Two phrasings with one canonical form land in one split, whatever seed or index made them.
    """
    digest = hashlib.blake2b(
        canonical.encode("utf-8", "surrogatepass"), digest_size=8, person=b"split"
    ).digest()
    point = int.from_bytes(digest, "little") * 100 >> 64
    for split, share in _SHARES.items():
        if point < share:
            return split
        point -= share
    raise AssertionError("shares do not add up to 100")


def check_split(split: str) -> Split:
    """``split`` if it is one of ``base``, ``train``, ``dev``, ``test``, else SharpenError."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return cast(Split, split)


def prompt_text(prompt: Prompt) -> str:
    """The question as text: the prompt itself, or a chat's user turns joined by line ends."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(m["content"] for m in prompt if m["role"] == "user")


def canonical_text(text: str) -> str:
    """Free text in canonical form: NFKC, lower case, white space runs as one space, and no white space or
    punctuation at either end. Idempotent.

    Symbols that carry meaning at an end (``-``, ``(``, ``%`` ...) are kept: ``-3`` is not ``3``.
    """
    # lower() can denormalise (U+0130) and NFKC can bring back capitals (U+1D400), so to a fixed point
    while (folded := unicodedata.normalize("NFKC", text).lower()) != text:
        text = folded
    text = _SPACE.sub(" ", text)
    start, end = 0, len(text)
    while start < end and _is_trim(text[start]):
        start += 1
    while end > start and _is_trim(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_trim(char: str) -> bool:
    return char == " " or char in ".,;:!?'\"`…" or unicodedata.category(char) in ("Pi", "Pf")


def contamination(
    a: Iterable[Task], b: Iterable[Task], canonical: Callable[[Task], str]
) -> list[tuple[str, str]]:
    """Pairs of ids ``(from a, from b)`` whose questions have one canonical form; in the order of ``b``."""
    first: dict[str, list[str]] = {}
    for task in a:
        first.setdefault(canonical(task), []).append(task.id)
    return [(left, task.id) for task in b for left in first.get(canonical(task), ())]


def assert_disjoint(
    a: Iterable[Task],
    b: Iterable[Task],
    canonical: Callable[[Task], str],
    *,
    names: tuple[str, str] = ("the first", "the second"),
) -> None:
    """Raise SharpenError, naming the ids, when a question of ``a`` is also in ``b``."""
    pairs = contamination(a, b, canonical)
    if pairs:
        shown = ", ".join(f"{left} = {right}" for left, right in pairs[:3])
        more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
        raise SharpenError(f"{names[0]} and {names[1]} share {len(pairs)} question(s): {shown}{more}")
