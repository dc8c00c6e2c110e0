"""Killed anywhere, a run continues to the bytes of the run that was never stopped."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sharpen.errors import SharpenError
from sharpen.runs import faults
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import compare_exact

KILLED = -signal.SIGKILL
TORN = "manifest.write.mid:5"  # the first learn step's line
METRICS_MISSING = "manifest.fsync.after:5"

GROUPS = sorted({p.partition(".")[0] for p in faults.POINTS} - {"resume"})


def same(run: Path, whole: Path) -> bool:
    assert compare_exact(whole, run) == []
    assert not list(run.rglob(".tmp-*"))
    return True


@pytest.mark.parametrize("group", GROUPS)
def test_killed_at_every_point(group, run_tiny, whole, tmp_path):
    for point in (p for p in faults.POINTS if p.partition(".")[0] == group):
        for n in (1, 4):
            folder = tmp_path / f"{point}-{n}"
            status, error = run_tiny(folder, f"{point}:{n}")
            assert status == KILLED or (n > 1 and status == 0), (point, n, error)
            if status == KILLED:
                assert run_tiny(folder) == (0, ""), (point, n)
            assert same(folder, whole), (point, n)


@pytest.mark.parametrize("before", [TORN, METRICS_MISSING])
def test_killed_inside_resume(before, run_tiny, whole, tmp_path):
    reached = set()
    for point in (p for p in faults.POINTS if p.startswith("resume.")):
        folder = tmp_path / point
        assert run_tiny(folder, before)[0] == KILLED
        if run_tiny(folder, point)[0] == KILLED:
            reached.add(point)
            assert run_tiny(folder) == (0, "")
        assert same(folder, whole), point
    cut = {"resume.cut.before", "resume.cut.after"}
    rewritten = {p for p in faults.POINTS if p.startswith("resume.metrics.")}
    both = {"resume.lock.after", "resume.clean.after"}
    assert reached == both | (cut if before == TORN else rewritten)


def test_killed_again_and_again(run_tiny, whole, tmp_path):
    for first, second in pairwise(
        ("unit.write.mid", "drop.rename.after", "manifest.write.mid", "unit.write.mid")
    ):
        folder = tmp_path / f"{first}-{second}"
        assert run_tiny(folder, f"{first}:2")[0] == KILLED
        starts = 0
        while run_tiny(folder, f"{second}:2")[0] == KILLED:  # each start gets further, to the end
            starts += 1
            assert starts < 20
        assert same(folder, whole), (first, second)


def test_a_full_disk(run_tiny, whole, tmp_path):
    for n in (1, 2, 3, 4, 5, 6, 8, 9, 11, 14, 17, 21, 26, 34, 45):
        folder = tmp_path / f"full-{n}"
        status, error = run_tiny(folder, f"enospc:{n}")
        assert status == 2, error
        assert "No space left" in error
        assert "sharpen resume" in error
        assert not list(folder.rglob(".tmp-*")), n
        assert n == 1 or not read_manifest(folder).torn, n  # the first write creates the manifest
        assert run_tiny(folder) == (0, "")
        assert same(folder, whole), n


def test_by_environment_variable(run_tiny, whole, tmp_path):
    script = str(Path(__file__).with_name("tiny_recipe.py"))
    run = tmp_path / "run"
    env = {**os.environ, "SHARPEN_FAULT": "checkpoint.rename.before:2"}
    assert subprocess.run([sys.executable, script, str(run)], env=env).returncode == KILLED
    assert run_tiny(run) == (0, "")
    assert same(run, whole)


def test_other_crash_points_are_refused():
    with pytest.raises(SharpenError, match=r"did you mean 'unit\.write\.mid'"):
        faults.arm("unit.write.midd")
    with pytest.raises(SharpenError, match="not a number from 1"):
        faults.arm("unit.write.mid:0")


def test_a_second_writer_is_refused(run_tiny, whole, tmp_path):
    folder = tmp_path / "run"
    assert run_tiny(folder, "learn.microbatch")[0] == KILLED
    with Journal.open(folder, environment={}):
        status, error = run_tiny(folder)
        assert status == 2
        assert f"live process (pid {os.getpid()})" in error
        with pytest.raises(SharpenError, match="live process"):
            Journal.open(folder, environment={})
    assert run_tiny(folder) == (0, "")
    assert same(folder, whole)


def test_an_orphaned_worker_does_not_hold_the_run(tmp_path):
    journal = Journal.create(tmp_path / "run", {}, "")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # a forked worker that outlives the run's process
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        journal.close()
        Journal.open(tmp_path / "run", environment={}).close()
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def test_more_rounds_continue(run_tiny, whole, tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    assert run_tiny(short) == (0, "")
    assert run_tiny(short, rounds=3) == (0, "")
    assert run_tiny(long, rounds=3) == (0, "")
    assert compare_exact(short, long) == []
    assert len(compare_exact(short, whole)) > 1


def test_a_changed_threshold_stops_at_the_step_it_touches(run_tiny, tmp_path):
    folder = tmp_path / "run"
    assert run_tiny(folder) == (0, "")
    status, error = run_tiny(folder, threshold=0.25)
    assert status == 2
    assert error.startswith("round-0001/compute:0 is finished and inputs[1] was 0.5, now 0.25")
    assert "\n" not in error
