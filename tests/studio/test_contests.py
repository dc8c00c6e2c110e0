"""The table of contests."""

from rich.console import Console

from sharpen.cli import main
from sharpen.studio.contests import contest_table, outcome_parts
from sharpen.studio.overview import headline
from sharpen.studio.table import Gain
from tests.tiny import finished


def drawn(part):
    console = Console(width=160)
    with console.capture() as held:
        console.print(part)
    return held.get()


def test_it_shows_the_first_round_the_last_and_some_between():
    rows = [
        {"name": "contest", "round": r, "nash_conv": 1 - r / 100, "random/won": r / 100} for r in range(60)
    ]
    told = drawn(contest_table(rows)).splitlines()
    heads = [h for h in told[0].split("  ") if "round" in h]
    assert [h.strip() for h in heads] == [f"round {r}" for r in (0, 12, 24, 35, 47, 59)]
    assert next(line for line in told if "NashConv" in line).split()[-1] == "0.410"
    assert next(line for line in told if "won" in line).split()[-2:] == ["59.0", "%"]
    assert next(line for line in told if "drawn" in line).split()[-1] == "–"


def test_a_run_that_plays_is_for_its_games():
    question = {"name": "held_out", "accuracy_greedy": 0.5}
    assert headline([question]) == {"label": "greedy", "share": True, "values": [0.5]}
    won = [{"name": "contest", "random/won": r / 10, "random/lost": 0.1} for r in (3, 7)]
    assert headline([*won, question]) == {"label": "won against random", "share": True, "values": [0.3, 0.7]}
    solved = [{**row, "nash_conv": 0.9, "nash_conv_average": 0.8} for row in won]
    told = {"label": "NashConv, average", "share": False, "values": [0.8, 0.8]}
    assert headline([*solved, question]) == told
    assert headline([]) == {"label": "greedy", "share": True, "values": []}


def test_a_run_without_games_tells_its_gains():
    assert "no gain" in drawn(outcome_parts([{"name": "learn"}], [])[0])


def test_a_run_that_plays_and_is_examined_tells_both():
    rows = [{"name": "contest", "round": 0, "nash_conv": 0.5}]
    gain = Gain("held_out", "accuracy_greedy", 0.25, 0.5, 0.25)
    told = "\n".join(drawn(part) for part in outcome_parts(rows, [gain]))
    assert "NashConv" in told
    assert "25.0 %" in told
    assert "50.0 %" in told
    assert len(outcome_parts(rows, [])) == 1


def test_a_run_of_self_play_shows_it(capsys):
    assert main(["show", str(finished("spiral"))]) == 0
    told = capsys.readouterr().out
    assert "NashConv of the average policy" in told
    assert "frozen" in told
