"""Numbers in the ways they are written: exactly what they say, and None where that is not sure."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.maths import check, clean
from sharpen.score.written import written_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("28%", Fraction(28, 100)),
        ("-0.5\\%", Fraction(-5, 1000)),
        ("1.5e3", 1500),
        ("-2E-2", Fraction(-2, 100)),
        ("1.5 \\times 10^{3}", 1500),
        ("3\\cdot10^{-4}", Fraction(3, 10_000)),
        ("10^{2}", 100),
        ("-10^2", -100),
        ("0.\\overline{3}", Fraction(1, 3)),
        ("-1.2\\overline{34}", Fraction(-611, 495)),
        ("2\\frac{1}{3}", Fraction(7, 3)),
        ("-2\\frac13", Fraction(-7, 3)),
        ("2 1/3", Fraction(7, 3)),
        ("-2 \\tfrac{1}{3}", Fraction(-7, 3)),
        ("\\frac12", Fraction(1, 2)),
        ("\\cfrac{1}2", Fraction(1, 2)),
        ("(\\frac{1}{2})", Fraction(1, 2)),
        ("\\left(5\\right)", 5),
        ("{-\\frac{3}{4}}", Fraction(-3, 4)),
        ("1 000 000", 1_000_000),
        ("1{,}000", 1000),
        ("\\$ 1\\,000", 1000),
        ("33.\\overline{3}\\%", Fraction(1, 3)),
        # not sure, so left to the parser
        ("10^12", None),
        ("2\\frac{5}{3}", None),
        ("\\frac123", None),
        ("\\frac{1}{0}", None),
        ("4 2", None),
        ("1 00", None),
        ("(1,234)", None),
        ("(1)(2)", None),
        ("7%%", None),
        ("1e", None),
        ("1e99999", None),
        ("10^{9999}", None),
        ("0.\\overline{}", None),
        ("0.\\overline{" + "3" * 500 + "}", None),
        ("((((((5))))))", None),
        ("e5", None),
        ("٣%", None),
        ("", None),
    ],
)
def test_numbers(text, value):
    assert written_number(clean(text)) == value


@given(st.integers(-(10**9), 10**9), st.integers(-30, 30))
def test_scientific_notation_reads_back(n, k):
    value = n * Fraction(10) ** k
    assert written_number(f"{n}e{k}") == value
    assert written_number(clean(f"{n} \\times 10^{{{k}}}")) == value
    assert written_number(f"{n}%") == Fraction(n, 100)


@given(st.integers(0, 999), st.integers(1, 6))
def test_a_repeating_decimal_is_its_period_over_nines(n, places):
    digits = str(n).zfill(3)
    assert written_number(f"0.{'0' * places}\\overline{{{digits}}}") == Fraction(n, 999 * 10**places)


@given(st.text(max_size=40))
def test_no_text_raises(text):
    written_number(clean(text))


@pytest.mark.parametrize(("a", "b"), [("x=5", "5"), ("5", "y = 5"), ("x = 5", "x=5.0")])
def test_an_assignment_is_its_number_beside_a_bare_one(a, b):
    assert check(gold=a, completion=f"\\boxed{{{b}}}")["score"] == 1.0
    assert check(gold="x=5", completion="\\boxed{y=5}")["score"] == 0.0
