"""Sources of other libraries, as far as they need no library: splits, check, messages, manners."""

import importlib
import os
import signal
import sys

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.check import check_source
from sharpen.tasks.outside import Outside, code_of, message, said, visiting
from sharpen.tasks.registry import make
from sharpen.tasks.task import Task, TaskSource, TooFew


def judge(places, offset=0):
    """The check of the sources below: the answer, or ``raise`` and ``unsure``."""

    def check(gold, completion):
        if completion == "raise":
            raise ValueError("planted")
        if completion == "unsure":
            return said(0.0, correct=False, parts={}, status="abstain", detail="cannot say")
        right = completion.strip() == str(int(gold) + offset)
        status = "ok" if completion.strip() else "unparsable"
        return said(float(right), correct=right, parts={"same": float(right)}, status=status)

    return check


class Sums(Outside):
    def __init__(self, rows, **changed):
        setup = {"setup": {}, "identity": {"version": 1}, **changed}
        super().__init__("test:sums", rows, judge=f"{__name__}:judge", **setup)

    def job(self, task, completion):
        return {"gold": task.answer, "completion": completion}


def task(i, text="", answer=None):
    return Task(
        f"t{i}", text or f"Add {i} and {i}.", str(2 * i) if answer is None else answer, {"row": {"i": i}}
    )


def rows(n=150, split=""):
    return [(split, task(i)) for i in range(n)]


def test_questions_are_split_by_their_form_and_told_once():
    source: TaskSource = Sums([*rows(), ("", task(1000, "  add 3 AND 3!"))])
    report = check_source(source, again=Sums([*rows(), ("", task(1000, "  add 3 AND 3!"))]), n=20)
    assert report.failures == ()
    assert report.items > 40
    assert source.passed_over == {"repeated": 1}


def test_given_splits_stay_and_the_less_held_out_copy_goes():
    source = Sums([*rows(5, "train"), ("test", task(77, "Add 2 and 2.")), ("test", task(78))])
    assert [t.id for t in source.take("train", 4)] == ["t0", "t1", "t3", "t4"]
    assert [t.id for t in source.take("test", 2)] == ["t77", "t78"]
    with pytest.raises(
        TooFew, match=r"has 4 distinct items, 5 were asked for \(1 in a more held-out split\)"
    ):
        source.take("train", 5)


def test_identity_is_in_every_row_and_argument():
    spec = Sums(rows()).spec
    assert spec == Sums(rows()).spec
    assert spec["version"] == 1
    assert Sums([*rows()[1:], ("", task(0, answer="1"))]).spec != spec
    assert Sums(rows(), identity={"version": 2}).spec != spec


def test_repeated_ids_and_no_rows_are_refused():
    with pytest.raises(SharpenError, match="test:sums: two rows have the id 't1'"):
        Sums([("train", task(1)), ("test", task(1))])
    with pytest.raises(SharpenError, match="test:sums has no rows"):
        Sums([])


def test_the_check_runs_with_its_setup_and_failures_come_through():
    source = Sums(rows(), setup={"offset": 1})
    one = source.take("train", 1)[0]
    assert source.verify(one, str(int(one.answer) + 1)).correct
    assert not source.verify(one, one.answer).correct
    assert source.verify(one, " ").status == "unparsable"
    with pytest.raises(ValueError, match="planted"):
        source.verify(one, "raise")
    with pytest.raises(RuntimeError, match="cannot say"):
        source.verify(one, "unsure")


def test_check_source_tries_the_form_of_a_right_answer_and_may_do_without_gold():
    class Bracketed(Sums):
        def job(self, task, completion):
            inner = completion.removeprefix("[").removesuffix("]")
            bracketed = completion == f"[{inner}]"
            return {"gold": task.answer or "7", "completion": inner if bracketed else ""}

    assert {f.check for f in check_source(Bracketed(rows()), n=3).failures} == {"gold refused"}
    assert check_source(Bracketed(rows(), gold="[{}]"), n=3).ok
    without = [("", task(i, answer="")) for i in range(150)]
    assert check_source(Bracketed(without), n=3).ok

    class Generous(Bracketed):
        def job(self, task, completion):
            return {"gold": "0", "completion": "0" if not completion.strip() else "1"}

    found = {f.check for f in check_source(Generous(without), n=3).failures}
    assert {"attack passes: empty", "attack passes: white space"} <= found


def test_prompts_are_text_alone():
    assert message("user", "Hi", "row 1") == {"role": "user", "content": "Hi"}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert message("system", parts, "row 1")["content"] == "a\nb"
    with pytest.raises(SharpenError, match="row 1: content of type 'image' cannot be asked"):
        message("user", [{"type": "image"}], "row 1")
    with pytest.raises(SharpenError, match="row 1: a message of role 'tool' cannot be asked"):
        message("tool", "x", "row 1")


def test_a_visit_leaves_paths_and_handlers_as_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside_us.py").write_text("def f():\n    return 1\n")
    path, handler = list(sys.path), signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("HF_HOME", "before")
    with visiting({"HF_HOME": "inside"}):
        module = importlib.import_module("beside_us")
        signal.signal(signal.SIGTERM, lambda *_: None)
        assert os.environ["HF_HOME"] == "inside"
    assert sys.path == path
    assert signal.getsignal(signal.SIGTERM) is handler
    digest = code_of(module.f)
    assert digest == code_of(module)
    (tmp_path / "beside_us.py").write_text("def f():\n    return 2\n")
    assert code_of(module.f) != digest
    assert code_of(3) == ""


@pytest.mark.parametrize(
    ("spec", "library", "says"),
    [
        ("verifiers:gsm8k", "verifiers", r"needs verifiers: pip install 'sharpen\[verifiers\]'"),
        ("inspect:a.py@b", "inspect_ai", r"needs inspect-ai: pip install 'sharpen\[inspect\]'"),
        ("verifiers", "", "'verifiers' names no environment; write verifiers:ENVIRONMENT"),
        ("inspect:", "", "'inspect:' names no task; write inspect:FILE.py@TASK or inspect:PACKAGE/TASK"),
        ("inspekt:a.py@b", "", "unknown task 'inspekt': did you mean 'inspect'"),
    ],
)  # fmt: skip
def test_a_missing_library_and_a_missing_name_are_told_in_one_line(spec, library, says, monkeypatch):
    if library:
        monkeypatch.setitem(sys.modules, library, None)  # what an import of a missing library meets
    with pytest.raises(SharpenError, match=says) as told:
        make(spec)
    assert "\n" not in str(told.value)


def test_a_verifiers_without_environments_says_what_to_install(monkeypatch):
    """From 0.4 the library has none."""
    empty = type(sys)("verifiers")
    monkeypatch.setitem(sys.modules, "verifiers", empty)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.4.0")
    with pytest.raises(
        SharpenError, match=r"verifiers 0\.4\.0 has no load_environment any more: pip install"
    ):
        make("verifiers:gsm8k")
