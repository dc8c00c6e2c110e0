r"""Arithmetic of rational numbers as LaTeX writes it, worked out exactly: ``\frac{1}{3}+\frac{1}{6}``,
``2 \cdot (3-1)``, ``\sqrt{49}``, ``2^{-3}``.

What people do not all read alike is not read: ``2(3)``, ``\frac{1}{2}^2``, ``2^3^2``, ``1/2 \cdot 3``. A
hundred times as fast as a LaTeX parser, and its numbers are no floats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from sharpen.score.answers import MAX_NUMBER, parse_number

_TOKEN = re.compile(
    r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\(?:cdot|times|div|frac|sqrt)(?![A-Za-z])|[-+*/^(){}\[\]]"
)
_TIMES = ("*", "\\cdot", "\\times")
_OVER = ("/", "\\div")
_DEEPEST = 20
_MOST_BITS = 10_000
"""Of a power's numerator and denominator."""


class _Unread(Exception):
    """The text is not arithmetic that is sure to mean one number."""


def arithmetic(text: str) -> Fraction | None:
    """The value of a text without white space (see ``maths.clean``), None where it is anything else."""
    if len(text) > MAX_NUMBER:
        return None
    try:
        reading = _Reading(_tokens(text))
        value = reading.sum()
        reading.expect("")
    except (_Unread, ZeroDivisionError):
        return None
    return value


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise _Unread
        yield m[0]
        at = m.end()


class _Reading:
    """The tokens that are left; each method takes from them what its name says and gives its value."""

    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = list(tokens)[::-1]
        self._depth = 0

    def sum(self) -> Fraction:
        """Terms, the first of which may have a sign."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unread
        sign = self._took("+", "-") or "+"
        value = Fraction(0)
        while sign:
            term = self._product()
            value = value - term if sign == "-" else value + term
            sign = self._took("+", "-")
        self._depth -= 1
        return value

    def expect(self, token: str) -> None:
        """Take this token, or the end where it is empty."""
        if (self._tokens.pop() if self._tokens else "") != token:
            raise _Unread

    def _product(self) -> Fraction:
        value, divided = self._power(), False
        while by := self._took(*_TIMES, *_OVER):
            if divided:  # a/b*c and a/b/c
                raise _Unread
            factor = self._power()
            divided = by in _OVER
            value = value / factor if divided else value * factor
        return value

    def _power(self) -> Fraction:
        simple = not self._next("\\")
        base = self._atom()
        if not self._took("^"):
            return base
        exponent = self._argument()
        if not simple or self._next("^") or exponent.denominator != 1:
            raise _Unread
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if size * abs(exponent) > _MOST_BITS:
            raise _Unread
        return base ** int(exponent)

    def _atom(self) -> Fraction:
        for opening, closing in (("(", ")"), ("{", "}")):
            if self._took(opening):
                value = self.sum()
                self.expect(closing)
                return value
        if self._took("\\frac"):
            return self._argument() / self._argument()
        if self._took("\\sqrt"):
            degree = 2
            if self._took("["):
                degree = self._whole()
                self.expect("]")
            return _root(self._argument(), degree)
        value = parse_number(self._tokens.pop()) if self._next(*"0123456789.") else None
        if value is None:
            raise _Unread
        return value

    def _argument(self) -> Fraction:
        """What a command or a power takes: braces, or one digit. ``\\frac12`` is no token, and unread."""
        if self._next("{"):
            return self._atom()
        return Fraction(self._whole(digits=1))

    def _whole(self, digits: int = 3) -> int:
        token = self._tokens.pop() if self._tokens else ""
        if not token.isdigit() or len(token) > digits:
            raise _Unread
        return int(token)

    def _next(self, *starts: str) -> bool:
        return bool(self._tokens) and self._tokens[-1].startswith(starts)

    def _took(self, *tokens: str) -> str:
        return self._tokens.pop() if self._tokens and self._tokens[-1] in tokens else ""


def _root(value: Fraction, degree: int) -> Fraction:
    """The root where it is rational."""
    if value < 0 or degree < 2:
        raise _Unread
    roots = [_whole_root(n, degree) for n in (value.numerator, value.denominator)]
    return Fraction(*roots)


def _whole_root(n: int, degree: int) -> int:
    root = math.isqrt(n) if degree == 2 else _nearest_root(n, degree)
    if root**degree != n:
        raise _Unread
    return root


def _nearest_root(n: int, degree: int) -> int:
    """The largest integer whose power is at most ``n``, by halving."""
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle - 1)
    return low
