"""Torn, cut, altered or missing files: seen, named, and recomputed to the same bytes."""

import os
import shutil

import pyarrow as pa
import pytest

from sharpen.errors import SharpenError
from sharpen.runs import parts
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import compare_exact, list_runs

SAVES = ("s1", "s2", "s3")


def recipe(journal, drift=0):
    """Two steps; returns the keys of those that worked rather than answered."""
    worked = []
    step = journal.begin("sample", {"n": 2})
    if step.result is None or step.unit(0) is None or step.unit(1) is None:
        worked.append(step.key)
        for i in range(2):
            if step.unit(i) is None:
                step.write_unit(i, pa.table({"x": [i + drift]}))
        step.finish({"n": 2}, metrics=[{"n": 2}])
    step = journal.begin("learn", {"n": 2})
    if step.result is None or step.load_checkpoint("s3") is None:
        worked.append(step.key)
        for tag in SAVES:
            if step.load_checkpoint(tag) is None:
                step.checkpoint(tag, lambda folder, tag=tag: (folder / "w").write_text(f"{tag} {drift}"))
            step.drop_checkpoints(step.checkpoints()[-2:])
        step.finish({"tag": "s3"})
    return worked


def replay(folder, **options):
    """Worked steps and notes of a resume."""
    with Journal.open(folder, environment={}, **options) as journal:
        return recipe(journal), journal.notes


@pytest.fixture
def whole(tmp_path):
    with Journal.create(tmp_path / "whole", {"seed": 1}, "") as journal:
        assert recipe(journal) == ["sample:0", "learn:0"]
    assert replay(tmp_path / "whole") == ([], [])
    return tmp_path / "whole"


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def test_a_manifest_torn_at_every_byte_of_its_last_line(tmp_path):
    def noted(journal):
        step = journal.begin("note", {})
        if step.result is None:
            step.finish({}, metrics=[{"n": 1}])
            return True
        return False

    def small(opened):
        with opened as journal:
            journal.compute("first", lambda: 1)
            return noted(journal), journal.notes

    run, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (run, whole):
        small(Journal.create(folder, {}, ""))
    manifest = run / "manifest.jsonl"
    data = manifest.read_bytes()
    start = data.rstrip(b"\n").rindex(b"\n") + 1
    rewritten = "metrics.jsonl: written again from the manifest"
    for end in range(start, len(data)):
        manifest.write_bytes(data[:end])
        assert list(read_manifest(run).steps) == ["compute:0"]
        worked, notes = small(Journal.open(run, environment={}))
        assert worked
        assert notes == ["manifest.jsonl: an unfinished line cut off"] * (end > start) + [rewritten]
        assert compare_exact(run, whole) == []


def test_the_last_line_altered_counts_as_torn(run, whole):
    manifest = run / "manifest.jsonl"
    data = bytearray(manifest.read_bytes())
    data[-40] ^= 1
    manifest.write_bytes(data)
    assert replay(run) == (["learn:0"], ["manifest.jsonl: an unfinished line cut off"])
    assert compare_exact(run, whole) == []


@pytest.mark.parametrize("harm", ["altered", "removed"])
def test_a_damaged_middle_line_is_named_and_cut_on_demand(harm, run, whole):
    manifest = run / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4  # header, sample, a drop, learn
    lines[1] = lines[1].replace(b'"n":2', b'"n":3') if harm == "altered" else b""
    manifest.write_bytes(b"".join(lines))
    with pytest.raises(SharpenError, match=r"line 2 is damaged.*--repair.*after step none"):
        Journal.open(run, environment={})
    assert list_runs(run.parent)[0].problem == "manifest.jsonl: line 2 is damaged"
    worked, notes = replay(run, repair=True)
    assert worked == ["sample:0", "learn:0"]
    assert "manifest.jsonl: line 2 and those behind it cut off" in notes
    assert compare_exact(run, whole) == []


def test_nothing_can_be_read_without_a_header(run):
    (run / "manifest.jsonl").write_bytes(b'{"schema":1')
    with pytest.raises(SharpenError, match="the first line is damaged"):
        Journal.open(run, environment={})


def damage(path, how):
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


FILES = {
    "rollouts/sample-0/part-0001.parquet": "sample:0",
    "checkpoints/learn-0/s3/w": "learn:0",
    "checkpoints/learn-0/s3/digests.json": "learn:0",
}


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "altered"])
@pytest.mark.parametrize("name", FILES)
def test_damage_in_a_finished_step_is_recomputed(name, how, run, whole):
    damage(run / name, how)
    worked, notes = replay(run)
    assert worked == [FILES[name]]
    assert any("is recomputed: " in note for note in notes)
    assert compare_exact(run, whole) == []


@pytest.mark.parametrize("name", FILES)
def test_a_recomputation_must_give_what_was_recorded(name, run):
    damage(run / name, "missing")
    with (
        Journal.open(run, environment={}) as journal,
        pytest.raises(SharpenError, match=r"recomputed .* differs"),
    ):
        recipe(journal, drift=1)


def test_a_recomputed_result_must_be_the_recorded_one(run):
    damage(run / "rollouts/sample-0/part-0000.parquet", "missing")
    with Journal.open(run, environment={}) as journal:
        step = journal.begin("sample", {"n": 2})
        assert step.result is None
        step.write_unit(0, pa.table({"x": [0]}))
        with pytest.raises(SharpenError, match=r"result\.n differs \(recorded 2, now 3\)"):
            step.finish({"n": 3})
        step.finish({"n": 2})


def test_damage_read_during_another_step_stops_the_run(run, whole):
    with Journal.open(run, environment={}) as journal:
        sample = journal.begin("sample", {"n": 2})
        damage(sample.unit_path(1), "altered")
        journal.begin("extra", {})
        with pytest.raises(SharpenError, match=r"sample:0: unit 1 .* seen during extra:0: `sharpen resume`"):
            sample.unit(1)
    assert replay(run)[0] == ["sample:0"]
    assert compare_exact(run, whole) == []


@pytest.mark.parametrize("how", ["cut", "empty", "altered"])
def test_damage_in_an_unfinished_step(how, tmp_path):
    with Journal.create(tmp_path / "run", {}, "") as journal:
        step = journal.begin("learn", {})
        step.write_unit(0, pa.table({"x": [1, 2]}))
        step.write_unit(1, pa.table({"x": [3]}))
        step.checkpoint("s1", lambda folder: (folder / "w").write_text("one"))
        step.checkpoint("s2", lambda folder: (folder / "w").write_text("two"))
    damage(step.unit_path(1), how)
    damage(journal.folder / "checkpoints" / "learn-0" / "s2" / "w", how)
    with Journal.open(journal.folder, environment={}) as again:
        step = again.begin("learn", {})
        assert step.unit(0).to_pydict() == {"x": [1, 2]}
        assert step.unit(1) is None
        assert step.load_checkpoint("s2") is None
        assert step.load_checkpoint("s1").name == "s1"
        assert step.checkpoints() == ["s1"]
        assert len(again.notes) == 2
        assert not step.unit_path(1).exists()


def test_every_byte_of_a_unit_counts():
    table = pa.table({"x": [1, 2, 3], "text": ["a", "b", "c"]})
    data = parts.encode_part(table, "inputs")
    assert parts.encode_part(pa.concat_tables([table[:1], table[1:]]), "inputs") == data
    assert parts.part_inputs(data) == "inputs"
    assert parts.decode_part(data).equals(table)
    for at in range(len(data)):
        assert parts.part_inputs(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) is None, at
        assert parts.part_inputs(data[:at]) is None, at


def test_checkpoints_given_up_are_recorded_and_gone(run):
    manifest = read_manifest(run)
    assert list(manifest.drops["learn:0"]) == ["s1"]
    assert [c["tag"] for c in manifest.steps["learn:0"]["checkpoints"]] == ["s2", "s3"]
    with Journal.open(run, environment={}) as journal:
        journal.begin("sample", {"n": 2})
        step = journal.begin("learn", {"n": 2})
        assert step.load_checkpoint("s1") is None
        step.drop_checkpoints(["s3"])
        step.drop_checkpoints(["s3"])
        assert step.result == {"tag": "s3"}
    assert sorted(os.listdir(run / "checkpoints" / "learn-0")) == ["s3"]
    assert list(read_manifest(run).drops["learn:0"]) == ["s1", "s2"]
    assert replay(run) == ([], [])


def test_bad_checkpoints_are_refused(tmp_path):
    with Journal.create(tmp_path / "run", {}, "") as journal:
        step = journal.begin("learn", {})
        with pytest.raises(SharpenError, match=r"tag '\.\./x'"):
            step.checkpoint("../x", lambda folder: None)
        with pytest.raises(SharpenError, match="nothing was written"):
            step.checkpoint("a", lambda folder: None)
        assert step.checkpoints() == []


def test_a_checkpoint_given_up_and_saved_again_is_kept(tmp_path):
    with Journal.create(tmp_path / "run", {}, "") as journal:
        step = journal.begin("learn", {})
        for _ in range(2):
            step.checkpoint("final", lambda folder: (folder / "w").write_text("w"))
            step.drop_checkpoints([])
        step.checkpoint("final", lambda folder: (folder / "w").write_text("w"))
        step.finish({})
    assert len(read_manifest(tmp_path / "run").lines) == 3  # one drop is recorded, not two
    with Journal.open(tmp_path / "run", environment={}) as journal:
        step = journal.begin("learn", {})
        assert step.result == {}
        assert step.load_checkpoint("final") is not None
        step.drop_checkpoints([])
        assert step.load_checkpoint("final") is None
        assert step.result == {}
