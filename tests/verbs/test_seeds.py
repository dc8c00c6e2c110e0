"""Several seeds: each a process, none outlives the parent, all told in one summary."""

import json
import os
import signal
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import psutil
import pytest

from sharpen.errors import SharpenError
from sharpen.verbs.seeds import (
    Child,
    read_plan,
    run_children,
    seed_folder,
    summarise,
    write_plan,
    write_summary,
)

spec = util.spec_from_file_location("fake_recipe", Path(__file__).parents[1] / "fake_recipe.py")
fake_recipe = util.module_from_spec(spec)
spec.loader.exec_module(fake_recipe)


def child(seed: int, code: str) -> Child:
    return Child(seed, (sys.executable, "-S", "-c", code))


def test_children_are_heard_and_their_ends_are_told():
    lines, ends = [], []
    outcomes = run_children(
        [
            child(0, "print('a'); print('half', end='')"),
            child(1, "import sys; print('to stderr', file=sys.stderr); sys.exit(3)"),
            child(2, "import os; print(os.environ['OMP_NUM_THREADS'], flush=True); os.kill(os.getpid(), 9)"),
        ],
        at_most=2,
        told=lambda seed, line: lines.append((seed, line)),
        ended=lambda o: ends.append(o.seed),
    )
    assert [(o.seed, o.code) for o in outcomes] == [(0, 0), (1, 3), (2, -signal.SIGKILL)]
    assert [line for seed, line in lines if seed == 0] == ["a", "half"]
    assert outcomes[1].lines == ["to stderr"]
    assert outcomes[2].lines == ["1"]
    assert sorted(ends) == [0, 1, 2]


def test_at_most_so_many_run_at_once(tmp_path):
    code = (
        f"import os, pathlib; p = pathlib.Path({str(tmp_path)!r}) / str(os.getpid()); p.touch();"
        "print(len(list(p.parent.iterdir()))); p.unlink()"
    )
    seen = []
    run_children([child(s, code) for s in range(4)], at_most=1, told=lambda _, line: seen.append(int(line)))
    assert seen == [1, 1, 1, 1]


def test_ctrl_c_stops_children_and_theirs():
    # the child ignores the interrupt and has a child of its own: both are killed, after no wait here
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    pids = []

    def told(seed: int, line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sharpen.verbs.seeds._PATIENCE", 0.05)
        with pytest.raises(KeyboardInterrupt):
            run_children([child(0, code)], at_most=1, told=told)
    gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="the system ties a child to its parent on Linux only")
def test_killing_the_parent_leaves_no_orphan():
    inner = (
        "import os, sys, time; from sharpen.runs.process import die_with_parent;"
        "die_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(600)"
    )
    outer = (
        "import os, sys; from sharpen.verbs.seeds import Child, run_children\n"
        f"c = [Child(s, (sys.executable, '-c', {inner!r}, str(os.getpid()))) for s in (0, 1)]\n"
        "run_children(c, at_most=2, told=lambda s, line: print(line, flush=True))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(psutil.pid_exists(p) for p in pids)
    parent.kill()
    parent.wait()
    gone(pids)


def gone(pids: list[int]) -> None:
    """Waits for processes that are being killed; fails when one lives on."""
    alive = [psutil.Process(p) for p in pids if psutil.pid_exists(p)]
    # a killed process whose new parent has not collected it yet is dead too
    _, left = psutil.wait_procs(alive, timeout=5)
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def test_the_plan_is_read_back(tmp_path):
    folder = tmp_path / "many"
    write_plan(folder, "fake", [3, 4], "rounds = 1\n")
    assert read_plan(folder) == ("fake", [3, 4])
    assert seed_folder(folder, 3) == folder / "seed-3"
    assert read_plan(tmp_path) is None
    (folder / "seeds.json").write_text("{")
    with pytest.raises(SharpenError, match=r"seeds\.json"):
        read_plan(folder)


def test_the_summary_is_the_mean_over_seeds_and_common_items(tmp_path):
    rng = np.random.default_rng(0)
    values = {}
    for s in range(3):
        base = {f"q{i}": float(rng.random() < 0.3) for i in range(50)}
        final = {k: max(v, float(rng.random() < 0.5)) for k, v in base.items()}
        values[s] = {"accuracy_greedy": {"base": base, "final": final}}
    values[1]["accuracy_greedy"]["final"]["only here"] = 1.0
    summary = summarise("fake", "abc", values)
    m = summary["measures"]["accuracy_greedy"]
    changes = [e["final"][k] - e["base"][k] for v in values.values() for e in v.values() for k in e["base"]]
    assert m["items"] == 50
    assert m["change"]["mean"] == pytest.approx(np.mean(changes))
    assert 0 < m["change"]["low"] < m["change"]["mean"] < m["change"]["high"] < 1
    assert m["final"]["mean"] - m["base"]["mean"] == pytest.approx(m["change"]["mean"])
    assert write_summary(tmp_path, summary).read_bytes() == write_summary(tmp_path, summary).read_bytes()
    assert summarise("fake", "abc", {0: {}, 1: {}})["measures"] == {}


def sharpen(tmp_path: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    path = fake_recipe.startup(tmp_path / "startup")
    env = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-m", "sharpen", *argv], cwd=tmp_path, env=env, capture_output=True, text=True
    )


def test_a_failing_seed_is_reported_and_the_rest_can_be_resumed(tmp_path):
    done = sharpen(tmp_path, "run", "fake", "--seeds", "2", "--tiny", "fail_seed=1", "--out", "many")
    assert done.returncode == 1
    assert "seed 1 failed (exit code 1); its last lines:" in done.stderr
    assert "ValueError: the fake was told to fail" in done.stderr
    assert done.stderr.endswith("1 of 2 seeds did not finish; continue with: sharpen resume many\n")
    assert "seed 0 | finished" in done.stdout
    assert not (tmp_path / "many/summary.json").exists()

    done = sharpen(tmp_path, "resume", "many", "fail_seed=none", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seeds"] == [0, 1]
    assert told == {"run": "many", **json.loads((tmp_path / "many/summary.json").read_text())}
    assert set(told["measures"]) == {"accuracy_greedy", "accuracy_t1"}
