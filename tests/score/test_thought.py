"""Numbers behind thinking."""

import pytest

from sharpen.score.thought import number_after


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<think>\n1+1=2\n</think>Answer: 2", 1.0),
        ("<think>\n\n</think>\nAnswer: 2.0", 1.0),
        ("<think>Answer: 2</think>Answer: 3", 0.0),
        ("<think>Answer: 2", 0.0),
        ("Answer: 2", 0.0),
        ("</think>", 0.0),
        ("<think>a</think>Answer: 3</think>Answer: 2", 1.0),
    ],
)
def test_only_what_stands_behind_the_thinking_counts(text, right):
    assert number_after("?", text, "2") == right
