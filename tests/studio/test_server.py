"""The studio's server: who may ask, what is answered, and that runs are only read."""

import http.client
import json
import os
import subprocess
import sys
from urllib.parse import quote, urlsplit

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.studio.folder import Folder
from sharpen.studio.server import Studio, prepared
from sharpen.verbs.seeds import write_plan
from tests.studio.hostile import hostile_run
from tests.studio.judged import ENVIRONMENT, judged_run
from tests.studio.served import studio


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("studio")
    judged_run(root / "one", {"a": [("q", "yes", True), ("q", "no", False)], "b": [("q", "no", False)]})
    hostile_run(root / "deep" / "er" / "bad")
    write_plan(root / "both", "by_hand", [0, 1], "")
    for seed in (0, 1):
        judged_run(root / "both" / f"seed-{seed}", {"a": [("q", "yes", True)]}, seed=seed)
    return root


@pytest.fixture(scope="module")
def address(root):
    with studio(root) as address:
        yield urlsplit(address)


def ask(address, path, *, method="GET", body=None, host=None, whole=False, kind="application/json"):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    headers = {"Host": host or address.netloc, **({"Content-Type": kind} if body is not None else {})}
    connection.request(method, path if whole else address.path + path, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


def told(address, path, **how):
    answer, data = ask(address, path, **how)
    return answer.status, json.loads(data)


def snapshot(root):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in root.rglob("*")}


def test_only_the_right_address_is_answered(address):
    for path in (
        "/",
        "/wrong/",
        "/wrong/api/runs",
        "/wrong/web/app.css",
        address.path[:-2] + "/",
        "//",
        "/%00/",
    ):
        answer, data = ask(address, path, whole=True)
        assert answer.status in (403, 404), path
        assert b"one" not in data
    assert ask(address, "")[0].status == 200
    assert ask(address, "api/runs")[0].status == 200


def test_another_host_is_refused(address):
    for host in ("evil.example", f"evil.example:{address.port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert ask(address, "api/runs", host=host or " ")[0].status in (400, 421), host
    assert ask(address, "api/runs", host=f"localhost:{address.port}")[0].status == 200


def test_the_page_may_load_nothing_from_elsewhere(address):
    answer, data = ask(address, "")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"http://" not in data
    for name in ("app.css", "app.js", "vendor/plot.umd.min.js"):
        assert ask(address, f"web/{name}")[0].status == 200
    for name in ("../server.py", "%2e%2e/server.py", "vendor/../../server.py", "index.html", "/etc/passwd"):
        assert ask(address, f"web/{name}")[0].status in (403, 404), name


def test_runs_are_found_wherever_they_lie(address):
    _, found = told(address, "api/runs")
    assert [r["id"] for r in found["runs"]] == ["both/seed-0", "both/seed-1", "deep/er/bad", "one"]
    assert [(g["id"], g["runs"]) for g in found["groups"]] == [("both", ["both/seed-0", "both/seed-1"])]
    assert {r["state"] for r in found["runs"]} <= {"finished", "stopped"}


def test_answers(address):
    _, found = told(address, "api/episodes?run=one&outcome=wrong")
    assert [r["text"] for r in found["rows"]] == ["no", "no"]
    _, group = told(address, f"api/group?run=one&step={quote('a/sample:0')}&task=q")
    assert [r["correct"] for r in group["rows"]] == [True, False]
    assert group["walk"] == {"at": 0, "of": 1, "before": None, "after": None}
    _, diff = told(address, f"api/diff?run=one&a={quote('a/sample:0')}&b={quote('b/sample:0')}")
    assert diff["counts"] == {"broken": 1}
    _, both = told(address, "api/overview?run=both/seed-0&run=both/seed-1")
    assert both["groups"][0]["planned"] == 2
    body = json.dumps({"run": "one", "sql": "select count(*) from rollouts"})
    assert told(address, "api/sql", method="POST", body=body)[1]["rows"] == [[3]]
    _, bad = told(
        address, f"api/group?run={quote('deep/er/bad')}&step={quote('round-0001/sample:0')}&task=nothing"
    )
    assert bad["rows"] == []


def test_what_is_wrong_is_one_line(address):
    for path, word in (
        ("api/episodes?run=../../etc", "unknown run"),
        ("api/episodes?run=on", "did you mean 'one'?"),
        ("api/episodes", "run is missing"),
        ("api/group?run=one&step=x&task=q", "no step"),
        ("api/overview", "choose 1 to"),
        ("api/plays?run=one&offset=x", "whole number"),
    ):
        status, found = told(address, path)
        assert status == 400
        assert word in found["error"]
        assert "\n" not in found["error"]
    assert told(address, "api/_steps?run=one")[0] == 404
    assert told(address, "api/folder")[0] == 404
    assert told(address, "api/sql?run=one&sql=select")[0] == 404
    assert told(address, "api/runs", method="POST", body="{}")[0] == 404
    assert told(address, "api/sql", method="POST", body="[]")[0] == 400
    assert told(address, "api/sql", method="POST", body="{}", kind="text/plain")[0] == 400
    assert told(address, "api/sql", method="POST", body=json.dumps({"sql": "x" * 100_000}))[0] == 400


def test_nothing_is_written(root, address):
    before = snapshot(root)
    for path in ("", "api/runs", "api/overview?run=one", "api/episodes?run=one", "api/steps?run=one"):
        ask(address, path)
    ask(address, "api/sql", method="POST", body=json.dumps({"run": "one", "sql": "select 1 from rollouts"}))
    assert snapshot(root) == before


def test_a_live_run_is_seen_as_it_goes(tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    here = Studio(root)
    assert here.runs({})["runs"] == []
    with Journal.create(
        root / "live", {"recipe": "by_hand", "seed": 0, **ENVIRONMENT}, "rounds = 3\n"
    ) as journal:
        assert here.runs({})["runs"][0]["state"] == "running"
        first = here.stamp({"run": "live"})
        for r in (0, 1):
            with journal.scope(f"round-{r}"):
                step = journal.begin("log", {"round": r})
                step.finish({}, metrics=[{"name": "held_out", "round": r, "accuracy_greedy": 0.5 + r / 10}])
        [run] = here.runs({})["runs"]
        assert (run["round"], run["rounds"]) == (1, 3)
        assert run["headline"] == {"label": "greedy", "share": True, "values": [0.5, 0.6]}
        assert here.stamp({"run": "live"}) != first
        begun = journal.begin("sample", {"x": 1})
        import pyarrow as pa

        begun.write_unit(0, pa.table({"key": ["a"], "task_id": ["q"]}))
        assert here.runs({})["runs"][0]["doing"] == {"step": "sample-0", "units": 1}
    assert here.runs({})["runs"][0]["state"] == "stopped"


def test_a_damaged_run_is_named_and_the_others_go_on(tmp_path):
    judged_run(tmp_path / "fine", {"a": [("q", "yes", True)]})
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.jsonl").write_text("{}\n")
    found = {r["id"]: r for r in Folder(tmp_path).states()["runs"]}
    assert found["bad"]["state"] == "unreadable"
    assert found["bad"]["problem"]
    assert found["fine"]["state"] == "finished"


def test_the_command_prints_an_address_and_ends(root, capsys):
    assert main(["studio", str(root / "gone")]) == 2
    assert "no folder" in capsys.readouterr().err
    run = [sys.executable, "-m", "sharpen", "studio", str(root), "--port", "0", "--no-open"]
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    ) as process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line
        process.terminate()
        process.wait(60)


def test_a_taken_port_and_a_missing_library_are_one_line(root, address, monkeypatch):
    for port in (address.port, 99_999):
        with pytest.raises(SharpenError, match="cannot be had"):
            prepared(root, port, print)
    for library in ("starlette.applications", "uvicorn"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(SharpenError, match=r"pip install 'sharpen\[studio\]'"):
            prepared(root, 0, print)
