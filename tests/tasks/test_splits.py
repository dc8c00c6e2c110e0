"""A question has one split, and a question in two splits is found."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.tasks.splits import (
    assert_disjoint,
    canonical_text,
    check_split,
    contamination,
    prompt_text,
    split_of,
)
from sharpen.tasks.task import Task


def form(task: Task) -> str:
    return canonical_text(prompt_text(task.prompt))


def test_shares():
    counts = Counter(split_of(f"question {i}") for i in range(20_000))
    shares = {split: round(100 * n / 20_000) for split, n in counts.items()}
    assert shares == {"base": 35, "train": 45, "dev": 5, "test": 15}


def test_splits_never_move():
    # another hash would put held-out questions of the shipped model into its training data
    assert [split_of(f"q{i}") for i in range(8)] == [
        "train",
        "base",
        "train",
        "train",
        "test",
        "base",
        "base",
        "train",
    ]


@given(st.text())
def test_canonical_text_is_idempotent_and_has_a_split(text):
    once = canonical_text(text)
    assert canonical_text(once) == once
    assert split_of(once) in ("base", "train", "dev", "test")


def test_canonical_text_unifies_writing_and_keeps_meaning():
    assert canonical_text("  What is\n3 +\t4 ? ") == canonical_text("what is 3 + 4") == "what is 3 + 4"
    assert canonical_text("“Ｗｈａｔ” is ３?!") == "what” is 3"
    for a, b in (("-3", "3"), ("3%", "3"), ("(a)", "a"), ("1 2", "12"), ("$5", "5")):
        assert canonical_text(a) != canonical_text(b)


def test_a_chat_is_its_user_turns():
    chat = (
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    )
    assert prompt_text(chat) == "a\nc"


def test_contamination_names_the_ids():
    left = [Task("l0", "What is 3?", "3"), Task("l1", "Something else", "x"), Task("l2", "what is 3", "3")]
    right = [Task("r0", "fresh", "f"), Task("r1", ({"role": "user", "content": " WHAT is  3 "},), "3")]
    assert contamination(left, right, form) == [("l0", "r1"), ("l2", "r1")]
    with pytest.raises(SharpenError, match=r"train and test share 2 question\(s\): l0 = r1, l2 = r1"):
        assert_disjoint(left, right, form, names=("train", "test"))
    assert_disjoint(left, right[:1], form)


def test_unknown_split_names_the_nearest():
    assert check_split("dev") == "dev"
    with pytest.raises(SharpenError, match="unknown split 'tests': did you mean 'test'"):
        check_split("tests")
