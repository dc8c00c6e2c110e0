"""Judges' prompts."""

from sharpen.score.judgment import Rubric, choice_prompt, score_prompt

RUBRIC = Rubric("Are the sums right?", ("none", "few", "half", "most", "all"))


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
