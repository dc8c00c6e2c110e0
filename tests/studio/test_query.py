"""Lists of rollouts, two rounds beside each other, and SQL that reaches nothing else."""

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.studio import episodes as stored
from sharpen.studio.episodes import sampled_steps
from sharpen.studio.query import difference, episodes
from sharpen.studio.sql import ROWS, answer
from tests.studio.big import big_run
from tests.studio.judged import judged_run

N = 20_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    return sampled_steps(read_manifest(big_run(tmp_path_factory.mktemp("query") / "big", N)))


def test_pages_come_in_stored_order_with_their_verdicts(big):
    first = episodes(big, {"limit": 3})
    assert (first["total"], first["of"]) == (N, N)
    assert [r["key"] for r in first["rows"]] == [f"round-0001/sample:0/task-0/{k}" for k in range(3)]
    assert [r["correct"] for r in first["rows"]] == [True, False, True]
    later = episodes(big, {"limit": 3, "offset": N // 4 - 1})
    assert [r["round"] for r in later["rows"]] == [1, 2, 2]
    assert episodes(big, {"offset": N + 5})["rows"] == []


def test_a_page_reads_no_tokens_and_opens_few_files(big, monkeypatch):
    opened = []
    real = stored.read
    monkeypatch.setattr(
        stored, "read", lambda path, columns=None: opened.append(columns) or real(path, columns)
    )
    episodes(big, {"limit": 50, "offset": N - 50})
    assert 0 < len(opened) <= 6
    assert not any(c is None or "tokens" in c or "logprob" in c for c in opened)


def test_filters_sort_and_search(big):
    wrong = episodes(big, {"outcome": "wrong", "limit": 5})
    assert wrong["total"] == N // 2
    assert not any(r["correct"] for r in wrong["rows"])
    assert episodes(big, {"step": "round-0002/sample:0", "outcome": "right"})["total"] == N // 8
    sure = [r["ent"] for r in episodes(big, {"sort": "ent"})["rows"]]
    assert sure == sorted(sure)
    found = episodes(big, {"text": "ANSWER: 3", "limit": 2})
    assert 0 < found["total"] < N
    assert all("Answer: 3" in r["text"] for r in found["rows"])
    assert episodes(big, {"text": "100% of _nothing"})["total"] == 0
    assert episodes(big, {"status": "crash"})["total"] == 0
    for bad in ({"outcome": "rihgt"}, {"status": "okay"}, {"sort": "size"}, {"step": "round-9/sample:0"}):
        with pytest.raises(SharpenError, match="unknown"):
            episodes(big, bad)


def test_the_last_verdict_counts(tmp_path):
    folder = judged_run(tmp_path / "run", {"a": [("q", "1", True), ("q", "2", False)]})
    steps = sampled_steps(read_manifest(folder))
    assert episodes(steps, {"outcome": "right"})["total"] == 1


def test_two_rounds_beside_each_other(tmp_path):
    before = [("q", "1", False), ("r", "1", True), ("s", "1", False), ("t", "1", True)]
    after = [("q", "2", True), ("r", "2", False), ("s", "2", False), ("t", "2", True)]
    folder = judged_run(tmp_path / "run", {"a": before, "b": after})
    steps = sampled_steps(read_manifest(folder))
    found = difference(steps, "a/sample:0", "b/sample:0", {})
    assert found["counts"] == {"fixed": 1, "broken": 1, "wrong": 1, "right": 1}
    fixed = difference(steps, "a/sample:0", "b/sample:0", {"change": "fixed"})
    assert [(r["task"], r["text_a"], r["text_b"]) for r in fixed["rows"]] == [("q", "1", "2")]
    assert fixed["total"] == 1
    assert difference(steps, "a/sample:0", "a/sample:0", {})["counts"] == {"wrong": 2, "right": 2}


def test_sql_answers(big):
    text = "select step, count(*) as n, avg(correct::int) from rollouts group by all order by step"
    found = answer(big, [], text)
    assert found["columns"][:2] == ["step", "n"]
    assert found["rows"][0] == ["round-0001/sample:0", N // 4, 0.5]
    assert answer(big, [{"name": "a", "round": 1, "x": 0.5}], "select value from metrics")["rows"] == [[0.5]]
    many = answer(big, [], "select key from rollouts")
    assert len(many["rows"]) == ROWS
    assert many["more"]
    odd = answer(big, [], "select 'nan'::double, 2::hugeint ** 70, date '2026-01-02', [1, 2], '\x1b'")[
        "rows"
    ][0]
    assert odd[0] == "nan"
    assert odd[2] == "2026-01-02"


def test_sql_writes_nothing_and_reaches_nothing_else(big, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "secret.csv").write_text("a\n1\n")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    own = str(big[0].parts[0])
    before = {p: p.read_bytes() for s in big[:1] for p in s.parts}
    rows = [1]
    for text in (
        "select * from read_csv('secret.csv')",
        "select * from 'secret.csv'",
        "select * from read_csv('.tmp/secret.csv')",
        "select * from read_text('/etc/passwd')",
        "select * from glob('/etc/*')",
        "select * from read_blob('/proc/self/environ')",
        "copy (select 1) to 'out.csv'",
        f"copy (select 1 as a) to '{own}' (format parquet)",
        "attach 'out.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset lock_configuration",
        "pragma enable_profiling",
        "create table t as select 1",
        "drop view rollouts",
        "export database 'out'",
        "select 1; copy (select 1) to 'out.csv'",
        "select * from rows",
        "select getenv('HOME')",
        "call dbgen(sf=1)",
        "explain analyze select 1",
        "",
        "selec 1",
    ):
        with pytest.raises(SharpenError) as error:
            answer(big, [], text)
        assert "\n" not in str(error.value)
    assert rows == [1]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".tmp", "secret.csv"]
    assert {p: p.read_bytes() for p in before} == before


def test_sql_that_takes_too_long_is_stopped(big):
    text = "select sum(a.range * b.range) from range(1000000) a, range(1000000) b"
    with pytest.raises(SharpenError, match=r"stopped after 0\.2 s"):
        answer(big, [], text, seconds=0.2)


def test_plays_and_calls_are_found_by_kind():
    from tests.tiny import finished

    manifest = read_manifest(finished("spiral"))
    steps = {s.key: s for s in sampled_steps(manifest)}
    play = steps["round-0001/play:0"]
    assert len(play.parts) == len(play.judged) == len(play.plays) == 1
    files = [f for found in unit_files(manifest.folder).values() for f in found]
    assert {stored.kind_of(f) for f in files} == {"episodes", "verdicts", "plays", "other"}
