"""Replies from outside: on the disk before they are used, whole or absent, whatever happens."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from sharpen.errors import SharpenError
from sharpen.runs import faults
from sharpen.runs.store import compare_exact
from sharpen.runs.tape import TAPE, Tape

REPLY = {"tokens": [1, 2], "logprobs": [-0.1234567890123, None], "finish": "stop", "text": "é\n"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / TAPE


def test_what_was_put_is_there_in_another_process(path):
    tape = Tape(path)
    assert tape.get("a") is None
    assert not path.exists()  # a run that asks nobody has no tape
    tape.put("a", REPLY)
    tape.put("b", {"n": 1})
    for seen in (tape, Tape(path)):
        assert seen.get("a") == REPLY
        assert seen.get("b") == {"n": 1}
        assert seen.get("c") is None
        assert list(seen.replies()) == [REPLY, {"n": 1}]
        assert len(seen) == 2
    tape.close()
    tape.close()
    tape.put("c", {})  # opened again
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


def test_a_key_is_answered_once_and_with_json(path):
    tape = Tape(path)
    tape.put("a", REPLY)
    for again in (tape, Tape(path)):
        with pytest.raises(SharpenError, match="already"):
            again.put("a", {})
    for bad in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises(SharpenError, match="not JSON"):
            tape.put("b", bad)
    assert tape.get("a") == REPLY
    assert len(Tape(path)) == 1


def test_a_torn_last_line_is_cut_off(path):
    tape = Tape(path)
    tape.put("a", REPLY)
    whole = path.read_bytes()
    tape.put("b", REPLY)
    tape.close()
    both = path.read_bytes()
    for cut in range(len(whole) + 1, len(both)):
        path.write_bytes(both[:cut])
        torn = Tape(path)
        assert torn.get("a") == REPLY
        assert torn.get("b") is None
    torn.put("b", {"asked": "again"})
    torn.close()
    assert path.read_bytes().startswith(whole)
    assert Tape(path).get("b") == {"asked": "again"}


def test_a_damaged_line_counts_as_never_received(path):
    tape = Tape(path)
    for key in "abc":
        tape.put(key, REPLY)
    tape.close()
    lines = path.read_bytes().splitlines(keepends=True)
    for bad in (lines[1].replace(b"[1,2]", b"[1,3]"), b"\0" * 40 + b"\n", b"{}\n", b"[]\n"):
        path.write_bytes(lines[0] + bad + lines[2])
        tape = Tape(path)
        assert [tape.get(key) for key in "abc"] == [REPLY, None, REPLY]
    tape.put("b", {"asked": "again"})
    tape.close()
    assert [Tape(path).get(key) for key in "abc"] == [REPLY, {"asked": "again"}, REPLY]


def test_many_threads_write_whole_lines(path):
    tape = Tape(path)

    def put(i):
        tape.put(f"k{i}", {"i": i, "long": "x" * (i % 7) * 100})
        return tape.get(f"k{i}")["i"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(put, range(200))) == list(range(200))
    again = Tape(path)
    assert len(again) == len(tape) == 200
    assert all(again.get(f"k{i}")["i"] == i for i in range(200))


@pytest.mark.parametrize("point", faults.TAPE_POINTS)
def test_killed_anywhere_it_holds_what_was_acknowledged(path, point):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        faults.arm(f"{point}:2")
        tape = Tape(path)
        for key in "abc":
            tape.put(key, REPLY)
            os.write(writer, key.encode())
        os._exit(0)
    os.close(writer)
    told = os.read(reader, 10).decode()
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert told == "a"
    tape = Tape(path)
    # "b" may be there: written, and killed before that was known
    assert tape.get("a") == REPLY
    assert tape.get("b") in (None, REPLY)
    assert tape.get("c") is None
    for key in "bc":
        if tape.get(key) is None:
            tape.put(key, REPLY)
    assert [Tape(path).get(key) for key in "abc"] == [REPLY] * 3


def test_a_full_disk_stores_nothing_and_says_so(path):
    tape = Tape(path)
    tape.put("a", REPLY)
    before = path.read_bytes()
    faults.arm("enospc")
    try:
        for _ in range(2):
            with pytest.raises(SharpenError, match="No space left"):
                tape.put("b", REPLY)
    finally:
        faults.arm(None)
    assert tape.get("b") is None
    assert path.read_bytes() == before
    tape.put("b", REPLY)
    assert Tape(path).get("b") == REPLY


def test_runs_are_compared_without_it(whole, run_tiny, tmp_path):
    run = tmp_path / "run"
    assert run_tiny(run) == (0, "")
    Tape(run / TAPE).put("a", REPLY)
    assert compare_exact(whole, run) == []
    assert run_tiny(run) == (0, "")  # and a run that is taken up leaves it alone
    assert Tape(run / TAPE).get("a") == REPLY
