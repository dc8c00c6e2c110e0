"""The judge of overthinking: what it sees, and what counts as a score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.score.overthinking import Turn
from sharpen.score.overthinking_judge import judge_prompt, read_score, transcript


def reply(value):
    return f'well <answer>{{"overthinking_score": {value}, "reasoning": "r"}}</answer>'


@pytest.mark.parametrize("value", ['"7"', "7", "7.0", '" 7 "', '"7.0"'])
def test_a_score(value):
    assert read_score(reply(value)) == 7.0


@pytest.mark.parametrize(
    "value", ['"seven"', "-1", "11", "NaN", "Infinity", "null", "true", "[7]", '"0-10"', '""', "9" * 400]
)
def test_no_score(value):
    assert read_score(reply(value)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        '<answer>{"overthinking_score": 3}',
        '</answer><answer>{"overthinking_score": 3}',
        "<answer>3</answer>",
        '<answer>{"score": 3}</answer>',
        '<answer>{"overthinking_score": 3, "reasoning": "a\nb"}</answer>',
        "<answer>" + "[" * 100_000 + "</answer>",
    ],
)
def test_a_reply_out_of_form_is_unscored_and_never_zero(text):
    assert read_score(text) is None


def test_the_first_answer_counts():
    assert read_score(reply(2) + reply(9)) == 2


@given(st.text())
def test_any_reply(text):
    for shown in (text, f"<answer>{text}</answer>", reply(text)):
        score = read_score(shown)
        assert score is None or 0 <= score <= 10


def test_long_attempts_lose_observations_not_responses():
    attempt = [Turn("first " * 20, observation="a" * 1000), Turn("second", observation="b" * 30)]
    whole, cut = transcript("mend it", attempt, limit=10_000)
    assert not cut
    assert "a" * 1000 in whole
    short, cut = transcript("mend it", attempt, limit=400)
    assert cut
    assert len(short) <= 400
    assert "first " * 20 in short
    assert "b" * 30 in short  # the longest observation is cut first
    assert "aa [...] aa" in short
    least, cut = transcript("mend it", attempt, limit=10)
    assert cut
    assert "first " * 20 in least
    assert "aa" not in least


def test_the_prompt():
    shown, _ = transcript("mend it", [Turn("look", observation="5")], limit=1000)
    asked = judge_prompt(shown)
    assert asked.index("TASK:\nmend it") < asked.index("RESPONSE:\nlook") < asked.index("OBSERVATION:\n5")
    # the word stands only where the reply's form needs it
    assert asked.lower().count("overthinking") == 1
    assert read_score(asked) is None
