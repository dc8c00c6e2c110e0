"""SPIRAL's testbed: ``python experiments/spiral.py [--runs DIR] [--jobs N] [--arms ARM;ARM]``.

Claim A (a baseline for each role matters) and B (self-play against fixed opponents), on one hand of Kuhn
poker, which can be solved, and on tic-tac-toe, whose seats are worth very different amounts; C (games improve
a task that none rewards), from poker to ``cases``; five seeds an arm, the same number of games in each.
Controls: returns shuffled over games, and an expert's games learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch import Arm, arguments, chosen, study_of

from sharpen.measure.exploitability import resampled, tabulate
from sharpen.recipes.spiral import Settings as Spiral
from sharpen.runs.manifest import read_manifest
from sharpen.runs.streams import stream
from sharpen.tasks.games.registry import make
from sharpen.tasks.games.scripted import player

SEEDS = 5
CURVES = ("length", "invalid_share", "entropy", "moves")
HELD_OUT = ("round", "n_questions", "accuracy_greedy", "accuracy_t1")
KUHN = ("game=kuhn", "transfer=cases:level=2")
TICTACTOE = (
    "game=tictactoe", "replies=0", 'measured_against=["random", "minimax:epsilon=0.3"]', "max_new_tokens=4",
    "warmup_thoughts=false", "rounds=160", "games=64", "batch_turns=256",  # games are longer
    "loss.kl_coef=0.2", "optimizer.lr=1e-4",  # it pays 1, and its moves are right or wrong
)  # fmt: skip
EXPERT = ("warmup_player=nash", "warmup_winners=true", "warmup_games=4000", "rounds=1")


def arms(model: str) -> tuple[Arm, ...]:
    """What is compared."""
    return tuple(
        Arm(name, "spiral", (f"model={model}", *settings))
        for name, settings in {
            "kuhn, RAE": KUHN,
            "kuhn, shared baseline": (*KUHN, "baseline=shared"),
            "kuhn, no baseline": (*KUHN, "baseline=none"),
            "kuhn, against random": (*KUHN, "opponent=random"),
            "kuhn, against itself as it began": (*KUHN, "opponent=frozen"),
            "kuhn, returns shuffled": (*KUHN, "control=shuffled"),
            "kuhn, won games of an equilibrium": (*KUHN, *EXPERT),
            "tictactoe, RAE": TICTACTOE,
            "tictactoe, shared baseline": (*TICTACTOE, "baseline=shared"),
            "tictactoe, no baseline": (*TICTACTOE, "baseline=none"),
            "tictactoe, against random": (*TICTACTOE, "opponent=random"),
        }.items()
    )


def collect(folder: Path) -> dict[str, Any]:
    """What a run measured: contests and held-out questions by round, and how it learnt."""
    manifest = read_manifest(folder)
    rows = {
        name: [row for row in manifest.metrics if row["name"] == name]
        for name in ("contest", "self_play", "learn", "held_out")
    }
    drop = ("key", "step", "name")
    learnt = [row for row in rows["learn"] if row["round"] > 0]
    return {
        "held_out": [{k: rounded(row[k]) for k in HELD_OUT} for row in rows["held_out"]],
        "contests": [{k: rounded(v) for k, v in row.items() if k not in drop} for row in rows["contest"]],
        **{name: [rounded(row[name]) for row in rows["self_play"]] for name in CURVES},
        "grad_norm": [rounded(row["grad_norm"]) for row in learnt],
    }


def rounded(value: float) -> float:
    """Five digits after the point: the file stays small."""
    return round(value, 5)


def known(n: int, draws: int = 400) -> list[dict[str, Any]]:
    """How much too exploitable a profile of Kuhn poker looks from ``n`` samples in each information set."""
    game = make("kuhn")
    found = []
    for name in ("nash", "random"):
        profile = tabulate(game, player(name))
        again = resampled(game, profile, n, source=stream("spiral", "known", name), draws=draws)
        found.append({"profile": name, "samples": n, "nash_conv": again.value, "bias": again.bias,
                      "error": again.error})  # fmt: skip
    return found


def main() -> None:
    """Command line."""
    parser = arguments(__doc__, base="nano", seeds=SEEDS)
    args = parser.parse_args()
    compared = chosen(parser, arms(args.base), args.arms)
    study = study_of("spiral", args)
    study.perform(compared)
    study.record(args, arms(args.base), known=known(Spiral().replies), runs=study.told(compared, collect))


if __name__ == "__main__":
    main()
