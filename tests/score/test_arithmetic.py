"""Arithmetic in LaTeX: worked out exactly, and None where people do not all read it alike."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.arithmetic import arithmetic
from sharpen.score.maths import clean, exactly, numerically, parsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\\frac{1}{3}+\\frac{1}{6}", Fraction(1, 2)),
        ("2 \\cdot 3", 6),
        ("2 \\times (3-1)", 4),
        ("2\\cdot(-3)", -6),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^{-3}", Fraction(1, 8)),
        ("\\sqrt{49}", 7),
        ("\\sqrt{\\frac{9}{4}}", Fraction(3, 2)),
        ("\\sqrt4", 2),
        ("-\\sqrt[3]{27}", -3),
        ("\\dfrac{1+2}{4}", Fraction(3, 4)),
        ("1-(2-3)", 2),
        ("\\left(1.5+.5\\right)/4", Fraction(1, 2)),
        ("8\\div2", 4),
        # not all read these alike
        ("2(3)", None),
        ("(2)(3)", None),
        ("6/2(3)", None),
        ("1/2\\cdot3", None),
        ("2/3/4", None),
        ("2^3^2", None),
        ("2^{3}^2", None),
        ("2^10", None),
        ("\\frac{1}{2}^2", None),
        ("\\sqrt{4}^2", None),
        ("1+2\\frac{1}{3}", None),
        ("2\\cdot-3", None),
        ("\\frac123", None),
        ("1 2+3", None),
        # no number, or not one of these
        ("", None),
        ("+", None),
        ("1+", None),
        ("(1", None),
        ("1)", None),
        ("1/0", None),
        ("\\frac{1}{1-1}", None),
        ("0^{-1}", None),
        ("\\sqrt{2}", None),
        ("\\sqrt{-4}", None),
        ("\\sqrt[1]{4}", None),
        ("4^{\\frac{1}{2}}", None),
        ("x+1", None),
        ("2!", None),
        ("\\sin1", None),
        ("1,000+1", None),
        ("1.+2", None),
        # large ones are not worked out
        ("9^{9^{9}}", None),
        ("10^{9999}", None),
        ("(" * 30 + "1" + ")" * 30, None),
        ("1+" * 300 + "1", None),
    ],
)
def test_values(text, value):
    assert arithmetic(clean(text)) == value


def written(value: Fraction) -> tuple[str, Fraction]:
    if value.denominator == 1:
        return (f"({value.numerator})" if value < 0 else str(value.numerator)), value
    sign = "-" if value < 0 else ""
    text = f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    return (f"({text})" if sign else text), value


LEAVES = st.fractions(-50, 50, max_denominator=20).map(written)
NAMES = {"+": "+", "-": "-", "*": " \\cdot "}


def joined(parts):
    (a, x), (b, y), name = parts
    value = {"+": x + y, "-": x - y, "*": x * y}[name]
    return f"\\left({a}{NAMES[name]}{b}\\right)", value


EXPRESSIONS = st.recursive(
    LEAVES, lambda e: st.tuples(e, e, st.sampled_from("+-*")).map(joined), max_leaves=8
)


@given(EXPRESSIONS)
def test_an_expression_has_the_value_that_it_was_made_with(expression):
    text, value = expression
    assert arithmetic(clean(text)) == value


@given(EXPRESSIONS)
def test_the_library_reads_the_same_number(expression):
    import sympy

    text, value = expression
    library = parsed(text)
    assert library is not None
    assert numerically(library, sympy.Rational(value.numerator, value.denominator)) is True


@given(st.integers(0, 10**12), st.integers(2, 9))
def test_a_root_undoes_a_power(n, degree):
    assert arithmetic(f"\\sqrt[{degree}]{{{n**degree}}}") == n
    if n > 1:
        assert arithmetic(f"\\sqrt[{degree}]{{{n**degree + 1}}}") is None


@given(st.text("0123456789+-*/^(){}[].\\cdotfracsqrt ", max_size=30) | st.text(max_size=20))
def test_no_text_raises(text):
    arithmetic(clean(text))


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("450", "450\\text{ cm}", True),
        ("450", "451\\text{ meters}", False),
        ("90", "90^\\circ", True),
        ("90^{\\circ}", "90", True),
        ("\\frac{1}{2}", "\\frac{2}{4} \\mathrm{kg}", True),
        ("12\\text{ inches}", "12", True),
        ("5 \\text{ dollars}", "5", True),
        # two units may be two lengths; a letter may be a variable, a word anything
        ("5\\text{ km}", "5\\text{ cm}", None),
        ("5", "5m", None),
        ("5", "5 apples", None),
        ("5", "x cm", None),
    ],
)
def test_a_unit_is_no_difference_where_the_other_side_has_none(gold, answer, same):
    assert exactly(gold=gold, answer=answer) is same
