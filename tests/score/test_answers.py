"""Final answers are read exactly, and no attack pays more than saying nothing."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.score.answers import (
    MAX_NUMBER,
    choice_verdict,
    exact_verdict,
    extract_answer,
    has_answer,
    number_verdict,
    parse_number,
    same_number,
)
from sharpen.score.verdict import Status


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{12}", "12"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{3}{4}}", r"\frac{3}{4}"),
        (r"\boxed{\{1\}}", r"\{1\}"),
        ("Answer: 5", "5"),
        ("Answer: 5\nAnswer:  7 \n", "7"),
        ("**Answer:** 7", "7"),
        ("**Answer: 7**", "7"),
        (r"Answer: \boxed{9}", "9"),
        ("\\boxed{3}\nAnswer: 4", "4"),
        ("Answer: 4\n\\boxed{3}", "3"),
        ("ANSWER: x", "x"),
        ("the Answer: 5", None),
        (r"\boxed{12} \boxed{", None),
        (r"\boxed{ \boxed{5}", None),
        (r"\boxed{}", None),
        ("Answer:   ", None),
        (r"boxed{5}", None),
        ("", None),
    ],
)
def test_the_final_answer(text, answer):
    assert extract_answer(text) == answer
    assert has_answer(text) == (answer is not None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        (" -3.50 ", Fraction(-7, 2)),
        (".5", Fraction(1, 2)),
        ("1,234,567", 1234567),
        ("3/4", Fraction(3, 4)),
        ("-6 / 8", Fraction(-3, 4)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        ("$18", 18),
        (r"\$18", 18),
        ("$18.50$", Fraction(37, 2)),
        ("18.", 18),
        ("0.1", Fraction(1, 10)),
        ("1,23", None),
        ("12,3456", None),
        ("3/0", None),
        ("1e3", None),
        ("50%", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("9**9**9", None),
        ("٤٢", None),
        ("４２", None),
        ("²", None),
        ("4\x002", None),
        ("4 2", None),
        ("", None),
        ("-", None),
        (".", None),
        ("9" * (MAX_NUMBER + 1), None),
    ],
)
def test_numbers(text, value):
    assert parse_number(text) == value


@given(st.fractions())
def test_a_fraction_reads_back(value):
    assert parse_number(str(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_decimal_reads_back_exactly(value):
    assert parse_number(f"{value:f}") == Fraction(value)
    assert parse_number(f"{value:,f}") == Fraction(value)


def test_no_float_on_the_way():
    assert not same_number(gold="9007199254740993", answer="9007199254740992")
    assert not same_number(gold="0.1", answer="0.1000000000000000055511151231257827")
    assert same_number(gold="0.5", answer="1/2")
    with pytest.raises(SharpenError, match="not a number"):
        same_number(gold="cat", answer="1")


@given(st.text())
def test_no_text_raises(text):
    assert number_verdict(gold="42", completion=text).score == 0.0
    assert exact_verdict(gold="a gold that hypothesis does not find", completion=text).score == 0.0


def test_bad_gold_is_the_data_s_fault():
    assert number_verdict(gold="cat", completion="Answer: 1").status is Status.BAD_GOLD
    assert exact_verdict(gold=" ", completion="Answer: ").status is Status.BAD_GOLD


@pytest.mark.parametrize("text", ["B", "b", "(B)", "B.", "B)", r"\boxed{B}"])
def test_choices(text):
    assert choice_verdict(gold="B", completion=f"Answer: {text}").score == 1.0
    assert choice_verdict(gold="(C)", completion=f"Answer: {text}").score == 0.0


@pytest.mark.parametrize("text", ["", "A or B", "AB", "A, B", "all", "Β"])
def test_no_choice_is_unparsable(text):
    assert choice_verdict(gold="B", completion=f"Answer: {text}").status is Status.UNPARSABLE
    assert choice_verdict(gold="Paris", completion="Answer: B").status is Status.BAD_GOLD


ATTACKS = {
    "empty": "",
    "junk": "lorem ipsum {}[]()\\",
    "spray": " ".join(map(str, range(100))),
    "spray of lines": "\n".join(f"Answer: {i}" for i in range(100)),
    "many boxes": " ".join(rf"\boxed{{{i}}}" for i in range(100)),
    "all in one box": r"\boxed{41, 42, 43}",
    "unclosed box": r"\boxed{42",
    "unclosed box after a right one": r"\boxed{42} \boxed{",
    "prompt echo": r"What is 6*7? Put your final answer within \boxed{}.",
    "gold and digits": "Answer: 4299",
    "digits and gold": "Answer: 9942",
    "unicode digits": "Answer: ٤٢",
    "fullwidth digits": r"\boxed{４２}",
    "huge integer": "Answer: " + "4" * 100_000,
    "power": "Answer: 9**9**9",
    "control characters": "Answer: 4\x002\x1b[0m",
    "expression": "Answer: 6*7",
    "either": "Answer: 42 or 43",
    "format": "Answer: {gold}",
    "null": "Answer: None",
    "nan": r"\boxed{nan}",
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("rule", [number_verdict, exact_verdict])
def test_attacks_pay_no_more_than_the_empty_answer(name, rule):
    empty = rule(gold="42", completion="")
    attacked = rule(gold="42", completion=ATTACKS[name])
    assert attacked.score <= empty.score == 0.0
    assert not attacked.correct
    # an answer's failure never hides as the verifier's
    assert not attacked.status.unknown
    assert rule(gold="42", completion="Answer: 42").score == 1.0


def test_extraction_takes_linear_time():
    # a quadratic scan of these would not come back
    for bad in (r"\boxed{" * 100_000, "{" * 300_000, "Answer:" + " " * 300_000 + "x", "Answer: \n" * 50_000):
        assert extract_answer(bad) in (None, "x")
