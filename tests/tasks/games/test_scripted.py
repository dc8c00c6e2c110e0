"""Scripted players."""

from __future__ import annotations

import pytest

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.tasks.games.registry import make
from sharpen.tasks.games.scripted import choose, kuhn_nash, minimax, player, random_legal, tabular


def test_random_play_is_uniform_over_what_is_legal():
    state = make("kuhn").of("KQ").act("[bet]")
    assert random_legal(state) == {"[fold]": 0.5, "[call]": 0.5}
    trade = make("negotiation").of("")
    chances = random_legal(trade)
    assert sum(chances.values()) == pytest.approx(1)
    assert all(trade.allows(action) for action in chances)


def test_minimax_takes_a_win_and_stops_one():
    game, best = make("tictactoe"), minimax()
    win = game.replay("", ["[0]", "[3]", "[1]", "[4]"])
    assert {a for a, p in best(win).items() if p} == {"[2]"}
    stop = game.replay("", ["[0]", "[4]", "[1]"])
    assert {a for a, p in best(stop).items() if p} == {"[2]"}
    # every first move holds the draw; only corner replies do against a corner's opposite
    assert set(best(game.of("")).values()) == {1 / 9}
    assert {a for a, p in best(game.of("").act("[0]")).items() if p} == {"[4]"}


def test_minimax_never_loses():
    game, best = make("tictactoe"), minimax()

    def worst(state, seat):
        if state.over:
            return state.returns[seat]
        mine = state.seat == seat
        actions = [a for a, p in best(state).items() if p] if mine else state.legal()
        return min(worst(state.act(action), seat) for action in actions)

    assert worst(game.of("").act("[4]"), 1) == 0
    assert worst(game.of("").act("[0]").act("[8]"), 0) == 1


def test_noise_is_mixed_in():
    state = make("tictactoe").replay("", ["[0]", "[4]", "[1]"])
    chances = minimax(0.3)(state)
    assert chances["[2]"] == pytest.approx(0.7 + 0.3 / 6)
    assert chances["[3]"] == pytest.approx(0.3 / 6)
    assert sum(chances.values()) == pytest.approx(1)
    assert player("minimax:epsilon=0.3")(state) == chances
    with pytest.raises(SharpenError, match=r"epsilon=1\.5"):
        minimax(1.5)
    with pytest.raises(SharpenError, match="minimax plays tictactoe, not kuhn"):
        minimax()(make("kuhn").of("KQ"))


def test_a_table_plays_its_rows():
    state = make("kuhn").of("KQ")
    assert tabular(kuhn_nash(0.1))(state) == {"[check]": pytest.approx(0.7), "[bet]": pytest.approx(0.3)}
    assert player("nash:alpha=0.1")(state)["[bet]"] == pytest.approx(0.3)
    with pytest.raises(SharpenError, match="information set '0 K'"):
        tabular({"0 Q": {"[check]": 1.0}})(state)
    with pytest.raises(SharpenError, match=r"alpha=0\.5"):
        kuhn_nash(0.5)


def test_a_wrong_player_names_the_nearest():
    with pytest.raises(SharpenError, match="unknown player 'randm': did you mean 'random'"):
        player("randm")
    with pytest.raises(SharpenError, match="unknown option of minimax 'noise'"):
        player("minimax:noise=0.1")


def test_choices_come_as_often_as_they_should():
    rng = stream("choose").generator()
    chances = {"[a]": 0.2, "[b]": 0.0, "[c]": 0.8}
    drawn = [choose(chances, rng) for _ in range(4000)]
    assert drawn.count("[a]") / 4000 == pytest.approx(0.2, abs=0.03)
    assert "[b]" not in drawn
    again = stream("choose").generator()
    assert drawn == [choose(chances, again) for _ in range(4000)]
