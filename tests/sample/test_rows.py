"""The bookkeeping of the decode loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sharpen.runs.streams import stream
from sharpen.sample.episode import Request
from sharpen.sample.law import SamplingLaw
from sharpen.sample.rows import Rows


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_only_the_rows_move_that_let_fewer_be_computed(stays):
    asked = [
        Request(np.array([i + 1], np.int32), stream("rows", i), SamplingLaw(), 3, ())
        for i in range(len(stays))
    ]
    rows = Rows(len(asked), 64, None, asked)
    for i in range(len(asked)):
        rows.enter(i, i)
    for slot, here in enumerate(stays):
        if not here:
            rows._clear(slot)
    before, enough = rows.request.copy(), -(-sum(stays) // 8) * 8
    left, taken = rows.compact()
    assert rows.padded == enough
    assert left == [i for i, here in enumerate(stays) if here and i >= enough]
    assert len(taken) == len(left)
    assert (before[taken] < 0).all()
    assert sorted(rows.request[rows.alive].tolist()) == [i for i, here in enumerate(stays) if here]
    assert (rows.last[rows.alive] == rows.request[rows.alive] + 1).all()
