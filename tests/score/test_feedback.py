"""Verdicts are read or not at all; the program finds the first wrong line and mends it."""

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.score.feedback import Annotator, Judgment, judgment
from sharpen.tasks.registry import make
from sharpen.tasks.task import GoldIsHidden, Task, hidden

GAME = Task("g", "Make 29 from 3 7 8\n", "3*7+8", {"numbers": [3, 7, 8], "target": 29})
SOLVED = "3*7=21\n21+8=29\nAnswer: 3*7+8"


@pytest.fixture(scope="module")
def annotator():
    return Annotator(make("countdown:level=2"))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("1 yes\nVerdict: right", Judgment.QUALIFIED),
        ("Verdict: wrong\n", Judgment.NOT),
        ("verdict: Right.", Judgment.QUALIFIED),
        ("", Judgment.UNPARSABLE),
        ("1 yes", Judgment.UNPARSABLE),
        ("right", Judgment.UNPARSABLE),
        ("Verdict: rightly", Judgment.UNPARSABLE),
        ("Verdict: right or wrong", Judgment.UNPARSABLE),
        ("Verdict: right\nbut line 2 is odd", Judgment.UNPARSABLE),
        ("Verdict: wrong\nVerdict: right", Judgment.UNPARSABLE),  # contradicts itself
        ("Verdict: right\nVerdict: right", Judgment.QUALIFIED),
    ],
)
def test_a_verdict_is_read_or_not_at_all(said, found):
    assert judgment(said) is found


@pytest.mark.parametrize(
    ("solution", "said", "first"),
    [
        (SOLVED,
         "1 7*3=21 21-21=0 yes\n2 8+21=29 29-29=0 yes\n3 29-29=0 3 7 8=3 7 8 yes\nVerdict: right", -1),
        ("3*7=22\n22+8=30\nAnswer: 3*7+8", "1 7*3=21 22-21=1 no\nVerdict: wrong", 0),
        ("8-3=5\n5*7=29\nAnswer: (8-3)*7", "1 5+3=8 8-8=0 yes\n2 7*5=35 35-29=6 no\nVerdict: wrong", 1),
        ("8-3=5\n5*7=35\nAnswer: (8-3)*7",
         "1 5+3=8 8-8=0 yes\n2 7*5=35 35-35=0 yes\n3 35-29=6 3 7 8=3 7 8 no\nVerdict: wrong", 2),
        ("3*7=21\n21+8=29\nAnswer: 3*8+8",
         "1 7*3=21 21-21=0 yes\n2 8+21=29 29-29=0 yes\n3 29-29=0 3 8 8=3 7 8 no\nVerdict: wrong", 2),
        # what the check of lines lets pass, the source's own check does not
        ("3*7=21\n21+8=29\nAnswer: 3*8+7",
         "1 7*3=21 21-21=0 yes\n2 8+21=29 29-29=0 yes\n3 29-29=0 3 7 8=3 7 8 no\nVerdict: wrong", 2),
        ("3*7=21", "1 7*3=21 21-21=0 yes\n2 ? no\nVerdict: wrong", 1),
        ("", "1 ? no\nVerdict: wrong", 0),
        ("hm\nAnswer: 1", "1 ? no\nVerdict: wrong", 0),
    ],
)  # fmt: skip
def test_it_names_the_first_wrong_line(annotator, solution, said, first):
    found = annotator.critique(GAME, solution)
    assert (found.text, found.first_wrong) == (said, first)
    assert judgment(found.text) is (Judgment.QUALIFIED if first == -1 else Judgment.NOT)


@pytest.mark.parametrize("spec", ["countdown:level=2", "countdown:level=3", "chain:level=2"])
def test_gold_is_qualified_and_every_mended_solution_is_right(spec):
    source = make(spec)
    program = Annotator(source)
    for task in source.take("train", 20):
        gold = str(task.solution)
        good = program.critique(task, gold)
        assert good.qualified
        assert program.refinement(task, gold, good, stream("r")) == gold
        lines = gold.split("\n")
        for k in range(len(lines)):
            broken = "\n".join([*lines[:k], "9+9=1", *lines[k + 1 :]])
            said = program.critique(task, broken)
            assert not said.qualified
            assert said.first_wrong <= k + 1
            mended = program.refinement(task, broken, said, stream("r", task.id))
            assert source.verify(task, mended).correct
            assert all(source.steps(task, mended))
            sound = min(k, said.first_wrong, len(lines) - 1)
            assert mended.split("\n")[:sound] == lines[:sound]  # it goes on from there


def test_a_dead_end_is_left_as_late_as_can_be(annotator):
    dead = "7-3=4\n4*8=32\nAnswer: (7-3)*8"
    said = annotator.critique(GAME, dead)
    mended = annotator.refinement(GAME, dead, said, stream("r"))
    assert said.first_wrong == 2
    assert make("countdown:level=2").verify(GAME, mended).correct
    # numbers that are not at hand cannot be gone on from
    odd = "9+9=18\n18+8=26\nAnswer: 9+9+8"
    assert annotator.refinement(GAME, odd, annotator.critique(GAME, odd), stream("r"))


def test_without_gold_nothing_is_said(annotator):
    (task,) = hidden([GAME])
    with pytest.raises(GoldIsHidden):
        annotator.critique(task, SOLVED)


def test_other_sources_are_refused():
    with pytest.raises(SharpenError, match="take countdown or chain"):
        Annotator(make("order:level=1"))
