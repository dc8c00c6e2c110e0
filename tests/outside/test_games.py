"""Our games beside those of OpenSpiel and TextArena, move by move, and TextArena's as games of ours.
`make test-outside`."""

import importlib.util
import json
import random

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.measure.exploitability import best_response, decisions, nash_conv, value
from sharpen.runs.streams import stream
from sharpen.tasks.games.negotiation import HELD, VALUES, gain
from sharpen.tasks.games.registry import from_json, make
from sharpen.tasks.games.reply import legal_in

spiel = pytest.mark.skipif(
    importlib.util.find_spec("pyspiel") is None, reason="needs open_spiel: make test-outside"
)
arena = pytest.mark.skipif(
    importlib.util.find_spec("textarena") is None, reason="needs textarena: make test-outside"
)

THEIRS = {"kuhn": "kuhn_poker", "leduc": "leduc_poker", "tictactoe": "tic_tac_toe"}
CARDS = "JQK"


def pairs(name):
    """Every decision and end of a poker game: OpenSpiel's state and ours that may be it, of each deal that
    begins with the cards dealt so far. There the public card is dealt between rounds, here at the start."""
    import pyspiel

    game = make(name)
    deals = [state.deal for _, state in game.deals()]

    def walk(theirs, dealt, moves):
        if theirs.is_chance_node():
            for outcome, _ in theirs.chance_outcomes():
                card = CARDS[outcome // 2 if name == "leduc" else outcome]
                yield from walk(theirs.child(outcome), dealt + card, moves)
            return
        ours = [game.replay(deal, moves) for deal in deals if deal.startswith(dealt)]
        yield theirs, ours
        if not theirs.is_terminal():
            for action, word in zip(theirs.legal_actions(), ours[0].legal(), strict=True):
                yield from walk(theirs.child(action), dealt, (*moves, word))

    yield from walk(pyspiel.load_game(THEIRS[name]).new_initial_state(), "", ())


@spiel
@pytest.mark.parametrize("name", ["kuhn", "leduc"])
def test_every_course_is_that_of_open_spiel(name):
    seen = 0
    for theirs, states in pairs(name):
        for ours in states:
            seen += 1
            if theirs.is_terminal():
                assert ours.over
                assert list(ours.returns) == theirs.returns()
            else:
                assert ours.seat == theirs.current_player()
                assert len(ours.legal()) == len(theirs.legal_actions())
    assert seen == {"kuhn": 54, "leduc": 9840}[name]


@spiel
def test_random_courses_of_tic_tac_toe_are_those_of_open_spiel():
    import pyspiel

    theirs_game, rng = pyspiel.load_game("tic_tac_toe"), stream("outside", "ttt").generator()
    for _ in range(300):
        theirs, ours = theirs_game.new_initial_state(), make("tictactoe").of("")
        while not theirs.is_terminal():
            assert ours.seat == theirs.current_player()
            assert ours.legal() == tuple(f"[{a}]" for a in theirs.legal_actions())
            action = int(rng.choice(theirs.legal_actions()))
            theirs.apply_action(action)
            ours = ours.act(f"[{action}]")
        assert list(ours.returns) == theirs.returns()


@spiel
@pytest.mark.parametrize("name", ["kuhn", "leduc"])
def test_the_solver_agrees_with_open_spiel(name):
    import pyspiel
    from open_spiel.python import policy as policies
    from open_spiel.python.algorithms import best_response as best
    from open_spiel.python.algorithms import expected_game_score, exploitability

    game, theirs_game = make(name), pyspiel.load_game(THEIRS[name])
    rng = stream("outside", "policy", name).generator()
    profile = {
        info: dict(zip(s.legal(), rng.dirichlet(np.ones(len(s.legal()))).tolist(), strict=True))
        for info, s in decisions(game).items()
    }
    table = policies.TabularPolicy(theirs_game)
    for theirs, (ours, *_) in pairs(name):
        if not theirs.is_terminal():
            row = table.policy_for_key(theirs.information_state_string())
            for action, ours_action in zip(theirs.legal_actions(), ours.legal(), strict=True):
                row[action] = profile[ours.info(ours.seat)][ours_action]
    assert nash_conv(game, profile) == pytest.approx(exploitability.nash_conv(theirs_game, table), abs=1e-9)
    start = theirs_game.new_initial_state()
    scores = expected_game_score.policy_value(start, [table, table])
    assert value(game, profile) == pytest.approx(tuple(scores), abs=1e-9)
    for seat in (0, 1):
        found = best.BestResponsePolicy(theirs_game, seat, table).value(theirs_game.new_initial_state())
        assert best_response(game, profile, seat).value == pytest.approx(found, abs=1e-9)


# TextArena's rules --------------------------------------------------------------------------------
@arena
@pytest.mark.parametrize("seed", range(10))
def test_kuhn_is_played_as_in_text_arena(seed):
    """Its pot stays flat and its winner has more chips: between our two variants of five hands."""
    theirs = make("textarena:KuhnPoker-v0-short").of(str(seed))
    rng, course = stream("outside", "kuhn", seed).generator(), []
    while not theirs.over:
        at = theirs.at.env.state.game_state
        course.append((theirs.seat, legal_in(theirs.view(theirs.seat)), dict(at["player_cards"])))
        legal = course[-1][1]
        theirs = theirs.act(legal[rng.integers(len(legal))])
    # the cards of each hand, found again from the deals that its players saw
    game = make("kuhn:rounds=5,bet=0,payoff_by=winner,opener=1")
    ours, hands = None, []
    for i, action in enumerate(theirs.actions):
        if ours is None or len(ours.at.played) > len(hands) - 1:
            cards = course[i][2]
            hands.append(CARDS[cards[0]] + CARDS[cards[1]])
        deal = " ".join([*hands, *["KQ"] * (5 - len(hands))])
        ours = game.replay(deal, theirs.actions[:i])
        assert ours.seat == course[i][0]
        assert ours.legal() == course[i][1]
        ours = ours.act(action)
    assert ours.over
    assert ours.returns == theirs.returns


@arena
@pytest.mark.parametrize("seed", range(10))
def test_tic_tac_toe_is_played_as_in_text_arena(seed):
    theirs, ours = make("textarena:TicTacToe-v0").of("0"), make("tictactoe").of("")
    rng = stream("outside", "arena", seed).generator()
    while not ours.over:
        assert theirs.seat == ours.seat
        assert legal_in(theirs.view(theirs.seat)) == ours.legal()
        taken = sorted({f"[{cell}]" for cell in range(9)} - set(ours.legal()))
        assert not any(theirs.allows(action) for action in (*taken, "[9]", "middle"))
        action = ours.legal()[rng.integers(len(ours.legal()))]
        theirs, ours = theirs.act(action), ours.act(action)
    assert theirs.over
    assert theirs.returns == ours.returns


@arena
@pytest.mark.parametrize("seed", range(10))
def test_trades_go_as_in_text_arena(seed):
    """Its rules on our goods. It counts one turn more than it says, so it is given one less."""
    import textarena

    env = textarena.make("SimpleNegotiation-v0-raw", max_turns=9)
    before = random.getstate()
    env.reset(num_players=2, seed=seed)
    random.setstate(before)
    names = ("Wood", "Gold")
    env.resource_names = list(names)
    state = env.state.game_state
    for seat in (0, 1):
        state["player_resources"][seat] = dict(zip(names, HELD, strict=True))
        state["player_values"][seat] = dict(zip(names, VALUES[seat], strict=True))
        worth = env._calculate_player_inventory_value(seat, state)
        state["inventory_value"][seat] = {"initial": worth, "current": worth, "change": 0}
    ours, rng = make("negotiation").of(""), stream("outside", "trade", seed).generator()
    while not ours.over:
        give, take = rng.integers(1, 5, size=2)
        some = [*ours.some(), f"What about [Offer: {give} Wood, 1 Gold -> {take} Gold]?"]
        action = "[Accept]" if "[Accept]" in some and rng.random() < 0.5 else some[rng.integers(len(some))]
        if not ours.allows(action):
            continue
        assert env.state.current_player_id == ours.seat
        done, _ = env.step(action)
        ours = ours.act(action)
        assert not env.state.game_info[1 - (ours.seat or 0)]["invalid_move"]
        assert done == ours.over
        for seat in (0, 1):
            assert tuple(state["player_resources"][seat].values()) == ours.at.held[seat]
            assert state["inventory_value"][seat]["change"] == gain(ours.at, seat)
    assert ours.returns == (env.state.rewards[0], env.state.rewards[1])


@arena
def test_where_trades_go_otherwise_in_text_arena():
    import textarena

    env = textarena.make("SimpleNegotiation-v0-raw", max_turns=10)
    before = random.getstate()
    env.reset(num_players=2, seed=0)
    random.setstate(before)
    turns = 1
    env.step("[Offer: 1 Wood -> 1 Ore]")
    while not env.step("[Deny]")[0]:  # nothing new is offered
        turns += 1
        assert env.state.game_state["current_offer"] is not None  # what was denied stays open
    assert turns + 1 == 11
    ours = make("negotiation").of("").act("[Offer: 1 Wood -> 1 Gold]").act("[Deny]")
    assert ours.at.pending is None
    assert not ours.allows("[Deny]")


# its environments as our games -----------------------------------------------------------------------
COURSES = {
    "KuhnPoker-v0:max_rounds=2": None,
    "TicTacToe-v0": None,
    "PigDice-v0-short": ("[roll]", "[hold]"),  # dice at every move
    "Nim-v0": ("[0 1]", "[1 1]", "[2 1]"),
    "LiarsDice-v0": ("[Bid: 1, 2]", "[Call]"),
}


def played(game, seed):
    """A random course of at most 12 moves."""
    state, rng = game.of(str(seed)), stream("outside", game.spec, seed).generator()
    options = COURSES[game.spec.removeprefix("textarena:")]
    for _ in range(12):
        if state.over:
            break
        allowed = [a for a in options or legal_in(state.view(state.seat)) if state.allows(a)]
        if not allowed:
            break
        state = state.act(allowed[rng.integers(len(allowed))])
    return state


@arena
@pytest.mark.parametrize("spec", COURSES)
def test_an_environment_is_a_value_and_leaves_the_global_generators_alone(spec):
    random.seed(11)
    np.random.seed(11)
    here = random.getstate(), np.random.get_state()[1].tolist()
    game = make(f"textarena:{spec}")
    assert make(game.spec) == game
    state = played(game, 3)
    assert len(state.actions) > 1
    assert (random.getstate(), np.random.get_state()[1].tolist()) == here
    random.random()  # foreign draws change nothing
    again = from_json(json.loads(json.dumps(state.to_json())))
    assert again == state
    for seat in (0, 1):
        assert again.view(seat) == state.view(seat)
        assert again.info(seat) == state.info(seat)
    start = game.of(state.deal)
    seen = start.view(0)
    for action in state.actions[:2]:
        start.allows(action)
        start.allows("nonsense")
    assert start.view(0) == seen
    assert start.actions == ()
    assert played(game, 3).view(0) == state.view(0)


@arena
def test_seeds_are_the_deals():
    game = make("textarena:KuhnPoker-v0")
    rng = stream("outside", "deals").generator()
    starts = [game.start(rng) for _ in range(20)]
    assert len({s.deal for s in starts}) == 20
    assert {s.view(0)[-2] for s in starts} == {"J", "Q", "K"} or len({s.view(0) for s in starts}) == 3


@arena
def test_a_view_holds_no_card_of_the_other():
    for seed in range(12):
        state = played(make("textarena:KuhnPoker-v0:max_rounds=2"), seed)
        first = make("textarena:KuhnPoker-v0:max_rounds=2").of(state.deal)
        cards = first.at.env.state.game_state["player_cards"]
        for seat in (0, 1):
            assert f"'{CARDS[cards[seat]]}'" in first.view(seat)
            assert f"'{CARDS[cards[1 - seat]]}'" not in first.view(seat)


@arena
def test_the_board_alone():
    state = make("textarena:TicTacToe-v0:observe=board").of("0").act("[4]").act("[0]")
    view = state.view(0)
    assert view.count("Current Board") == 1
    assert view.startswith("[GAME] You are Player 0")
    assert legal_in(view) == tuple(f"[{i}]" for i in (1, 2, 3, 5, 6, 7, 8))
    assert make("textarena:TicTacToe-v0").of("0").act("[4]").view(0).count("Current Board") == 2


@arena
def test_what_it_calls_invalid_is_not_legal_at_the_first_try():
    state = make("textarena:KuhnPoker-v0").of("1")
    assert state.legal() == ()
    for action in ("[call]", "check", ""):
        assert not state.allows(action)
        with pytest.raises(ValueError, match="is not legal"):
            state.act(action)
    assert state.act("[check]").seat == 0


@arena
@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("textarena:KuhnPokr-v0", "unknown TextArena environment 'KuhnPokr-v0': did you mean 'KuhnPoker"),
        ("textarena:TicTacToe-v0:players=3", "cannot be started"),
        ("textarena:TicTacToe-v0:size=3", "cannot be started"),
        ("textarena:TicTacToe-v0:observe=last", "unknown observe of textarena 'last'"),
    ],
)
def test_what_cannot_be_played_is_said(spec, says):
    with pytest.raises(SharpenError, match=says):
        make(spec).of("0")
