"""Gemma 3 270M from its package; skipped where the extra is absent or the model is not converted yet."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from sharpen.models.names import PACKAGED
from sharpen.runs.streams import stream
from sharpen.sample.episode import Request
from sharpen.sample.law import GREEDY
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import load_policy

GEMMA = PACKAGED["gemma-3-270m"]

pytestmark = pytest.mark.skipif(
    not (GEMMA.installed and (GEMMA.folder / "made.json").is_file()),
    reason="needs the extra gemma, and one run of it: sharpen run star model=gemma-3-270m --tiny",
)


@pytest.fixture(scope="module")
def policy():
    return load_policy(GEMMA.name)


def test_its_tokenizer_is_gemmas(policy):
    tokenizer = policy.tokenizer
    # ids that Gemma 3's own tokenizer gives
    assert tokenizer("Hello world\n\n 12").input_ids == [2, 9259, 1902, 108, 236743, 236770, 236778]
    turn = tokenizer("<start_of_turn>user\nHi<end_of_turn>\n").input_ids
    assert turn == [2, 105, 2364, 107, 10979, 106, 107]
    text = "naïve  café\n\n\n\t日本 π ½ <b>x</b> 12+34"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
    assert policy.eos_ids == (1, 106)
    assert sum(w.numel() for w in policy.weights.values()) == GEMMA.parameters


def test_the_engine_says_what_transformers_says(policy):
    theirs = AutoModelForCausalLM.from_pretrained(GEMMA.folder, dtype=torch.float32)
    plain = GenerationConfig(do_sample=False, max_new_tokens=16, eos_token_id=list(policy.eos_ids))
    prompts = ("Once upon a time", "Q: What is 3 + 4?\nA: 7\nQ: What is 5 + 2?\nA:", "def fib(n):\n")
    ids = [policy.tokenizer(p).input_ids for p in prompts]
    requests = [Request(np.array(t, np.int32), stream("gemma"), GREEDY, 16, policy.eos_ids) for t in ids]
    for tokens, ours in zip(ids, NativeEngine().generate(policy, requests), strict=True):
        whole = theirs.generate(torch.tensor([tokens]), plain)[0].tolist()
        assert ours.tokens.tolist() == whole[len(tokens) :]
        with torch.no_grad():
            scores = theirs(torch.tensor([whole])).logits[0].log_softmax(-1)
        want = scores[len(tokens) - 1 : -1].gather(1, torch.tensor(whole[len(tokens) :])[:, None])[:, 0]
        assert np.allclose(ours.raw_logprobs, want.numpy(), atol=1e-4)
