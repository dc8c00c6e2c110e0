"""First-error judging: what is shown to the judge, and what is read from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.first_error import (
    boxed,
    first_error,
    first_rejected,
    judge_prompt,
    mean_step_score,
    paragraphs,
    step_score,
    tagged,
    voted,
)


def test_paragraphs_are_numbered_from_zero():
    steps = paragraphs("a\nb\n\n \n\nc\n   \nd\n")
    assert steps == ["a\nb", "c", "d"]
    assert tagged(steps[:2]) == "<paragraph_0>\na\nb\n</paragraph_0>\n\n<paragraph_1>\nc\n</paragraph_1>"
    assert paragraphs(" \n\n ") == []


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (r"\boxed{0} no, \boxed{2}", 2),
        (r"\boxed{ -1 }", -1),
        (r"\boxed{2, 3}", None),
        (r"\boxed{none}", None),
        (r"\boxed{}", None),
        ("", None),
        ("the answer is 3", None),
        (r"\boxed{3} then \boxed{\text{4}}", None),
        (r"\boxed{3} then \boxed{4", 3),
        (r"\boxed{12345}", 12345),
        (r"\boxed{" + "9" * 5000 + "}", None),
        (r"\boxed{1_0}", None),
        (r"\boxed{2.0}", None),
    ],
)
def test_parser(text, index):
    assert first_error(text) == index


def test_voting():
    assert voted([None, "2", "2", "-1"]) == 2
    assert voted(["1", "2"]) == 1
    assert voted([None, None]) is None
    assert voted([]) is None
    assert voted([boxed(r"\boxed{none}"), boxed(r"\boxed{none}"), boxed(r"\boxed{1}")]) == 1


def test_a_step_scorer_as_judge():
    assert first_rejected([True, True]) == -1
    assert first_rejected([True, False, False]) == 1


@pytest.mark.parametrize(("index", "score"), [(-1, 1), (0, 0), (2, 0.5), (None, 0), (4, 0), (-2, 0)])
def test_score_oracle(index, score):
    assert step_score(index, 4) == score


def test_scores_of_other_lengths():
    assert step_score(-1, 1) == 1
    assert step_score(0, 1) == 0
    assert step_score(-1, 0) == 0  # an empty solution is not judged, and not accepted
    assert mean_step_score([-1, 2, None], 4) == 0.5
    assert mean_step_score([], 4) == 0


@given(st.none() | st.integers(-5, 20), st.integers(0, 10))
def test_a_later_first_error_is_never_worse(index, steps):
    score = step_score(index, steps)
    assert 0 <= score <= 1
    if index is not None and 0 <= index < steps - 1:
        assert score < step_score(index + 1, steps) <= step_score(-1, steps)


def test_the_prompt_shows_one_solution():
    shown = judge_prompt("What is 3+4?\n", ["3+4=7", "So 7"])
    assert shown.startswith("Problem:\nWhat is 3+4?")
    assert "<paragraph_1>\nSo 7" in shown
    assert "reference" not in shown
    assert "may be wrong:\nIt is 8" in judge_prompt("q", ["s"], reference="It is 8")
    # its own words must not read as a judgment
    assert first_error(shown) is None
