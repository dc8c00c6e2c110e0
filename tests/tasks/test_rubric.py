"""Judges' prompts, and rows of one's own that are judged by them."""

import json

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.registry import make
from sharpen.tasks.rubric import Rubric, choice_prompt, score_prompt
from sharpen.tasks.splits import prompt_text

RUBRIC = Rubric("Are the sums right?", ("none", "few", "half", "most", "all"))
ALONE = {"instruction": "Add 2 and 3.", "response": "5", "criterion": "Is the sum right?", "score": 5}
PAIR = {
    "instruction": "Add 2 and 3.",
    "response": "6",
    "other": "5",
    "criterion": "Which is right?",
    "better": "B",
}


def test_prompts_hold_what_is_judged_and_ask_for_what_is_read():
    prompt = score_prompt("Add up.", "1+1=3", RUBRIC, reference="1+1=2")
    for part in (
        "Add up.",
        "1+1=3",
        "Are the sums right?",
        "Score 1: none",
        "Score 5: all",
        "1+1=2",
        "1 to 5",
    ):
        assert part in prompt
    assert prompt.endswith("Feedback:\n")
    assert "would have" not in score_prompt("Add up.", "1+1=3", RUBRIC)
    alone = score_prompt("Add up.", "", RUBRIC, rationale=False)  # an empty response is judged too
    assert alone.endswith("Verdict:\n")
    assert "feedback" not in alone.lower()
    two = choice_prompt("Add up.", "first", "second", RUBRIC)
    assert two.index("first") < two.index("second")
    swapped = choice_prompt("Add up.", "second", "first", RUBRIC)
    assert swapped.index("second") < swapped.index("first")


def source(folder, *rows):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"split": "test", **row}) + "\n" for row in rows))
    return make(f"rubric:{file}")


def test_a_row_is_put_as_its_prompt_and_its_gold_verdict_passes(tmp_path):
    told = {**ALONE, "scores": ["a", "b", "c", "d", "e"], "reference": "2+3=5", "id": "first"}
    rows = source(tmp_path, told, {**ALONE, "response": "", "score": 1}, PAIR)
    one, empty, two = rows.take("test", 3)
    assert (one.id, one.answer, empty.answer, two.answer) == ("first", "5", "1", "B")
    rubric = Rubric("Is the sum right?", ("a", "b", "c", "d", "e"))
    assert one.prompt == score_prompt("Add 2 and 3.", "5", rubric, reference="2+3=5")
    assert empty.prompt == score_prompt("Add 2 and 3.", "", Rubric("Is the sum right?"))
    assert two.prompt == choice_prompt("Add 2 and 3.", "6", "5", Rubric("Which is right?"))
    for task in (one, empty, two):
        assert rows.verify(task, f"Because. [RESULT] {task.answer}").correct
        assert rows.verify(task, "Because.").status == "unparsable"
        assert rows.has_answer(f"[RESULT] {task.answer}")
        assert not rows.has_answer("")
    assert not rows.verify(one, "[RESULT] 4").correct
    assert not rows.verify(two, "[RESULT] A").correct


def test_rows_can_be_asked_for_the_verdict_alone_and_pairs_turned_round(tmp_path):
    rows = source(tmp_path, ALONE, PAIR)
    one, two = rows.take("test", 2)
    assert prompt_text(rows.bare(one).prompt).endswith("Verdict:\n")
    turned = rows.exchanged(two)
    assert (turned.answer, turned.data["responses"]) == ("A", ["5", "6"])
    assert turned.prompt == choice_prompt("Add 2 and 3.", "5", "6", Rubric("Which is right?"))
    better, worse = rows.sides(two)
    assert better.prompt == score_prompt("Add 2 and 3.", "5", Rubric("Which is right?"))
    assert worse.prompt == score_prompt("Add 2 and 3.", "6", Rubric("Which is right?"))
    with pytest.raises(SharpenError, match="no second response"):
        rows.exchanged(one)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**ALONE, "score": 6}, "whole number from 1 to 5, not 6"),
        ({**ALONE, "score": 4.5}, "not 4.5"),
        ({**ALONE, "score": True}, "not True"),
        ({**PAIR, "better": "C"}, "A or B, not 'C'"),
        ({k: v for k, v in ALONE.items() if k != "criterion"}, "'criterion' should be text"),
        ({**ALONE, "criterion": " "}, "'criterion' is empty"),
        ({**ALONE, "response": 5}, "'response' should be text"),
        ({**ALONE, "scores": ["good", "bad"]}, "in 5 texts"),
        ({**ALONE, "reference": 5}, "should be text"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, told):
    with pytest.raises(SharpenError, match=r"rows.jsonl, row 1: .*") as caught:
        source(tmp_path, row)
    assert told in str(caught.value)


def test_a_bad_name_is_told(tmp_path):
    with pytest.raises(SharpenError, match="rubric needs a path"):
        make("rubric:")
    with pytest.raises(SharpenError, match="no such dataset"):
        make(f"rubric:{tmp_path / 'nothing.jsonl'}")
    source(tmp_path, ALONE)
    with pytest.raises(SharpenError, match="parameter of rubric"):
        make(f"rubric:{tmp_path / 'rows.jsonl'}:answer=score")


def test_what_is_judged_is_part_of_a_runs_identity(tmp_path):
    one = source(tmp_path, ALONE).spec
    assert one["source"] == "rubric"
    assert source(tmp_path, {**ALONE, "score": 4}).spec != one
