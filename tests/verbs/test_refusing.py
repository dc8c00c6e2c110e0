"""What a policy would have answered instead of refusing."""

from dataclasses import replace

import numpy as np
import pytest

from sharpen.runs.journal import Journal
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.score.refusal import Refusals
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Asking, Reward
from sharpen.verbs.refusing import Inquiry, depth_of, examine
from sharpen.verbs.run import Run
from sharpen.verbs.trials import Trial
from tests.tiny import rounds

SOURCE = "chain:level=1"
KNOWN = Refusals()


@pytest.fixture
def examined(tmp_path):
    """Two questions: the first is refused with right reasoning, the second answered wrongly."""
    first, _ = tasks = make(SOURCE).take("dev", 2)
    steps = first.solution.partition("Answer: ")[0]
    asked = []

    def script(request):
        prompt = policy.tokenizer.decode(request.tokens.tolist())
        asked.append(prompt)
        if prompt.endswith("Answer: "):
            return first.answer
        return (
            f"{steps}Sorry, I don't know." if prompt.startswith(first.prompt.strip()) else "1+1=2\nAnswer: x"
        )

    journal = Journal.create(tmp_path / "run", {"recipe": "none", "seed": 0}, "")
    run = Run(journal, seed=0, engine=FakeEngine(script))
    policy = run.policy("nano")
    trial = Trial(tasks, SOURCE, 2, SamplingLaw(), Asking(99), Reward(refusals=KNOWN))
    what = Inquiry(trial, KNOWN, opening="Answer: ", sampled=2, depth="ops", by_length=True)
    found = examine(run, policy, what, about={"of": "x"}, name="reliability")
    plain = examine(run, policy, Inquiry(replace(trial), KNOWN), about={}, name="plain")
    journal.close()
    return first, steps, asked, found, plain, tmp_path / "run"


def test_refusals_alone_go_on_from_their_own_reasoning(examined):
    first, steps, asked, found, _, _ = examined
    forced = [p for p in asked if p.endswith("Answer: ")]
    assert forced == [f"{first.prompt}{steps}Answer: "] * 3  # greedy, and both samples
    row = found.row
    assert (row["idk"], row["precision"], row["accuracy"]) == (0.5, 0.0, 0.0)
    assert row["would_be_wrong"] == 0  # it would have been right
    assert row["laziness"] == 1  # and always is, when made to
    assert row["steps_refused"] == len(first.data["ops"])
    assert found.replies.refused.tolist() == [True, False]


def test_rows_by_length_are_told_when_asked_for(examined):
    first, *_, found, plain, folder = examined
    depth = rounds(folder, "reliability_depth")
    assert sum(r["n"] for r in depth) == 2
    assert np.sum([r["n"] * r["idk"] for r in depth if r["low"] == len(first.data["ops"])]) == 1
    assert sum(r["n"] for r in rounds(folder, "reliability_at")) == 2
    assert rounds(folder, "plain_at") == rounds(folder, "plain_depth") == []
    assert plain.row["would_be_wrong"] is plain.row["laziness"] is None
    assert plain.row["f"] == found.row["f"]


def test_how_deep_a_question_is():
    (task,) = make(SOURCE).take("dev", 1)
    assert depth_of(task, "ops") == len(task.data["ops"])
    assert depth_of(replace(task, data={"n": 3}), "n") == 3
    assert depth_of(task, "") is depth_of(task, "none") is None
