"""Maths in tiers: what is equal is right, what is not is wrong, and each disagreement has a reason."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.score import maths
from sharpen.score.maths import check, clean, exactly
from sharpen.score.pool import Pool
from sharpen.score.verdict import Status
from tests.maths_cases import CASES, DISAGREE, FALSE_ACCEPTS

math_verify = pytest.importorskip("math_verify")
logging.getLogger("math_verify").setLevel(logging.ERROR)

FLAT = [(category, *case) for category, cases in CASES.items() for case in cases]


def boxed(answer: str) -> str:
    return f"First \\boxed{{0}}, no: \\boxed{{{answer}}}."


@pytest.mark.parametrize(("category", "gold", "answer", "right"), FLAT)
def test_cases(category, gold, answer, right):
    said = check(gold=gold, completion=boxed(answer))
    assert said["score"] == float(right), said
    # a sum is not the gold's doing: every gold here can be read
    assert said["status"] != Status.BAD_GOLD


@pytest.mark.parametrize(("gold", "answer"), FALSE_ACCEPTS)
def test_what_is_not_equal_is_not_accepted(gold, answer):
    assert check(gold=gold, completion=boxed(answer))["score"] == 0.0
    assert check(gold=answer, completion=boxed(gold))["score"] == 0.0
    assert check(gold=gold, completion=boxed(gold))["score"] == 1.0


@pytest.mark.parametrize(("gold", "answer", "right", "why"), DISAGREE)
def test_where_we_disagree_with_math_verify(gold, answer, right, why):
    assert check(gold=gold, completion=boxed(answer))["score"] == float(right)
    latex = [math_verify.LatexExtractionConfig(boxed_match_priority=0), math_verify.ExprExtractionConfig()]
    plain = [math_verify.ExprExtractionConfig()]
    theirs = {
        bool(math_verify.verify(math_verify.parse(form(gold), how), math_verify.parse(form(answer), how)))
        for how, form in ((latex, lambda t: f"${t}$"), (plain, str))
    }
    assert (not right) in theirs, "they agree by now: the entry can go"
    assert why


def test_the_tier_that_decided_is_told():
    tiers = {
        ("12", "12"): "exact",
        ("1/2", "\\frac{2}{4}"): "exact",
        ("1/2", "\\frac{1}{4}+\\frac{1}{4}"): "exact",
        ("\\sqrt{8}", "2\\sqrt{2}"): "numeric",
        ("x > 3", "3 < x"): "symbolic",
    }
    for (gold, answer), tier in tiers.items():
        assert check(gold=gold, completion=boxed(answer))["tier"] == tier


@pytest.mark.parametrize(
    ("gold", "completion", "status"),
    [
        ("12", "no answer at all", "unparsable"),
        ("12", "\\boxed{12} and then \\boxed{", "unparsable"),
        ("12", "\\boxed{}", "unparsable"),
        ("12", "\\boxed{" + "1+" * 2000 + "1}", "unparsable"),
        ("", "\\boxed{12}", "bad_gold"),
        ("\\frac{", "\\boxed{12}", "bad_gold"),
    ],
)
def test_what_cannot_be_read_has_its_status(gold, completion, status):
    said = check(gold=gold, completion=completion)
    assert (said["score"], said["status"]) == (0.0, status)


@settings(max_examples=60, deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_rational_numbers_are_decided_exactly(a, b):
    def latex(x) -> str:
        return f"{'-' * (x < 0)}\\frac{{{abs(x.numerator)}}}{{{x.denominator}}}"

    assert exactly(gold=latex(a), answer=latex(b)) is (a == b)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30))
def test_no_text_is_taken_for_a_gold_that_it_does_not_hold(text):
    said = check(gold="\\sqrt{1234577}", completion=text)
    assert said["score"] == 0.0


@pytest.mark.parametrize("text", ["$ 1\\,000 $", "\\left( 1 \\right)", "\\text{a b}.", "\\(x\\)"])
def test_cleaning_is_idempotent(text):
    assert clean(clean(text)) == clean(text)


def test_a_hang_in_the_library_costs_one_answer():
    jobs = [{"gold": "1/2", "completion": boxed(a)} for a in ("0.5", "2003^{2002^{2001}}", "\\frac{1}{2}")]
    with Pool("sharpen.score.maths:check", workers=1, cpu_seconds=0.5) as pool:
        right, hung, also = pool.map(jobs)
    assert right.value["score"] == also.value["score"] == 1.0
    assert hung.how in ("timeout", "memory") or hung.value["score"] == 0.0


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        (r"\left(3, \frac{5}{7}\right)", r"(3,\tfrac{10}{14})", True),
        ("(3, 4)", "(3, 4.0)", True),
        ("(3, 4)", "(4, 3)", False),
        ("(3, 4)", "(3, 4, 5)", False),
        ("[1, 3)", r"\left[1, \frac{6}{2}\right)", True),
        ("[1, 3)", "[1, 4)", False),
        (r"\{1, 2, 3\}", r"\{3, 1, \sqrt{4}\}", True),
        (r"\{1, 2\}", r"\{2, 1, 1.0\}", True),
        (r"\{5\}", r"\{\frac{10}{2}\}", True),
        (r"\{1, 2\}", r"\{1, 3\}", False),
        # another bracket may be another thing, or the same one written otherwise
        ("(1, 2)", "[1, 2.0]", None),
        (r"\{1, 2\}", "(1, 2.0)", None),
        ("(1, 2)", "1, 2.0", None),
        ("(1, 234)", "(1, 234.0)", True),
        # one number, or two
        ("(1,234)", "(1, 234.0)", None),
        ("(1{,}5)", "(1, 5.0)", None),
        ("(1;2)", "(1; 2.0)", None),
        # a point in a set is not its numbers
        (r"\{(1, 2)\}", r"\{1, 2.0\}", None),
        ("((1, 2))", "(1, 2.0)", None),
        # not all of them numbers
        ("(x, 2)", "(x, 2.0)", None),
        ("(1, )", "(1, 2)", None),
        ("(1, 2]\\cup[3, 4)", "(1, 2]\\cup[3, 4.0)", None),
    ],
)
def test_numbers_in_brackets_are_compared_one_by_one(gold, answer, same):
    assert exactly(gold=gold, answer=answer) is same
    assert exactly(gold=answer, answer=gold) is same


BRACKETS = [("(", ")"), ("[", "]"), ("[", ")"), ("(", "]"), (r"\{", r"\}")]


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(BRACKETS),
    st.lists(st.fractions(-9, 9, max_denominator=9), min_size=2, max_size=2),
    st.booleans(),
    st.booleans(),
)
def test_the_library_says_the_same_of_numbers_in_brackets(brackets, values, turned, changed):
    values.sort()
    others = [v + 10 * changed for v in values[:1]] + values[1:]
    others = others[::-1] if turned else others
    fractions = ", ".join(rf"\frac{{{2 * v.numerator}}}{{{2 * v.denominator}}}" for v in others)
    gold, answer = (
        f"{brackets[0]}{values[0]}, {values[1]}{brackets[1]}",
        f"{brackets[0]}{fractions}{brackets[1]}",
    )
    said = exactly(gold=gold, answer=answer)
    theirs = maths.numerically(maths.parsed(gold), maths.parsed(answer))
    assert said is not None
    if theirs is not None:
        assert said is theirs
