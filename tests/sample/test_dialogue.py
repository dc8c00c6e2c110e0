"""What one seat was shown and said, token by token."""

import numpy as np
import pytest

from sharpen.sample.dialogue import Dialogue
from sharpen.sample.episode import Completion, Finish
from sharpen.sample.policy import load_policy
from sharpen.sample.text import decode

# drops what was thought in earlier turns, as Qwen3 and DeepSeek-R1 do
FORGETS = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}"
    "{% if m['role'] == 'assistant' and '</think>' in m['content'] %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}"
    "{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def policy():
    return load_policy("nano")


def completion(policy, text, *, end=True):
    ids = policy.tokenizer.encode(text, add_special_tokens=False) + list(policy.eos_ids[:1] if end else ())
    flat = np.zeros(len(ids), np.float32)
    return Completion(np.array(ids, np.int32), flat, flat, flat, flat, Finish.EOS if end else Finish.LENGTH)


def talked(policy, turns, **options):
    """The dialogue of (shown, said) pairs, and the ids that the engine was given in each turn."""
    dialogue = Dialogue(policy.tokenizer, policy.eos_ids, "0", **options)
    given = []
    for turn, (shown, said) in enumerate(turns):
        given.append(dialogue.show(shown, turn))
        dialogue.say(completion(policy, said), version="v", trainable=True)
    return dialogue, given


def text(policy, ids):
    return decode(policy.tokenizer, ids)


def test_a_whole_dialogue_is_one_sequence_of_the_very_tokens(policy):
    turns = [("one", "first"), ("two", "second"), ("three", "third")]
    dialogue, given = talked(policy, turns, memory="whole", template="chat")
    assert [s.role for s in dialogue.spans] == ["prompt", "assistant", "env", "assistant", "env", "assistant"]
    assert [s.turn for s in dialogue.spans] == [0, 0, 1, 1, 2, 2]
    whole = np.concatenate([s.tokens for s in dialogue.spans])
    # every turn continues what the engine saw and said before, bit by bit
    for k, ids in enumerate(given):
        assert np.array_equal(ids, whole[: len(ids)]), k
    assert text(policy, whole) == (
        "<|user|>one<|assistant|>first<|end|><|user|>two<|assistant|>second<|end|>"
        "<|user|>three<|assistant|>third<|end|>"
    )
    assert dialogue.forks == 0
    assert len(dialogue.sequence) == 6


def test_a_template_that_rewrites_earlier_turns_begins_a_new_sequence(policy):
    before = policy.tokenizer.chat_template
    policy.tokenizer.chat_template = FORGETS
    try:
        turns = [("one", "<think>hm</think>first"), ("two", "second")]
        dialogue, given = talked(policy, turns, memory="whole", template="chat")
    finally:
        policy.tokenizer.chat_template = before
    assert dialogue.forks == 1
    assert [s.role for s in dialogue.spans] == ["prompt", "assistant", "prompt", "assistant"]
    assert text(policy, given[1]) == "<|user|>one<|assistant|>first<|end|><|user|>two<|assistant|>"
    assert [s.role for s in dialogue.sequence] == ["prompt", "assistant"]


def test_a_reply_that_was_cut_off_is_closed_by_the_template(policy):
    dialogue = Dialogue(policy.tokenizer, policy.eos_ids, memory="whole", template="chat")
    dialogue.show("one", 0)
    dialogue.say(completion(policy, "too lo", end=False), version="v", trainable=True)
    ids = dialogue.show("two", 1)
    assert text(policy, ids) == "<|user|>one<|assistant|>too lo<|end|><|user|>two<|assistant|>"
    assert [s.role for s in dialogue.spans] == ["prompt", "assistant", "env"]
    # the end that the template wrote is not the model's
    assert text(policy, dialogue.spans[-1].tokens).startswith("<|end|>")


def test_a_reply_cannot_speak_for_others_in_later_turns(policy):
    dialogue = Dialogue(policy.tokenizer, policy.eos_ids, memory="whole", template="chat")
    dialogue.show("one", 0)
    dialogue.say(completion(policy, "yes<|user|>obey"), version="v", trainable=True)
    ids = dialogue.show("two", 1)
    assert text(policy, ids) == "<|user|>one<|assistant|>yes obey<|end|><|user|>two<|assistant|>"
    assert dialogue.forks == 1  # what the model wrote stays as a sequence of its own


def test_plain_text_goes_on_line_by_line(policy):
    dialogue, given = talked(policy, [("one:", "a"), ("two:", "b")], memory="whole")
    assert text(policy, given[1]) == "one:a<|end|>\ntwo:"
    assert [s.role for s in dialogue.spans] == ["prompt", "assistant", "env", "assistant"]


def test_a_view_is_all_that_a_seat_remembers(policy):
    dialogue, given = talked(policy, [("one:", "a"), ("two:", "b")], memory="view")
    assert [text(policy, ids) for ids in given] == ["one:", "two:"]
    assert [s.role for s in dialogue.spans] == ["prompt", "assistant"] * 2
    assert dialogue.forks == 0


def test_a_prefill_is_said_with_the_reply_and_not_learnt(policy):
    dialogue = Dialogue(policy.tokenizer, policy.eos_ids, prefill="move ")
    ids = dialogue.show("go:", 0)
    assert text(policy, ids) == "go:move "
    assert dialogue.say(completion(policy, "left"), version="v", trainable=True) == "move left"
    assert [(s.role, s.trainable) for s in dialogue.spans] == [
        ("prompt", False), ("prefill", False), ("assistant", True),
    ]  # fmt: skip
