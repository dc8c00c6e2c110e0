"""Dialects: every role's form takes its fields as they are, and mistakes are named."""

import pytest

from sharpen.errors import SharpenError
from sharpen.score.first_error import judge_prompt
from sharpen.strategies.words import ENGLISH, NANO_2, ROLES, WORDS, Form, Words

LISTS = {"demos": 2, "known": 2, "history": 2, "programs": 2} | dict.fromkeys(
    ("candidates", "answers", "lessons", "skills", "done", "routines"), 1
)


def value(role, field):
    """Two items where a field is a list; braces and field names everywhere."""
    text = f"<{field}> {{question}} {{0}} {{i}}"
    if role == "judge" and field == "steps":
        return [text + " a", text + " b"]
    if field in LISTS:
        items = [f"{text} {k}" for k in "abcd"]
        return items[:2] if LISTS[field] == 1 else [tuple(items[:2]), tuple(items[2:])]
    return text


def texts(value):
    if isinstance(value, str):
        return [value]
    return [t for item in value for t in ([item] if isinstance(item, str) else item)]


@pytest.mark.parametrize(("name", "role"), [(n, r) for n, w in WORDS.items() for r in w.roles])
def test_every_field_arrives_unchanged(name, role):
    fields = {field: value(role, field) for field in ROLES[role]}
    prompt = WORDS[name].prompt(role, **fields)
    for field, given in fields.items():
        for text in texts(given):
            # what a dialect leaves out it says so
            assert (text in prompt) == (field not in WORDS[name].forms[role].without)
    assert prompt.endswith("\n")


def test_english_asks_for_every_role_and_nano_2_for_those_it_was_trained_on():
    assert set(ENGLISH.roles) == set(ROLES)
    assert NANO_2.has("judge")
    assert not NANO_2.has("distil")


def test_no_two_roles_ask_alike():
    for words in WORDS.values():
        forms = [(f.text, f.each, f.join) for role, f in words.forms.items() if role != "step"]
        assert len(set(forms)) == len(forms)


def test_the_judge_is_asked_as_the_step_scorer_asks():
    steps = ["7+5=12", "Answer: 12"]
    assert ENGLISH.prompt("judge", question="7 + 5\n", steps=steps) == judge_prompt("7 + 5", steps)
    assert NANO_2.prompt("judge", question="Compute 7 +5\n", steps=steps) == (
        "judge Compute 7 +5\n0. 7+5=12\n1. Answer: 12\n"
    )


def test_an_empty_field_leaves_no_empty_line():
    assert NANO_2.prompt("step", question="Compute 7 +5\n", steps="") == "Compute 7 +5\n"
    assert NANO_2.prompt("act", question="Compute 7 +5", history=[]) == "act Compute 7 +5\n"


def test_lists_are_laid_out_by_the_form():
    known = [("a=7+5", 12), ("b=a*3", 36)]
    assert NANO_2.prompt("followup", question="Compute 7 +5 *3", known=known) == (
        "ask Compute 7 +5 *3\na=7+5 is 12\nb=a*3 is 36\n"
    )
    assert (
        NANO_2.prompt("hint", question="Compute 7 +5", answers=["11", "12"]) == "Compute 7 +5 hint 11, 12\n"
    )
    assert NANO_2.prompt("vote", question="q", candidates=["a\nb", "c"]) == "vote q\n1.\na\nb\n2.\nc\n"


@pytest.mark.parametrize(
    ("role", "fields", "says"),
    [
        ("judg", {}, "did you mean 'judge'"),
        ("distil", {"question": "q"}, "'nano-2' have no role 'distil'"),
        ("verify", {"question": "q", "anser": "1"}, "did you mean 'answer'"),
        ("verify", {"question": "q"}, "needs the field 'answer'"),
        ("followup", {"question": "q", "known": ["a"]}, "does not fit"),
    ],
)
def test_mistakes_are_named(role, fields, says):
    with pytest.raises(SharpenError, match=says):
        NANO_2.prompt(role, **fields)


def test_a_dialect_may_not_invent_roles_or_fields():
    with pytest.raises(SharpenError, match="did you mean 'solve'"):
        Words("w", {"solv": "{question}"})
    with pytest.raises(SharpenError, match="did you mean 'question'"):
        Words("w", {"solve": Form("{questions}")})
