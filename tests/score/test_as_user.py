"""Everything that misbehaves, as an ordinary user: what holds it for root may not hold it for others."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

UID = 64_123
"""No user of an ordinary system, and none of those that the sandbox takes."""

if os.name != "posix" or os.getuid() != 0:
    pytest.skip(
        "not root: the other tests of the pool and the sandbox run as a user", allow_module_level=True
    )
if not shutil.which("mount"):
    pytest.skip("no mount: the interpreter cannot be shown to another user", allow_module_level=True)


def processes() -> list[psutil.Process]:
    """Those of the user, zombies aside."""
    found = psutil.process_iter(["uids", "status"])
    return [p for p in found if p.info["uids"].real == UID and p.info["status"] != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the user saw."""
    assert not processes()
    argv = [
        sys.executable,
        str(Path(__file__).with_name("as_user.py")),
        str(UID),
        str(tmp_path_factory.mktemp("mounts")),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "no mount namespace" in done.stderr:
        pytest.skip("no mount namespace: the interpreter cannot be shown to another user")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uid"] == UID
    return found


def test_the_pool_gives_each_ending_its_name_and_is_whole_again(told):
    assert told["pool"]["endings"] == {
        "hang": "timeout",
        "raise": "raised",
        "memory": "memory",
        "exit": "raised",
        "exit now": "crash",
        "killed": "crash",
        "flood": "answered",
        "long": "raised",
    }
    assert told["pool"]["good"]
    assert told["pool"]["again"] == [1.0, 0.0]
    assert told["pool"]["alive"] == [True, True]
    assert told["pool"]["replaced"] >= 3


SAID = {
    "hang": "used too much CPU time",
    "exception": "ended with code 1: ZeroDivisionError",
    "memory": "ended with code 1: MemoryError",
    "fork bomb": "",  # whichever limit it meets first
    "patient fork bomb": "",
    "flood": "wrote too much",
    "exit": "printed ''",
    "killed": "ended with signal 11",
}


def test_what_a_program_does_is_a_wrong_answer_and_costs_no_other_anything(told):
    code = told["code"]
    if "refused" in code:
        pytest.skip(f"nothing is run here as a user: {code['refused']}")
    assert code.pop("right") == [1.0, "ok", ""]  # the last to be judged
    assert set(code) == set(SAID)
    for name, (score, status, detail) in code.items():
        assert (score, status) == (0.0, "ok")
        assert detail.startswith(f"test 1: {SAID[name]}"), (name, detail)


def test_nothing_is_left_running(told):
    for _ in range(100):  # killed with their namespace, which the system does a moment later
        if not processes():
            break
        time.sleep(0.05)
    assert not processes()
