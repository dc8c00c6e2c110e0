"""Games by name: ``kuhn``, ``kuhn:rounds=5,wording=full``, ``textarena:KuhnPoker-v0``."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from sharpen.errors import SharpenError, unknown
from sharpen.tasks.games.rules import Game, State
from sharpen.tasks.registry import parameters

GAMES: dict[str, str] = {
    "kuhn": "sharpen.tasks.games.kuhn:Kuhn",
    "kuhn_exact": "sharpen.tasks.games.kuhn:KuhnExact",
    "kuhn_flat": "sharpen.tasks.games.kuhn:KuhnFlat",
    "leduc": "sharpen.tasks.games.leduc:Leduc",
    "tictactoe": "sharpen.tasks.games.tictactoe:TicTacToe",
    "negotiation": "sharpen.tasks.games.negotiation:Negotiation",
}
"""Own games: ``module:class``, imported when asked for."""

USAGE_TEXTARENA = "textarena:ENVIRONMENT[:players=2,observe=all,setting=value,...]"


def make(spec: str, **options: Any) -> Game:
    """The game that ``spec`` names; ``options`` add to and override those inside it.

    Raises SharpenError for an unknown game, option or value, naming the nearest one.
    """
    name, _, rest = spec.partition(":")
    if name == "textarena":
        return _textarena(spec, rest, options)
    if name not in GAMES:
        raise unknown("game", name, [*GAMES, "textarena"])
    made = _class(name)
    options = {**parameters(spec, rest), **options}
    known = [f.name for f in dataclasses.fields(made)]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return made(**options)


def from_json(data: Mapping[str, Any]) -> State:
    """The state of ``State.to_json``, played again from its deal; ValueError where that cannot be."""
    return make(data["game"]).replay(data["deal"], data["actions"])


def names() -> list[tuple[str, str, str]]:
    """``(name, how it is written, what it is)`` of every game, for people."""
    found = []
    for name in GAMES:
        made = _class(name)
        options = ",".join(f"{f.name}={f.default}" for f in dataclasses.fields(made))
        found.append((name, f"{name}[:{options}]", made.about))
    return [*found, ("textarena", USAGE_TEXTARENA, "any environment of the TextArena library")]


def _textarena(spec: str, rest: str, options: dict[str, Any]) -> Game:
    from sharpen.tasks.games.arena import TextArena

    env, _, told = rest.partition(":")
    if not env:
        raise SharpenError(f"{spec!r} names no environment; write {USAGE_TEXTARENA}")
    options = {**parameters(spec, told), **options}
    own = {key: options.pop(key) for key in ("players", "observe", "wording") if key in options}
    return TextArena(env=env, settings=tuple(sorted(options.items())), **own)


def _class(name: str) -> Any:
    module, _, cls = GAMES[name].partition(":")
    return getattr(importlib.import_module(module), cls)
