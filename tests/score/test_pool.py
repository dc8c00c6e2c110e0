"""The killable pool: what an answer does costs that answer alone, whatever runs beside it."""

import contextlib
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import psutil
import pytest

from sharpen.errors import SharpenError
from sharpen.score.pool import Outcome, Pool

HERE = str(Path(__file__).parent)
FAST = {"workers": 2, "cpu_seconds": 0.2, "memory_mib": 256, "wall_seconds": 2.0, "paths": (HERE,)}


def pool(**changed):
    return Pool("planted:check", **{**FAST, **changed})


def texts(*which: str) -> list[dict]:
    return [{"text": t} for t in which]


BAD = {
    "hang": "timeout",
    "hang in C": "timeout",
    "raise": "raised",
    "memory": "memory",
    "exit": "raised",
    "exit now": "crash",
    "killed": "crash",
    "flood": "answered",
    "long": "raised",
}


def test_each_ending_has_its_name_and_the_others_are_unharmed():
    filler = [f"wrong {i}" for i in range(40)]
    asked = []
    for i, bad in enumerate(BAD):
        asked += [*filler[4 * i : 4 * i + 4], "right", bad]
    with pool() as p:
        found = p.map(texts(*asked))
        for text, outcome in zip(asked, found, strict=True):
            if text in BAD:
                assert outcome.how == BAD[text], (text, outcome)
            else:
                assert (outcome.how, outcome.value) == ("answered", {"score": float(text == "right")})
        assert p.replaced >= 4
        assert len(p._workers) == 2
        assert all(w.process.poll() is None for w in p._workers)
        # and it goes on
        assert [o.value for o in p.map(texts("right", "no"))] == [{"score": 1.0}, {"score": 0.0}]


def test_what_waits_without_computing_is_stopped_too():
    with pool(wall_seconds=0.3) as p:
        found = p.map(texts("sleep", "right"))
    assert found[0].how == "timeout"
    assert found[1].value == {"score": 1.0}


def test_near_the_deadline_the_larger_limit_decides():
    # 0.15 s is more than half of the limit, 0.4 s more than the limit: both are run again with 0.8 s
    with pool() as p:
        near, over, far = p.map(texts("spin 0.15", "spin 0.4", "spin 2"))
    assert (near.how, over.how, far.how) == ("answered", "answered", "timeout")
    assert "0.8 s" in far.value


@pytest.mark.parametrize("workers", [1, 3])
def test_outcomes_do_not_depend_on_order_or_workers(workers):
    asked = ["hang", "right", "exit now", *(f"n{i}" for i in range(100)), "raise", "right"]

    def told(order: list[str]) -> dict[str, tuple]:
        with pool(workers=workers) as p:
            return {t: (o.how, str(o.value)) for t, o in zip(order, p.map(texts(*order)), strict=True)}

    assert told(asked) == told(asked[::-1])


def test_the_deciding_run_is_in_a_fresh_process():
    with Pool("planted:calls", **FAST) as p:  # all are near the deadline
        assert [o.value for o in p.map(texts("a", "b", "c"))] == [1, 1, 1]


def test_nothing_is_left_behind():
    with pool() as p:
        p.map(texts("right"))
        ids = [w.process.pid for w in p._workers]
    assert not any(psutil.pid_exists(i) for i in ids)


def test_workers_die_with_a_parent_that_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", "import sys; from sharpen.score.pool import Pool\n"
         f"p = Pool('planted:check', workers=1, wall_seconds=600, paths=({HERE!r},))\n"
         "p._workers.append(p._start()); print(p._workers[0].process.pid, flush=True)\n"
         "p.map([{'text': 'sleep'}])"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(worker).wait(timeout=20)
    assert not psutil.pid_exists(worker)


def test_the_environment_does_not_reach_the_workers(monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    with Pool("os:getenv", **{**FAST, "paths": ()}) as p:
        assert p.map([{"key": "API_KEY"}])[0] == Outcome("answered", None, pytest.approx(0, abs=1))


def test_progress_is_told_and_an_empty_list_starts_nothing():
    told: dict[int, Outcome] = {}
    with pool() as p:
        assert p.map([]) == []
        assert p._workers == []
        found = p.map(texts("a", "spin 0.15", "right"), on_outcome=told.__setitem__)
    assert told == dict(enumerate(found))
    assert list(told)[-1] == 1  # it is decided last, alone


@pytest.mark.parametrize("target", ["nowhere:check", "planted:absent"])
def test_a_target_that_cannot_be_imported_is_said_at_once(target):
    with (
        Pool(target, **FAST) as p,
        pytest.raises(SharpenError, match=f"{target} cannot be run: .*(nowhere|absent)"),
    ):
        p.map(texts("a"))


def test_an_interrupted_pass_leaves_no_results_for_the_next():
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pool() as p:
        with pytest.raises(KeyboardInterrupt):
            p.map(texts("a", "b", "c"), on_outcome=stop)
        assert [o.value["score"] for o in p.map(texts("right", "no"))] == [1.0, 0.0]


def test_large_jobs_and_results_do_not_wait_for_each_other():
    sizes = [200_000, 10, *[40_000] * 20, *[10] * 200, 70_000, 70_000]
    asked = [str(i % 10) * n for i, n in enumerate(sizes)]
    with Pool("planted:echo", **FAST) as p:
        p.map(texts(*["a"] * 500))  # quick ones: much is sent ahead
        assert [o.value for o in p.map(texts(*asked))] == asked


@pytest.mark.parametrize(
    ("pace", "size", "most", "sent"),
    [(10.0, 10, 99, 2), (0.01, 10, 99, 10), (0.01, 10, 4, 4), (1e-9, 1000, 99, 32), (1e-9, 100_000, 99, 1)],
)
def test_how_much_is_sent_ahead_follows_the_workers_pace(pace, size, most, sent):
    with pool(workers=1) as p:
        p.map(texts("a"))
        [worker] = p._workers
        worker._pace = pace
        waiting = deque(range(200))
        worker.give(waiting, [b"x" * (size - 1) + b"\n"] * 200, most)
        assert len(worker.sent) == sent
        assert list(waiting) == list(range(sent, 200))


def test_the_interpreter_is_this_one():
    with Pool("os:getcwd", **FAST) as p:
        assert p.map([{}])[0].value == os.getcwd()
    assert sys.executable
