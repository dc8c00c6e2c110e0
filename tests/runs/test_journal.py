"""Keys, scopes, names, refusals: the rules that make a plain function resumable."""

import asyncio
import gc
import json
import threading
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import NotFinite, Refused, SharpenError
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import digest, first_difference, plain, read_manifest
from sharpen.runs.step import slug_of

ENVIRONMENT = {"code": "c0", "versions": {"torch": "2.13"}}


@pytest.fixture
def journal(tmp_path):
    with Journal.create(tmp_path / "run", {"seed": 1, **ENVIRONMENT}, "a = 1\n") as journal:
        yield journal


def reopened(journal, **options):
    journal.close()
    return Journal.open(journal.folder, **{"environment": ENVIRONMENT, **options})


def do(journal, verb, name=None, **inputs):
    step = journal.begin(verb, inputs, name=name)
    if step.result is None:
        step.finish({"done": step.key})
    return step


def test_keys_are_scope_verb_ordinal(journal):
    keys = [do(journal, "sample").key, do(journal, "score").key]
    with journal.scope("round-0001"):
        keys.append(do(journal, "sample").key)
        with journal.scope("balance"):
            assert journal.path == "round-0001/balance"
            keys.append(do(journal, "sample").key)
            keys.append(do(journal, "sample", name="again").key)
        keys.append(do(journal, "sample", name="more").key)
    assert journal.path == ""
    assert keys == [
        "sample:0",
        "score:0",
        "round-0001/sample:0",
        "round-0001/balance/sample:0",
        "round-0001/balance/sample:1",
        "round-0001/sample:1",
    ]


def test_steps_in_a_scope_shift_nobody_elses_stream(journal):
    with journal.scope("round-0001"):
        with journal.scope("balance"):
            probe = do(journal, "sample").stream(1)
        later = do(journal, "sample").stream(1)
    assert later.names == (1, "round-0001", "sample")
    assert probe.names == (1, "round-0001", "balance", "sample")


def test_finished_steps_answer_from_disk(journal):
    asked = []

    def recipe(journal):
        out = journal.observe("clock", lambda: asked.append("clock") or 12)
        out += journal.compute("double", lambda x: asked.append("double") or 2 * x, out)
        step = journal.begin("measure", {"at": out})
        if step.result is None:
            asked.append("measure")
            return step.finish(
                {"pair": (1, np.float32(0.5)), "out": out}, metrics=[{"step": 1, "loss": 0.25}]
            )
        return step.result

    first = recipe(journal)
    with reopened(journal) as again:
        assert recipe(again) == first == {"pair": [1, 0.5], "out": 36}
        assert again.notes == []
    assert asked == ["clock", "double", "measure"]
    rows = [json.loads(line) for line in (journal.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"key": "measure:0", "step": 1, "loss": 0.25}]
    timing = [json.loads(line)["key"] for line in (journal.folder / "timing.jsonl").read_text().splitlines()]
    assert timing == ["observe:0", "compute:0", "measure:0"]


def test_an_answer_is_stored_before_it_is_used(journal):
    with pytest.raises(ZeroDivisionError):
        1 / journal.observe("people", lambda: 0)
    with reopened(journal) as again:
        assert again.observe("people", lambda: 5) == 0


def rounds(journal, n):
    for r in range(1, n + 1):
        with journal.scope(f"round-{r:04d}"):
            yield r


def test_scopes_close_on_break(journal):
    for r in rounds(journal, 3):
        do(journal, "sample")
        if r == 2:
            break
    assert journal.path == ""
    assert do(journal, "sample").key == "sample:0"


def test_scopes_close_on_exceptions(journal):
    try:
        for _ in rounds(journal, 3):
            with journal.scope("balance"):
                journal.begin("sample", {})
                raise KeyError("x")
    except KeyError:
        assert journal.path == ""
    assert do(journal, "sample").key == "sample:0"  # the step that failed was given up with its scope


def test_a_scope_that_closes_late_closes_nothing_else(journal):
    kept_alive = rounds(journal, 1)
    with journal.scope("outer"):
        next(kept_alive)
    with journal.scope("other"):
        step = journal.begin("sample", {})
        kept_alive.close()
        assert journal.path == "other"
        step.finish({})


def test_one_scope_name_once_a_level(journal):
    with journal.scope("a"), journal.scope("a"):
        pass
    with pytest.raises(SharpenError, match="scope a was opened before"), journal.scope("a"):
        pass
    with journal.scope("b"), journal.scope("a"):
        pass


def test_a_long_run_keeps_in_memory_where_lines_are_not_what_they_say(journal):
    def rounds_of(first, n):
        for r in range(first, first + n):
            with journal.scope(f"round-{r:04d}"):
                do(journal, "sample", told={str(i): float(i + r) for i in range(300)})

    def held():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        rounds_of(0, 50)
        before = held()
        rounds_of(50, 100)
        a_step = (held() - before) / 100
    finally:
        tracemalloc.stop()
    assert a_step < 1000  # a line's numbers are 30,000 bytes as Python objects
    lines = read_manifest(journal.folder).steps
    assert len(lines) == 150
    assert lines["round-0007/sample:0"]["inputs"]["told"]["299"] == 306.0


@pytest.mark.parametrize("name", ["", "a/b", "a:0", "a\nb"])
def test_scope_and_verb_names(journal, name):
    with pytest.raises(SharpenError, match="without '/' and ':'"), journal.scope(name):
        pass
    with pytest.raises(SharpenError, match="without '/' and ':'"):
        journal.begin(name, {})


def test_two_steps_of_a_verb_need_two_names(journal):
    do(journal, "sample")
    with pytest.raises(SharpenError, match=r"sample:1 is named 'sample'.*pass name="):
        do(journal, "sample")
    assert do(journal, "sample", name="two").key == "sample:1"
    assert do(journal, "score").name == "score"


def test_one_step_at_a_time(journal):
    step = journal.begin("sample", {})
    with pytest.raises(SharpenError, match="score:0 began while sample:0 is unfinished"):
        journal.begin("score", {})
    step.finish({})
    with pytest.raises(SharpenError, match="sample:0 is finished"):
        step.finish({})
    with pytest.raises(SharpenError, match="sample:0 is finished"):
        step.write_unit(0, pa.table({"x": [1]}))
    do(journal, "score")


def test_steps_belong_to_the_recipes_thread(journal):
    errors = []

    def elsewhere():
        for use in (lambda: journal.begin("sample", {}), lambda: journal.scope("a").__enter__()):
            try:
                use()
            except SharpenError as error:
                errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [e.split(":")[-1] for e in errors] == [" steps and scopes belong to the recipe's own thread"] * 2
    assert do(journal, "sample").key == "sample:0"


def test_steps_are_not_issued_from_coroutines(journal):
    async def play():
        do(journal, "sample")

    with pytest.raises(SharpenError, match="not issued from coroutines"):
        asyncio.run(play())

    step = journal.begin("sample", {})

    async def store():  # what a step does inside is its own affair
        step.write_unit(0, pa.table({"x": [1]}))

    asyncio.run(store())
    step.finish({})


def test_refusal_names_step_and_first_nested_field(journal):
    old = {"model": "nano", "selection": {"cap": 4, "threshold": 0.5}, "tasks": [1, 2]}
    new = {"model": "nano", "tasks": [1, 3], "selection": {"threshold": 0.7, "cap": 4}}
    with journal.scope("round-0001"):
        do(journal, "learn", **old)
    with reopened(journal) as again, again.scope("round-0001"):
        with pytest.raises(Refused) as refused:
            again.begin("learn", new)
        message = "round-0001/learn:0 is finished and selection.threshold was 0.5, now 0.7: set it back, or"
        assert str(refused.value).startswith(message)
        assert "--at round-0001/learn:0" in str(refused.value)
        with pytest.raises(Refused, match="and seed was absent, now 3"):
            again.begin("learn", {**old, "seed": 3})
        with pytest.raises(Refused, match='and name was "learn", now "other"'):
            again.begin("learn", old, name="other")
        assert again.begin("learn", dict(reversed(old.items()))).result is not None


def test_an_unfinished_step_takes_new_inputs(journal):
    step = journal.begin("sample", {"n": 1})
    for i in range(3):
        step.write_unit(i, pa.table({"x": [i]}))
    step.checkpoint("a", lambda folder: (folder / "f").write_text("1"))
    with reopened(journal) as again:
        step = again.begin("sample", {"n": 1})
        assert step.unit(1).to_pydict() == {"x": [1]}
        assert step.checkpoints() == ["a"]
        assert again.notes == []
    with reopened(again) as third:
        step = third.begin("sample", {"n": 2})
        assert [step.unit(i) for i in range(3)] == [None] * 3
        assert step.checkpoints() == []
        assert len(third.notes) == 4
        assert not step.unit_path(0).exists()
        step.finish({})
        assert third.record("sample:0")["units"] == []


def test_other_code_is_refused_unless_accepted(journal):
    do(journal, "sample")
    newer = {"code": "c0", "versions": {"torch": "2.14"}}
    with pytest.raises(Refused, match=r'versions\.torch was "2\.13", now "2\.14".*--accept-code'):
        reopened(journal, environment=newer)
    reopened(journal, environment=newer, accept_code=True).close()
    reopened(journal, environment=newer).close()
    with pytest.raises(Refused, match=r'was "2\.14", now "2\.13"'):
        reopened(journal)
    lines = (journal.folder / "manifest.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["accepted"] == newer


def test_changed_settings_are_recorded_once(journal):
    with reopened(journal) as again:
        again.record_config("a = 1\n")
        again.record_config("a = 2\n")
        again.record_config("a = 2\n")
    assert (journal.folder / "config.toml").read_text() == "a = 2\n"
    lines = (journal.folder / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line).get("config") for line in lines] == ["a = 1\n", "a = 2\n"]
    (journal.folder / "config.toml").unlink()
    with reopened(again) as third:
        assert (journal.folder / "config.toml").read_text() == "a = 2\n"
        assert third.notes == ["config.toml: written again from the manifest"]


def test_create_refuses_what_is_there(journal, tmp_path):
    with pytest.raises(SharpenError, match=r"there is a run in .*run already.*sharpen resume"):
        Journal.create(journal.folder, {}, "")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("x")
    with pytest.raises(SharpenError, match=r"not empty \(it holds a\.txt\)"):
        Journal.create(tmp_path / "docs", {}, "")
    with pytest.raises(SharpenError, match="no run in"):
        Journal.open(tmp_path / "docs", environment={})
    assert sorted(p.name for p in (tmp_path / "docs").iterdir()) == ["a.txt"]


def test_ctrl_c_leaves_a_resumable_run(journal):
    step = journal.begin("sample", {})
    step.write_unit(0, pa.table({"x": [1]}))
    with pytest.raises(KeyboardInterrupt):
        step.checkpoint("a", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
    assert not list(journal.folder.rglob(".tmp-*"))
    with reopened(journal) as again:
        step = again.begin("sample", {})
        assert step.unit(0) is not None
        step.finish({})


def test_only_finite_json_is_stored(journal):
    with pytest.raises(NotFinite, match=r"sample:0: inputs\.law\.p is nan"):
        journal.begin("sample", {"law": {"p": float("nan")}})
    with pytest.raises(SharpenError, match=r"inputs\.x is a set"):
        journal.begin("sample", {"x": {1}})
    step = journal.begin("sample", {})
    with pytest.raises(NotFinite, match=r"metrics\[1\]\.loss is inf"):
        step.finish({}, metrics=[{"loss": 1.0}, {"loss": np.float32("inf")}])
    with pytest.raises(SharpenError, match="has the field 'key'"):
        step.finish({}, metrics=[{"key": 1}])
    step.finish({"text": "\ud800 ü"})
    with reopened(journal) as again:
        assert again.begin("sample", {}).result == {"text": "\ud800 ü"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values)
def test_a_digest_differs_exactly_where_a_difference_is_found(a, b):
    a, b = plain(a, "a"), plain(b, "b")
    assert (digest(a) == digest(b)) == (first_difference(a, b) is None)
    assert first_difference(a, json.loads(json.dumps(a))) is None


parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/:", exclude_categories=["C", "Z"]), min_size=1
)
keys = st.tuples(st.lists(parts, max_size=3), parts, st.integers(0, 12))


@given(keys, keys)
def test_slugs_are_as_different_as_keys(a, b):
    one, other = ("/".join((*scope, f"{verb}:{n}")) for scope, verb, n in (a, b))
    assert (slug_of(one) == slug_of(other)) == (one == other)
    assert len(slug_of(one)) <= 160
    assert slug_of(one).isascii()
    assert "/" not in slug_of(one)
    assert not slug_of(one).startswith(".")
