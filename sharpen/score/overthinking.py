"""Overthinking of an agent: reasoning where it should act and read what comes back (arXiv 2502.08235).

A score from 0 to 10, larger is worse, from three patterns: analysis paralysis (turns without an action),
rogue actions (several in one turn, without waiting for what the first one brings), premature disengagement
(the end is declared unchecked). Scored here by rules of our own; by a judge, see ``overthinking_judge``.
Neither is shown whether the attempt succeeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

_MARK = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>")
_CALL = re.compile(r"<(/?)tool>")
_NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)")


class Kind(StrEnum):
    """What an action does, as far as the rules care."""

    LOOK = "look"
    CHANGE = "change"
    CHECK = "check"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the model and what the environment answered. One step of the environment, however many
    paragraphs the message has.

    Attributes:
        text: all that the model visibly wrote.
        actions: kinds of the actions in it, in order; the end of the attempt is one of them.
        observation: what came back.
        ok: whether the observation is no error, and a check in this turn passed.
        reasoning: tokens spent on anything but actions.
    """

    text: str
    actions: tuple[Kind, ...] = ()
    observation: str = ""
    ok: bool = True
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Patterns:
    """How much an attempt shows of each pattern.

    Attributes:
        paralysis: share of turns without an action, in [0, 1].
        rogue: share of turns with several actions, those after an error counted twice; may exceed 1.
        rogue_turns: how many turns have several actions.
        disengaged: the end was declared although no check had passed since the last change, or nothing was
            done at all. A check in the same message as the end has not been waited for, so it is none.
    """

    paralysis: float
    rogue: float
    rogue_turns: int
    disengaged: bool


def patterns(turns: Sequence[Turn]) -> Patterns:
    """The three patterns of an attempt, from its actions and errors alone."""
    if not turns:
        return Patterns(0.0, 0.0, 0, True)
    idle = rogue = rogue_turns = 0
    setback = checked = disengaged = False
    for turn in turns:
        idle += not turn.actions
        if len(turn.actions) > 1:
            rogue_turns += 1
            rogue += 1 + setback
        passed = checked
        for action in turn.actions:
            if action is Kind.CHANGE:
                checked = passed = False
            elif action is Kind.CHECK:
                passed = turn.ok
            elif action is Kind.FINISH:
                disengaged = disengaged or not checked
        checked, setback = passed, not turn.ok
    return Patterns(idle / len(turns), rogue / len(turns), rogue_turns, disengaged)


def rule_score(turns: Sequence[Turn]) -> int:
    """The overthinking score by rules, 0..10.

    0 where no pattern shows; 8 to 10 where the attempt disengaged, was idle in half of its turns or more, or
    rogue in two or more; else 4 to 7. An attempt without turns has 9.
    """
    p = patterns(turns)
    rogue = min(p.rogue, 1.0)
    if p.disengaged or p.paralysis >= 0.5 or p.rogue_turns >= 2:
        return min(8 + round(2 * max(p.paralysis, rogue, 0.5 * p.disengaged)), 10)
    if not (p.paralysis or rogue):
        return 0
    return min(4 + round(3 * max(p.paralysis, rogue)), 7)


def reasoning_action_ratio(turns: Sequence[Turn]) -> float:
    """Reasoning tokens for each action: ``reasoning / (actions + 1)``; a plain rival of the score."""
    return sum(t.reasoning for t in turns) / (sum(len(t.actions) for t in turns) + 1)


def read_turn(
    text: str, observation: str, *, ok: bool, kinds: Mapping[str, Kind], reasoning: int = 0
) -> Turn:
    """A turn from its text, where actions are written ``<tool>name ...</tool>`` outside the thinking.

    Args:
        ok: whether the environment took the message without an error.
        kinds: what the environment's tools do, by name; others only look.
        reasoning: tokens of the message that are no action.
    """
    actions = []
    opened: int | None = None
    said = _outside_thinking(text)
    for mark in _CALL.finditer(said):
        if not mark[1]:
            opened = mark.end()
        elif opened is not None:
            name = _NAME.match(said, opened, mark.start())
            actions.append(kinds.get(name[1], Kind.LOOK) if name else Kind.LOOK)
            opened = None
    return Turn(text, tuple(actions), observation, ok, reasoning)


def _outside_thinking(text: str) -> str:
    parts, at, thinking = [], 0, False
    for mark in _MARK.finditer(text):
        if not thinking:
            # a block that closes unopened was opened by the prompt
            parts = [] if mark[1] else [*parts, text[at : mark.start()]]
        thinking, at = not mark[1], mark.end()
    return " ".join(parts if thinking else [*parts, text[at:]])
