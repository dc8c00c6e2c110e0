"""The check finds each broken promise, and nothing in a source that keeps them."""

import json

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.check import attacks, check_source, summary
from sharpen.tasks.reasoning_gym import QUARANTINE
from sharpen.tasks.registry import FAMILIES, make
from sharpen.tasks.splits import SPLITS
from sharpen.tasks.task import Checked, Task


class Toy:
    """Adds two numbers; a keyword plants one fault."""

    name = "toy"

    def __init__(self, fault: str = "", made: list | None = None):
        self.fault = fault
        self.made = [] if made is None else made
        self.made.append(self)

    @property
    def spec(self):
        return {"source": "toy", "made": self.made.index(self) if self.fault == "spec" else 0}

    def take(self, split, n, *, start=0):
        return [self._task(split, i) for i in range(start, start + n)]

    def _task(self, split, i):
        k = i + 1000 * SPLITS.index("train" if self.fault == "splits" and split == "test" else split)
        if self.fault == "question" and i == 2:
            k -= 1
        drift = self.made.index(self) if self.fault == "item" else 0
        task_id = "same" if self.fault == "id" else f"toy-{split}-{i}"
        data = {"pair": (k, 2)} if self.fault == "data" else {"solution": f"so Answer: {k + 2}"}
        if self.fault == "solution":
            data["solution"] = "Answer: 0"
        return Task(task_id, f"{k + drift} + 2 =", str(k + 2 + drift), data)

    def verify(self, task, completion):
        text = completion.strip().removeprefix("so ").removeprefix("Answer: ")
        if self.fault == "gold":
            return Checked(False)
        if self.fault == "raises":
            return Checked(int(text) == int(task.answer))
        if self.fault == "halting":
            return Checked(bool(text) == bool(task.answer))
        if self.fault == "substring":
            return Checked(task.answer in text)
        if self.fault == "unicode" and text.isdecimal() and len(text) < 9:
            return Checked(int(text) == int(task.answer))
        return Checked(text == task.answer)

    def canonical(self, task):
        return str(task.prompt)

    def canonical_answer(self, task, completion):
        return completion


FOUND = {
    "gold": "gold refused",
    "solution": "solution refused",
    "raises": "verifier raises ValueError: empty",
    "halting": "attack passes: junk",
    "substring": "attack passes: gold inside digits",
    "unicode": "attack passes: unicode digits",
    "id": "id repeated",
    "question": "question repeated",
    "splits": "in two splits",
    "data": "data is not JSON",
    "item": "item changes",
    "spec": "spec changes",
}


@pytest.mark.parametrize("fault", FOUND)
def test_each_fault_is_found(fault):
    made: list = []
    report = check_source(Toy(fault, made), again=Toy(fault, made), n=4)
    assert not report.ok
    assert FOUND[fault] in {f.check for f in report.failures}, str(report)
    assert "failures" in str(report)


def test_a_sound_source_passes():
    report = check_source(Toy(), again=Toy(), n=4)
    assert report.ok, str(report)
    assert report.items == 16
    assert report.judged > 16 * 3 * 15


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("level", [1, 3])
def test_own_families(name, level):
    report = check_source(make(name, level=level), again=make(name, level=level), n=6)
    assert report.ok, str(report)


HOLES = {
    "its scorer accepts nan": "not a number",
    "its scorer accepts almost any text": "junk",
    "its scorer accepts the gold answer inside other text, or among many answers": "",
}


@pytest.mark.parametrize("name", QUARANTINE)
def test_what_is_in_quarantine_is_refused_and_deserves_it(name):
    with pytest.raises(SharpenError, match=f"{name} is in quarantine: its scorer"):
        make(f"reasoning_gym:{name}")
    report = check_source(make(f"reasoning_gym:{name}:quarantined=true"), n=2)
    passed = {f.check.removeprefix("attack passes: ") for f in report.failures}
    hole = HOLES[QUARANTINE[name]]
    among = {"gold inside text", "gold inside digits", "answer spray", "many boxes", "spray of answer lines"}
    assert hole in passed if hole else passed & among


def test_a_summary_is_json_and_says_why_a_source_cannot_be_made():
    fine = summary("order:level=1", 2)
    assert (fine["items"], fine["failures"], fine["refused"]) == (8, [], "")
    assert json.loads(json.dumps(fine)) == fine
    assert "unknown task" in summary("ordr", 2)["refused"]
    assert "0 distinct items" in summary("reasoning_gym:rush_hour", 2)["refused"]
    holed = summary("reasoning_gym:game_of_life_halting", 2)
    assert {"attack passes: junk", "attack passes: code"} <= {f["check"] for f in holed["failures"]}


def test_no_attack_is_the_gold_answer():
    for gold in ("7", "no", "yes", "A", "nan", "inf", "-1", "qzx", "", "3*7+8"):
        assert gold not in {text.strip() for text in attacks(Task("t", "p", gold)).values()} or gold == ""


def test_a_source_without_items_is_not_ok():
    class Empty(Toy):
        def take(self, split, n, *, start=0):
            return []

    report = check_source(Empty(), n=2)
    assert [f.check for f in report.failures] == ["no items"]
