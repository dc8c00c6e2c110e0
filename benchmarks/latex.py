"""LaTeX answers whose truth is known: the gold's expression written otherwise, or changed in one number.

Case i is a function of (seed, i); kinds take turns, and every second case of a kind is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import numpy as np
from numerals import Case

from sharpen.runs.streams import stream

Pair = tuple[str, str]
"""A gold, and an answer that equals it where ``d`` is 0."""
Kind = Callable[[np.random.Generator, int], Pair]


def some(draw: np.random.Generator, low: int = 2, high: int = 20) -> int:
    return int(draw.integers(low, high))


def fraction(draw: np.random.Generator, d: int) -> Pair:
    a, b, k = some(draw), some(draw), some(draw, 2, 6)
    return rf"\frac{{{a}}}{{{b}}}", rf"\frac{{{k * (a + d)}}}{{{k * b}}}"


def root(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw, 2, 9), (2, 3, 5, 6, 7, 10, 11)[some(draw, 0, 7)]
    return rf"\sqrt{{{a * a * b}}}", rf"{a + d}\sqrt{{{b}}}"


def product(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw), some(draw)
    return f"(x+{a})(x-{b})", f"x^2+({a - b})x-{a * b + d}"


def powers(draw: np.random.Generator, d: int) -> Pair:
    a, b, base = some(draw, 2, 6), some(draw, 2, 6), some(draw, 2, 5)
    return f"{base}^{{{a + b}}}", rf"{base}^{{{a}}} \cdot {base}^{{{b + d}}}"


def angle(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw, 2, 12), some(draw, 3, 12)
    return rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a + d}}}{{{b}}}\pi"


def complex_number(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw), some(draw)
    return f"{a}+{b}i", f"{b + d}i+{a}"


def members(draw: np.random.Generator, d: int) -> Pair:
    a, b, c = (some(draw, 1 + 30 * k, 30 * (k + 1)) for k in range(3))
    return rf"\{{{a}, {b}, {c}\}}", rf"\{{{c}, {a}, {b + 100 * d}\}}"


def interval(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw, 1, 9), some(draw, 10, 30)
    return rf"\left[{a}, {b}\right)", f"[{a}, {b + d})"


def point(draw: np.random.Generator, d: int) -> Pair:
    a, b, c = some(draw), some(draw), some(draw)
    return rf"\left({a}, \frac{{{b}}}{{{c}}}\right)", rf"({a + d}, \tfrac{{{2 * b}}}{{{2 * c}}})"


def logarithm(draw: np.random.Generator, d: int) -> Pair:
    a, b = some(draw), some(draw)
    return rf"\ln {a * b}", rf"\ln {a} + \ln {b + d}"


def trigonometry(draw: np.random.Generator, d: int) -> Pair:
    a = some(draw, 2, 9)
    return rf"{a}\sin(2x)", rf"{2 * (a + d)}\sin(x)\cos(x)"


def quotient(draw: np.random.Generator, d: int) -> Pair:
    a = some(draw)
    return rf"\frac{{x^2-{a * a}}}{{x-{a}}}", f"x+{a + d}"


def percentage(draw: np.random.Generator, d: int) -> Pair:
    a = some(draw, 1, 100)
    over = gcd(a, 100)
    return rf"{a}\%", rf"\frac{{{a // over + d}}}{{{100 // over}}}"


KINDS: dict[str, Kind] = {
    "fraction": fraction, "root": root, "product": product, "powers": powers, "angle": angle,
    "complex number": complex_number, "set": members, "interval": interval, "point": point,
    "logarithm": logarithm, "trigonometry": trigonometry, "quotient": quotient, "percentage": percentage,
}  # fmt: skip


def cases(total: int, seed: int = 0) -> list[Case]:
    """``total`` cases, as many of each kind as of any other (or one more)."""
    names, found = list(KINDS), []
    for i in range(total):
        name, k = names[i % len(names)], i // len(names)
        gold, answer = KINDS[name](stream("latex", seed, name, k).generator(), k % 2)
        found.append(Case(name, gold, answer, k % 2 == 0))
    return found
