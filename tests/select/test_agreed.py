"""Majority answers as verdicts."""

import pytest

from sharpen.errors import SharpenError
from sharpen.score.verdict import Status
from sharpen.select.agreed import agreed, winner
from tests.scored import group, table, verdict


def answers(*names: str):
    return table(group("q", [(f"so: {n}", verdict(float("nan"))) for n in names]))


def read(text: str) -> str | None:
    return text.removeprefix("so: ") or None


def scores(*names: str, share: float = 0.0) -> list[float]:
    return [v.score for v in agreed(answers(*names), read, share=share).columns[0].judged]


def test_all_samples_with_the_most_frequent_answer_count():
    assert scores("18", "18", "20", "18", "25") == [1, 1, 0, 1, 0]
    assert scores("7") == [1]


def test_ties_are_skipped():
    assert scores("1", "2", "2", "1", "3") == [0] * 5
    assert winner(["1", "2"]) == (None, "tie")


def test_no_answer_has_no_vote_and_counts_in_the_share():
    assert scores("", "", "5") == [0, 0, 1]
    assert scores("", "", "5", share=0.5) == [0, 0, 0]
    assert scores("5", "5", "6", "", share=0.5) == [1, 1, 0, 0]
    assert scores("", "") == [0, 0]
    judged = agreed(answers("", "5"), read).columns[0].judged
    assert judged[0].status is Status.UNPARSABLE


def test_share_is_a_share():
    with pytest.raises(SharpenError, match=r"share=1\.5"):
        agreed(answers("1"), read, share=1.5)
