"""Final answers: where they stand in a text, and whether they equal the gold. Exact, without floats.

Every check takes ``gold`` and the model's text by keyword, so the two cannot be swapped.
"""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction
from typing import Literal, NamedTuple

from sharpen.errors import SharpenError
from sharpen.score.verdict import Status, Verdict

MAX_NUMBER = 400
"""Characters a number may have; longer ones are not read (int() of a long string takes quadratic time)."""

_BOXED = r"\boxed{"
_BRACES = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)
_ANSWER = re.compile(r"^[ \t]*\*{0,2}answer:(.*)$", re.IGNORECASE | re.MULTILINE)

_INTEGER = r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)"
_DECIMAL = re.compile(rf"([+-]?)({_INTEGER}?)(?:\.([0-9]+))?")
_RATIO = re.compile(rf"([+-]?{_INTEGER})\s*/\s*([+-]?{_INTEGER})")
_CHOICE = re.compile(r"\(?([A-Za-z])\)?[.:]?")
_FRAC = re.compile(rf"([+-]?)\\[dt]?frac\{{([+-]?{_INTEGER})\}}\{{([+-]?{_INTEGER})\}}")


class Place(NamedTuple):
    """Where a text gives its final answer: ``text[start:end]`` with the box or the line around it."""

    start: int
    end: int
    kind: Literal["box", "line"]
    answer: str


def final_place(text: str) -> Place | None:
    r"""Where the final answer stands, None where there is none.

    It is the later of the last ``\boxed{...}`` (balanced braces; ``\{`` and ``\}`` do not count) and the
    last line ``Answer: X``. A box inside an answer line is its answer. A text that leaves a ``\boxed{``
    open has not finished its answer and gives none, whatever it boxed before. An empty answer is none.
    Takes time linear in the text.
    """
    box = _last_box(text)
    if box is _OPEN:
        return None
    lines = deque(_ANSWER.finditer(text), maxlen=1)
    line = lines[0] if lines else None
    if line is not None and (box is None or box[1] <= line.start()):
        answer = line[1].strip().removesuffix("**").removeprefix("**").strip()
        place = Place(line.start(), line.end(), "line", answer)
    elif box is not None:
        place = Place(box[0] - len(_BOXED), box[1] + 1, "box", text[box[0] : box[1]].strip())
    else:
        return None
    return place if place.answer else None


def extract_answer(text: str) -> str | None:
    """The final answer of a text (see ``final_place``), stripped, or None where it gives none."""
    place = final_place(text)
    return None if place is None else place.answer


_OPEN = (-1, -1)


def _last_box(text: str) -> tuple[int, int] | None:
    """Bounds of the content of the box that closes last; None without one, ``_OPEN`` if one stays open."""
    last: tuple[int, int] | None = None
    stack: list[int] = []  # content start of an open box, -1 for any other open brace
    for m in _BRACES.finditer(text):
        token = m[0]
        if token == _BOXED:
            stack.append(m.end())
        elif token == "{":
            stack.append(-1)
        elif token == "}" and stack:
            start = stack.pop()
            if start >= 0:
                last = (start, m.start())
    return _OPEN if any(start >= 0 for start in stack) else last


def has_answer(text: str) -> bool:
    """Whether ``extract_answer`` finds one."""
    return extract_answer(text) is not None


def parse_number(text: str) -> Fraction | None:
    r"""The exact value of ``12``, ``-3.50``, ``1,234``, ``3/4``, ``\frac{3}{4}``, or None.

    Surrounding spaces, ``$``, and one closing full stop are dropped. ASCII digits only; thousands
    separators must stand in threes; no exponents, no percent signs, at most ``MAX_NUMBER`` characters.
    """
    text = text.strip()
    if len(text) > MAX_NUMBER or not text.isascii():
        return None
    text = text.removesuffix(".").removeprefix("\\$").strip("$").strip().removesuffix(".")
    m = _DECIMAL.fullmatch(text)
    if m is not None:
        whole, part = m[2].replace(",", ""), m[3] or ""
        if not whole and not part:
            return None
        value = Fraction(int(whole + part), 10 ** len(part))
        return -value if m[1] == "-" else value
    m = _RATIO.fullmatch(text)
    if m is not None:
        return _ratio(m[1], m[2])
    m = _FRAC.fullmatch(text)
    if m is not None:
        value = _ratio(m[2], m[3])
        return -value if value is not None and m[1] == "-" else value
    return None


def _ratio(over: str, under: str) -> Fraction | None:
    below = int(under.replace(",", ""))
    return Fraction(int(over.replace(",", "")), below) if below else None


def same_number(*, gold: str, answer: str) -> bool:
    """Whether two numbers are exactly equal. SharpenError where ``gold`` is not a number."""
    value = parse_number(gold)
    if value is None:
        raise SharpenError(f"gold {gold[:80]!r} is not a number")
    return parse_number(answer) == value


def number_verdict(*, gold: str, completion: str) -> Verdict:
    """1.0 where the completion's final answer is the number ``gold``; ``unparsable`` where it is no number,
    ``bad_gold`` where the gold is none."""
    if parse_number(gold) is None:
        return Verdict(0.0, Status.BAD_GOLD, detail=f"gold {gold[:80]!r} is not a number")
    answer = extract_answer(completion)
    if answer is None:
        return Verdict(0.0, Status.UNPARSABLE, detail="no final answer")
    if parse_number(answer) is None:
        return Verdict(0.0, Status.UNPARSABLE, detail=f"{answer[:80]!r} is not a number")
    return _judged(same_number(gold=gold, answer=answer), answer, gold)


def exact_verdict(*, gold: str, completion: str) -> Verdict:
    """1.0 where the completion's final answer is the string ``gold`` (surrounding space aside)."""
    if not gold.strip():
        return Verdict(0.0, Status.BAD_GOLD, detail="the gold is empty")
    answer = extract_answer(completion)
    if answer is None:
        return Verdict(0.0, Status.UNPARSABLE, detail="no final answer")
    return _judged(answer == gold.strip(), answer, gold)


def choice_verdict(*, gold: str, completion: str) -> Verdict:
    """1.0 where the completion's final answer is the option letter ``gold``: ``B``, ``b``, ``(B)``, ``B.``,
    ``B)``. ``unparsable`` where it is more or less than one letter, ``bad_gold`` where the gold is."""
    wanted = _CHOICE.fullmatch(gold.strip())
    if wanted is None:
        return Verdict(0.0, Status.BAD_GOLD, detail=f"gold {gold[:80]!r} is not an option letter")
    answer = extract_answer(completion)
    given = _CHOICE.fullmatch(answer) if answer is not None else None
    if given is None:
        return Verdict(0.0, Status.UNPARSABLE, detail="no option letter as final answer")
    return _judged(given[1].upper() == wanted[1].upper(), given[1], wanted[1])


def _judged(right: bool, answer: str, gold: str) -> Verdict:
    detail = "" if right else f"{answer[:80]!r} is not {gold[:80]!r}"
    return Verdict(float(right), detail=detail, parts={"correct": float(right)})
