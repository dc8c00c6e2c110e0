"""``sharpen new``: what it writes runs, its own test passes, and nothing is overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sharpen.cli import main
from sharpen.cli.new import KINDS, TEMPLATES
from tests.pages import blocks


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeletons_own_test_passes(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", kind, "my_thing", "--out", "mine"]) == 0
    assert capsys.readouterr().out.startswith("wrote  mine/my_thing.py\nwrote  mine/test_my_thing.py\n")
    texts = {path.name: path.read_text() for path in Path("mine").iterdir()}
    assert sorted(texts) == ["my_thing.md", "my_thing.py", "test_my_thing.py"]
    assert [name for name, text in texts.items() if "$" in text or "NAME" in text] == []
    # a project of its own: nothing of this one's test settings
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=mine", "mine"],
        capture_output=True, text=True, check=False, env={**_environment(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_is_clean_and_its_page_names_what_it_wrote(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", kind, "my_thing"]) == 0
    rules = ["--isolated", "--line-length", "110"]
    for verb in (["check", "--select", "E,F,W,I,UP,B,C4,SIM,PT"], ["format", "--check"]):
        argv = [str(Path(sys.executable).with_name("ruff")), *verb, *rules, "."]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    commands = [line for block in blocks(Path("my_thing.md").read_text()) for line in block.body.splitlines()]
    for command in commands:
        _, verb, *rest = command.split()
        if verb == "run":
            assert main([verb, *rest, "--dry-run"]) == 0
    assert any("my_thing.py" in command for command in commands)


def test_nothing_is_overwritten_not_even_in_part(tmp_path, capsys):
    (tmp_path / "my_thing.md").write_text("mine")
    assert main(["new", "task", "my_thing", "--out", str(tmp_path)]) == 2
    assert "my_thing.md exists already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["my_thing.md"]
    assert (tmp_path / "my_thing.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["recip", "x"], "unknown kind 'recip': did you mean 'recipe'?"),
        (["recipe", "MyMethod"], "small letters, digits and _ make one, such as 'my_method'"),
        (["recipe", "../evil"], "'../evil' is no name: small letters, digits and _ make one, such as 'evil'"),
        (["recipe", "2x"], "such as 'x'"),
        (["recipe", "class"], "'class' is a word of Python: choose another name, such as 'my_class'"),
        (["recipe", "random"], "'random' is a module already: choose another name, such as 'my_random'"),
        (["recipe"], "the following arguments are required: NAME"),
    ],
)
def test_bad_names_are_one_line(argv, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", *argv]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def _environment():
    paths = [str(TEMPLATES.parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
