"""Metrics sent on: every row once, also by a continued run; a sink that fails changes nothing."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact
from sharpen.studio import sinks
from sharpen.studio.sinks import open_sinks
from sharpen.studio.sinks.forward import forwarded, numbers
from sharpen.verbs.progress import Silent

ROOT = Path(__file__).parent.parent.parent


class Recording(Silent):
    """A sink and a watcher: keeps what it gets; fails at ``fails``, the number of a row."""

    def __init__(self, fails=None):
        self.fails, self.begun, self.rows, self.closed, self.warned = fails, [], [], 0, []

    def begin(self, about, *_):
        self.begun.append(about)

    def send(self, step, values):
        if step == self.fails:
            raise OSError("no route")
        self.rows.append((step, values))

    def close(self):
        self.closed += 1

    def warn(self, text):
        self.warned.append(text)


def work(folder, rounds, watcher=None, sinks=None, dies_at=None):
    """A run of ``rounds`` steps with a row each, watched; it dies behind the row ``dies_at``."""
    opened = (
        Journal.open(folder, environment={})
        if folder.exists()
        else Journal.create(folder, {"seed": 3, "recipe": "r"}, "rounds = 2\n[a]\nb = 1\n")
    )
    with forwarded(watcher or Silent(), folder, sinks or {}) as progress, opened as journal:
        for r in range(rounds):
            step = journal.begin("log", {"r": r}, name=f"r{r}")
            if step.result is None:
                progress.begin(step.key, "log")
                row = {
                    "name": "held_out",
                    "round": r,
                    "accuracy_greedy": r / 4,
                    "bad": float("inf"),
                    "ok": True,
                }
                step.finish({}, metrics=[{k: v for k, v in row.items() if k != "bad"}])
                if r == dies_at:
                    raise KeyboardInterrupt
                progress.end()
                progress.metrics(row)
    return folder


def test_every_row_is_sent_once_with_its_place(tmp_path):
    sink = Recording()
    work(tmp_path / "a", 3, sinks={"mine": sink})
    assert sink.rows[1] == (1, {"held_out/round": 1, "held_out/accuracy_greedy": 0.25})
    assert [step for step, _ in sink.rows] == [0, 1, 2]
    assert sink.closed == 1
    [about] = sink.begun
    assert about.config == {"rounds": 2, "a.b": 1, "recipe": "r", "seed": 3}
    assert about.name == f"a-{about.id[:6]}"


def test_a_continued_run_goes_on_behind_what_was_sent(tmp_path):
    first, second, third = Recording(), Recording(), Recording()
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "a", 4, sinks={"mine": first}, dies_at=1)
    work(tmp_path / "a", 4, sinks={"mine": second})
    work(tmp_path / "a", 4, sinks={"mine": third})
    assert [step for step, _ in first.rows + second.rows + third.rows] == [0, 1, 2, 3]
    assert first.begun[0].id == second.begun[0].id
    assert second.begun[0].sent == len(first.rows)


def test_a_sink_that_comes_later_gets_all_rows(tmp_path):
    work(tmp_path / "a", 2)
    sink = Recording()
    work(tmp_path / "a", 3, sinks={"late": sink})
    assert [step for step, _ in sink.rows] == [0, 1, 2]


def test_a_sink_that_fails_warns_once_and_the_run_is_the_same(tmp_path):
    bad, good, watcher = Recording(fails=1), Recording(), Recording()
    watcher.begin = lambda *_: None
    work(tmp_path / "a", 4, watcher=watcher, sinks={"bad": bad, "good": good})
    assert watcher.warned == ["sink bad failed and is left out (OSError: no route); the run goes on"]
    assert [step for step, _ in bad.rows] == [0]
    assert [step for step, _ in good.rows] == [0, 1, 2, 3]
    assert compare_exact(tmp_path / "a", work(tmp_path / "b", 4)) == []
    again = Recording()
    work(tmp_path / "a", 4, sinks={"bad": again})
    assert [step for step, _ in again.rows] == [1, 2, 3]


def test_one_that_cannot_even_begin_is_left_out(tmp_path):
    watcher = Recording()
    watcher.begin = lambda *_: None

    class Broken(Recording):
        def begin(self, about, *_):
            raise RuntimeError("asks for a login")

    work(tmp_path / "a", 2, watcher=watcher, sinks={"broken": Broken()})
    assert watcher.warned == [
        "sink broken failed and is left out (RuntimeError: asks for a login); the run goes on"
    ]


def test_only_finite_numbers_are_sent():
    row = {"name": "x", "n": 2, "loss": float("nan"), "losses": [1.0], "done": True, "why": "text"}
    assert numbers(row) == {"x/n": 2}


def test_unknown_and_absent_sinks_are_one_line(monkeypatch, tmp_path, capsys):
    with pytest.raises(SharpenError, match="unknown sink 'tensorbord': did you mean 'tensorboard'"):
        open_sinks(["tensorbord"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "online_rft", "--tiny", "--sink", "wandb"]) == 2
    assert capsys.readouterr().err == "sharpen: --sink wandb needs wandb: pip install 'sharpen[wandb]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sinks.SINKS)
def test_each_is_short(name):
    text = Path(sinks.__file__).with_name(f"{name}.py").read_text()
    assert len(text.splitlines()) < 60


REAL = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from sharpen.studio.sinks import open_sinks
from tests.studio.test_sinks import Recording, work
watcher = Recording()
watcher.begin = lambda *_: None
for rounds in (2, 3):
    work(Path("runs/a"), rounds, watcher=watcher, sinks=open_sinks([{name!r}]))
print(watcher.warned)
"""


@pytest.mark.parametrize("name", sinks.SINKS)
def test_the_library_itself_takes_rows_without_a_network(name, tmp_path):
    if find_spec(name) is None:
        pytest.skip(f"the extra {name} is not installed")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "TRACKIO_"))}
    env |= {"TRACKIO_DIR": str(tmp_path / "trackio"), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    code = REAL.format(root=str(ROOT), name=name)
    told = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", code], **told)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n", done.stdout + done.stderr
    read = subprocess.run([sys.executable, "-c", READ[name]], **told)
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout.splitlines()[-1]) == [[0, 0.0], [1, 0.25], [2, 0.5]]


READ = {
    "tensorboard": """
import json
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
[folder] = Path("runs/tensorboard").iterdir()
events = EventAccumulator(str(folder)).Reload()
print(json.dumps([[e.step, e.tensor_proto.float_val[0]] for e in events.Tensors("held_out/accuracy_greedy")]))
""",
    "trackio": """
import json
from trackio.sqlite_storage import SQLiteStorage as S
[run] = S.get_runs("sharpen")
print(json.dumps([[row["step"], row["held_out/accuracy_greedy"]] for row in S.get_logs("sharpen", run)]))
""",
    "wandb": """
import json, struct
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record
found = []
for path in sorted(Path("runs/wandb").glob("offline-run-*/run-*.wandb"), key=lambda p: p.stat().st_mtime):
    data, at = path.read_bytes(), 7
    assert len(data) < 2**15  # one block of its log: header, then whole records
    while at < len(data):
        _, n, kind = struct.unpack("<IHB", data[at : at + 7])
        assert kind == 1
        record = Record()
        record.ParseFromString(data[at + 7 : at + 7 + n])
        at += 7 + n
        if record.WhichOneof("record_type") == "history":
            row = {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
            found.append([row["_step"], row["held_out/accuracy_greedy"]])
print(json.dumps(found))
""",
}
