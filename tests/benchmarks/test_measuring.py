"""Medians, ranges and ratios; turns; what is refused; what a machine's description holds."""

import getpass
import json
import os
import socket
from pathlib import Path

import pytest
from measuring import (
    OURS,
    Broken,
    Clock,
    Side,
    apart,
    environment,
    in_turns,
    machine,
    once,
    ratios,
    same_work,
    summary,
)

OTHER = Side("other", Path("other.py"))


def run(amount, seconds, **work):
    return {"seconds": seconds, "unit": "tokens", "work": {"tokens": amount, **work}}


def test_median_and_range():
    assert summary([3.0, 1.0, 10.0]) == (3.0, 1.0, 10.0, 3)
    assert summary([1.0, 2.0, 3.0, 10.0]).median == 2.5
    with pytest.raises(ValueError, match="no measurements"):
        summary([])


def test_ratios_are_taken_repeat_by_repeat():
    ours = [run(100, 1.0), run(100, 4.0)]
    theirs = [run(50, 1.0), run(80, 8.0)]
    # the second repeat met a slow minute of the machine, and both sides did
    assert ratios(ours, theirs) == [2.0, 2.5]
    assert summary(ratios(ours, theirs)).median == 2.25
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratios(ours, theirs[:1])


def test_every_side_has_its_turn_in_every_repeat_and_the_order_rotates():
    sides = [Side(name, Path("x.py")) for name in ("a", "b", "c")]
    turns = [(k, side.name) for k, side in in_turns(sides, 3)]
    assert [[name for k, name in turns if k == i] for i in range(3)] == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]
    ]  # fmt: skip


def test_other_work_is_no_comparison():
    same_work({"a": run(5, 1, rows=3), "b": run(6, 1, rows=3)}, ["rows"])
    with pytest.raises(Broken, match=r"rows is \{'a': 3, 'b': 4\}"):
        same_work({"a": run(5, 1, rows=3), "b": run(5, 1, rows=4)}, ["rows"])
    with pytest.raises(Broken, match="rows"):
        same_work({"a": run(5, 1, rows=3), "b": run(5, 1)}, ["rows"])


def script(folder, body):
    path = folder / "side.py"
    path.write_text(f"import json, os, sys\njob = json.load(open(sys.argv[1]))\n{body}\n")
    return path


def test_a_side_is_a_process_with_its_own_threads_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "x")
    body = "json.dump({'job': job, 'env': dict(os.environ)}, open(sys.argv[2], 'w'))"
    side = Side(OURS, script(tmp_path, body), settings={"cache": "static"})
    said = once(side, {"n": 1, "cache": "default"}, threads=3)
    assert said["job"] == {"n": 1, "cache": "static"}
    assert said["env"]["OMP_NUM_THREADS"] == said["env"]["MKL_NUM_THREADS"] == "3"
    assert "SECRET_KEY" not in said["env"]
    assert said["peak_mib"] > 1
    assert "PYTHONPATH" not in environment(Side("other", Path("x"), "trl"), 1)


def test_a_side_that_fails_says_why(tmp_path):
    with pytest.raises(Broken, match=r"(?s)ours ended with 1.*no such cache"):
        once(Side(OURS, script(tmp_path, "raise SystemExit('no such cache')")), {}, threads=1)
    with pytest.raises(Broken, match="ended with 0"):  # it wrote nothing
        once(Side(OURS, script(tmp_path, "pass")), {}, threads=1)


def test_a_peer_without_its_environment_is_named_with_the_command():
    with pytest.raises(Broken, match="peer 'fast' has no environment: make install-nowhere"):
        _ = Side("fast", Path("x.py"), "nowhere").python


def test_parts_add_up():
    told = apart(a={"seconds": 1.0}, b={"seconds": 3.5})
    assert told == {"a": 1.0, "b": 2.5}
    read = Clock().read()
    assert read["seconds"] >= 0
    assert read["cpu_seconds"] >= 0


def test_the_machine_is_told_without_names_or_paths():
    told = machine()
    assert told["cores"] >= 1
    assert "torch" in told["versions"]
    text = json.dumps(told)
    for private in (socket.gethostname(), os.getcwd(), str(Path.home())):
        assert private not in text
    assert getpass.getuser() not in told["versions"]
