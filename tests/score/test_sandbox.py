"""Code that a model wrote: it is held, its tests decide, and what it does harms nobody else."""

import os
import time

import psutil
import pytest

from sharpen.errors import SharpenError
from sharpen.score import sandbox
from sharpen.score.code import CodeVerifier
from sharpen.score.sandbox import Containment, call_function, containment, last_block, run_python
from sharpen.score.verdict import Status
from sharpen.tasks.task import Task
from tests.scored import episode

FAST = {"cpu_seconds": 1, "wall_seconds": 5.0}
HELD = containment()
if not HELD.forks:
    pytest.skip(f"nothing is run here: {HELD.why}", allow_module_level=True)


@pytest.mark.parametrize(
    ("source", "how", "code"),
    [
        ("print('hi')", "ended", 0),
        ("import sys; sys.exit(3)", "ended", 3),
        ("1 / 0", "ended", 1),
        ("while True: pass", "cpu", None),
        ("2003 ** (2002 ** 2001)", "cpu", None),
        ("x = bytearray(1 << 34)", "ended", 1),
        ("print('x' * 10 ** 8)", "output", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal", -11),
        ("import os\nwhile True:\n    os.fork()", "ended", 1),
        ("open('big', 'wb').write(bytes(1 << 25))", "ended", 1),
    ],
)
def test_each_ending_has_its_name(source, how, code):
    ran = run_python(source, **FAST)
    assert ran.how == how or (how == "ended" and ran.how == "signal"), ran
    assert code is None or ran.code == code or ran.how == "signal"


def test_what_waits_is_stopped():
    start = time.monotonic()
    assert run_python("import time; time.sleep(60)", cpu_seconds=1, wall_seconds=0.7).how == "wall"
    assert time.monotonic() - start < 30


def test_a_fork_bomb_and_what_it_leaves_are_gone():
    bomb = (
        "import os, time\n"
        "for _ in range(1000):\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            time.sleep(600)\n"
        "    except OSError:\n"
        "        pass\n"
        "print('done')\n"
    )
    before = {p.pid for p in psutil.process_iter()}
    ran = run_python(bomb, cpu_seconds=2, wall_seconds=4.0)
    assert ran.how in ("ended", "wall", "cpu")

    def left() -> list[int]:
        alive = psutil.process_iter(["cmdline"])
        return [p.pid for p in alive if p.pid not in before and "main.py" in (p.info["cmdline"] or [])]

    for _ in range(100):  # killed with their namespace, which the system does a moment later
        if not left():
            break
        time.sleep(0.05)
    assert not left()


def test_the_program_sees_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    ran = run_python("import os; print(sorted(os.environ)); print(sorted(os.listdir('.')))", **FAST)
    assert "API_KEY" not in ran.stdout
    assert "main.py" in ran.stdout
    if HELD.user:
        mine = os.path.abspath(__file__)
        ran = run_python(f"open({mine!r}, 'a')", **FAST)
        assert "PermissionError" in ran.stderr
        assert run_python("import os; print(os.getuid())", **FAST).stdout != f"{os.getuid()}\n"
    if HELD.network:
        ran = run_python("import socket; socket.create_connection(('127.0.0.1', 1), 1)", **FAST)
        assert ran.code == 1


def test_the_folder_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    run_python("open('left', 'w').write('x')", **FAST)
    assert list(tmp_path.iterdir()) == []


def test_untrusted_code_is_refused_where_a_fork_bomb_cannot_be_held(monkeypatch):
    none = Containment(False, False, False, "no limits here")
    monkeypatch.setattr(sandbox, "containment", lambda: none)
    with pytest.raises(SharpenError, match=r"no limits here.*--unsafe-local-exec"):
        run_python("print(1)")
    assert run_python("print(1)", unsafe=True, **FAST).stdout == "1\n"


def test_calls_come_back_behind_a_nonce_and_noise_does_not():
    source = "def f(a, b=1):\n    print('[1]'); print('0' * 32, 5)\n    return [a, b]\n"
    ran, results = call_function(source, "f", [[1], [2, 3]], **FAST)
    assert (ran.how, results) == ("ended", [[1, 1], [2, 3]])
    ran, results = call_function("def f(x):\n    return 1 / x\n", "f", [[1], [0], [2]], **FAST)
    assert results == [1.0]
    assert "ZeroDivisionError" in ran.stderr


def test_the_last_complete_block_counts():
    assert last_block("no code") is None
    assert last_block("```python\na\n```\nthen\n```py\nb\n```") == "b\n"
    assert last_block("```python\na\n```\nthen\n```python\nb") == "a\n"
    assert last_block("```\na\n```") == "a\n"
    assert last_block("```sql\na\n```") is None
    assert last_block("```python\na") is None


def judged(tests, text: str, **changed):
    task = Task("t", "q", "", {"tests": tests})
    return CodeVerifier(cpu_seconds=1, wall_seconds=5.0, **changed)(task=task, episode=episode(text, of="t"))


ADD = [
    {"function": "add", "arguments": [1, 2], "returns": 3},
    {"function": "add", "arguments": [0, 0], "returns": 0},
]
ECHO = [{"stdin": "a\nb\n", "stdout": "b\na\n"}]


@pytest.mark.parametrize(
    ("tests", "code", "passed", "detail"),
    [
        (ADD, "def add(a, b): return a + b", 1.0, ""),
        (ADD, "def add(a, b): return 3", 0.5, "test 2: returned '3'"),
        (ADD, "def sub(a, b): return 3", 0.0, "test 1: ended with code 1: AttributeError"),
        (ADD, "import os; os._exit(0)", 0.0, "test 1: ended with code 0"),
        (ADD, "def add(a, b): raise SystemExit(0)", 0.0, "test 1: ended with code 0"),
        (ECHO, "a, b = input(), input()\nprint(b + '  ')\nprint(a)\n\n", 1.0, ""),
        (ECHO, "print('a')", 0.0, "test 1: printed 'a"),
        (ECHO, "print('b\\na')\n1 / 0", 0.0, "test 1: ended with code 1: ZeroDivisionError"),
        ([*ADD, *ECHO], "def add(a, b): return a + b", 2 / 3, "test 3: printed ''"),
    ],
)
def test_tests_decide(tests, code, passed, detail):
    verdict = judged(tests, f"So:\n```python\n{code}\n```")
    assert verdict.status is Status.OK
    assert verdict.parts["passed"] == passed
    assert verdict.score == float(passed == 1.0)
    assert verdict.detail.startswith(detail)


def test_too_slow_is_wrong_and_slow_is_decided_by_the_larger_limit():
    slow = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\nprint('b\\na')"
    assert judged(ECHO, f"```\n{slow.format(1.6)}\n```").score == 1.0
    verdict = judged(ECHO, "```\nwhile True: pass\n```")
    assert (verdict.score, verdict.status, verdict.detail) == (
        0.0,
        Status.OK,
        "test 1: used too much CPU time",
    )


def test_no_code_and_no_tests_have_their_status():
    assert judged(ADD, "def add").status is Status.UNPARSABLE
    for tests in (None, [], [{"stdin": "a"}], ["x"], [{"function": "f", "returns": 1}]):
        assert judged(tests, "```\n1\n```").status is Status.BAD_GOLD
