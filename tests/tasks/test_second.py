"""The second opinions agree with the first ones: on gold, on attacks, and on what a model might write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.tasks.check import attacks
from sharpen.tasks.registry import FAMILIES, make
from sharpen.tasks.second import opinion

CASES = [(name, level) for name in FAMILIES for level in (1, 2, 3)]
SOURCES = {(name, level): make(f"{name}:level={level}") for name, level in CASES}


@pytest.mark.parametrize(("name", "level"), CASES)
def test_they_agree_on_gold_and_attacks(name, level):
    source, second = SOURCES[name, level], opinion(name)
    assert second is not None
    for task in source.take("test", 40):
        texts = [task.solution or "", f"Answer: {task.answer}", *attacks(task).values()]
        for text in [*texts, *(f"Answer: {t}" for t in attacks(task).values())]:
            assert second(task, text) == source.verify(task, text).correct, (task, text)
        assert second(task, task.solution or "")


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(0, 30),
    st.text("0123456789+-*/() abcdef\nAnswer: ", max_size=30),
)
def test_they_agree_on_any_text(name, index, text):
    source = SOURCES[name, 1]
    task = source.take("test", 31)[index]
    for written in (text, f"Answer: {text}", f"{text}\nAnswer: {task.answer}"):
        assert opinion(name)(task, written) == source.verify(task, written).correct


def test_other_sources_have_none():
    assert opinion("reasoning_gym:leg_counting") is None
