"""Measures of efficiency (self-efficiency oracle 4, checklist 11, 16, 17, and section 4)."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.efficiency import (
    Phase,
    by_question,
    cosine,
    degenerate,
    efficiency,
    inherent_efficiency,
    length_ratio,
    monotone,
    phase_shares,
    phases,
    reduction,
    reflection_rate,
    sign_accuracy,
)
from sharpen.sample.episode import Finish
from tests.select.test_pairs import Table, row


def answers(text):
    return "Answer" in text


def test_phases_oracle():
    trace = (
        "Let x = 3.\n\nWait, that's odd.\n \nAlternatively, wait: use y.\n\n\nSo x = 3, and that's correct."
    )
    assert phases(trace) == [Phase.EXECUTION, Phase.REFLECTION, Phase.TRANSITION, Phase.REFLECTION]
    assert phase_shares([trace]) == {Phase.EXECUTION: 0.25, Phase.REFLECTION: 0.5, Phase.TRANSITION: 0.25}


def test_a_segment_with_both_kinds_is_a_transition_and_an_empty_trace_has_none():
    assert phases("Wait. Another WAY: let me check") == [Phase.TRANSITION]
    assert phases("another thing") == [Phase.EXECUTION]
    assert phases("") == phases("\n\n \n") == []
    assert phase_shares([]) is None
    assert phase_shares(["", "\n\n"]) is None


def test_reflection_words_are_whole_words_a_thousand_tokens():
    assert reflection_rate(["Wait, but WAIT!", "awaiting butter checks; however"], 500) == 8.0
    assert reflection_rate(["wait"], 0) is None


def test_inherent_efficiency_is_of_questions_with_two_right_answers():
    table = Table(
        row("a", (120, 500, 80), (1, 1, 0)),
        row("b", (6, 10), (1, 1)),
        row("c", (1, 100), (1, 0)),
        row("d", (7, 7), (1, 1)),
        row("e", (1, 9, 10), (1, 1, 1), [Finish.EOS, Finish.EOS, Finish.LENGTH]),
    )
    ratios = (0.24, 0.6, 1.0, 1 / 9)
    found = inherent_efficiency(table)
    assert found.ratio == pytest.approx(np.mean(ratios))
    assert found.below_half == 0.5
    assert found.questions == 4
    assert inherent_efficiency(Table()) == (None, None, 0)
    assert length_ratio((1, 100), (1, 0)) is None


def test_reduction():
    assert reduction(60, 100) == pytest.approx(0.4)
    assert reduction(150, 100) == pytest.approx(-0.5)
    with pytest.raises(SharpenError):
        reduction(1, 0)


def test_sign_accuracy_counts_strictly_positive_products():
    short, long = np.array([[1, 0], [0, 0], [0, 5]]), np.array([[0, 0], [1, 0], [0, 0]])
    assert sign_accuracy(short, long, [1, 0]) == pytest.approx(1 / 3)
    assert sign_accuracy(long, short, [1, 0]) == pytest.approx(1 / 3)
    with pytest.raises(SharpenError, match="no pairs"):
        sign_accuracy(np.zeros((0, 2)), np.zeros((0, 2)), [1, 0])


def test_cosine():
    assert cosine([1, 0], [1, 1]) == pytest.approx(2**-0.5)
    assert cosine([1, 2], [-2, -4]) == pytest.approx(-1)
    with pytest.raises(SharpenError, match="norm 0"):
        cosine([0, 0], [1, 0])


@pytest.mark.parametrize(
    ("text", "finish", "told"),
    [
        ("<think>\n1+1=2\n</think>\nAnswer: 2", Finish.EOS, ""),
        ("Answer: 2", Finish.EOS, ""),
        ("<think>\n\n</think>\nAnswer: 2", Finish.EOS, "empty_think"),
        ("  </think>Answer: 2", Finish.EOS, "empty_think"),
        ("<think>1</think>", Finish.EOS, "no_answer"),
        ("<think>1</think>Answer: 2", Finish.LENGTH, "truncated"),
        ("Answer: " + "wait no " * 4, Finish.EOS, "repetition"),
        ("Answer: 7777", Finish.EOS, ""),
        # several equal passes are no loop: the text goes on after them
        ("<think>\n" + "wait\n1+1=2\n" * 5 + "</think>\nAnswer: 2", Finish.EOS, ""),
    ],
)
def test_degenerate(text, finish, told):
    assert degenerate(text, finish, answers) == told


def test_degenerate_outputs_count_as_wrong():
    good, empty = "<think>1</think>Answer: 2", "<think> </think>Answer: 2"
    table = Table(row("a", (10, 4, 6), (1, 1, 0), texts=[good, empty, good]))
    (question,) = by_question(table, answers)
    assert (question.samples, question.right, question.degenerate) == (3, 1, 1)
    assert (question.tokens, question.tokens_right) == (20, 10)
    numbers = efficiency([question], [good, empty, "wait"])
    assert numbers == {
        "accuracy": 1 / 3,
        "length": 20 / 3,
        "length_right": 10,
        "degenerate": 1 / 3,
        "reflection_rate": 50,
    }
    nothing = efficiency([])
    assert set(nothing.values()) == {None}


def test_monotone_needs_three_points_and_a_fall():
    assert monotone({-1: 9.0, 0: 5.0, 1: 5.0})
    assert not monotone({-1: 9.0, 1: 5.0})
    assert not monotone({-1: 9.0, 0: 5.0, 1: 6.0})
    assert not monotone({-1: 5.0, 0: 5.0, 1: 5.0})
