"""Several sources as one."""

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.chain import Chain
from sharpen.tasks.mixture import FROM, Mixture
from sharpen.tasks.registry import make
from sharpen.tasks.task import TooFew

SPEC = "mix:chain:level=1,operations=+|order:level=1|chain:level=3"


def test_sources_take_turns_and_each_judges_its_own():
    mixed, tasks = make(SPEC), make(SPEC).take("test", 60)
    assert [t.data[FROM] for t in tasks] == [i % 3 for i in range(60)]
    assert len({t.id for t in tasks}) == 60
    assert len({mixed.canonical(t) for t in tasks}) == 60
    chains = Chain(level=1, operations="+").take("test", 20)
    assert [t.prompt for t in tasks[::3]] == [t.prompt for t in chains]
    for task in tasks:
        assert mixed.verify(task, task.solution).correct
        assert not mixed.verify(task, "").correct
        assert mixed.has_answer(task.solution)
        assert mixed.canonical_answer(task, task.solution) is not None
    assert not mixed.has_answer("no answer")


def test_items_are_pure_whatever_was_taken_before():
    whole, later = make(SPEC), make(SPEC)
    assert later.take("dev", 7, start=20) == whole.take("dev", 27)[20:]
    assert later.take("dev", 5) == whole.take("dev", 5)
    splits = [{whole.canonical(t) for t in whole.take(s, 60)} for s in ("base", "train", "dev", "test")]
    assert sum(map(len, splits)) == len(set().union(*splits))


def test_a_question_that_two_sources_have_comes_once():
    twice = make("mix:chain:level=1,operations=+,max_ops=2|chain:level=1,operations=+,max_ops=2,seed=1")
    tasks = twice.take("test", 80)
    assert len({twice.canonical(t) for t in tasks}) == 80


def test_what_cannot_be_mixed_is_said():
    with pytest.raises(SharpenError, match="two sources or more"):
        make("mix:chain")
    with pytest.raises(SharpenError, match="unknown task 'chian': did you mean 'chain'"):
        make("mix:chain|chian")
    with pytest.raises(SharpenError, match="'mix' cannot be mixed"):
        Mixture([make("chain"), make("mix:chain|order")])
    with pytest.raises(TooFew, match="facts has no more"):
        make("mix:facts|chain").take("test", 100_000)
