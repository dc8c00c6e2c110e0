"""The verb ``rollouts``: an expression picks, what it may not do, and files that other programs read."""

import json
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.score.verdict import Status
from sharpen.studio.exports import export
from sharpen.studio.where import query
from sharpen.verbs.seeds import write_plan
from tests.studio.judged import judged_run

SAID = [
    ("one", "Answer: 1", True),
    ("two", "a\x1b[31m\nAnswer: 3", False),
    ("three", "Answer: 3", True),
    ("four", "never ends", Status.TRUNCATED),
    ("five", "Answer: 5", Status.TIMEOUT),
]


@pytest.fixture
def runs(tmp_path):
    return {0: judged_run(tmp_path / "a", {"round-1": SAID})}


def refused(where, runs):
    with pytest.raises(SharpenError) as e:
        query(runs, where)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_an_expression_picks_and_every_verdict_is_counted(runs):
    found = query(runs)
    assert found.total == 5
    assert found.counts == {"right": 2, "timeout": 1, "truncated": 1, "wrong": 1}
    found = query(runs, "not correct and status = 'ok'")
    assert (found.total, found.counts) == (5, {"wrong": 1})
    [row] = found.rows(9)
    assert row["text"] == "a\x1b[31m\nAnswer: 3"
    assert query(runs, "false").counts == {}


def test_columns_with_a_number_a_token_are_left_on_disk_unless_asked_for(runs, monkeypatch):
    found = query(runs)
    assert not {"tokens", "logprob", "entropy", "span_role"} & set(found.columns())
    assert {"text", "steps", "parts"} <= set(found.columns())
    assert {"tokens", "logprob"} <= set(found.rows(1, tokens=True)[0])
    # the plan of the listing reads no such column from the files
    light = ", ".join(f'"{c}"' for c in found.columns())
    assert "logprob" not in found.ordered().project(light).limit(3).explain()
    assert "logprob" in found.ordered().project("key, logprob").limit(3).explain()


def test_rows_come_by_key_and_as_json(runs):
    rows = query(runs).rows(9, tokens=True)
    assert [r["key"] for r in rows] == sorted(r["key"] for r in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_a_wrong_expression_is_one_line_that_names_the_nearest_column(runs):
    assert refused("corect", runs) == "unknown column 'corect': did you mean 'correct'?"
    assert "syntax error" in refused("correct and", runs)
    assert "Could not convert" in refused("finish = 3", runs)
    assert "aggregates" in refused("count(*) > 1", runs)


def test_an_expression_is_one_and_reads_nothing_else(runs, tmp_path):
    (tmp_path / "secret.csv").write_text("a\nb\n")
    secret = duckdb.sql("select 'eos' as finish")
    assert secret is not None
    for where in ("true; drop table x", "true) or (true", "true, false", "true limit 1"):
        assert refused(where, runs)
    for reader in ("read_text", "read_csv", "glob", "read_parquet"):
        assert "--where" in refused(f"key in (select * from {reader}('{tmp_path}/secret.csv'))", runs)
    assert "secret" in refused("finish in (select finish from secret)", runs)
    with pytest.raises(duckdb.Error):
        query(runs).connection.execute("set enable_external_access=true")


def test_a_run_that_is_not_judged_yet_has_no_verdicts(tmp_path):
    with Journal.create(tmp_path / "b", {"seed": 0}, "") as journal:
        step = journal.begin("sample", {})
        step.write_unit(0, pa.table({"key": ["k"], "task_id": ["t"], "text": ["x"], "n": [np.nan]}))
        step.finish({})
    found = query({0: tmp_path / "b"})
    assert found.counts == {"not judged": 1}
    assert found.rows(1)[0]["n"] is None
    assert query({0: tmp_path / "b"}, "correct is null").counts == {"not judged": 1}


@pytest.mark.parametrize("tokens", [False, True])
def test_exports_hold_the_same_rows(runs, tmp_path, tokens):
    datasets = pytest.importorskip("datasets")
    for kind in ("parquet", "jsonl", "hf"):
        assert export(runs, "correct", kind, tmp_path / f"out/{kind}", tokens=tokens).counts == {"right": 2}
    told = query(runs, "correct").rows(9, tokens=tokens)
    lines = [json.loads(line) for line in (tmp_path / "out/jsonl").read_text().splitlines()]
    assert lines == told
    table = pq.read_table(tmp_path / "out/parquet")
    assert table["key"].to_pylist() == [r["key"] for r in told]
    assert ("tokens" in table.column_names) is tokens
    loaded = datasets.load_from_disk(str(tmp_path / "out/hf"))
    assert loaded["text"][:] == [r["text"] for r in told]
    assert loaded[0]["parts"] == [{"key": k, "value": v} for k, v in told[0]["parts"].items()]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["hf", "jsonl", "parquet"]


def test_an_export_never_overwrites_and_says_what_it_needs(runs, tmp_path, monkeypatch, capsys):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(SharpenError, match="exists already"):
        export(runs, "", "jsonl", tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(SharpenError, match="unknown column"):
        export(runs, "nme", "jsonl", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["rollouts", str(runs[0]), "--export", "hf", "--to", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.endswith("pip install 'sharpen[tasks]'\n")


def test_the_verb_lists_and_cleans(runs, capsys):
    assert main(["rollouts", str(runs[0]), "--show", "2", "--where", "not correct"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 of 5 rollouts: 1 timeout, 1 truncated, 1 wrong\n")
    assert "2 shown: --show N shows more" in out
    assert "\x1b" not in out
    assert main(["rollouts", str(runs[0]), "--json", "--show", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["total"], len(told["rollouts"]), told["counts"]["right"]) == (5, 1, 2)
    assert main(["rollouts", str(runs[0]), "--columns", "--json"]) == 0
    assert "tokens" in json.loads(capsys.readouterr().out)["tokens"]


def test_several_seeds_are_one_table_with_their_seed(tmp_path, capsys):
    write_plan(tmp_path / "s", "by_hand", [3, 4, 5], "")
    for seed in (3, 4):
        judged_run(tmp_path / f"s/seed-{seed}", {"round-1": SAID}, seed=seed)
    assert main(["rollouts", str(tmp_path / "s"), "--where", "seed = 4 and correct", "--show", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 of 10 rollouts: 2 right\n")
    assert "right  seed 4 round-1/sample:0/" in out


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("--export", "hg", "--to", "x"), "unknown kind of export 'hg': did you mean 'hf'?"),
        (("--export", "hf"), "--export KIND and --to PATH go together"),
        (("--to", "x"), "--export KIND and --to PATH go together"),
        (("--where", "txt = 'a'"), "unknown column 'txt': did you mean 'text'?"),
        (("--sho", "3"), "unknown option '--sho': did you mean '--show'?"),
    ],
)
def test_bad_input_is_one_line(runs, argv, line, capsys):
    assert main(["rollouts", str(runs[0]), *argv]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
