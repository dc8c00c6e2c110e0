"""The environments that docs/tasks.md shows, written down and checked as it says. `make test-outside`."""

import importlib.util
from pathlib import Path

import pytest

from sharpen.cli import main
from tests.pages import blocks

BLOCKS = blocks((Path(__file__).parents[2] / "docs/tasks.md").read_text())


@pytest.mark.parametrize(("library", "file"), [("verifiers", "letters.py"), ("inspect_ai", "sums.py")])
def test_a_pages_file_is_judged_as_the_page_says(library, file, tmp_path, monkeypatch, capsys):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}: make test-outside")
    [code] = [b.body for b in BLOCKS if b.kind == "python" and b.body.startswith(f"# {file}\n")]
    (tmp_path / file).write_text(code)
    monkeypatch.chdir(tmp_path)
    [shown] = [b.body for b in BLOCKS if b.kind == "console" and file.removesuffix(".py") in b.body]
    [line] = [line for line in shown.splitlines() if "check-task" in line]
    main(line.partition("sharpen ")[2].split())
    out = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words for words in out if words[:1] and ":" in words[0]] == [
        line.split() for line in shown.splitlines() if ":" in line and not line.startswith("$")
    ]
