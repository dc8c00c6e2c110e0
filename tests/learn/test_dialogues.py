"""Which tokens of a dialogue are learnt."""

import numpy as np

from sharpen.learn.dialogues import dialogue_row
from sharpen.sample.episode import Completion, Finish, Span


def ids(*values):
    return np.array(values, np.int32)


def test_only_given_replies_have_weight():
    flat = np.zeros(2, np.float32)
    done = Completion(ids(3, 1), flat, flat, flat, flat, Finish.EOS)
    spans = [
        Span("prompt", ids(5, 6)), Span("assistant", done.tokens, sampled=done),
        Span("env", ids(7)), Span("assistant", ids(8, 9, 1)),
    ]  # fmt: skip
    row = dialogue_row(spans, key="k", weight=0.5)
    assert row.tokens.tolist() == [5, 6, 3, 1, 7, 8, 9, 1]
    assert row.arrays["weight"].tolist() == [0, 0, 0, 0, 0, 0.5, 0.5, 0.5]
