"""Stored games for eyes."""

import json

import pytest

from sharpen.cli import main
from sharpen.studio.matches import first_plays, play_parts
from tests.tiny import finished


@pytest.fixture(scope="module")
def folder():
    return finished("spiral")


def test_a_game_is_told_move_by_move(folder):
    plays = first_plays(folder, "round-0001/play:0", 3)
    assert len(plays) == 3
    for play in plays:
        text = "\n".join(str(part) for part in play_parts(play))
        assert len(play["turns"]) == len(play["moves"])
        for seat, shown, _ in play["turns"]:
            assert shown.startswith(f"Kuhn {seat} ")
            assert f"  {seat} {play['sitting'][seat]} sees  {shown.strip()}" in text
        assert play["task_id"] in text


def test_a_step_that_is_no_play_has_no_games(folder):
    assert first_plays(folder, "round-0001/learn:0", 3) == []
    assert len(first_plays(folder, "warmup/play:0", 99)) == 20


def test_what_a_model_said_is_shown_as_text():
    turns = [[0, "go", "\x1b[31mred\x1b[0m\nand [bold]markup[/bold]"]]
    play = {"sitting": ["a"], "returns": [-1.5], "endings": ["invalid_move"], "task_id": "t", "detail": "",
            "turns": turns}  # fmt: skip
    told = "\n".join(str(part) for part in play_parts(play))
    assert "\x1b" not in told
    assert "and [bold]markup[/bold]" in told
    assert "-1.5" in told
    assert "seat 0: invalid_move" in told


def test_the_command_shows_them(folder, capsys):
    assert main(["show", str(folder), "round-0001/play:0", "-n", "1"]) == 0
    told = capsys.readouterr().out
    assert "sees  Kuhn 0" in told
    assert main(["show", str(folder), "round-0001/play:0", "-n", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["plays"]) == 2
    assert main(["list", "games"]) == 0
    assert "leduc" in capsys.readouterr().out
