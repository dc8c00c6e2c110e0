"""TextArena's games by name, without the library; with it: tests/outside/test_games.py."""

import sys

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.games.registry import make


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "textarena", None)
    with pytest.raises(SharpenError, match=r"needs textarena: pip install 'sharpen\[games\]'"):
        make("textarena:KuhnPoker-v0")


def test_an_environment_must_be_named():
    with pytest.raises(SharpenError, match="names no environment; write textarena:ENVIRONMENT"):
        make("textarena")
