"""The rules of each game, by hand."""

from __future__ import annotations

import pytest

from sharpen.tasks.games.negotiation import Offer, gain, read
from sharpen.tasks.games.registry import make


def moves(text):
    return [f"[{word}]" for word in text.split()]


# Kuhn ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("deal", "course", "first"),
    [
        ("KQ", "check check", 1),
        ("QK", "check check", -1),
        ("JQ", "bet fold", 1),
        ("JQ", "bet call", -2),
        ("KJ", "bet call", 2),
        ("KJ", "check bet fold", -1),
        ("KJ", "check bet call", 2),
        ("QK", "check bet call", -2),
    ],
)
def test_a_hand_of_kuhn_pays_in_chips(deal, course, first):
    assert make("kuhn").replay(deal, moves(course)).returns == (first, -first)
    # with a flat pot a bet is worth nothing
    flat = make("kuhn:bet=0").replay(deal, moves(course)).returns
    assert flat == (first / abs(first), -first / abs(first))


def test_kuhn_asks_in_turn():
    game = make("kuhn")
    state = game.of("KQ")
    assert (state.seat, state.legal()) == (0, ("[check]", "[bet]"))
    state = state.act("[check]")
    assert (state.seat, state.legal()) == (1, ("[check]", "[bet]"))
    state = state.act("[bet]")
    assert (state.seat, state.legal()) == (0, ("[fold]", "[call]"))
    assert state.view(0) == "Kuhn 0 K check bet: fold call"
    assert state.view(1) == "Kuhn 1 Q check bet"
    state = state.act("[call]")
    assert (state.seat, state.legal()) == (None, ())
    assert state.view(1) == "Kuhn 1 Q check bet call (K)"


def test_five_hands_are_opened_in_turn_and_won_by_chips():
    game = make("kuhn_exact")
    state = game.of("KJ KJ KJ KJ KJ")
    openers = []
    for _ in range(5):
        openers.append(state.seat)
        state = state.act("[check]").act("[check]")
    assert openers == [0, 1, 0, 1, 0]
    assert state.returns == (1, -1)
    # two hands of one chip against one of two: equal chips after five
    course = "check check " * 2 + "bet call " + "bet fold " + "bet fold"
    tied = game.replay("KJ KJ JK KJ KJ", moves(course))
    assert tied.at.chips == 1 + 1 - 2 - 1 + 1
    assert tied.returns == (0, 0)
    lost = game.replay("KJ KJ JK KJ JK", moves("check check " * 2 + "bet call " + "bet fold " + "bet call"))
    assert lost.returns == (-1, 1)


def test_in_the_released_game_the_last_hand_decides():
    game = make("kuhn_flat")
    state = game.of("KJ KJ KJ KJ JK")
    openers = []
    for _ in range(5):
        openers.append(state.seat)
        state = state.act("[bet]").act("[call]")
    assert openers == [1, 0, 1, 0, 1]
    assert state.at.chips == 4 - 1  # a called bet adds nothing
    assert state.returns == (-1, 1)


def test_chips_of_several_hands_add_up():
    game = make("kuhn:rounds=2")
    assert game.replay("KJ JK", moves("bet call check bet call")).returns == (0, 0)
    assert game.replay("KJ KJ", moves("bet call bet call")).returns == (4, -4)


# Leduc --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("deal", "course", "first"),
    [
        ("KQJ", "check check check check", 1),
        ("QQK", "check raise call check check", 0),
        ("JKJ", "check check check check", 1),  # a pair beats a king
        ("KJJ", "raise call raise call", -7),
        ("KQJ", "raise fold", 1),
        ("KQJ", "raise raise fold", -3),
        ("KQJ", "raise raise call raise raise call", 13),
        ("KQJ", "check check raise fold", 1),
        ("KQJ", "check raise call check raise fold", -3),
    ],
)
def test_a_hand_of_leduc_pays_in_chips(deal, course, first):
    assert make("leduc").replay(deal, moves(course)).returns == (first, -first)


def test_leduc_asks_in_turn():
    state = make("leduc").of("KQJ")
    assert state.legal() == ("[check]", "[raise]")
    state = state.act("[raise]")
    assert state.legal() == ("[fold]", "[call]", "[raise]")
    state = state.act("[raise]")
    assert state.legal() == ("[fold]", "[call]")  # two raises a round
    assert state.view(0) == "Leduc 0 K raise raise: fold call"
    state = state.act("[call]")
    assert (state.seat, state.legal()) == (0, ("[check]", "[raise]"))
    assert state.view(0) == "Leduc 0 K raise raise call / J: check raise"
    assert state.view(1) == "Leduc 1 Q raise raise call / J"


# tic-tac-toe --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("course", "first"),
    [
        ("0 3 1 4 2", 1),
        ("0 2 1 4 3 6", -1),
        ("0 1 3 2 6", 1),
        ("0 1 4 2 8", 1),
        ("4 0 8 2 1 7 3 5 6", 0),
        ("0 1 2 4 3 5 7 6 8", 0),
        ("0 1 2 3 4 5 7 6 8", 1),  # the last cell wins
    ],
)
def test_three_in_a_row_win(course, first):
    state = make("tictactoe").replay("", moves(course))
    assert state.returns == (first, -first)


def test_tic_tac_toe_shows_the_board_alone():
    game = make("tictactoe")
    one, two = game.replay("", moves("0 4 8")), game.replay("", moves("8 4 0"))
    assert one.view(1) == two.view(1) == "TTT X O...X...O: 1 2 3 5 6 7"
    assert one != two
    full = make("tictactoe:wording=full").replay("", moves("0 4 8")).view(1)
    assert "O | 1 | 2\n3 | X | 5\n6 | 7 | O\n" in full


# negotiation --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("[Accept]", "accept"),
        ("[deny]", "deny"),
        ("Too little. [Deny]", "deny"),
        ("[Offer: 2 Wood -> 1 Gold]", Offer((2, 0), (0, 1))),
        ("Please: [Offer: 2 wood, 1 GOLD -> 3 Gold] thanks", Offer((2, 1), (0, 3))),
        ("[Offer: 1 Gold, 2 Wood -> 3 Wood, 4 Gold]", Offer((2, 1), (3, 4))),
        ("", None),
        ("Accept", None),
        ("[Accept] [Deny]", None),
        ("[[Accept]]", None),
        ("[Accept ]", None),
        ("[Offer: 2 Wood]", None),
        ("[Offer: 2 Wood -> ]", None),
        ("[Offer: 0 Wood -> 1 Gold]", None),
        ("[Offer: 02 Wood -> 1 Gold]", None),
        ("[Offer: -2 Wood -> 1 Gold]", None),
        ("[Offer: 2 Wood, 2 Wood -> 1 Gold]", None),
        ("[Offer: 2 Wheat -> 1 Gold]", None),
        ("[Offer: 2 Wood -> 1 Gold -> 1 Wood]", None),
        ("[Offer: 10000 Wood -> 1 Gold]", None),
        ("[Offer: ٢ Wood -> 1 Gold]", None),
        ("[Deny]\nYour legal actions: [Accept]", None),
        ("two\nlines [Deny]", None),
        ("x" * 400 + "[Deny]", None),
    ],
)
def test_the_grammar_of_a_negotiation(action, said):
    assert read(action) == said


def test_a_trade():
    game = make("negotiation")
    state = game.of("")
    assert (state.seat, state.legal()) == (0, ())
    assert not state.allows("[Accept]")  # there is nothing to accept
    assert not state.allows("[Deny]")
    assert not state.allows("[Offer: 11 Wood -> 1 Gold]")
    assert state.allows("[Offer: 10 Wood, 10 Gold -> 9999 Gold]")
    state = state.act("[Offer: 4 Wood -> 2 Gold]").act("[Accept]")
    assert state.at.held == ((6, 12), (14, 8))
    assert (gain(state.at, 0), gain(state.at, 1)) == (10, 50)
    assert not state.allows("[Accept]")
    state = state.act("[Offer: 1 Wood -> 1 Wood]")
    state = state.act("No! [Offer: 1 Gold -> 1 Wood]")  # a counter-offer denies
    assert state.at.pending == Offer((0, 1), (1, 0))
    assert state.at.held == ((6, 12), (14, 8))
    state = state.act("[Deny]")
    assert state.at.pending is None
    assert not state.allows("[Deny]")
    assert state.seat == 1


def test_accepting_without_the_goods_is_not_legal():
    state = make("negotiation").of("").act("[Offer: 1 Wood -> 11 Gold]")
    assert not state.allows("[Accept]")
    assert state.allows("[Deny]")
    assert "[Accept]" not in state.view(1).rpartition("you: ")[2]
    with pytest.raises(ValueError, match="is not legal"):
        state.act("[Accept]")


def test_after_the_last_turn_the_larger_gain_wins():
    offer = "[Offer: 2 Wood -> 1 Gold]"
    game = make("negotiation:turns=2")
    assert game.replay("", [offer, "[Deny]"]).returns == (0, 0)
    assert game.replay("", [offer, "[Accept]"]).returns == (-1, 1)  # +5 against +25
    assert game.replay("", ["[Offer: 1 Wood -> 2 Gold]", "[Accept]"]).returns == (1, -1)  # +25, -15
    assert game.replay("", ["[Offer: 1 Wood -> 1 Gold]", "[Accept]"]).returns == (0, 0)
    assert make("negotiation").turns == 10


def test_nobody_is_told_what_the_other_values():
    for wording in ("short", "full"):
        game = make("negotiation", wording=wording)
        state = game.of("").act("Hello [Offer: 2 Wood -> 1 Gold]")
        first, second = state.view(0), state.view(1)
        assert "Hello [Offer: 2 Wood -> 1 Gold]" in first
        assert "Hello [Offer: 2 Wood -> 1 Gold]" in second
        told = {"short": ("10 Wood@5", "10 Gold@15"), "full": ("10 Wood, worth 5", "10 Gold, worth 15")}
        assert all(part in first and part not in second for part in told[wording])
