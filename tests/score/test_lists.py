"""Lists as answers: brackets, separators, order, and numbers that are written differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.lists import parse_items, sequence_verdict, set_verdict
from sharpen.score.verdict import Status


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1, 2, 3", ["1", "2", "3"]),
        ("[1; 2]", ["1", "2"]),
        ("\\{a, b\\}", ["a", "b"]),
        ("\\left(1, 2\\right)", ["1", "2"]),
        ("(1,2), (3,4)", ["(1,2)", "(3,4)"]),
        ("[[1, 2], [3]]", ["[1, 2]", "[3]"]),
        ("7", ["7"]),
        ("[]", []),
        ("", None),
        ("1,,2", None),
        ("1,", None),
        ("[1, 2", None),
        ("(1, 2]", None),
        ("1, 2)", None),
        (",".join(["1"] * 1001), None),
    ],
)
def test_items(text, items):
    assert parse_items(text) == items


def said(verdict, gold: str, answer: str) -> float:
    return verdict(gold=gold, completion=f"\\boxed{{{answer}}}").score


def test_order_and_repetition():
    assert said(sequence_verdict, "1, 2", "[1, 2]") == 1
    assert said(sequence_verdict, "1, 2", "2, 1") == 0
    assert said(set_verdict, "1, 2", "{2, 1, 1}") == 1
    assert said(set_verdict, "1, 2", "1, 2, 3") == 0
    assert said(set_verdict, "1, 2", "1") == 0


def test_items_are_compared_as_numbers_where_both_are():
    assert said(sequence_verdict, "1/2, x y", "0.50, x  y") == 1
    assert said(sequence_verdict, "1, 2", "1, two") == 0
    # text that looks like the inside of a key is not a number
    assert said(sequence_verdict, "1", "#1") == 0


def test_what_is_no_list_has_its_status():
    for gold, text, status in [
        ("1, 2", "no answer", Status.UNPARSABLE),
        ("1, 2", "\\boxed{[1, 2}", Status.UNPARSABLE),
        ("", "\\boxed{1}", Status.BAD_GOLD),
        ("1,,2", "\\boxed{1}", Status.BAD_GOLD),
    ]:
        for verdict in (set_verdict, sequence_verdict):
            found = verdict(gold=gold, completion=text)
            assert (found.score, found.status) == (0.0, status)


@given(st.lists(st.integers(-999, 999), min_size=1, max_size=8), st.randoms())
def test_a_shuffled_set_is_the_same_set(items, random):
    other = items[:]
    random.shuffle(other)
    gold, answer = ", ".join(map(str, items)), ", ".join(map(str, other))
    assert said(set_verdict, gold, answer) == 1
    assert said(sequence_verdict, gold, answer) == float(items == other)


@given(st.text(max_size=40))
def test_any_text_is_read_without_error(text):
    items = parse_items(text)
    assert items is None or all(isinstance(i, str) and i for i in items)
