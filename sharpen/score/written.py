r"""Rational numbers as people, programs and LaTeX write them, read exactly: no floats, no parser.

``parse_number`` reads the plain ones, for the verifier ``number``. Here are those as well that a mathematical
answer may use: ``28%``, ``1 000``, ``1.5e3``, ``1.5\times10^{-3}``, ``0.\overline{3}``, ``2\frac13``,
``2 1/3``, ``(\frac12)``.
"""

from __future__ import annotations

import re
from fractions import Fraction

from sharpen.score.answers import parse_number

_MOST_ZEROS = 400
_BRACKETS = 3

_POWER = re.compile(r"(?:([+-]?[0-9.,]+)(?:\\times|\\cdot|\*)|([+-]?))10\^(?:\{([+-]?[0-9]{1,4})\}|([0-9]))")
_EXPONENT = re.compile(r"([+-]?[0-9.,]+)[eE]([+-]?[0-9]{1,4})")
_REPEATING = re.compile(r"([+-]?)([0-9]*)\.([0-9]*)\\overline\{([0-9]+)\}")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?: [0-9]{3})+(?:\.[0-9]+)?")
_PIECE = r"(?:\{([0-9]+)\}|([0-9]))"
_MIXED = re.compile(rf"([+-]?)([0-9]*)\\frac{_PIECE}{_PIECE}|([+-]?)([0-9]+) ([0-9]+)/([0-9]+)")


def written_number(text: str) -> Fraction | None:
    """The exact value of a number, None where it is not sure to be one. ``text`` holds no white space but
    one between digits, and ``%`` for a LaTeX percent sign (see ``maths.clean``)."""
    for _ in range(_BRACKETS):
        # (1,234) is a pair
        if text[:1] + text[-1:] not in ("()", "{}") or "," in text or not _around_all(text):
            break
        text = text[1:-1]
    hundredths = text.endswith("%")
    text = text.removesuffix("%")
    if _GROUPED.fullmatch(text):
        text = text.replace(" ", "")
    for read in (parse_number, _scientific, _repeating, _mixed):
        value = read(text)
        if value is not None:
            return value / 100 if hundredths else value
    return None


def _around_all(text: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "({") - (c in ")}")
        if depth == 0:
            return i == len(text) - 1
    return False


def _scientific(text: str) -> Fraction | None:
    if m := _EXPONENT.fullmatch(text):
        mantissa, power = m[1], int(m[2])
    elif m := _POWER.fullmatch(text):
        mantissa, power = m[1] or f"{m[2]}1", int(m[3] or m[4])
    else:
        return None
    value = parse_number(mantissa)
    return None if value is None or abs(power) > _MOST_ZEROS else value * Fraction(10) ** power


def _repeating(text: str) -> Fraction | None:
    m = _REPEATING.fullmatch(text)
    if m is None or len(text) > _MOST_ZEROS:
        return None
    start, period = Fraction(int(m[2] + m[3] or 0), 10 ** len(m[3])), Fraction(int(m[4]), 10 ** len(m[4]) - 1)
    value = start + period / 10 ** len(m[3])
    return -value if m[1] == "-" else value


def _mixed(text: str) -> Fraction | None:
    """A fraction, also with braces left out, and a whole number before a proper one."""
    m = _MIXED.fullmatch(text)
    if m is None or len(text) > _MOST_ZEROS:
        return None
    sign, whole = (m[7], m[8]) if m[8] else (m[1], m[2])
    over, under = int(m[3] or m[4] or m[9]), int(m[5] or m[6] or m[10])
    if not under or (whole and over >= under):
        return None
    value = int(whole or 0) + Fraction(over, under)
    return -value if sign == "-" else value
