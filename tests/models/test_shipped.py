"""The shipped models: frozen weights, a tokenizer that loses nothing, a corpus that is what its card says."""

import hashlib
import re
from dataclasses import replace

import pytest

from sharpen.models.corpus import END, NANO, Corpus, Mixture, products_first
from sharpen.models.make import make_tokenizer
from sharpen.runs.streams import stream
from sharpen.sample.episode import Request
from sharpen.sample.law import GREEDY
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy, shipped
from sharpen.sample.text import decode, render
from sharpen.tasks.chain import Chain
from sharpen.tasks.countdown import Countdown

MODELS = shipped()
ASCII = "".join(map(chr, range(32, 127))) + "\n"


@pytest.fixture(params=sorted(MODELS))
def name(request):
    return request.param


def test_weights_are_the_frozen_ones(name):
    card = (MODELS[name] / "README.md").read_text()
    frozen = re.search(r"sha256 of `model.safetensors` \| `([0-9a-f]{64})`", card)
    assert frozen, "the card names no hash"
    found = hashlib.sha256((MODELS[name] / "model.safetensors").read_bytes()).hexdigest()
    assert found == frozen[1]
    assert f"`{load_policy(name).version}`" in card


def test_it_answers(name):
    policy = load_policy(name)
    prompt = render(policy.tokenizer, "Make 7 from 3 4\n").tokens
    [done] = NativeEngine().generate(policy, [Request(prompt, stream("it"), GREEDY, 64, policy.eos_ids)])
    assert "Answer: " in decode(policy.tokenizer, done.tokens, eos_ids=policy.eos_ids)


def test_printable_text_comes_back_as_it_was(name):
    tokenizer = load_policy(name).tokenizer
    for text in (ASCII, "Make 29 from 3 7 8\n3*7=21\n21+8=29\nAnswer: 3*7+8", " <think>\n</think>Answer: a "):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
    assert len(tokenizer.encode("Answer: ", add_special_tokens=False)) == 1


def test_the_tokenizer_is_the_one_that_the_script_makes(name):
    tokenizer, made = load_policy(name).tokenizer, make_tokenizer()
    assert tokenizer.get_vocab() == made.get_vocab()
    assert tokenizer.chat_template == made.chat_template
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token) == (
        made.pad_token,
        made.eos_token,
        made.unk_token,
    )
    text = ASCII + "<|user|>x<|assistant|><think></think>Answer: 3<|end|>"
    assert tokenizer.encode(text) == made.encode(text)


def test_the_chat_template_writes_roles_once(name):
    tokenizer = load_policy(name).tokenizer
    chat = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "v"},
    ]
    given = render(tokenizer, chat)
    assert given.text == "<|system|>s<|user|>u<|assistant|>a<|end|><|user|>v<|assistant|>"
    assert len(given.tokens) == 10


@pytest.fixture(scope="module")
def corpus():
    return Corpus(Mixture(NANO.shares, {1: 0.5, 2: 0.5}, NANO.misconception, gold=30))


def test_a_corpus_sample_follows_from_its_stream(corpus):
    def draw(corpus, n):
        rng = stream("corpus", n).generator()
        return [corpus.sample(rng) for _ in range(20)]

    again = Corpus(corpus.mixture)
    first = draw(corpus, 0)
    draw(again, 1)
    assert first == draw(again, 0) == draw(corpus, 0)
    assert first != draw(corpus, 1)
    assert all(s.completion.endswith(END) and END not in s.prompt for s in first)


def test_only_the_base_split_is_used(corpus):
    assert all("-base-" in t.id for tasks in corpus.items.values() for t in tasks)


def test_nothing_wrong_is_planted_in_countdown_and_half_of_chain_is(corpus):
    countdown, wrong, n = Countdown(), 0, 0
    rng = stream("planted").generator()
    for level in (1, 2):
        for task in corpus.items["countdown", level]:
            for solution in corpus.ways[f"{task.id}{level}"]:
                assert countdown.verify(task, solution).correct
                assert all(countdown.steps(task, solution))
    for _ in range(300):
        task, solution = corpus._solved("chain", rng)
        n += products_first(task) != task.solution
        wrong += solution != task.solution
    assert 0.35 * n < wrong < 0.65 * n


def test_the_planted_procedure_takes_products_first():
    task = replace(Chain().take("base", 1)[0], prompt="Compute 7 +5 *3 -4\n")
    assert products_first(task) == "5*3=15\n7+15=22\n22-4=18\nAnswer: 18"
