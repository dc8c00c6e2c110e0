"""What holds in every game: values, replay, views, legality."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.runs.streams import stream
from sharpen.tasks.games.registry import GAMES, from_json, make, names
from sharpen.tasks.games.reply import action_of, legal_in, move_of
from sharpen.tasks.games.rules import MAX_TURNS, Game, State, invalid_move, turn_limit

WORDINGS = ("short", "full")
SPECS = [f"{name}:wording={wording}" for name in GAMES for wording in WORDINGS]
SPECS += ["kuhn:rounds=2", "kuhn:payoff_by=winner,opener=1", "negotiation:turns=3"]
LISTED = ["kuhn", "kuhn:rounds=2", "kuhn:bet=0,rounds=2,opener=1", "leduc", "tictactoe"]


def course(game: Game, seed: int) -> list[State]:
    """The states of one game of random legal moves."""
    rng = stream("course", game.spec, seed).generator()
    states = [game.start(rng)]
    while not states[-1].over:
        actions = states[-1].some()
        states.append(states[-1].act(actions[rng.integers(len(actions))]))
    return states


def reachable(game: Game) -> dict[State, None]:
    """Every state of a game whose deals can be listed; states that only got there differently are one."""
    found: dict[object, State] = {}

    def visit(state: State) -> None:
        if (state.deal, state.at) not in found:
            found[state.deal, state.at] = state
            for action in state.legal():
                visit(state.act(action))

    for _, start in game.deals():
        visit(start)
    return dict.fromkeys(found.values())


@pytest.fixture(scope="module")
def every():
    """All states of every game that can be listed, by spec."""
    return {spec: list(reachable(make(spec))) for spec in LISTED}


@pytest.mark.parametrize("spec", SPECS)
@given(seed=st.integers(0, 10**6))
def test_random_play(spec, seed):
    game = make(spec)
    states = course(game, seed)
    for state in states:
        again = from_json(json.loads(json.dumps(state.to_json())))
        assert again == state
        assert hash(again) == hash(state)
        assert again == game.replay(state.deal, state.actions)
        assert state.over == (state.seat is None) == (state.some() == ())
        for seat in range(game.seats):
            view = state.view(seat)
            assert view.isascii()
            assert view.replace("\n", "").isprintable()
            assert again.view(seat) == view
            assert again.info(seat) == state.info(seat)
            if seat == state.seat and state.legal():
                assert legal_in(view) == state.legal()
        for action in state.some():
            assert state.allows(action)
            assert state.act(action).actions == (*state.actions, action)
        for action in ("", "[", "[nonsense]", "check", "[check] [bet]", "[9]", "[Offer: 21 Wood -> 1 Gold]"):
            if action not in state.legal():
                with pytest.raises(ValueError, match="is not legal"):
                    state.act(action)
        assert state == again
    assert states[-1].over
    assert sum(states[-1].returns) == 0
    assert max(map(abs, states[-1].returns)) <= game.most
    assert course(game, seed) == states


@pytest.mark.parametrize("spec", ["kuhn", "leduc", "tictactoe", "negotiation"])
def test_states_do_not_change(spec):
    state = make(spec).start(stream("frozen").generator())
    with pytest.raises(AttributeError):
        state.deal = "KQ"
    with pytest.raises(AttributeError):
        state.game.wording = "full"
    with pytest.raises(ValueError, match="no returns yet"):
        _ = state.returns
    with pytest.raises(ValueError, match="no seat 2"):
        state.view(2)


@pytest.mark.parametrize("spec", LISTED)
def test_an_information_set_looks_the_same_in_every_state_and_like_no_other(spec, every):
    for wording in WORDINGS:
        game = make(spec, wording=wording)
        views: dict[str, set[str]] = {}
        for state in every[spec]:
            for seat in range(game.seats):
                told = game.replay(state.deal, state.actions)
                views.setdefault(told.info(seat), set()).add(told.view(seat))
        assert {len(seen) for seen in views.values()} == {1}
        texts = [text for seen in views.values() for text in seen]
        assert len(set(texts)) == len(texts)


def hidden(state: State, seat: int) -> str:
    """The cards that ``seat`` must not see, by the rules and not by the code of views."""
    if state.game.name == "leduc":
        shown = state.over and state.at.folded is None
        public = len(state.at.moves) == 2
        return ("" if shown else state.deal[1 - seat]) + ("" if public else state.deal[2])
    cards = state.deal.split(" ")
    folded = [moves[-1:] == ("[fold]",) for moves in state.at.played]
    return "".join(hand[1 - seat] for i, hand in enumerate(cards) if i >= len(folded) or folded[i])


@pytest.mark.parametrize("spec", ["kuhn", "leduc"])
def test_a_hidden_card_is_in_no_view(spec, every):
    seen = 0
    for state in every[spec]:
        for seat in (0, 1):
            told = state.view(seat).removeprefix("Kuhn").removeprefix("Leduc")
            own = state.deal[seat] + (state.deal[2] if spec == "leduc" else "")
            for card in hidden(state, seat):
                if card not in own:  # a card of which there are two may be both mine and hidden
                    assert card not in told
                    seen += 1
    assert seen > 50


@pytest.mark.parametrize("spec", LISTED[:4])
@pytest.mark.parametrize("wording", WORDINGS)
def test_what_is_hidden_could_be_anything(spec, wording, every):
    """Views do not change where cards that a seat must not see are swapped for others."""
    game = make(spec, wording=wording)
    by_deal = [state.deal for state in every[spec] if not state.actions]
    swapped = 0
    for state in every[spec]:
        for seat in (0, 1):
            mine = game.replay(state.deal, state.actions)
            for deal in by_deal:
                if not _differs_in_hidden(state, deal, seat):
                    continue
                other = game.replay(deal, state.actions)
                assert other.view(seat) == mine.view(seat)
                assert other.info(seat) == mine.info(seat)
                swapped += deal != state.deal
    assert swapped > 20


def _differs_in_hidden(state: State, deal: str, seat: int) -> bool:
    """Whether ``deal`` is like the state's in all that ``seat`` may see."""
    if state.game.name == "leduc":
        public = len(state.at.moves) == 2
        if state.over and state.at.folded is None:
            return deal == state.deal
        return deal[seat] == state.deal[seat] and (not public or deal[2] == state.deal[2])
    for i, (mine, other) in enumerate(zip(state.deal.split(" "), deal.split(" "), strict=True)):
        moves = state.at.played[i] if i < len(state.at.played) else ()
        shown = bool(moves) and moves[-1] != "[fold]"
        begun = i <= len(state.at.played)
        if begun and (mine[seat] != other[seat] or (shown and mine != other)):
            return False
    return True


@pytest.mark.parametrize("spec", LISTED)
def test_deals_are_all_starts(spec):
    game = make(spec)
    deals = game.deals()
    assert sum(share for share, _ in deals) == pytest.approx(1, abs=1e-12)
    assert len({state.deal for _, state in deals}) == len(deals)
    rng = stream("deal", spec).generator()
    drawn = {game.start(rng).deal for _ in range(1000)}
    assert drawn == {state.deal for _, state in deals}


def test_deals_come_as_often_as_they_should():
    for spec in ("kuhn", "leduc"):
        game, n = make(spec), 6000
        counts: dict[str, int] = {}
        rng = stream("shares", spec).generator()
        for _ in range(n):
            deal = game.start(rng).deal
            counts[deal] = counts.get(deal, 0) + 1
        for share, state in game.deals():
            assert counts[state.deal] / n == pytest.approx(share, abs=5 * (share / n) ** 0.5)


def test_chance_is_the_generator_alone():
    game = make("kuhn_exact")
    assert game.start(stream("a").generator()) == game.start(stream("a").generator())
    assert len({game.start(stream("a", i).generator()).deal for i in range(20)}) > 15


# by name ------------------------------------------------------------------------------------------
def test_a_game_by_its_spec():
    assert make("kuhn:rounds=5") == make("kuhn", rounds=5)
    assert make("kuhn:rounds=5", rounds=2).rounds == 2
    for spec in (*SPECS, *LISTED):
        assert make(make(spec).spec) == make(spec)
    assert make("kuhn:wording=short").spec == "kuhn"
    assert make("kuhn_flat:rounds=1").spec == "kuhn_flat:rounds=1"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("khun", "unknown game 'khun': did you mean 'kuhn'"),
        ("kuhn:round=5", "unknown option of kuhn 'round': did you mean 'rounds'"),
        ("kuhn:rounds=many", "rounds='many' should be int"),
        ("kuhn:rounds=true", "rounds=True should be int"),
        ("kuhn:rounds=0", "rounds=0 should be between 1 and 25"),
        ("kuhn:bet=2", "bet=2 should be one of 0, 1"),
        ("kuhn:payoff_by=chip", "did you mean 'chips'"),
        ("leduc:wording=long", "unknown wording of leduc 'long'"),
        ("negotiation:turns=0", "turns=0 should be between 1 and 50"),
        ("kuhn:5", "is not of the form name=value"),
    ],
)
def test_a_wrong_spec_names_the_nearest(spec, says):
    with pytest.raises(SharpenError, match=says):
        make(spec)


def test_every_game_is_listed_with_a_line():
    listed = names()
    assert [name for name, _, _ in listed] == [*GAMES, "textarena"]
    assert all(usage.startswith(name) and about and "\n" not in about for name, usage, about in listed)


@pytest.mark.parametrize(
    "data",
    [
        {"game": "kuhn", "deal": "KK", "actions": []},
        {"game": "kuhn", "deal": "KQ KQ", "actions": []},
        {"game": "leduc", "deal": "KKK", "actions": []},
        {"game": "leduc", "deal": "KQ", "actions": []},
        {"game": "tictactoe", "deal": "x", "actions": []},
        {"game": "negotiation", "deal": "x", "actions": []},
        {"game": "kuhn", "deal": "KQ", "actions": ["[call]"]},
        {"game": "kuhn", "deal": "KQ", "actions": ["[bet]", "[fold]", "[fold]"]},
    ],
)
def test_a_state_that_cannot_be_is_not_read(data):
    with pytest.raises(ValueError, match=r"no such deal|is not legal"):
        from_json(data)


@pytest.mark.parametrize("spec", LISTED)
def test_no_legal_loss_is_as_bad_as_an_invalid_move(spec, every):
    game = make(spec)
    worst = max(max(map(abs, state.returns)) for state in every[spec] if state.over)
    assert worst == game.most
    assert min(invalid_move(0, most=game.most)) < -worst


# outcomes by rule -----------------------------------------------------------------------------------
def test_the_offender_pays_and_a_long_game_is_a_draw():
    assert invalid_move(0) == (-1.5, 0.5)
    assert invalid_move(1) == (0.5, -1.5)
    assert invalid_move(1, seats=3) == (0.5, -1.5, 0.5)
    assert invalid_move(0, most=2.0) == (-3.0, 1.0)
    with pytest.raises(ValueError, match="seat 2"):
        invalid_move(2)
    assert MAX_TURNS == 50
    assert turn_limit() == (0.0, 0.0)


# replies --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("[check]", "[check]"),
        ("check", "[check]"),
        ("  check\n", "[check]"),
        ("I hold K.\nSo \\boxed{bet}", "[bet]"),
        ("\\boxed{[bet]}", "[bet]"),
        ("\\boxed{bet} no, \\boxed{check}", "[check]"),
        ("\\boxed{\\text{check}}", "[check]"),
        ("\\boxed{\\text{[check]}} said twice", "[check]"),
        ("\\boxed{a {nested} box}", "[a {nested} box]"),
        ("\\boxed{ [Offer:  2 Wood\n -> 1 Gold] }", "[Offer: 2 Wood -> 1 Gold]"),
        ("one two three four five", "[one two three four five]"),
        ("one two three four five six", "one two three four five six"),
        ("\\boxed{bet} or \\boxed{check", ""),
        ("", ""),
        (" \n\t", ""),
        ("\\boxed{}", ""),
        ("\\boxed{ }", ""),
        ("bet]", "bet]"),
    ],
)
def test_a_reply_is_an_action(reply, action):
    assert action_of(reply) == action


@given(st.text(max_size=200))
def test_any_text_can_be_read(reply):
    action = action_of(reply)
    assert action == " ".join(action.split())
    for spec in ("kuhn", "tictactoe", "negotiation"):
        state = make(spec).start(stream("any").generator())
        move = move_of(state, reply)
        assert move is None or state.act(move)


def test_only_exactly_legal_actions_are_moves():
    state = make("kuhn").of("KQ")
    assert move_of(state, "I bet: \\boxed{bet}") == "[bet]"
    for reply in ("", "[Bet]", "[bet] [check]", "I [bet]", "[fold]", "bet now", "\\boxed{bet"):
        assert move_of(state, reply) is None


def test_the_last_line_of_legal_actions_counts():
    view = "Your available actions are: '[check]', '[bet]'\n[Player 0] [check]\n[GAME] Board:\n"
    assert legal_in(view + "Available Moves: '[fold]', '[call]'") == ("[fold]", "[call]")
    assert legal_in(view) == ("[check]", "[bet]")
    assert legal_in("Kuhn 1 K check bet: fold call") == ("[fold]", "[call]")
    assert legal_in("first: a b\nTTT O .........: 0 1") == ("[0]", "[1]")
