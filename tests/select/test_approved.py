"""What a model approved of, and the controls of its filter."""

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.feedback import Judgment
from sharpen.select.approved import approved, loops
from tests.scored import group, table, verdict

RIGHT, WRONG = "Verdict: right", "Verdict: wrong"


def calls(*said):
    return group("q", [(text, verdict(0.0)) for text in said])


def given(*traces):
    return loops(table(*(calls(*t) for t in traces)))


def kept(found, verdicts="own", **options):
    return approved(found, verdicts, stream("f"), has_answer=lambda t: "Answer" in t, **options)


ONE, TWO = "Answer: 1", "Answer: 2"
TRACES = (
    (ONE, RIGHT),
    (ONE, WRONG, TWO, RIGHT),
    (ONE, WRONG, TWO, WRONG),
    (ONE, "", TWO, "?"),
    (ONE, WRONG, "none", RIGHT),
    (ONE, WRONG, "refine Answer: 3", RIGHT),
)


def test_the_last_verdict_filters_and_the_ledger_adds_up():
    found = given(*TRACES)
    assert [x.generations for x in found] == [2, 4, 4, 4, 4, 4]
    result = kept(found, requests=["assess\n", "refine\n"])
    assert result.kept == ((0, 0), (1, 1))
    assert result.ledger == {
        "prompts": 6, "no_answer": 1, "copied": 1, "not_qualified": 1, "unparsable": 1, "not_drawn": 0,
        "kept": 2,
    }  # fmt: skip


def test_empty_answers_are_not_qualified():
    (loop,) = given(("", RIGHT))
    assert loop.last is Judgment.NOT
    assert kept([loop]).kept == ()
    # a strategy that failed has no last verdict
    (failed,) = given((ONE, WRONG, TWO))
    assert failed.last is Judgment.UNPARSABLE


def test_nothing_approved_is_no_accident():
    result = kept(given((ONE, WRONG, TWO, WRONG)))
    assert (result.kept, result.ledger["kept"]) == ((), 0)


def test_off_keeps_every_answer_that_is_one():
    result = kept(given(*TRACES), "off", requests=["refine\n"])
    assert result.kept == ((0, 0), (1, 1), (2, 1), (3, 1))


def test_shuffled_keeps_as_many_and_tells_nothing():
    found = given(*([(ONE, RIGHT)] * 40 + [(ONE, WRONG, TWO, WRONG)] * 60))
    own, other = kept(found), kept(found, "shuffled")
    assert len(own.kept) == len(other.kept) == 40
    late = sum(i >= 40 for i, _ in other.kept)
    assert 15 <= late <= 33  # 24 expected


def test_random_keeps_as_many_first_answers():
    found = given(*([(ONE, RIGHT)] * 10 + [(ONE, WRONG, TWO, RIGHT)] * 10 + [(ONE, WRONG, TWO, WRONG)] * 20))
    result = kept(found, "random")
    assert len(result.kept) == 20
    assert {k for _, k in result.kept} == {0}
    assert any(i >= 20 for i, _ in result.kept)


def test_gold_is_asked_for_by_one_control_alone():
    found = given(*TRACES)
    asked = []

    def right(loop, k):
        asked.append(loop.group)
        return loop.answers[k] == TWO

    assert kept(found, right=right).kept == ((0, 0), (1, 1), (5, 1))
    assert not asked
    assert kept(found, "gold", right=right).kept == ((1, 1), (2, 1), (3, 1))
    with pytest.raises(SharpenError, match="needs the gold"):
        kept(found, "gold")
    with pytest.raises(SharpenError, match="shuffled"):
        kept(found, "shufled")
