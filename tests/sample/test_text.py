"""Prompts become ids once, exactly; text is a view of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sharpen.errors import SharpenError
from sharpen.sample.text import check_room, cut_at_stop, decode, render
from sharpen.tasks.task import Message

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEXT = [
    "Compute the sum of three numbers and then the answer.",
    "The answer is the sum. The answer is seven.",
    "because because because the the the answer answer",
]


def bpe(template: str | None = None, bos: str | None = None, template_adds_bos_and_eos: bool = False):
    """A byte-level BPE without word splitting, so merges cross every border."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if template_adds_bos_and_eos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token="</s>", extra_special_tokens=SPECIAL[2:]
    )
    fast.chat_template = template
    return fast


def characters(template: str | None = None):
    """One token a character."""
    vocab = {c: i for i, c in enumerate(SPECIAL + [chr(c) for c in range(32, 127)] + ["\n"])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", extra_special_tokens=SPECIAL[2:]
    )
    fast.chat_template = template
    return fast


def user(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


def test_a_chat_prompt_is_what_the_template_makes_of_it():
    for tokenizer in (bpe(CHATML), characters(CHATML)):
        got = render(tokenizer, user("the sum?"), system="Be brief.", few_shot=[("1+1", "2")])
        assert got.text == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1<|im_end|>\n"
            "<|im_start|>assistant\n2<|im_end|>\n"
            "<|im_start|>user\nthe sum?<|im_end|>\n<|im_start|>assistant\n"
        )
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1+1"},
            {"role": "assistant", "content": "2"},
            *user("the sum?"),
        ]
        theirs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
        assert got.tokens.tolist() == theirs["input_ids"]
        assert got.tokens.dtype == np.int32
        assert got.prefill_start == len(got.tokens)
        assert got.prefill == ""


def test_text_can_be_one_user_turn():
    tokenizer = bpe(CHATML)
    a, b = render(tokenizer, "hi", template="chat"), render(tokenizer, user("hi"))
    assert a.text == b.text
    assert a.tokens.tolist() == b.tokens.tolist()
    assert render(tokenizer, "hi").text == "hi"


def test_the_line_break_that_ends_a_text_is_no_part_of_a_user_turn():
    tokenizer, few_shot = bpe(CHATML), [("1+1\n", "2")]
    a = render(tokenizer, "a\nb\n", template="chat", few_shot=few_shot)
    b = render(tokenizer, "a\nb", template="chat", few_shot=[("1+1", "2")])
    assert a.text == b.text
    assert render(tokenizer, user("hi\n")).text != render(tokenizer, user("hi")).text  # messages as they are


def test_a_last_assistant_message_is_a_prefill():
    tokenizer = bpe(CHATML)
    turns = (*user("the sum?"), Message(role="assistant", content="The answer"))
    a, b = render(tokenizer, turns), render(tokenizer, user("the sum?"), prefill="The answer")
    assert a.tokens.tolist() == b.tokens.tolist()
    assert a.prefill == b.prefill == "The answer"
    assert a.text.endswith("<|im_start|>assistant\nThe answer")
    assert decode(tokenizer, a.tokens[a.prefill_start :]) == "The answer"


def test_plain_blocks_are_joined_as_stated():
    tokenizer = bpe()
    got = render(tokenizer, "Q: c\n", system="S", few_shot=[("Q: a\n", "A"), ("Q: b\n", "B")])
    assert got.text == "S\n\nQ: a\nA\n\nQ: b\nB\n\nQ: c\n"
    assert decode(tokenizer, got.tokens) == got.text
    ended = render(tokenizer, "c", few_shot=[("a", "A")], separator=tokenizer.eos_token)
    assert ended.text == "aA</s>c"
    assert ended.tokens.tolist().count(tokenizer.eos_token_id) == 1


def test_one_bos_and_no_final_eos():
    tokenizer = bpe(bos="<s>", template_adds_bos_and_eos=True)
    assert tokenizer("the sum")["input_ids"][-1] == tokenizer.eos_token_id
    for prompt in ("the sum", "<s>the sum"):
        ids = render(tokenizer, prompt, prefill=" is").tokens.tolist()
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
        assert tokenizer.eos_token_id not in ids
    # a tokenizer that adds none gets none
    assert bpe(bos="<s>").bos_token_id not in render(bpe(bos="<s>"), "the sum").tokens


def test_a_chat_template_that_writes_bos_gets_no_second_one():
    tokenizer = bpe("{{ bos_token }}" + CHATML, bos="<s>", template_adds_bos_and_eos=True)
    ids = render(tokenizer, user("the sum")).tokens.tolist()
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in ids


def test_prompt_and_prefill_are_encoded_together():
    tokenizer = bpe()
    prompt, prefill = "The ans", "wer is the"
    together = tokenizer("The answer is the", add_special_tokens=False)["input_ids"]
    apart = [i for part in (prompt, prefill) for i in tokenizer(part, add_special_tokens=False)["input_ids"]]
    assert together != apart, "the tokenizer of this test must merge across the border"
    got = render(tokenizer, prompt, prefill=prefill)
    assert got.tokens.tolist() == together
    # the straddling token belongs to the prefill, whose text is known all the same
    alone = render(tokenizer, prompt).tokens
    assert got.tokens[: got.prefill_start].tolist() == alone[: got.prefill_start].tolist()
    assert got.prefill_start < len(alone)
    assert got.prefill == prefill


@pytest.mark.parametrize(
    ("opening", "prefill"),
    [("<think>\n", "<think>\n"), ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"), ("", "")],
)
def test_thinking_opened_by_the_template_is_reported(opening, prefill):
    template = CHATML.replace("assistant\n{% endif %}", "assistant\n" + opening + "{% endif %}")
    tokenizer = bpe(template)
    got = render(tokenizer, user("the <think>"))
    assert got.prefill == prefill
    assert got.text.endswith("assistant\n" + prefill)
    assert decode(tokenizer, got.tokens[got.prefill_start :]) == prefill
    assert render(tokenizer, user("the"), prefill="so").prefill == prefill + "so"


def test_thinking_written_by_the_user_is_not_the_assistants():
    bare = bpe("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert render(bare, user("say <think>")).prefill == ""


def test_a_template_does_not_see_the_clock():
    tokenizer = bpe("{% set d = strftime_now('%d %b %Y') %}{{ d }} {{ strftime_now('%Y-%m-%d') }}|" + CHATML)
    assert render(tokenizer, user("x")).text.startswith("26 Jul 2024 2024-07-26|<|im_start|>user")


def test_what_cannot_be_rendered_is_one_clear_line():
    tokenizer = bpe()
    tokenizer.name_or_path = "/somewhere/gpt-mini"
    with pytest.raises(SharpenError, match=r"gpt-mini has no chat template: use plain text prompts"):
        render(tokenizer, user("x"))
    with pytest.raises(SharpenError, match="plain text"):
        render(tokenizer, user("x"), template="plain")
    with pytest.raises(SharpenError, match="did you mean 'plain'"):
        render(tokenizer, "x", template="plan")  # type: ignore[arg-type]
    with pytest.raises(SharpenError, match="no tokens"):
        render(tokenizer, "")
    chat = bpe(CHATML)
    with pytest.raises(SharpenError, match="two system prompts"):
        render(chat, ({"role": "system", "content": "a"}, *user("x")), system="b")
    with pytest.raises(SharpenError, match=r"user contains the control token '<\|im_end\|>'"):
        render(chat, user("x<|im_end|>\n"))
    refusing = bpe("{{ raise_exception('System role not supported') }}")
    with pytest.raises(SharpenError, match="System role not supported"):
        render(refusing, user("x"))
    with pytest.raises(SharpenError, match="message of the user"):
        render(chat, ({"role": "assistant", "content": "a"},))


def test_decoding_shows_everything_but_the_end():
    tokenizer = bpe(CHATML)
    eos = tokenizer.eos_token_id
    ids = np.array([*tokenizer("the  sum .", add_special_tokens=False)["input_ids"], eos], dtype=np.int32)
    assert decode(tokenizer, ids) == "the  sum .</s>"
    assert decode(tokenizer, ids, eos_ids=(eos, 3)) == "the  sum ."
    assert decode(tokenizer, np.array([], dtype=np.int32)) == ""


def test_decoding_keeps_the_space_of_the_first_word():
    vocab = {"<unk>": 0, "▁The": 1, "▁answer": 2, "▁is": 3}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    ids = np.array([1, 2, 3], dtype=np.int32)
    assert decode(fast, ids[1:]) == "answer is"
    assert decode(fast, ids[1:], after=ids[:1]) == " answer is"
    assert decode(fast, ids[:1]) + decode(fast, ids[1:], after=ids[:1]) == decode(fast, ids)


def test_stops_and_room():
    assert cut_at_stop("one two three", ("three", "two")) == "one "
    assert cut_at_stop("one", ("x", "")) == "one"
    got = render(characters(), "12345")
    check_room(got, "t", max_new_tokens=5, context=10)
    with pytest.raises(SharpenError, match="task 't': 5 prompt tokens and max_new_tokens=6 need 11"):
        check_room(got, "t", max_new_tokens=6, context=10)


BPE = bpe(CHATML)


@given(
    st.text(alphabet="The answrisum.\né→", min_size=1),
    st.text(alphabet="The answrisum.\né→"),
    st.lists(st.integers(4, len(BPE) - 1), max_size=12),
)
@settings(max_examples=80, deadline=None)
def test_the_learner_gets_the_ids_of_the_prompt_then_those_sampled(prompt, prefill, sampled):
    for question in (prompt, user(prompt)):
        got = render(BPE, question, prefill=prefill)
        assert decode(BPE, got.tokens) == got.text
        assert got.text.endswith(prefill)
        row = np.concatenate([got.tokens, np.array(sampled, dtype=np.int32)])
        # ids go on as they are: what sampling produced need not be what encoding its text would
        assert row[: len(got.tokens)].tolist() == BPE(got.text, add_special_tokens=False)["input_ids"]
        assert row[len(got.tokens) :].tolist() == sampled
        alone = render(BPE, question).tokens
        assert row[: got.prefill_start].tolist() == alone[: got.prefill_start].tolist()
        view = decode(BPE, row[len(got.tokens) :], after=got.tokens)
        assert "�" in decode(BPE, row) or got.text + view == decode(BPE, row)
