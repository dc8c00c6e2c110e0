"""Tools: schemas from signatures, calls from text, and what is wrong with a call told to the model."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.tasks.tools import MOST_CALLS, described, tool, use


def add(a: int, b: int = 1) -> int:
    """The sum of two numbers.

    More about it.
    """
    return a + b


def find(words: str, places: list[str]) -> str:
    """Look words up."""
    if not places:
        raise LookupError("nowhere to look")
    return f"{words} in {', '.join(places)}"


TOOLS = (tool(add), tool(find))


def call(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def test_a_schema_is_the_signature():
    assert tool(add).schema == {
        "type": "function",
        "function": {
            "name": "add",
            "description": "The sum of two numbers.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"default": 1, "type": "integer"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        },
    }
    assert [json.loads(line)["name"] for line in described(TOOLS).splitlines()] == ["add", "find"]


def test_calls_are_carried_out_in_order():
    told = use(TOOLS, f"first {call('add', a=2)} then {call('find', words='x', places=['a', 'b'])}")
    assert told.text == "3\nx in a, b"
    assert (told.calls, told.malformed, told.failed) == (2, 0, 0)
    assert use(TOOLS, "no call") == use((), "no call")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("<tool_call>{add 1}</tool_call>", "no JSON"),
        ("<tool_call>[1]</tool_call>", 'a call is {"name"'),
        (call("ad", a=1), "add"),
        (call("add"), "add: a: Field required"),
        (call("add", a="2"), "add: a: Input should be a valid integer"),
        (call("add", a=1, c=2), "add: c: Extra inputs"),
        ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>', "arguments are an object"),
        ('<tool_call>{"name": "add"', "not closed"),
    ],
)
def test_a_malformed_call_is_told_and_counted_and_nothing_is_done(message, told):
    used = use(TOOLS, message)
    assert told in used.text
    assert used.text.startswith("error: ")
    assert (used.calls, used.malformed, used.failed) == (1, 1, 0)


def test_a_tool_that_raises_says_why_and_the_others_go_on():
    used = use(TOOLS, call("find", words="x", places=[]) + call("add", a=1))
    assert used.text == "error: LookupError: nowhere to look\n2"
    assert (used.malformed, used.failed) == (0, 1)


def test_a_message_may_call_so_often_and_no_more():
    used = use(TOOLS, call("add", a=1) * (MOST_CALLS + 3))
    assert used.text.splitlines()[:-1] == ["2"] * MOST_CALLS
    assert used.calls == MOST_CALLS + 3


def test_a_function_without_types_is_no_tool():
    with pytest.raises(SharpenError, match="argument 'x' needs a type"):
        tool(lambda x: x)

    def any_number(*more: int) -> int:
        return len(more)

    with pytest.raises(SharpenError, match="argument 'more' needs a type"):
        tool(any_number)


@given(st.text())
def test_no_message_breaks_it(text):
    for message in (
        text,
        f"<tool_call>{text}</tool_call>",
        f'<tool_call>{{"name": "add", {text}}}</tool_call>',
    ):
        used = use(TOOLS, message)
        assert 0 <= used.malformed + used.failed <= used.calls
