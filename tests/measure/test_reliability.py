"""Precision, refusals and what they cost."""

import pytest

from sharpen.errors import SharpenError
from sharpen.measure.reliability import by_length, f_score, laziness, reliability


@pytest.mark.parametrize(
    ("precision", "idk", "f", "accuracy"),
    [(0.8452, 0.2937, 0.8174, 59.70), (0.5563, 0.3608, 0.5729, 35.56), (0.9153, 0.1830, 0.8956, 74.78)],
)
def test_the_scores_of_the_paper(precision, idk, f, accuracy):
    assert f_score(precision, idk) == pytest.approx(f, abs=5e-5)
    assert 100 * precision * (1 - idk) == pytest.approx(accuracy, abs=0.005)


def test_without_an_answer_there_is_no_precision():
    assert f_score(None, 0.25) == pytest.approx(0.15)
    row = reliability([False, False], [True, True], [1, 3])
    assert (row["precision"], row["idk"], row["f"]) == (None, 1, 0)
    assert f_score(0.5, 0.5, 1.0) == 0.5
    with pytest.raises(SharpenError, match="lambda"):
        f_score(0.5, 0.5, 1.2)


def test_a_row():
    row = reliability(
        [True, False, True, False], [False, False, True, True], [1, 2, 3, 5],
        forced=[False, True, True, False],
    )  # fmt: skip
    assert row["accuracy"] == row["precision"] * (1 - row["idk"]) == 0.25
    assert row["precision"] == 0.5  # what refuses is not right, whatever it says
    assert row["f"] == pytest.approx(0.8 * 0.5 + 0.2 * 0.5)
    assert row["would_be_wrong"] == 0.5
    assert (row["steps"], row["steps_refused"]) == (2.75, 4)
    assert reliability([True], [False], [1])["steps_refused"] is None
    with pytest.raises(SharpenError, match="0 responses"):
        reliability([], [], [])
    with pytest.raises(SharpenError, match="1 numbers"):
        reliability([True, True], [False, False], [1])


def test_laziness_is_about_what_can_be_done():
    assert laziness([True, False, True, True], [0.75, 1.0, 0.5, 0.0]) == 0.5
    assert laziness([True], [0.5]) is None
    with pytest.raises(SharpenError, match="1 and 2"):
        laziness([True], [0.5, 0.5])


def test_rows_by_length():
    rows = by_length([1, 2, 5, 6, 6], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1])
    assert [(r["low"], r["high"], r["n"]) for r in rows] == [(1, 2, 2), (5, 6, 3)]
    assert [r["error"] for r in rows] == [0.5, 1.0]
    assert [r["idk"] for r in rows] == pytest.approx([0, 2 / 3])
    assert by_length([3], [0], [1], width=1) == [{"low": 3, "high": 3, "n": 1, "error": None, "idk": 1.0}]
    with pytest.raises(SharpenError, match="width=0"):
        by_length([1], [1], [0], width=0)
