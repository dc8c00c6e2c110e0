"""Whether a mathematical answer equals the gold, in tiers that get slower and less sure.

1. *exact*: the same text after plain clean-up, or the same rational number, also where one is worked out, or
   points, intervals and sets of such numbers;
2. *numeric*: both parsed as expressions and evaluated at random points in high precision. They differ: wrong.
   They agree: right;
3. *symbolic*: what the second tier cannot evaluate is left to Math-Verify.

Math-Verify alone accepts ``1/2004!`` for ``1/2006!`` and ``28`` for ``28 %``; here its yes is only heard
where the numbers say nothing. Parsing and simplifying untrusted text can hang: run ``check`` in a ``Pool``.
"""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from sharpen.errors import missing
from sharpen.runs.streams import stream
from sharpen.score.answers import extract_answer
from sharpen.score.arithmetic import arithmetic
from sharpen.score.lists import parse_items
from sharpen.score.verdict import Status
from sharpen.score.written import written_number

Tier = Literal["exact", "numeric", "symbolic"]
LONGEST = 2_000
"""Characters of an answer that are read at most."""
_DIGITS = 60
_POINTS = 4
_MOST_DIGITS = 20_000
_LARGE = 10**20
_AGREE = 1e-30  # relative; far above the rounding of 60 digits, far below what tells two answers apart

_SPACE = re.compile(r"\\[,;:! ]|\\q?quad\b|[\s~]+")
_APART = re.compile(r"(?<=[0-9])[\s~]+(?=[0-9])")
_WRAPPERS = re.compile(r"\\(?:left|right|displaystyle|limits|d?t?frac(?=\{\}))\b")
_FRAC = re.compile(r"\\[cdt]frac(?![A-Za-z])")
_ASSIGNED = re.compile(r"^(?![eEiI])[A-Za-z]=")
_UNIT = re.compile(
    r"(?<=[0-9})])(?:\^\\circ|\^\{\\circ\}|(?:[cmk]m|[mk]g|mph|inche|inch|feet|foot|yard|mile|(?:centi|kilo)?met(?:er|re)"
    r"|(?:kilo)?gram|pound|lit(?:er|re)|degree|second|minute|hour|day|week|month|year|dollar|cent|unit)s?)$"
)
_BRACKETS = re.compile(r"(\(|\[)(.+,.+)(\)|\])|(\\\{)(.+)(\\\})")
_ONE_OR_TWO = re.compile(r"\{,\}|[0-9],[0-9]{3}(?![0-9])")
"""A comma that may be within a number, not between two."""
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\{([^{}]*)\}")


def check(*, gold: str, completion: str) -> dict[str, Any]:
    """Judge a completion: ``score`` 1.0 or 0.0, ``status``, the ``tier`` that decided, a line of ``detail``.

    JSON in, JSON out, so that a pool can run it. Raises SharpenError where Math-Verify is not installed.
    """
    answer = extract_answer(completion)
    if answer is None or len(answer) > LONGEST:
        return _said(False, None, Status.UNPARSABLE, "no final answer" if answer is None else "too long")
    if not gold.strip():
        return _said(False, None, Status.BAD_GOLD, "the gold is empty")
    decided = exactly(gold=gold, answer=answer)
    if decided is not None:
        return _said(decided, "exact")
    wanted = expression(gold)
    if wanted is None:
        return _said(False, None, Status.BAD_GOLD, f"gold {gold[:80]!r} cannot be read")
    given = expression(answer)
    if given is None:
        return _said(False, None, Status.UNPARSABLE, f"{answer[:80]!r} cannot be read")
    agree = numerically(wanted, given)
    if agree is not None:
        return _said(agree, "numeric")
    return _said(_symbolically(wanted, given), "symbolic")


def _said(right: bool, tier: Tier | None, status: Status = Status.OK, detail: str = "") -> dict[str, Any]:
    return {"score": float(right), "status": str(status), "tier": tier, "detail": detail}


def exactly(*, gold: str, answer: str) -> bool | None:
    """Whether the two are the same text, the same rational number, or brackets around the same numbers; None
    where that does not decide.

    ``x = 5`` and ``5 cm`` are the number 5 where the other side is a bare number.
    """
    texts = [clean(gold), clean(answer)]
    if texts[0] == texts[1]:
        return True
    for besides in (_ASSIGNED, _UNIT):
        bare = [besides.sub("", text) for text in texts]
        if (bare[0] != texts[0]) != (bare[1] != texts[1]):
            texts = bare
    a, b = map(rational, texts)
    if a is None and b is None and not any(map(_ONE_OR_TWO.search, (gold, answer))):
        several = [numbers(text) for text in texts]
        if several[0] and several[1] and several[0].brackets == several[1].brackets:
            return several[0].values == several[1].values
    return None if a is None or b is None else a == b


class Numbers(NamedTuple):
    """Rational numbers in brackets: a point or an interval, where they have an order, or a set."""

    brackets: str
    values: tuple[Fraction, ...] | frozenset[Fraction]


def numbers(text: str) -> Numbers | None:
    r"""What ``(1,\frac12)``, ``[0,3)`` or ``\{1,2\}`` holds (see ``clean``); None where it is not sure to be
    one of these."""
    found = _BRACKETS.fullmatch(text)
    if found is None or ";" in text:
        return None
    opening, inside, closing = (part for part in found.groups() if part)
    # within brackets of its own it would be something else
    items = None if inside.startswith(("(", "[", "{", "\\{")) else parse_items(inside)
    values = [rational(item) for item in items or ()]
    if not values or None in values:
        return None
    known = tuple(v for v in values if v is not None)
    return Numbers(opening + closing, frozenset(known) if opening == "\\{" else known)


def rational(text: str) -> Fraction | None:
    """The number that a text (see ``clean``) writes or works out, None where it is not sure to be one."""
    value = written_number(text)
    return arithmetic(text) if value is None else value


def clean(text: str) -> str:
    """The text without math delimiters, spacing commands, text wrappers and one closing full stop."""
    text = text.strip().strip("$").strip()
    text = text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]")
    text = _FRAC.sub(r"\\frac", _TEXT.sub(r"\1", _WRAPPERS.sub("", text)))
    for written, meant in (("\\%", "%"), ("\\$", ""), ("{,}", ",")):
        text = text.replace(written, meant)
    # 1 1/2 is not 11/2: the space between digits is kept
    return " ".join(_SPACE.sub("", part) for part in _APART.split(text)).removesuffix(".")


@functools.cache
def _library() -> Any:
    try:
        import math_verify
    except ImportError:
        raise missing("verifier maths", "math-verify", "maths") from None
    return math_verify


def expression(text: str) -> Any | None:
    """What a text writes: the number, where it surely is one, else what the library reads; or None."""
    import sympy

    number = rational(clean(text))
    return parsed(text) if number is None else sympy.Rational(number.numerator, number.denominator)


def parsed(text: str) -> Any | None:
    """The expression that a LaTeX text writes, as Math-Verify reads it, or None."""
    library = _library()
    reading = [library.LatexExtractionConfig(boxed_match_priority=0), library.ExprExtractionConfig()]
    bare = text.strip().strip("$")
    # no timeout of its own: it is a signal, which fails off the main thread; the pool has the deadline
    found = library.parse(f"\\boxed{{{bare}}}", reading, fallback_mode="no_fallback", parsing_timeout=None)
    expressions = [f for f in found if not isinstance(f, str)]
    return expressions[0] if expressions else None


def numerically(a: Any, b: Any) -> bool | None:
    """Whether two expressions have the same value at random points; None where they cannot be evaluated.

    Equations are the same where the differences of their sides have one constant ratio; sequences, sets and
    matrices where their elements agree. An assignment ``x = 5`` is also compared by its right side.
    """
    import sympy

    if isinstance(a, sympy.Eq) and isinstance(b, sympy.Eq):
        return _same_equation(a, b)
    for one, other in ((a, b), (b, a)):
        if isinstance(one, sympy.Eq) and isinstance(other, sympy.Expr):
            return numerically(one.rhs, other) if isinstance(one.lhs, sympy.Symbol) else None
    if isinstance(a, sympy.MatrixBase) and isinstance(b, sympy.MatrixBase):
        return a.shape == b.shape and _all(numerically(x, y) for x, y in zip(a.flat(), b.flat(), strict=True))
    if isinstance(a, sympy.FiniteSet) and isinstance(b, sympy.FiniteSet):
        return _same_set(list(a.args), list(b.args))
    if isinstance(a, (sympy.Tuple, tuple)) and isinstance(b, (sympy.Tuple, tuple)):
        return len(a) == len(b) and _all(numerically(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, sympy.Interval) and isinstance(b, sympy.Interval):
        if (a.left_open, a.right_open) != (b.left_open, b.right_open):
            return False
        return _all([numerically(a.start, b.start), numerically(a.end, b.end)])
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return None
    return _same_values(a, b)


def _all(found: Any) -> bool | None:
    """All True: True; any False: False; else unknown."""
    told = list(found)
    if any(t is False for t in told):
        return False
    return None if any(t is None for t in told) else True


def _same_set(a: list[Any], b: list[Any]) -> bool | None:
    if len(a) != len(b):
        return False
    left = list(b)
    for x in a:
        told = [numerically(x, y) for y in left]
        if True in told:
            left.pop(told.index(True))
        else:
            return None if None in told else False
    return True


def _same_values(a: Any, b: Any) -> bool | None:
    seen = 0
    for point in _points(a, b):
        x, y = _value(a, point), _value(b, point)
        if x is None or y is None:
            continue
        seen += 1
        largest = max(abs(x), abs(y))
        if abs(x - y) > _AGREE * largest:
            return False
        if largest > _LARGE:  # integers may differ far behind the leading digits
            more = _DIGITS + int(str(largest).partition("e+")[2] or 60)
            if more > _MOST_DIGITS:
                return None
            x, y = _value(a, point, more), _value(b, point, more)
            if x is None or y is None:
                return None
            if abs(x - y) > _AGREE:
                return False
        if not point:
            break
    return True if seen else None


def _same_equation(a: Any, b: Any) -> bool | None:
    if a.free_symbols != b.free_symbols:
        return False
    ratios = []
    for point in _points(a, b):
        x, y = _value(a.lhs - a.rhs, point), _value(b.lhs - b.rhs, point)
        if x is None or y is None or not y:
            return None
        ratios.append(x / y)
    return all(abs(r - ratios[0]) <= _AGREE * abs(ratios[0]) for r in ratios)


def _points(*expressions: Any) -> list[dict[Any, Any]]:
    """Where to evaluate: one empty point for constants, else a few random ones."""
    import sympy

    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=str)
    if not symbols:
        return [{}]
    rng = stream("maths", *map(str, symbols)).generator()
    draw = [[sympy.Rational(int(n), 1_000_003) for n in rng.integers(10**5, 5 * 10**6, len(symbols))]
            for _ in range(_POINTS)]  # fmt: skip
    return [dict(zip(symbols, values, strict=True)) for values in draw]


def _value(expression: Any, point: dict[Any, Any], digits: int = _DIGITS) -> Any | None:
    """The complex value, None where there is none."""
    import mpmath
    import sympy

    try:
        # a decimal is read as what it says, not as the nearest float; doit: a percentage stays unevaluated
        exact = expression.replace(lambda e: e.is_Float, lambda f: sympy.Rational(str(f)))
        value = exact.subs(point).doit().evalf(digits, maxn=4 * digits)
        re_part, im_part = value.as_real_imag()
        if not (re_part.is_Float or re_part.is_Rational) or not (im_part.is_Float or im_part.is_Rational):
            return None
        with mpmath.workdps(digits):
            found = mpmath.mpc(str(sympy.N(re_part, digits)), str(sympy.N(im_part, digits)))
        return found if mpmath.isfinite(found) else None
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return None


def _symbolically(gold: Any, answer: Any) -> bool:
    return bool(_library().verify(gold, answer, timeout_seconds=None))
