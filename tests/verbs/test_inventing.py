"""Questions from a model's own prior, read in the family's form."""

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.select.novel import Novelty
from sharpen.tasks.countdown import Countdown
from sharpen.verbs.inventing import Inventing, common_start, invent
from sharpen.verbs.run import Run

SOURCE = Countdown(level=2)


def invented(folder, said, *, likeness=1.0, known=(), held_out=(), shown=3, tries=2):
    engine = FakeEngine(said)
    run = Run(Journal.create(folder / "run", {"recipe": "none", "seed": 0}, ""), seed=0, engine=engine)
    how = Inventing(tries, shown, SamplingLaw(), Novelty(likeness))
    seeds = SOURCE.take("train", 5)
    found = invent(run, run.policy("nano"), SOURCE, seeds, known, held_out, how)
    run.journal.close()
    return *found, engine.requests


def test_a_list_is_continued_and_read(tmp_path):
    held_out = SOURCE.take("test", 1)
    said = iter(["91 from 2 3 14\nMake 91 from 2 3 14\nhm", str(held_out[0].prompt).removeprefix("Make ")])
    tasks, ledger, requests = invented(tmp_path, lambda request: next(said), held_out=held_out)
    assert [t.prompt for t in tasks] == ["Make 91 from 2 3 14\n"]
    assert ledger == {
        "lines": 4, "no_question": 1, "candidates": 3, "length": 0, "held_out": 1, "known": 1, "alike": 0,
        "kept": 1,
    }  # fmt: skip
    assert len(requests) == 2
    assert tasks[0].data == {"numbers": [2, 3, 14], "target": 91}


def test_the_list_ends_with_the_start_of_a_question(tmp_path):
    _, _, requests = invented(tmp_path, lambda request: "nothing")
    from sharpen.sample.policy import load_policy

    text = str(load_policy("nano").tokenizer.decode(requests[0].tokens))
    *shown, last = text.split("\n")
    assert len(shown) == 3
    assert last == "Make "
    assert set(shown) <= {str(t.prompt).strip() for t in SOURCE.take("train", 5)}


def test_published_likeness_leaves_little_of_such_questions(tmp_path):
    def propose(folder, **rule):
        numbers = iter(range(30, 99))
        return invented(folder, lambda request: f"{next(numbers)} from 2 3 14", tries=60, **rule)[0]

    assert len(propose(tmp_path / "a")) == 60
    assert len(propose(tmp_path / "b", likeness=0.7)) == 1  # they differ in one word of six


def test_too_few_seeds_are_told(tmp_path):
    with pytest.raises(SharpenError, match="6 questions are to be shown, there are 5"):
        invented(tmp_path, lambda request: "", shown=6)


@pytest.mark.parametrize(
    ("texts", "start"),
    [
        (["Make 1 from", "Make 12 of"], "Make "),
        (["Make 1"], "Make "),
        (["a b", "c d"], ""),
        (["ab", "ac"], ""),
    ],
)
def test_common_start(texts, start):
    assert common_start(texts) == start
