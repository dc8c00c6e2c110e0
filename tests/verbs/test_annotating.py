"""What a reference says of rollouts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sharpen.learn.rollouts import Rollouts
from sharpen.learn.rows import row_of_text
from sharpen.runs.journal import Journal
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.verbs.run import Run
from tests.shapes import tiny


class Counting(NativeEngine):
    """Remembers how many sequences it was asked about."""

    asked: int = 0

    def annotate(self, policy, sequences, **options):
        self.asked += len(sequences)
        return super().annotate(policy, sequences, **options)


def test_rows_alike_are_scored_once_and_each_has_its_numbers(tmp_path):
    policy, law = tiny("llama"), SamplingLaw(temperature=0.7)
    a, b = row_of_text([5, 6], [7, 8, 9], key="a"), row_of_text([5, 6], [7, 8], key="b")
    half = replace(a, arrays={"weight": np.array([0, 0, 0, 1, 0], np.float32)}, key="half")
    rows = (a, b, half, replace(a, key="again"))
    engine = Counting()
    with Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "") as journal:
        run = Run(journal, seed=0, engine=engine)
        given = Rollouts(rows, {"sampled": 4, "kept": 4})
        found = [r.arrays["ref_logprob"] for r in run.annotate(policy, given, law=law)]
    assert engine.asked == 2
    whole, short = (n.logprobs for n in NativeEngine().annotate(policy, [a.tokens, b.tokens], law=law))
    assert np.array_equal(found[0][2:], whole[2:])
    assert np.array_equal(found[1][2:], short[2:])
    assert np.array_equal(found[2], np.where(half.arrays["weight"] != 0, whole, 0))
    assert np.array_equal(found[3], found[0])
