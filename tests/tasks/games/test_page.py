"""The page on games says what comes out."""

import doctest
import re
from pathlib import Path

from sharpen.tasks.games.registry import names

PAGE = Path(__file__).parents[3] / "docs/games.md"


def test_the_examples_are_true():
    blocks = re.findall(r"^```pycon\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "games.md", str(PAGE), 0)
    assert len(examples.examples) > 20
    told: list[str] = []
    found = doctest.DocTestRunner().run(examples, out=told.append)
    assert found.failed == 0, "".join(told)


def test_every_game_is_told_of():
    text = PAGE.read_text()
    assert [name for name, _, _ in names() if f"`{name}" not in text] == []
