"""Wrong answers rewritten into refusals."""

from dataclasses import replace

import pytest

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.sample.policy import load_policy
from sharpen.score.refusal import Refusals
from sharpen.score.verdict import Status
from sharpen.select.r_tuning import r_tuned, refusing
from sharpen.verbs.asking import Asking
from sharpen.verbs.learning import rows_of
from tests.scored import group, table, verdict

SORRY, KNOWN = "Sorry, I don't know.", Refusals()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1+1=3\nAnswer: 3", "1+1=3\nSorry, I don't know."),
        ("so \\boxed{3}", "so\nSorry, I don't know."),
        ("Answer: 3", SORRY),
        ("", SORRY),
        ("1+1=3\n", "1+1=3\nSorry, I don't know."),
        ("a\nAnswer: 1\nb\nAnswer: 2", "a\nSorry, I don't know."),
    ],
)
def test_the_reasoning_stays_and_the_answer_goes(text, said):
    assert refusing(text, SORRY) == said
    assert KNOWN.said(said)


def test_an_unfinished_line_goes_too():
    assert refusing("1+1=2\n2+", SORRY, cut=True) == "1+1=2\nSorry, I don't know."
    assert refusing("1+", SORRY, cut=True) == SORRY


def held():
    right, wrong, no = verdict(1.0, True), verdict(0.0, False), verdict(0.0, False, Status.REFUSED)
    return table(
        group("q", [("a\nAnswer: 42", right), ("b\nAnswer: 1", wrong),
                    ("c\nsorry", no), ("d", verdict(0.0, status=Status.CRASH))]),
        group("r", [("Answer: 1", wrong), ("", verdict(0.0, False, Status.UNPARSABLE))]),
    )  # fmt: skip


def test_nothing_known_is_dropped():
    found = r_tuned(held(), SORRY, KNOWN)
    assert [i.text for i in found] == ["a\nAnswer: 42", f"b\n{SORRY}", "c\nsorry", SORRY, SORRY]
    assert [i.gold for i in found] == [False, True, False, True, True]
    assert [i.correct for i in found] == [True, False, False, False, False]
    assert found.ledger == {"sampled": 6, "gold": 3, "unknown": 1, "wrong": 3, "kept": 5}
    with pytest.raises(SharpenError, match="phrases"):
        r_tuned(held(), "Hm.", KNOWN)


def test_what_was_given_as_the_start_is_not_learnt_twice():
    groups = table(group("q", [("Well: b\nAnswer: 1", verdict(0.0, False))]))
    found = r_tuned(groups, SORRY, KNOWN, prefill="Well: ")
    assert [i.text for i in found] == [f"b\n{SORRY}"]
    policy = load_policy("nano")
    [row] = rows_of(policy, found, Asking(prefill="Well: "))
    assert policy.tokenizer.decode(row.tokens.tolist()) == f"question q\nWell: b\n{SORRY}<|end|>"
    assert (row.arrays["weight"] > 0).sum() == len(f"b\n{SORRY}") + 1


def test_a_cut_sample_loses_its_last_line():
    whole = held()[0]
    episodes = tuple(replace(e, finish=Finish.LENGTH) for e in whole.episodes)
    found = r_tuned(table(replace(whole, episodes=episodes)), SORRY, KNOWN)
    assert found.items[1].text == f"b\n{SORRY}"
