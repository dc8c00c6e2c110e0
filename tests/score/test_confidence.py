"""Stated confidence: every form that is read, and everything that makes an item invalid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.score.confidence import (
    EXAMPLE,
    Problem,
    answer_request,
    declines,
    gradable,
    read_confidence,
    reflection,
    request,
    spoken,
    stated,
    stated_in_reflection,
    states_confidence,
    validity,
    without_confidence,
)


def reply(confidence, answer="7"):
    return f"so it is 7\n<answer>{answer}</answer>\n<confidence>{confidence}</confidence>"


@pytest.mark.parametrize(
    ("mode", "written", "value"),
    [
        ("percent", "80%", 0.8),
        ("percent", "80 %", 0.8),
        ("percent", " 80 ", 0.8),
        ("percent", "80\\%", 0.8),
        ("percent", "80.5%", 0.805),
        ("percent", "0.8%", 0.008),
        ("percent", "1", 0.01),
        ("percent", "1.", 0.01),
        ("percent", "80%.", 0.8),
        ("percent", "0", 0.0),
        ("percent", "100", 1.0),
        ("percent", "-0", 0.0),
        ("probability", "0.8", 0.8),
        ("probability", ".8", 0.8),
        ("probability", "1", 1.0),
        ("probability", "0.0", 0.0),
    ],
)
def test_forms(mode, written, value):
    item = stated(reply(written), mode=mode)
    assert item.valid
    assert item.confidence == pytest.approx(value)
    assert not item.read_as_probability


@pytest.mark.parametrize(("written", "value"), [("0.8", 0.8), ("1.0", 1.0), (".5", 0.5)])
def test_a_decimal_where_a_percentage_was_asked_is_flagged(written, value):
    item = stated(reply(written))
    assert item.valid
    assert (item.confidence, item.read_as_probability) == (value, True)


@pytest.mark.parametrize(
    ("mode", "written", "problem"),
    [
        ("percent", "150%", Problem.OUT_OF_RANGE),
        ("percent", "-5", Problem.OUT_OF_RANGE),
        ("percent", "9" * 5000, Problem.OUT_OF_RANGE),
        ("percent", "high", Problem.NOT_A_NUMBER),
        ("percent", "nan", Problem.NOT_A_NUMBER),
        ("percent", "1_0", Problem.NOT_A_NUMBER),
        ("percent", "٨٠", Problem.NOT_A_NUMBER),
        ("percent", "80-90", Problem.NOT_A_NUMBER),
        ("percent", "", Problem.NO_CONFIDENCE),
        ("percent", "%", Problem.NOT_A_NUMBER),
        ("percent", ".", Problem.NOT_A_NUMBER),
        ("percent", "8%0", Problem.NOT_A_NUMBER),
        ("percent", "80%%", Problem.NOT_A_NUMBER),
        ("probability", "80", Problem.OUT_OF_RANGE),
        ("probability", "80%", Problem.OUT_OF_RANGE),
        ("probability", "-0.1", Problem.OUT_OF_RANGE),
    ],
)
def test_what_cannot_be_read_is_invalid(mode, written, problem):
    item = stated(reply(written), mode=mode)
    assert (item.confidence, item.problem, item.valid) == (None, problem, False)


def test_the_last_tag_counts_and_thinking_does_not():
    assert stated(reply("20%") + reply("90%", "8")).confidence == 0.9
    assert stated(reply("20%") + reply("90%", "8")).answer == "8"
    thought = f"<think>{reply('20%')}</think>"
    assert stated(thought).problem is Problem.NO_ANSWER
    assert stated(thought + reply("70%")).confidence == 0.7
    # the opening mark may stand in the prompt
    assert stated(reply("20%") + "</think>" + reply("70%")).confidence == 0.7
    assert stated("<think>" + reply("70%")).problem is Problem.NO_ANSWER
    assert stated(reply("70%") + "<confidence>80%").confidence == 0.7  # the second is not complete
    assert stated(reply("70%") + "</confidence></answer>") == stated(reply("70%"))


def test_the_form_of_a_line():
    item = stated("<think>\n3+4=7\n</think>Answer: 7\nConfidence: 80%")
    assert (item.answer, item.confidence, item.valid) == ("7", 0.8, True)
    assert stated("Answer: 7\n**Confidence: 80%**").confidence == 0.8


def test_an_item_without_an_answer_is_invalid_not_wrong():
    item = stated("<confidence>80%</confidence>")
    assert (item.confidence, item.problem) == (0.8, Problem.NO_ANSWER)
    assert stated(reply("80%", " ")).problem is Problem.NO_ANSWER


def test_a_truncated_item_is_invalid():
    assert stated(reply("80%"), truncated=True).problem is Problem.TRUNCATED


@pytest.mark.parametrize("mode", ["percent", "probability"])
def test_a_copied_example_is_noticed(mode):
    shown = request(mode=mode)
    item = stated(shown[shown.index("<answer>") :], mode=mode)
    assert item.copied
    assert item.valid
    assert item.confidence == 0.8
    assert not stated(reply(EXAMPLE[mode][1]), mode=mode).copied


def test_requests():
    assert "commas" in request("parts")
    assert "0.0 to 1.0" in request(mode="probability")
    with pytest.raises(SharpenError, match="did you mean 'maths'"):
        request("math")
    with pytest.raises(SharpenError, match="confidence mode 'percents'"):
        stated("", mode="percents")  # pyright: ignore


def test_reflection_shows_the_solution_without_its_thinking():
    shown = reflection("3+4?", "<think>is it 8?</think>It is 7.\n<answer>7</answer>")
    assert "It is 7." in shown
    assert "is it 8?" not in shown
    item = stated_in_reflection("<answer>7</answer>", "<answer>8</answer><confidence>60%</confidence>")
    assert (item.answer, item.confidence, item.valid) == ("7", 0.6, True)
    assert stated_in_reflection("nothing", "<confidence>60%</confidence>").problem is Problem.NO_ANSWER
    assert stated_in_reflection("Answer: 7", "no idea").problem is Problem.NO_CONFIDENCE
    assert stated_in_reflection("Answer: 7", "60%", truncated=True).problem is Problem.TRUNCATED


def test_reflection_asks_first_for_the_answer_alone():
    for kind in ("maths", "choice", "short", "parts"):
        first = answer_request(kind)
        assert "<answer>" in first
        assert "onfiden" not in first
        assert "%" not in first
    with pytest.raises(SharpenError, match="did you mean 'maths'"):
        answer_request("math")
    # whole and unclosed thinking are dropped, the rest is shown as it is; the second turn asks for no answer
    shown = reflection("3+4?", "<think>8</think>a\n<think>9</think>\n3+4=7\nso\n<answer>7</answer>")
    assert "3+4=7\nso\n<answer>7</answer>" in shown
    assert "8" not in shown.replace("80%", "")
    assert "9" not in shown
    assert "only how sure" in shown.split("</answer>")[1]
    copied = answer_request()[answer_request().index("<answer>") :]
    assert stated_in_reflection(copied, "<confidence>80%</confidence>").copied
    assert not stated_in_reflection(copied, "<confidence>70%</confidence>").copied


def test_a_grader_never_sees_the_confidence():
    assert without_confidence("Answer: 7\nConfidence: 80%") == "Answer: 7"
    assert without_confidence("3+4=7\n**Confidence: 5%**\nAnswer: 7\n") == "3+4=7\nAnswer: 7\n"
    assert without_confidence(reply("80%")) == "so it is 7\n<answer>7</answer>"
    assert without_confidence("4<confidence>1%</confidence>2") == "4 2"
    assert without_confidence("plain\n") == "plain\n"
    assert without_confidence("Confidence: 80%") == ""
    assert gradable(reply("80%")) == "so it is 7\nAnswer: 7"
    assert gradable("<answer> 7 </answer><confidence>80%</confidence>") == "Answer: 7"
    assert gradable(reply("1%", "6") + "\n" + reply("80%")).endswith("so it is 7\nAnswer: 7")
    assert gradable("Answer: 7\nConfidence: 80%") == "Answer: 7"


@given(st.text(max_size=60), st.sampled_from(["0%", "80%", "high", ""]), st.sampled_from(["0%", "100%", "x"]))
def test_no_confidence_changes_what_is_graded(text, one, other):
    for form in ("{}\nConfidence: {}", "{}\n<answer>7</answer>\n<confidence>{}</confidence>"):
        assert gradable(form.format(text, one)) == gradable(form.format(text, other))


def test_saying_any_confidence():
    assert states_confidence("Answer: 7\nConfidence: high")
    assert states_confidence(reply(""))
    assert not states_confidence("<think>Confidence: 80%</think>Answer: 7")


def test_counts_and_the_warning():
    good = [stated(reply("80%"))] * 197
    bad = [stated(reply("high")), stated(reply("80%"), truncated=True), stated(reply("150"))]
    counts = validity([*good, *bad])
    assert (counts.n, counts.invalid, counts.truncated, counts.share) == (200, 3, 1, 0.015)
    assert counts.warning == ""
    counts = validity([*good, *bad, stated("")])
    assert counts.problems == {"truncated": 1, "no answer": 1, "not a number": 1, "out of range": 1}
    assert "4 of 201" in counts.warning
    assert validity([]).share == 0


def test_saying_that_one_does_not_know():
    assert declines("I don't know.")
    assert declines("<think>easy: 7</think>I don\u2019t know.")
    assert declines("<answer>I do not know</answer>")
    assert not declines("<think>I don't know</think>Answer: 7")
    assert not declines("I don't know, but\nAnswer: 7")
    assert not declines("")


@given(st.text(max_size=200), st.sampled_from(["percent", "probability"]))
def test_any_text_is_read_without_an_exception(text, mode):
    for shown in (text, reply(text)):
        item = stated(shown, mode=mode)
        assert item.confidence is None or 0 <= item.confidence <= 1
        if item.valid:
            assert item.answer
            assert item.confidence is not None


@given(st.integers(0, 100))
def test_percentages_come_back(n):
    assert read_confidence(f"{n}%", "percent") == (n / 100, Problem.NONE, False)
    assert read_confidence(str(n / 100), "probability")[0] == n / 100


def test_spoken():
    assert spoken("a</think>b</think>c") == "c"
    assert spoken("a<thinking>b") == ""
    assert spoken("plain") == "plain"
