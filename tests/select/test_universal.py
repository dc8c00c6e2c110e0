"""Universal self-consistency: which sample a reply names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.select.universal import Pick, universal, universal_prompt


@pytest.mark.parametrize(
    ("reply", "pick"),
    [
        ("The most consistent response is Response 2", Pick(2)),
        ("Response 0 and Response 1 differ, so response 1.", Pick(1)),
        ("**Response <2>**", Pick(2)),
        ("Response #1", Pick(1)),
        ("Response 3", Pick(0, True)),
        ("Response 1, no: Response 7", Pick(0, True)),
        ("Response " + "1" * 5000, Pick(0, True)),
        ("the second", Pick(0, True)),
        ("Responses 1", Pick(0, True)),
        ("", Pick(0, True)),
    ],
)
def test_parser(reply, pick):
    assert universal(reply, 3) == pick


def test_a_pick_without_an_answer_gives_way():
    assert universal("Response 0", 3, [None, "7", "8"]) == Pick(1, True)
    assert universal("Response 2", 3, [None, "7", "8"]) == Pick(2)
    assert universal("none", 3, [None, "7", "8"]) == Pick(1, True)
    assert universal("Response 1", 2, [None, None]) == Pick(0, True)


def test_the_prompt_numbers_from_zero():
    shown = universal_prompt("3+4?", ["7\n", "8"])
    assert "Response 0:\n7\n\nResponse 1:\n8" in shown
    # its own words name none but the last sample shown
    assert universal(shown.split("Compare")[1], 2).fallback


@given(st.text(), st.integers(1, 5))
def test_any_reply_gives_a_sample(text, n):
    assert 0 <= universal(text, n).index < n
