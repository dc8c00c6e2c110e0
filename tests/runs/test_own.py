"""Code of the user's own: what is run, what is not, and what is said of what is wrong."""

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.recipes import recipe
from sharpen.runs import own
from sharpen.score.custom import imported
from sharpen.tasks.registry import make


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own.forget()
    yield
    own.forget()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


MARKS = "open('ran', 'a').write('x')\ndef reward(completion):\n    return 1.0\n"


def test_a_file_runs_once_and_only_when_it_was_named(tmp_path):
    write(tmp_path / "mine.py", MARKS)
    with pytest.raises(SharpenError, match=r"as with `--code mine.py`"):
        imported("mine.py:reward")
    assert not (tmp_path / "ran").exists()
    own.allow("mine.py")
    assert imported("mine.py:reward").name == "reward"
    imported("mine.py:reward")
    assert (tmp_path / "ran").read_text() == "x"


def test_settings_choose_among_named_files_by_name_alone(tmp_path):
    write(tmp_path / "a/mine.py", MARKS)
    write(tmp_path / "b/mine.py", "open('bad', 'w')\n")
    own.allow("a/mine.py")
    assert imported("b/mine.py:reward").name == "reward"
    assert not (tmp_path / "bad").exists()
    with pytest.raises(SharpenError, match="two files of your own are called"):
        own.allow("b/mine.py")


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("mine.py", True),
        ("mine.py:reward", True),
        ("tasks=mine.py:Words:level=1", True),
        ("tasks=mix:order|mine.py:Words", True),
        ("verifier=stated:mine.py:reward", True),
        ('strategies=["mine.py:x"]', True),
        ("mine.pyc", False),
        ("inspect:mine.py@task", False),
        ("other.py", False),
    ],
)
def test_what_a_command_line_names(tmp_path, word, allowed):
    write(tmp_path / "mine.py", MARKS)
    own.allow_typed(["online_rft", word])
    assert bool(own.files()) is allowed
    assert not (tmp_path / "ran").exists()


def test_what_is_wrong_with_a_file_is_one_line(tmp_path):
    def told(text, kind="recipe"):
        own.forget()
        write(tmp_path / "bad.py", text)
        own.allow("bad.py")
        with pytest.raises(SharpenError) as e:
            recipe("bad.py:go").load() if kind == "recipe" else make("bad.py:Words:level=1,kind=2")
        return str(e.value)

    assert told("x = 1\n1 / 0\n") == "bad.py cannot be run: ZeroDivisionError: division by zero, line 2"
    assert "SyntaxError" in told("def go(:\n")
    assert told("def goo(): ...") == "unknown recipe in bad.py 'go': did you mean 'goo'?"
    assert "needs a class Settings" in told("def go(run, config): ...")
    assert "must be a function" in told("go = 3")
    text = "class Words:\n    def __init__(self, level=1): ...\n"
    assert told(text, "tasks") == "unknown parameter of bad.py:Words 'kind': known: level"


def test_neighbours_can_be_imported_and_the_text_is_the_digest(tmp_path):
    write(tmp_path / "a/near_by.py", "N = 4\n")
    write(tmp_path / "a/mine.py", "from near_by import N\nclass Words:\n    n = N\n")
    own.allow("a/mine.py")
    assert make("mine.py:Words").n == 4
    before = own.digests()
    write(tmp_path / "a/mine.py", "from near_by import N\n")
    assert list(before) == ["mine.py"]
    assert own.digests() != before


def test_the_command_names_what_it_misses(tmp_path, capsys):
    assert main(["run", "there/is/none.py:go"]) == 2
    err = capsys.readouterr().err
    assert err == "sharpen: there/is/none.py:go: no file 'there/is/none.py'\n"
    assert main(["run", "online_rft", "tasks=none.py:Words", "--dry-run"]) == 2
    assert capsys.readouterr().err == "sharpen: tasks=none.py:Words: no file 'none.py'\n"
    assert main(["run", "none.py"]) == 2
    assert "there is no file 'none.py'" in capsys.readouterr().err
