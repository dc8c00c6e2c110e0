"""The page on adding one's own: its files are short, and its commands run, each to the end."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sharpen.cli import main, threads
from sharpen.errors import SharpenError
from sharpen.recipes import online_rft, recipe
from sharpen.recipes.execute import execute
from sharpen.runs import own
from sharpen.runs.config import load
from sharpen.runs.manifest import read_manifest
from tests.pages import blocks

BLOCKS = blocks((Path(__file__).parent.parent / "docs/extending.md").read_text())
FILES = {block.title: block.body for block in BLOCKS if block.title}
COMMANDS = [
    line.split("  #")[0].strip() for block in BLOCKS if not block.kind for line in block.body.splitlines()
]
SMALLEST = [
    "rounds=1", "pool=16", "queries=8", "samples=4", "steps=2", "batch_rows=4", "held_out=4",
    "held_out_sampled=2",
]  # fmt: skip


@pytest.fixture
def _written(tmp_path, monkeypatch):
    """The page's files in an empty folder, where no code is allowed yet."""
    monkeypatch.chdir(tmp_path)
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "1")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    own.forget()
    yield
    own.forget()


def ran(argv, capsys):
    assert main(argv) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def small(line):
    """The command with the smallest settings; what the page itself says wins."""
    _, verb, *rest = shlex.split(line)
    if verb == "run":
        keys = [word.partition("=")[0] for word in rest]
        rest += ["--tiny", "--plain", *(s for s in SMALLEST if s.partition("=")[0] not in keys)]
    return [verb, *rest]


def test_every_file_is_short_and_there_is_one_of_each_kind():
    assert set(FILES) == {"largest.py", "brief.py", "hopeful.py", "shortest.py", "run_it.py"}
    assert {name: n for name, text in FILES.items() if (n := len(text.splitlines())) >= 40} == {}
    assert all(line.startswith("sharpen ") for line in COMMANDS)


@pytest.mark.usefixtures("_written")
@pytest.mark.parametrize("line", [c for c in COMMANDS if "--seeds" not in c and "runs/short" not in c])
def test_a_command_of_the_page_runs_to_the_end(line, capsys):
    out = ran(small(line), capsys)
    verb = line.split()[1]
    assert {"run": "held out", "check-task": "fine", "explain": "longest = 40", "new": "wrote"}[verb] in out


@pytest.mark.usefixtures("_written")
def test_a_run_of_ones_own_is_continued_where_its_file_is_named_and_the_same(tmp_path, capsys):
    begin, go_on = (c for c in COMMANDS if "runs/short" in c)
    ran(small(begin), capsys)
    header = read_manifest(Path("runs/short")).header
    assert header["recipe"] == "shortest.py:shortest"
    assert list(header["own_code"]) == ["shortest.py"]
    assert str(tmp_path) not in json.dumps(header)

    own.forget()
    assert main(["resume", "runs/short"]) == 2
    assert "--code" in capsys.readouterr().err
    assert "round 3" in ran([*small(go_on), "--plain"], capsys)

    own.forget()
    (tmp_path / "shortest.py").write_text(FILES["shortest.py"] + "# another text\n")
    assert main([*small(go_on), "--plain"]) == 2
    assert "own_code.shortest.py was" in capsys.readouterr().err


@pytest.mark.usefixtures("_written")
def test_tasks_of_ones_own_are_asked_for_again(tmp_path, capsys):
    settings = ["tasks=largest.py:Largest:level=1", *SMALLEST]
    ran(["run", "online_rft", "--out", "runs/a", "--tiny", "--plain", *settings], capsys)
    own.forget()
    assert main(["resume", "runs/a", "--plain"]) == 2
    assert "add `--code PATH/largest.py`" in capsys.readouterr().err
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "largest.py").rename(moved / "largest.py")
    ran(["resume", "runs/a", "--plain", "--code", str(moved / "largest.py")], capsys)
    own.forget()
    with pytest.raises(SharpenError, match="runs only where you name it"):
        execute("online_rft", load(online_rft.Settings, None, settings), "runs/a", resume=True)


@pytest.mark.usefixtures("_written")
def test_seeds_get_the_file_too(tmp_path):
    [line] = [c for c in COMMANDS if "--seeds" in c]
    argv = [*small(line.replace("--seeds 3", "--seeds 2")), "--out", "runs/s"]
    argv = [sys.executable, "-m", "sharpen", *argv]
    done = subprocess.run(argv, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "runs/s/seeds.json").read_text())["recipe"] == "shortest.py:shortest"


@pytest.mark.usefixtures("_written")
def test_the_python_of_the_page_runs(capsys):
    code = FILES["run_it.py"].replace("Settings.tiny()", "SMALL")
    exec(compile(code, "run_it.py", "exec"), {"SMALL": _smallest()})
    assert "'samples': 32" in capsys.readouterr().out


def _smallest():
    own.allow("shortest.py")
    return load(recipe("shortest.py").load()[1], None, SMALLEST, tiny=True)
