"""Graded responses: what is planted is what gold finds, line by line, and nothing else counts."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.tasks.grading import CRITERIA, Grading
from sharpen.tasks.registry import make

_LINE = re.compile(r"(?:(\d)\) )?(\d+)\+(\d+)=(\d+) ([mkst])")


def defects(text: str) -> dict[str, set[int]]:
    """The bad lines of a response by criterion, read from the text alone."""
    found: dict[str, set[int]] = {kind: set() for kind in CRITERIA}
    before = 0
    for i, line in enumerate(text.split("\n"), 1):
        label, a, b, said, unit = _LINE.fullmatch(line).groups()
        found["sums"] |= {i} if int(a) + int(b) != int(said) else set()
        found["units"] |= {i} if unit != "m" else set()
        found["labels"] |= {i} if label is None else set()
        found["order"] |= {i} if int(a) < before else set()
        assert label in (None, str(i))
        before = int(a)
    return found


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_gold_score_is_five_less_the_defects_of_the_criterion(level):
    source = Grading(level=level)
    for task in source.take("test", 60):
        [text] = task.data["responses"]
        bad = defects(text)[task.data["criterion"]]
        assert task.prompt == f"Grade {task.data['criterion']}\n{text}\n"
        assert task.answer == str(5 - len(bad))
        assert {int(line.split()[0]) for line in task.solution.split("\n") if line.endswith("bad")} == bad
        assert source.verify(task, task.solution).correct
        assert all(source.steps(task, task.solution))


def test_every_score_and_every_criterion_is_asked_about():
    tasks = Grading(level=2).take("test", 400)
    scores = Counter(task.answer for task in tasks)
    assert set(scores) == set("12345")
    assert min(scores.values()) > 40
    assert min(Counter(t.data["criterion"] for t in tasks).values()) > 60
    # the other defects are there, and do not count
    text = [defects(t.data["responses"][0]) for t in tasks]
    assert any(sum(map(len, d.values())) > 8 for d in text)


def test_of_two_the_one_with_fewer_defects_is_better():
    source = make("grading:level=2,pairs=true")
    for task in source.take("test", 60):
        counts = [len(defects(text)[task.data["criterion"]]) for text in task.data["responses"]]
        assert counts[0] != counts[1]
        assert task.answer == ("A" if counts[0] < counts[1] else "B")
        assert source.verify(task, task.solution).correct
        assert all(source.steps(task, task.solution))
        assert not source.verify(task, "[RESULT] 4").correct


def test_what_is_wrong_or_cannot_be_read():
    source = Grading(level=2)
    task = source.take("test", 1)[0]
    other = "1" if task.answer != "1" else "2"
    assert source.verify(task, f"[RESULT] {other}").status == "ok"
    assert not source.verify(task, f"[RESULT] {other}").correct
    for text in ("", task.answer, "[RESULT]", f"[RESULT] {task.answer} because", "[RESULT] 7"):
        assert source.verify(task, text).status == "unparsable"
        assert not source.has_answer(text)
    # the verdict alone is right, and its missing judgments are no steps
    assert source.verify(task, f"[RESULT] {task.answer}").correct
    assert source.steps(task, f"[RESULT] {task.answer}") == []
    wrong = task.solution.replace(" ok", " bad", 1) if " ok" in task.solution else task.solution
    assert source.steps(task, wrong).count(False) == (wrong != task.solution)
    assert source.steps(task, "9 ok\nA 1 ok\nnothing") == [False] * 3


@given(st.text(max_size=60))
def test_no_text_breaks_it(text):
    source = Grading(level=1)
    task = source.take("test", 1)[0]
    checked = source.verify(task, text)
    assert checked.correct <= (task.answer in text)
    assert len(source.steps(task, text)) <= text.count("\n") + len(text) + 1


@pytest.mark.parametrize(
    "options", [{"criteria": "sum"}, {"criteria": "sums+sums"}, {"criteria": ""}, {"lines": 4}, {"most": 3}]
)
def test_parameters_that_make_no_sense_are_named(options):
    with pytest.raises(SharpenError, match=f"{next(iter(options))}="):
        Grading(**options)


def test_of_several_criteria_a_line_fails_that_fails_one():
    source = make("grading:level=2,criteria=sums-units+labels")
    asked = Counter()
    for task in source.take("test", 200):
        [text] = task.data["responses"]
        found, kinds = defects(text), task.data["criterion"].split()
        bad = set().union(*(found[kind] for kind in kinds))
        asked[tuple(kinds), task.answer] += 1
        assert task.prompt.startswith(f"Grade {' '.join(kinds)}\n")
        assert task.answer == str(5 - len(bad))
        assert source.defects_named(task, task.solution) == ({(0, i) for i in bad},) * 2
    assert min(asked[("sums", "units"), score] for score in "1234") > 8


def test_the_verdict_alone():
    source = make("grading:level=2")
    for task in source.take("test", 20):
        bare = source.bare(task)
        assert bare.prompt == str(task.prompt).replace("Grade", "Score")
        assert bare.solution == f"[RESULT] {task.answer}"
        assert source.verify(bare, bare.solution).correct


def test_the_sides_of_a_pair_are_graded_alone():
    source, alone = make("grading:level=2,pairs=true"), make("grading:level=2")
    for task in source.take("test", 20):
        better, worse = source.sides(task)
        assert int(better.answer) > int(worse.answer)
        for side in (better, worse):
            [text] = side.data["responses"]
            kind = side.data["criterion"]
            assert side.prompt == f"Grade {kind}\n{text}\n"
            assert side.answer == str(5 - len(defects(text)[kind]))
            assert alone.verify(side, f"[RESULT] {side.answer}").correct
        assert better.data["responses"][0] == task.data["responses"]["AB".index(task.answer)]


def test_exchanged_pairs_have_the_other_answer():
    source = make("grading:level=2,pairs=true")
    for task in source.take("test", 20):
        other = source.exchanged(task)
        assert {task.answer, other.answer} == {"A", "B"}
        assert other.prompt.split("B\n")[1].strip() == task.prompt.split("A\n")[1].split("\nB\n")[0]
        assert source.verify(other, other.solution).correct
        assert all(source.steps(other, other.solution))
        assert source.exchanged(other).prompt == task.prompt
        assert source.exchanged(other).solution == task.solution
    alone = make("grading:level=2")
    with pytest.raises(SharpenError, match="pairs=true"):
        alone.exchanged(alone.take("test", 1)[0])


def test_defects_that_a_judgment_names():
    source = make("grading:level=2")
    task = next(t for t in source.take("test", 500) if t.data["bad"] == [[2, 4]])
    named, true = source.defects_named(task, "1 ok\n2 bad\n3 bad\n3 ok\n9 bad\nA 4 bad\n5 bad\n[RESULT] 3")
    assert named == {(0, 2), (0, 5)}  # the last word on line 3; no line 9; no response A
    assert true == {(0, 2), (0, 4)}
