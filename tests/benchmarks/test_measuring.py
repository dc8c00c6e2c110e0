"""Medians, ranges and ratios; turns; what is refused; what a machine's description holds."""

import getpass
import json
import os
import select
import socket
from pathlib import Path

import pytest
from measuring import (
    OURS,
    Broken,
    Clock,
    Resident,
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


def side(folder, *body, **settings):
    """A script whose ``main(job)`` is these lines."""
    path = folder / "side.py"
    lines = ("import os, signal, subprocess, sys", "from measuring import run_side", "def main(job):")
    path.write_text("\n".join([*lines, *(f"    {line}" for line in body), "run_side(main)"]))
    return Side(OURS, path, settings=settings)


def test_a_side_is_a_process_with_its_own_threads_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "x")
    told = side(tmp_path, "return {'job': job, 'env': dict(os.environ), 'pid': os.getpid()}", cache="static")
    said = once(told, {"n": 1, "cache": "default"}, threads=3)
    assert said["job"] == {"n": 1, "cache": "static"}
    assert said["env"]["OMP_NUM_THREADS"] == said["env"]["MKL_NUM_THREADS"] == "3"
    assert "SECRET_KEY" not in said["env"]
    assert said["pid"] != once(told, {}, threads=1)["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)
    assert "PYTHONPATH" not in environment(Side("other", Path("x"), "trl"), 1)


def test_peak_memory_is_the_sides_own_over_all_its_jobs(tmp_path):
    held = bytearray(b"x") * (200 << 20)  # what the driver holds is none of it
    small = once(side(tmp_path, "return {}"), {}, threads=1)["peak_mib"]
    assert 1 < small < 100 < len(held) / 2**20
    code = "bytearray(b'x') * (150 << 20)"
    told = side(tmp_path, "subprocess.run([sys.executable, '-c', job.get('code', '')])", "return {}")
    with Resident(told, threads=1) as process:
        process.run({"code": code})
        process.run({})
        assert 150 < process.close() < 200


def test_a_side_that_fails_says_why(tmp_path):
    with pytest.raises(Broken, match=r"(?s)ours ended with 1.*no such cache"):
        once(side(tmp_path, "raise SystemExit('no such cache')"), {}, threads=1)
    with pytest.raises(Broken, match="ended with 0"):  # it gave no result
        once(side(tmp_path, "sys.exit()"), {}, threads=1)
    path = tmp_path / "other.py"
    path.write_text("raise SystemExit('no library')")  # before it reads a job that no pipe holds
    with pytest.raises(Broken, match=r"(?s)other ended with 1.*no library"):
        once(Side("other", path), {"text": "x" * 10**6}, threads=1)


def test_one_process_does_job_after_job(tmp_path):
    fails = "if job['n'] == 3: raise ValueError('three is too many')"
    with Resident(side(tmp_path, fails, "return {'n': job['n'], 'pid': os.getpid()}"), threads=1) as process:
        first, second = (process.run({"n": n}) for n in (1, 2))
        assert (first["n"], second["n"]) == (1, 2)
        assert first["pid"] == second["pid"]
        with pytest.raises(Broken, match=r"(?s)ours ended with 1.*ValueError: three is too many"):
            process.run({"n": 3})
        with pytest.raises(Broken, match="ended with 1"):
            process.run({"n": 4})


def test_what_a_script_prints_and_what_it_starts_disturb_nothing(tmp_path):
    noise = "print('{}'); print('{}', file=sys.stderr); os.system('echo {}; cat')"
    with Resident(side(tmp_path, noise, "return {'read': sys.stdin.read()}"), threads=1) as process:
        assert process.run({}) == process.run({}) == {"read": ""}


def test_jobs_and_results_may_be_large(tmp_path):
    text = "x" * 5_000_000
    with Resident(side(tmp_path, "return job"), threads=1) as process:
        assert process.run({"text": text}) == process.run({"text": text}) == {"text": text}


def test_a_side_that_takes_too_long_is_killed(tmp_path):
    with pytest.raises(Broken, match="ended with -9"):
        once(side(tmp_path, "os.read(os.pipe()[0], 1)"), {}, threads=1, timeout=0.2)


def test_a_worker_that_outlives_its_side_holds_nobody_up_and_is_ended(tmp_path):
    # it keeps the pipe of results open
    leaves = "subprocess.Popen(['sleep', '60'], pass_fds=[int(sys.argv[1])])"
    with Resident(side(tmp_path, leaves, "os._exit(1)"), threads=1) as process:
        with pytest.raises(Broken, match="ended with 1"):
            process.run({})
        assert select.select([process._results], [], [], 10)[0]  # closed by everyone


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
