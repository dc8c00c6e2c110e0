"""Games as they are measured: against fixed opponents from every seat, and against best responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpen.learn.advantages import Role
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of_text
from sharpen.measure.exploitability import INVALID, decisions, resampled, resampled_average, value
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.sample.text import render
from sharpen.tasks.games.reply import action_of
from sharpen.tasks.games.scripted import Profile, choose
from sharpen.tasks.games.scripted import player as player_of
from sharpen.tasks.games.table import GameTasks, shown
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking
from sharpen.verbs.playing import Play, Played
from sharpen.verbs.seats import Model, Player, Script

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

FROZEN, PAST = "frozen", "past"
"""Opponents that are the policy itself: as it began, and as it was."""


@dataclass(frozen=True, slots=True)
class Contest:
    """How a policy that plays is measured.

    Attributes:
        games: against each opponent, half of them from each seat; 0: none.
        against: scripted opponents, ``frozen`` (the policy as it began) and ``past`` (as it was at the
            contest before).
        replies: sampled in each information set to estimate what is played there; 0: the game is not solved.
        law, max_new_tokens: how moves are sampled.
    """

    games: int
    against: tuple[str, ...]
    replies: int
    law: SamplingLaw
    max_new_tokens: int


def scripted(spec: str) -> Script:
    """A scripted player by name, see ``sharpen.tasks.games.scripted.player``."""
    plays = player_of(spec)
    return Script(spec, lambda text, state, rng: choose(plays(state), rng))


def opponent(spec: str, selves: Mapping[str, Policy], law: SamplingLaw, max_new_tokens: int) -> Player:
    """An opponent by name: one of ``selves``, others are scripted."""
    if spec in selves:
        return Model(selves[spec], law, max_new_tokens, learns=False, name=spec)
    return scripted(spec)


def is_learner(name: str, opponent: str) -> bool:
    """Whether who is called so in a play learns from it; ``self``: everyone does. Several opponents of one
    kind are told apart by a word behind the kind."""
    return opponent == "self" or name.split(" ")[0] != opponent.split(" ")[0]


def contest(
    run: Run,
    source: GameTasks,
    policy: Policy,
    selves: Mapping[str, Policy],
    how: Contest,
    earlier: Sequence[Profile],
) -> Profile | None:
    """Play, solve, and write the row ``contest`` of ``metrics.jsonl``; ``selves`` are other versions of the
    policy by the name that ``how.against`` has for them.

    For each opponent the shares of games won, drawn, lost, ended by an invalid move and unknown (something
    failed), and the mean return in each seat. Where the game is solved, ``value`` (to seat 0, both seats by
    the policy), ``nash_conv`` of the policy with its interval, the upward bias that so many samples have on
    this profile, and that of the average with ``earlier`` profiles, in realisation weights, with its
    interval.

    Returns:
        The policy's profile, None where the game is not solved.
    """
    row: dict[str, Any] = {}
    with run.scope("contest"):
        for spec in how.against if how.games else ():
            other = opponent(spec, selves, how.law, how.max_new_tokens)
            me = Model(policy, how.law, how.max_new_tokens, learns=False, name="policy")
            tasks = source.take("test", how.games)
            played = run.play(source, tasks, [[me, other], [other, me]], name=f"against {spec}")
            row |= {f"{spec}/{name}": v for name, v in record(played.plays, "policy").items()}
        found = profile(run, source, policy, how) if how.replies else None
        if found is not None:
            row |= run.compute("solved", partial(solved, run, source, how.replies), [*earlier, found])
    run.log("contest", row)
    return found


def able(spec: str, source: GameTasks) -> None:
    """Raises SharpenError where a scripted player is unknown or cannot play the game."""
    state = source.game.of(source.take("base", 1)[0].data["deal"])
    player_of(spec)(state)


def record(plays: Sequence[Play], name: str) -> dict[str, float]:
    """Shares of the games of the player called ``name``, and its mean return in each seat. What a play that
    failed would have paid is unknown: it counts among the games, and in no mean."""
    ends: Counter[str] = Counter()
    returns: dict[int, list[float]] = {}
    for play in plays:
        seat = play.sitting.index(name)
        paid, ending = play.outcome.returns[seat], play.outcome.endings[seat]
        if ending == "crash":
            ends["unknown"] += 1
            continue
        ends[
            "invalid" if ending == "invalid_move" else "won" if paid > 0 else "lost" if paid < 0 else "drawn"
        ] += 1
        returns.setdefault(seat, []).append(paid)
    shares = {end: ends[end] / len(plays) for end in ("won", "drawn", "lost", "invalid", "unknown")}
    return {**shares, **{f"return_{seat}": float(np.mean(r)) for seat, r in sorted(returns.items())}}


def profile(run: Run, source: GameTasks, policy: Policy, how: Contest) -> Profile:
    """What the policy plays in each information set, from ``how.replies`` sampled replies each; those that
    are no legal move are counted under ``exploitability.INVALID``."""
    states = decisions(source.game)
    tasks = [Task(info, shown(state), "") for info, state in states.items()]
    asking = Asking(how.max_new_tokens)
    groups = run.sample(policy, tasks, n=how.replies, law=how.law, asking=asking, name="profile")
    found: dict[str, dict[str, float]] = {}
    for task, columns in zip(tasks, groups.columns, strict=True):
        state = states[task.id]
        actions = [action_of(text) for text in columns.texts]
        counts = Counter(a if state.allows(a) else INVALID for a in actions)
        found[task.id] = {a: n / how.replies for a, n in sorted(counts.items())}
    return found


def solved(run: Run, source: GameTasks, n: int, every: Sequence[Profile]) -> dict[str, float]:
    """How far the last profile, and the average of all, are from equilibrium."""
    last = every[-1]
    one = resampled(source.game, last, n, source=run.stream("resampled"), draws=100)
    all_ = resampled_average(source.game, every, n, source=run.stream("resampled average"), draws=100)
    (low, high), (low_average, high_average) = one.interval(), all_.interval()
    return {
        "value": value(source.game, last)[0],
        "nash_conv": one.value,
        "nash_conv_low": low,
        "nash_conv_high": high,
        "nash_conv_bias": one.bias,
        "nash_conv_average": all_.value,
        "nash_conv_average_low": low_average,
        "nash_conv_average_high": high_average,
        "profiles": float(len(every)),
        "illegal": float(np.mean([row.get(INVALID, 0.0) for row in last.values()])),
    }


def self_play(
    run: Run,
    played: Played,
    baselines: Mapping[Role, float],
    rows: Sequence[Row],
    *,
    opponent: str = "self",
) -> None:
    """The row ``self_play`` of ``metrics.jsonl``: a round's games, and what is learnt of them.

    ``length`` is a player's tokens in a game, ``reply_length`` those of one reply, ``entropy`` (nats) is of
    its next tokens; all of the players that learn. Warns where replies or their entropy collapse.
    """
    lengths, replies, entropy = _said(played, opponent)
    known = [p.outcome.returns for p in played.plays if "crash" not in p.outcome.endings]
    returns = np.array(known).mean(0) if known else ()
    endings = [e for p in played.plays for e in p.outcome.endings]
    advantages = [float(row.scalars["advantage"]) for row in rows]
    told = {
        "length": sum(lengths) / len(lengths) if lengths else 0.0,
        "reply_length": sum(lengths) / replies if replies else 0.0,
        "entropy": float(np.mean(entropy)) if entropy else 0.0,
    }
    run.log(
        "self_play",
        {
            **{f"return_{seat}": float(r) for seat, r in enumerate(returns)},
            **{"/".join(("baseline", *filter(None, role))): b for role, b in sorted(baselines.items())},
            "invalid_share": endings.count("invalid_move") / len(played.plays),
            "crash_share": endings.count("crash") / len(endings),
            "moves": played.result["moves"] / len(played.plays),
            **told,
            "rows": float(len(rows)),
            "advantage_size": float(np.mean(np.abs(advantages))) if advantages else 0.0,
        },
    )
    run.watched({"length": told["reply_length"], "entropy": told["entropy"] if entropy else None})


def _said(played: Played, opponent: str) -> tuple[list[int], int, list[float]]:
    """Tokens of each player in each game, how many replies they are, and each player's mean entropy."""
    lengths: list[int] = []
    entropy: list[float] = []
    replies = 0
    for group in played.groups:
        for episode in group.episodes:
            play, seat = played.place(episode)
            if not is_learner(played.plays[play].sitting[seat], opponent):
                continue
            said = [s.sampled for s in episode.spans if s.sampled is not None]
            lengths.append(episode.n_sampled)
            replies += len(said)
            told = np.concatenate([c.entropy for c in said]) if said else np.empty(0)
            entropy += [float(np.nanmean(told))] if len(told) and not np.isnan(told).all() else []
    return lengths, replies, entropy


def taught(
    policy: Policy,
    source: GameTasks,
    tasks: Sequence[Task],
    played: Played,
    *,
    winners: bool,
    thoughts: bool = False,
) -> list[Row]:
    """The moves of stored plays as texts to learn: the prompt of each turn, and the reply that writes its
    move. ``winners``: those of seats that got more than nothing alone. ``thoughts``: see
    ``GameTasks.turns``."""
    known = {task.id: task for task in tasks}
    eos, rows = policy.eos_ids[0], []
    for play in played.plays:
        for number, turn in enumerate(
            source.turns(known[play.task_id], play.outcome.moves, thoughts=thoughts)
        ):
            if winners and play.outcome.returns[turn.seat] <= 0:
                continue
            prompt = render(policy.tokenizer, turn.shown).tokens
            reply: Any = policy.tokenizer.encode(turn.reply, add_special_tokens=False)
            key = f"{play.task_id}/{play.play}#{number}"
            rows.append(row_of_text(prompt, reply, key=key, eos_id=eos))
    return rows
