"""Numeric answers whose truth is known: a gold number, an answer written in some form, and whether they are
equal.

Numbers are exact: ``n`` times a unit, a ``Fraction``. A wrong answer is another number of the same kind (a
digit changed, one more, the other sign, ...) written in the same form, so that the form gives nothing away.
Every draw comes from a named stream: case i is a function of (seed, category, i).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from sharpen.runs.streams import stream


class Number(NamedTuple):
    """``n * unit``. The unit is 1, a power of ten, or 1/q: how the number is to be written."""

    n: int
    unit: Fraction = Fraction(1)

    @property
    def value(self) -> Fraction:
        return self.n * self.unit


class Case(NamedTuple):
    """A gold text, an answer text, and whether they are the same number."""

    category: str
    gold: str
    answer: str
    equal: bool


Draw = Callable[[np.random.Generator], Number]
Write = Callable[[Number], str]
Change = Callable[[Number, np.random.Generator], Number]


@dataclass(frozen=True)
class Category:
    """Numbers that ``draw`` gives, the gold written in one of the forms ``golds``, answers in ``answers``.

    A wrong answer is the number that ``wrong`` gives; where there are forms ``not_equal``, it is the gold in
    a form that does not say the same.
    """

    draw: Draw
    golds: Sequence[Write]
    answers: Sequence[Write]
    wrong: Change | None = None
    not_equal: Sequence[Write] = ()


def cases(total: int, seed: int = 0) -> list[Case]:
    """``total`` cases, as many of each category as of any other (or one more); every second one is wrong."""
    names = list(CATEGORIES)
    return [case(names[i % len(names)], i // len(names), seed) for i in range(total)]


def case(name: str, i: int, seed: int = 0) -> Case:
    """Case ``i`` of a category: right for even ``i``, wrong for odd."""
    category = CATEGORIES[name]
    rng = stream("numerals", seed, name, i).generator()
    gold = category.draw(rng)
    answer, forms = gold, category.answers
    if i % 2 and category.not_equal:
        forms = category.not_equal
    elif i % 2:
        answer = (category.wrong or changed)(gold, rng)
        assert answer.value != gold.value, (name, i)
    write = category.golds[int(rng.integers(len(category.golds)))]
    write_answer = forms[int(rng.integers(len(forms)))]
    return Case(name, write(gold), write_answer(answer), not i % 2)


# numbers ------------------------------------------------------------------------------------------
def integers(digits: int, *, signed: bool = True) -> Draw:
    """Integers of 1 to ``digits`` digits, a third of them negative; never 0."""

    def draw(rng: np.random.Generator) -> Number:
        size = int(rng.integers(1, digits + 1))
        text = "".join(str(d) for d in [rng.integers(1, 10), *rng.integers(0, 10, size - 1)])
        return Number(-int(text) if signed and rng.random() < 1 / 3 else int(text))

    return draw


def decimals(digits: int, places: int, *, scale: int = 0, signed: bool = True) -> Draw:
    """Integers over 10, 100, ..., ``10**places``, times ``10**scale``."""
    whole = integers(digits, signed=signed)

    def draw(rng: np.random.Generator) -> Number:
        return Number(whole(rng).n, Fraction(10) ** (scale - int(rng.integers(1, places + 1))))

    return draw


def fractions(digits: int, under: Sequence[int] = range(2, 100), *, signed: bool = True) -> Draw:
    """Integers over one of ``under``, that are not whole."""
    whole = integers(digits, signed=signed)

    def draw(rng: np.random.Generator) -> Number:
        q = int(under[int(rng.integers(len(under)))])
        n = whole(rng).n
        return Number(n if n % q else n + 1, Fraction(1, q))

    return draw


def powers(rng: np.random.Generator) -> Number:
    """A few digits times a power of ten between -9 and 12."""
    n = integers(4)(rng).n
    return Number(n, Fraction(10) ** int(rng.integers(-9, 13)))


def zeros(rng: np.random.Generator) -> Number:
    """Nothing, to some places."""
    return Number(0, Fraction(1, 10 ** int(rng.integers(0, 3))))


def changed(number: Number, rng: np.random.Generator) -> Number:
    """Another number of the same unit: a digit changed, one more or less, the other sign, two digits swapped,
    ten times as much."""
    n, unit = number
    digits = str(abs(n))
    sign = -1 if n < 0 else 1
    at = int(rng.integers(len(digits)))
    other = str((int(digits[at]) + int(rng.integers(1, 10))) % 10)
    swapped = digits[:at] + digits[at : at + 2][::-1] + digits[at + 2 :]
    tries = [
        sign * int(digits[:at] + other + digits[at + 1 :]),
        n + 1,
        n - 1,
        -n,
        sign * int(swapped),
        10 * n,
    ]
    pick = tries[int(rng.choice(len(tries), p=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1)))]
    # a zero may be written with a sign or without a unit, and has a category of its own
    return Number(pick if pick not in (0, n) else n + sign, unit)


def still_positive(number: Number, rng: np.random.Generator) -> Number:
    """``changed``, for forms that have no place for a sign."""
    n = abs(changed(number, rng).n)
    return Number(n if n != number.n else n + 1, number.unit)


def nonzero(number: Number, rng: np.random.Generator) -> Number:
    """What is not 0."""
    return Number(int(rng.integers(1, 10)), number.unit)


# ways of writing ----------------------------------------------------------------------------------
def plain(x: Number) -> str:
    """``-12``, ``-1.20``: all places of the unit."""
    places = len(str(x.unit.denominator)) - 1
    digits = str(abs(x.value.numerator if not places else x.n)).zfill(places + 1)
    text = digits if not places else f"{digits[:-places]}.{digits[-places:]}"
    return _sign(x) + text


def _sign(x: Number) -> str:
    return "-" if x.n < 0 else ""


def _over(x: Number, form: str) -> str:
    return _sign(x) + form % (abs(x.n), x.unit.denominator)


def ratio(x: Number) -> str:
    return _over(x, "%d/%d")


def frac(x: Number) -> str:
    return _over(x, "\\frac{%d}{%d}")


def grouped(x: Number) -> str:
    return f"{x.n:,}"


def scientific(form: str) -> Write:
    """A number as digit, point, digits, and a power of ten, by a format of mantissa and exponent."""

    def write(x: Number) -> str:
        digits = str(abs(x.n)).rstrip("0")
        power = len(str(abs(x.n))) - 1 + _power(x.unit)
        return _sign(x) + form % (digits[0] + ("." + digits[1:] if digits[1:] else ""), power)

    return write


def _power(unit: Fraction) -> int:
    """The k of 10**k."""
    return len(str(unit.numerator)) - len(str(unit.denominator))


def mixed(x: Number) -> str:
    whole, rest = divmod(abs(x.n), x.unit.denominator)
    part = f"\\frac{{{rest}}}{{{x.unit.denominator}}}" if rest else ""
    return f"{_sign(x)}{whole or ('' if rest else 0)}{part}"


def mixed_text(x: Number) -> str:
    """``2 1/3``"""
    return mixed(x).replace("\\frac{", " ").replace("}{", "/").removesuffix("}").strip()


def percent(form: str) -> Write:
    """A hundred times the number, and a sign for a hundredth."""
    return lambda x: form % plain(Number(x.n, x.unit * 100))


def repeating(x: Number) -> str:
    """Over 9, 99 or 999: the digits repeat."""
    period = len(str(x.unit.denominator))
    whole, rest = divmod(abs(x.n), x.unit.denominator)
    return f"{_sign(x)}{whole}.\\overline{{{str(rest).zfill(period)}}}"


def unreduced(x: Number) -> str:
    """The fraction with 2 to 5 times the numbers."""
    k = 2 + abs(x.n) % 4
    return _over(Number(x.n * k, x.unit / k), "\\frac{%d}{%d}")


def terminating(x: Number) -> str:
    """A fraction over 2s and 5s as a decimal."""
    places = next(k for k in range(20) if 10**k % x.value.denominator == 0)
    return plain(Number(int(x.value * 10**places), Fraction(1, 10**places)))


def rounded(x: Number) -> str:
    """To six places, which is not the number."""
    return f"{_sign(x)}{abs(x.n) // x.unit.denominator}.{abs(x.n) * 10**6 // x.unit.denominator % 10**6:06d}"


def as_sum(x: Number) -> str:
    """Two fractions that add up to it."""
    part = x.n // 3 + 1
    return f"{frac(Number(part, x.unit))}{'+' if x.n >= part else '-'}{frac(Number(abs(x.n - part), x.unit))}"


def as_product(x: Number) -> str:
    small = next(k for k in (7, 5, 3, 2, 1) if x.n % k == 0)
    return f"{x.n // small} \\cdot {small}"


def as_root(x: Number) -> str:
    return f"{_sign(x)}\\sqrt{{{x.n**2}}}"


def around(form: str, inner: Write = plain) -> Write:
    """A form with the number in it."""
    return lambda x: form.replace("%s", inner(x))


def spaced(mark: str) -> Write:
    """Thousands apart by a mark of LaTeX."""
    return lambda x: grouped(x).replace(",", mark)


UNITS = ("%s cm", "%s\\text{ cm}", "%s \\mathrm{kg}", "%s\\text{ meters}", "%s^\\circ", "\\$%s", "%s apples")
TERMINATING = (2, 4, 5, 8, 10, 16, 20, 25, 40, 50)


def _under(x: Number) -> str:
    return _over(x, "{%d}{%d}")


CATEGORIES: dict[str, Category] = {
    "integer": Category(integers(9), [plain], [plain]),
    "long integer": Category(integers(60), [plain], [plain]),
    "zero with a sign": Category(zeros, [plain], [plain, around("-%s"), around("+%s")], wrong=nonzero),
    "zeros around": Category(
        integers(6, signed=False),
        [plain],
        [around("00%s"), around("%s.00"), around("%s."), around("+%s")],
        wrong=still_positive,
    ),
    "decimal": Category(decimals(7, 5), [plain], [plain, around("%s0")]),
    "decimal for a fraction": Category(fractions(4, TERMINATING), [ratio, frac], [terminating]),
    "rounded decimal": Category(
        fractions(3, (3, 7, 9, 11, 13)), [ratio, frac], [ratio, frac], not_equal=[rounded]
    ),
    "fraction": Category(fractions(4), [ratio, frac], [ratio, frac, unreduced]),
    "fraction, other LaTeX": Category(
        fractions(3, signed=False),
        [ratio],
        [
            *(around(f"\\{name}%s", _under) for name in ("dfrac", "tfrac", "cfrac")),
            around("\\left(%s\\right)", frac),
            around("{%s}", frac),
        ],
        wrong=still_positive,
    ),
    "fraction without braces": Category(
        lambda rng: Number(int(rng.integers(1, 9)), Fraction(1, int(rng.integers(2, 10)))),
        [ratio],
        [lambda x: f"\\frac{x.n}{x.unit.denominator}"],
        wrong=lambda x, _: Number(x.n + 1, x.unit),
    ),
    "mixed number": Category(
        fractions(3, range(2, 20), signed=False), [ratio], [mixed, mixed_text], wrong=still_positive
    ),
    "percentage": Category(decimals(5, 5), [plain], [percent("%s\\%%"), percent("%s%%")]),
    "percentage as the gold": Category(decimals(5, 5), [percent("%s\\%%")], [plain, percent("%s%%")]),
    "percentage without its sign": Category(
        integers(3), [around("%s\\%")], [around("%s\\%"), around("%s%")], not_equal=[plain]
    ),
    "thousands, by commas": Category(integers(12), [plain], [grouped]),
    "thousands, in LaTeX": Category(integers(12), [plain], [spaced("{,}"), spaced("\\,"), spaced(",\\!")]),
    "thousands, by spaces": Category(integers(12), [plain], [spaced(" "), spaced("~")]),
    "scientific, e": Category(powers, [plain], [scientific("%se%d"), scientific("%sE%d")]),
    "scientific, LaTeX": Category(
        powers, [plain], [scientific("%s \\times 10^{%d}"), scientific("%s\\cdot10^{%d}")]
    ),
    "repeating decimal": Category(fractions(4, (9, 99, 999)), [ratio, frac], [repeating]),
    "sum of fractions": Category(fractions(3), [ratio], [as_sum]),
    "product": Category(integers(4), [plain], [as_product]),
    "root of a square": Category(integers(4), [plain], [as_root]),
    "unit or currency": Category(
        integers(4, signed=False), [plain], [around(u) for u in UNITS], wrong=still_positive
    ),
    "math delimiters": Category(
        decimals(5, 3), [plain], [around("$%s$"), around("\\(%s\\)"), around(" %s "), around("{%s}")]
    ),
    "assignment": Category(fractions(3), [ratio, frac], [around("x = %s", frac), around("x=%s", ratio)]),
}
"""What is drawn, by name."""
