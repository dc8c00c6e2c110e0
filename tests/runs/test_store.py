"""Runs as folders: listed, compared, forked, read as a table."""

import subprocess
import sys

import pyarrow as pa
import pytest

from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import compare_exact, fork, kept, list_runs, rollouts


def make(folder, rounds=2, threshold=0.5, judged=True):
    opened = (
        Journal.open(folder, environment={})
        if folder.exists()
        else Journal.create(folder, {"seed": 1, "recipe": "r"}, f"rounds = {rounds}\n")
    )
    with opened as journal:
        worked = []
        for r in range(rounds):
            with journal.scope(f"round-{r:04d}"):
                step = journal.begin("sample", {"r": r})
                if step.result is None:
                    worked.append(step.key)
                    keys = [f"{step.key}/t/{i}" for i in range(3)]
                    for i in range(2):
                        part = {
                            "key": keys[2 * i : 2 * i + 2],
                            "task_id": ["t"] * (2 - i),
                            "length": [r] * (2 - i),
                            "status": ["s"] * (2 - i),
                        }
                        step.write_unit(i, pa.table(part))
                    step.finish({"keys": keys}, metrics=[{"r": r}])
                keys = step.result["keys"]
                if judged:
                    step = journal.begin("score", {"threshold": threshold})
                    if step.result is None:
                        worked.append(step.key)
                        verdicts = {"key": keys[:2], "score": [1.0, 0.0], "status": ["ok", "ok"]}
                        step.write_unit(0, pa.table(verdicts))
                        step.checkpoint("head", lambda folder: (folder / "w").write_text("w"))
                        step.finish({"mean": threshold})
        return worked


def test_compare_names_the_first_step_and_field(tmp_path):
    a, b, c, d = (tmp_path / name for name in "abcd")
    for folder in (a, b):
        make(folder)
    make(c, threshold=0.7)
    make(d, rounds=3)
    assert compare_exact(a, b) == []
    assert (
        compare_exact(a, c)[0]
        == "manifest.jsonl: line 3 (round-0000/score:0): inputs.threshold is 0.5 and 0.7"
    )
    assert "rollouts/round-0000.score-0/part-0000.parquet: bytes differ" in compare_exact(a, c)
    assert compare_exact(a, d)[0].startswith('manifest.jsonl: line 1 (schema): config is "rounds = 2\\n" and')
    assert f"rollouts/round-0002.sample-0/part-0000.parquet: only in {d}" in compare_exact(a, d)
    (b / "stray").write_text("x")
    assert compare_exact(a, b) == [f"stray: only in {b}"]
    with pytest.raises(SharpenError, match="no run in"):
        compare_exact(a, tmp_path / "nowhere")


def test_list_runs(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "notes").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.jsonl").write_text("{}\n")
    with Journal.open(tmp_path / "a", environment={}):
        a, b = list_runs(tmp_path)
    assert (a.folder.name, a.header["recipe"], a.steps, a.last, a.live, a.problem) == (
        *("a", "r", 4, "round-0001/score:0"),
        *(True, ""),
    )
    assert "first line is damaged" in b.problem
    assert not list_runs(tmp_path)[0].live


def test_fork_shares_the_steps_before_a_key(tmp_path):
    a, b, straight = tmp_path / "a", tmp_path / "b", tmp_path / "straight"
    make(a)
    before = {p: p.read_bytes() for p in a.rglob("*") if p.is_file()}
    with pytest.raises(
        SharpenError, match="unknown step 'round-0001/scor:0': did you mean 'round-0001/score:0'"
    ):
        fork(a, b, "round-0001/scor:0")
    fork(a, b, "round-0001/score:0", config_toml="rounds = 3\n")
    with pytest.raises(SharpenError, match="exists already"):
        fork(a, b, "round-0001/score:0")
    manifest = read_manifest(b)
    assert list(manifest.steps) == ["round-0000/sample:0", "round-0000/score:0", "round-0001/sample:0"]
    assert manifest.header["parent"]["run"] == "a"
    assert manifest.header["parent"]["at"] == "round-0001/score:0"
    assert manifest.config == (b / "config.toml").read_text() == "rounds = 3\n"
    unit = "rollouts/round-0000.sample-0/part-0000.parquet"
    assert (a / unit).stat().st_ino == (b / unit).stat().st_ino
    assert make(b, rounds=3) == ["round-0001/score:0", "round-0002/sample:0", "round-0002/score:0"]
    make(straight, rounds=3)
    assert [d.split(":")[0] for d in compare_exact(b, straight)] == ["manifest.jsonl"]
    assert {p: p.read_bytes() for p in before} == before


def test_rollouts_join_verdicts_on_key(tmp_path):
    make(tmp_path / "a")
    table = rollouts(tmp_path / "a")
    assert table.columns == ["key", "task_id", "length", "status", "score"]
    rows = sorted(table.fetchall())
    assert rows[:3] == [
        ("round-0000/sample:0/t/0", "t", 0, "s", 1.0),
        ("round-0000/sample:0/t/1", "t", 0, "s", 0.0),
        ("round-0000/sample:0/t/2", "t", 0, "s", None),
    ]
    assert len(rows) == 6
    assert rollouts(tmp_path / "a").aggregate("length, avg(score) AS mean").order("length").fetchall() == [
        (0, 0.5),
        (1, 0.5),
    ]


def test_numbers_asked_of_an_episodes_tokens_are_no_second_episode(tmp_path):
    make(tmp_path / "a")
    with Journal.open(tmp_path / "a", environment={}) as journal:
        step = journal.begin("annotate", {})
        step.write_unit(0, pa.table({"key": ["round-0000/sample:0/t/0"], "ref": [[0.5]]}))
        step.finish({})
    table = rollouts(tmp_path / "a")
    assert "ref" not in table.columns
    assert len(table.fetchall()) == 6


def test_rollouts_without_verdicts_or_at_all(tmp_path):
    make(tmp_path / "a", judged=False)
    assert rollouts(tmp_path / "a").columns == ["key", "task_id", "length", "status"]
    make(tmp_path / "b", rounds=0)
    with pytest.raises(SharpenError, match="no stored rollouts yet"):
        rollouts(tmp_path / "b")


def test_keep_policies():
    tags = ["a", "b", "c", "d"]
    assert kept("all", tags) == tags
    assert kept("last_2", tags) == ["c", "d"]
    assert kept("last_9", tags) == tags
    assert kept("best", tags, {"a": 0.1, "b": 0.9, "c": 0.9}) == ["b", "d"]
    assert kept("best", tags) == ["d"]
    assert kept("best", []) == []
    for policy in ("last_0", "last_k", "worst"):
        with pytest.raises(SharpenError, match="keep policy"):
            kept(policy, tags)


def test_no_model_library_is_loaded():
    heavy = ("torch", "transformers", "duckdb")
    code = f"import sys, sharpen.runs.store; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
