"""Judges' replies: what is read, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.tasks.ratings import read_choice, read_score

READ = {
    "[RESULT] 4": 4,
    "[RESULT]4": 4,
    "[RESULT] 4/5": 4,
    "Score: 3/5": 3,
    "score of 3": 3,
    "Result: (4)": 4,
    "[RESULT] 2 then [RESULT] 5": 5,
    "fine [SCORE] [2]\n": 2,
    "a score of 4 out of 5": 4,
    "Result: (4/5)": 4,
    "line 1 ok\n[result] 1": 1,
}
UNREAD = (
    "[RESULT] 4.5", "[RESULT] 4.", "[RESULT] 7", "[RESULT] 0", "[RESULT] five", "[RESULT] 4 because",
    "", "4", "[RESULT]", "[RESULT] -3", "[RESULT] 4/10", "[RESULT] 4 5", "[RESULT] ４", "[RESULT] 3 or 4",
    "underscore: 4",
)  # fmt: skip


@pytest.mark.parametrize("reply", READ)
def test_scores_that_are_read(reply):
    assert read_score(reply) == READ[reply]
    assert read_score("Some feedback, with Score: 2 in it.\n" + reply) == READ[reply]


@pytest.mark.parametrize("reply", UNREAD)
def test_scores_that_are_not(reply):
    assert read_score(reply) is None


def test_other_scales():
    assert read_score("[RESULT] 9", high=10) == 9
    assert read_score("[RESULT] 9/10", high=10) == 9
    assert read_score("[RESULT] 9/5", high=10) is None
    assert read_score("[RESULT] 0", low=0) == 0


CHOICES = {"[RESULT] A": "A", "Result: b": "B", "[RESULT] Response B": "B", "[RESULT] (A)\n": "A"}


def test_choices():
    assert {reply: read_choice(reply) for reply in CHOICES} == CHOICES
    for reply in (
        "[RESULT] A or B",
        "[RESULT] C",
        "A",
        "",
        "[RESULT] AB",
        "[RESULT] A is better",
        "[RESULT] 1",
    ):
        assert read_choice(reply) is None


@given(st.text(max_size=300))
def test_whatever_the_text_no_score_is_made_up(text):
    score = read_score(text)
    assert score is None or (1 <= score <= 5 and str(score) in text)
    assert read_choice(text) in (None, "A", "B")


@given(st.text("abc .!", max_size=40), st.integers(1, 5))
def test_what_follows_the_verdict_undoes_it(tail, score):
    reply = f"[RESULT] {score}"
    assert read_score(f"{reply} {tail}") == (None if tail.strip() else score)
    assert read_score(f"{tail}\n{reply}") == score


def test_long_replies_are_read_at_once():
    assert read_score("[RESULT] " * 200_000 + "[RESULT] 3") == 3
    assert read_score("[RESULT]" + " " * 1_000_000 + "x") is None
