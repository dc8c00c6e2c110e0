"""Efficiency steering (arXiv 2506.15647): a direction from a model's own longest to its own shortest right
answers, added to its hidden states while it decodes, shortens its reasoning. Nothing is trained.

Answers to training questions give the pairs and the directions; the dev split chooses pool, layer and
strength; the test split is asked once, at the end. Controls: a random direction and one from shuffled
labels, of the chosen direction's norm, at the same layer and strengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from sharpen.errors import SharpenError
from sharpen.measure.efficiency import (
    cosine,
    inherent_efficiency,
    monotone,
    reduction,
    sign_accuracy,
    sound,
)
from sharpen.recipes.settings import Answering, Positive
from sharpen.sample.directions import States, difference, random_like, shuffled, with_norm
from sharpen.sample.law import SamplingLaw
from sharpen.select.pairs import Pair, efficiency_pairs
from sharpen.verbs.trials import POOLS, Trial

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Made, Run
    from sharpen.verbs.steering import PairStates

Row = dict[str, Any]


class Settings(Answering):
    """Settings of efficiency steering."""

    tasks: str = "chain:level=1"
    """Where questions come from: a family with its parameters (countdown:level=3), reasoning_gym:NAME, or a
    file (jsonl:PATH)."""
    template: Literal["auto", "chat", "plain"] = "chat"
    """How prompts are rendered: chat goes through the tokenizer's template, in which nano thinks; plain
    continues text."""
    verifier: str = "sharpen.score.thought:number_after"
    """Who judges: the number behind the thinking by default; source is the task source's own check; exact,
    number, choice, set, sequence and maths compare with the answer; code runs the task's tests;
    module:function is one of your own."""
    problems: Positive = 300
    """Training questions that are answered for pairs."""
    samples: Annotated[int, Field(ge=2)] = 16
    """Answers to each of them."""
    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Pairs whose shortest answer is longer than this share of the longest are left out."""
    pairs: Annotated[int, Field(ge=2)] = 100
    """Pairs that the directions are built from, the first ones."""
    held_pairs: Positive = 100
    """At most so many further pairs, on which the directions are tested."""
    pools: tuple[Literal["last", "mean_reasoning", "matched"], ...] = POOLS
    """Where in a trace states are taken: its last token, the mean over its reasoning, or the ends of as many
    first steps as both of a pair have."""
    layers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Blocks tried, from 0; none: those after a quarter, a half and three quarters of the depth."""
    strengths: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    """Lambdas tried, in units of the raw direction; only positive ones can be chosen, negative ones test the
    sign."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.01
    """How much lower than unsteered the accuracy of a choice may be on the dev questions."""
    dev: Positive = 64
    """Dev questions, which choose pool, layer and strength."""
    dev_samples: Positive = 4
    """Answers to each of them."""
    test: Positive = 256
    """Test questions, asked once, at the end."""
    test_samples: Positive = 8
    """Answers to each of them."""
    test_temperature: Annotated[float, Field(ge=0)] = 0.6
    """Sampling temperature of the answers to dev and test questions."""
    test_top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Nucleus of the answers to dev and test questions."""
    max_new_tokens: Positive = 256
    """Longest answer, in tokens."""

    TINY: ClassVar[Mapping[str, Any]] = {
        "problems": 40,
        "samples": 6,
        "max_ratio": 1.0,
        "pairs": 6,
        "layers": [2],
        "strengths": [-1.0, 1.0],
        "tolerance": 1.0,
        "dev": 8,
        "dev_samples": 2,
        "test": 8,
        "test_samples": 2,
        "max_new_tokens": 48,
    }

    @field_validator("strengths")
    @classmethod
    def _positive(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if not any(s > 0 for s in strengths) or 0 in strengths:
            raise ValueError("at least one lambda above 0 is needed, and 0 is always measured")
        return strengths

    @property
    def trial_law(self) -> SamplingLaw:
        """How dev and test questions are answered."""
        return SamplingLaw(temperature=self.test_temperature, top_p=self.test_top_p)

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        points = len(self.pools) * (len(self.layers) or 3) * len(self.strengths)
        collected = self.problems * self.samples
        dev = (1 + points + 2 * len(self.strengths)) * self.dev * self.dev_samples
        test = 4 * self.test * self.test_samples
        total = collected + dev + test
        return {
            "points": points,
            "samples_collected": collected,
            "samples_dev": dev,
            "samples_test": test,
            "samples": total,
            "tokens": total * self.max_new_tokens,
        }


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.sample.policy import load_policy
    from sharpen.tasks.registry import make
    from sharpen.tasks.splits import assert_disjoint
    from sharpen.verbs.run import Made
    from sharpen.verbs.scoring import named

    if config.engine != "native":
        raise SharpenError(f"engine={config.engine} cannot steer: use engine=native")
    policy, source = load_policy(config.model), make(config.tasks)
    named(config.reward, source, seed=0)
    layers(policy, config)
    splits = {"train": config.problems, "dev": config.dev, "test": config.test}
    train, *held = (source.take(split, n) for split, n in splits.items())
    for tasks in held:
        assert_disjoint(train, tasks, source.canonical)
    return Made({config.model: policy}, {config.tasks: source})


def efficiency_steering(run: Run, config: Settings) -> None:
    """Run efficiency steering."""
    base = run.policy(config.model)
    groups, pairs, held = collect(run, base, config)
    states = run.states(base, groups, [*pairs, *held])
    built = range(len(pairs))
    directions = {pool: difference(states.of(pool, built)) for pool in config.pools}
    for pool in config.pools:
        for layer in layers(base, config):
            row = quality(groups, states, [*pairs, *held], len(pairs), directions, pool, layer)
            with run.scope(f"direction-{pool}-{layer}"):
                run.log("direction", row)
    source = run.source(config.tasks)
    on_dev = Trial(source.take("dev", config.dev), config.tasks, config.dev_samples,
                   config.trial_law, config.asking, config.reward)  # fmt: skip
    with run.scope("dev"):
        plain = run.trial(base, on_dev, about={"direction": "none", "strength": 0.0}, name="plain")
        points = [
            curve(run, base, on_dev, config, directions[pool][layer], ("steering", pool, layer))
            for pool in config.pools
            for layer in layers(base, config)
        ]
    best = choose([row for rows in points for row in rows], plain, config.tolerance)
    if best is None:
        run.log("chosen", {"found": False})
        run.warn(["no point of the curve shortens at equal accuracy on the dev questions: nothing is kept"])
        return
    pool, layer = best["pool"], best["layer"]
    kinds = controls(run, states, built, directions[pool], pool)
    with run.scope("controls"):
        for kind, vectors in kinds.items():
            curve(run, base, on_dev, config, vectors[layer], (kind, pool, layer))
    [swept] = [rows for rows in points if (rows[0]["pool"], rows[0]["layer"]) == (pool, layer)]
    lengths = {row["strength"]: row["length"] for row in [plain, *swept]}
    chosen = {k: best[k] for k in ("pool", "layer", "strength", "accuracy", "length")}
    run.log("chosen", {"found": True, **chosen, "reduction": reduction(best["length"], plain["length"]),
                       "monotone": monotone(lengths)})  # fmt: skip
    if not monotone(lengths):
        run.warn(["length does not fall steadily as lambda rises: see the curve"])
    tested = at_last(run, base, config, {"steering": directions[pool], **kinds}, best)
    final = run.steered(base, layer, directions[pool][layer], best["strength"])
    run.keep_steering(final, {"pool": pool, "pairs": len(pairs), **tested, "made by": "efficiency_steering"})


def collect(run: Run, base: Policy, config: Settings) -> tuple[Groups, list[Pair], list[Pair]]:
    """The base's own answers to training questions; pairs to build from, and further ones to test on."""
    tasks = run.source(config.tasks).take("train", config.problems)
    with run.scope("collect"):
        groups = run.sample(base, tasks, n=config.samples, law=config.law, asking=config.asking)
        groups = run.score(groups, config.reward, tasks=config.tasks, name="collected")
    answers = run.has_answer(config.reward, tasks=config.tasks)
    right = partial(sound, has_answer=answers)
    found = efficiency_pairs(groups, max_ratio=config.max_ratio, right=right)
    # where there are few, a quarter is still held out
    n = min(config.pairs, len(found) - len(found) // 4)
    room = inherent_efficiency(groups, right)
    run.log("inherent", {**room._asdict(), "pairs": len(found), "built_from": n})
    if n < 2:
        raise SharpenError(
            f"{len(found)} of {config.problems} questions have two right answers with a length ratio of "
            f"{config.max_ratio:g} or less: raise problems, samples or max_ratio"
        )
    return groups, found[:n], found[n : n + config.held_pairs]


def layers(policy: Policy, config: Settings) -> tuple[int, ...]:
    """The blocks that are tried. SharpenError for one that the model lacks."""
    n = int(policy.config.get_text_config().num_hidden_layers)
    if wrong := [layer for layer in config.layers if layer >= n]:
        raise SharpenError(f"layers: {wrong[0]}, model {config.model!r} has layers 0 to {n - 1}")
    return config.layers or tuple(dict.fromkeys((n // 4, n // 2, 3 * n // 4)))


def quality(
    groups: Groups,
    states: PairStates,
    pairs: Sequence[Pair],
    n: int,
    directions: Mapping[str, States],
    pool: str,
    layer: int,
) -> Row:
    """How good a direction is: its norm, how often it tells held-out pairs apart, and how alike directions
    are that were built from disjoint halves, from easy and hard questions, and in other pools. ``n``: the
    first pairs, which the direction is built from."""
    v = directions[pool][layer]
    right = [float(groups.columns[p.group].correct.mean()) for p in pairs[:n]]
    order = sorted(range(n), key=lambda i: (-right[i], i))
    halves = {"halves": (range(0, n, 2), range(1, n, 2)),
              "easy_hard": (sorted(order[: n // 2]), sorted(order[n // 2 :]))}  # fmt: skip
    row: Row = {"pool": pool, "layer": layer, "size": float(np.linalg.norm(v.astype(np.float64)))}
    for name, (a, b) in halves.items():
        ours = [difference(states.of(pool, half))[layer] for half in (a, b)]
        row[f"cosine_{name}"] = cosine(*ours)
    held = [(a[layer], b[layer]) for a, b in states.of(pool, range(n, len(pairs)))]
    row["held_pairs"] = len(held)
    short, long = (np.array([sides[k] for sides in held]) for k in (0, 1))
    row["sign_accuracy"] = sign_accuracy(short, long, v) if held else None
    others = {other: directions[other][layer] for other in directions if other != pool}
    return row | {f"cosine_{other}": cosine(v, u) for other, u in others.items()}


def controls(
    run: Run, states: PairStates, built: Sequence[int], direction: States, pool: str
) -> dict[str, States]:
    """Directions that should not work, of the same norms."""
    mixed = shuffled(states.of(pool, built), run.stream("shuffled", pool))
    return {
        "random": random_like(direction, run.stream("random", pool)),
        "shuffled": with_norm(mixed, direction),
    }


def curve(
    run: Run, base: Policy, on: Trial, config: Settings, vector: np.ndarray, place: tuple[str, str, int]
) -> list[Row]:
    """Accuracy and length at every strength."""
    kind, pool, layer = place
    rows = []
    for strength in config.strengths:
        about = {"direction": kind, "pool": pool, "layer": layer, "strength": strength}
        policy = run.steered(base, layer, vector, strength)
        rows.append(run.trial(policy, on, about=about, name=f"{kind}-{pool}-{layer}-{strength:g}"))
    return rows


def choose(rows: Sequence[Row], plain: Row, tolerance: float) -> Row | None:
    """The point with a positive lambda that is shortest among those whose accuracy is at most ``tolerance``
    below unsteered; of equal ones the weakest, then the first. None where none is shorter."""
    # a share of counts: rounding must not decide at the edge
    enough = plain["accuracy"] - tolerance - 1e-9
    fit = [r for r in rows if r["strength"] > 0 and r["accuracy"] >= enough and r["length"] < plain["length"]]
    return min(fit, key=lambda r: (r["length"], r["strength"]), default=None)


def at_last(run: Run, base: Policy, config: Settings, kinds: Mapping[str, States], best: Row) -> Row:
    """The test questions, once: unsteered, steered as chosen, and the controls at the same place."""
    tasks = run.source(config.tasks).take("test", config.test)
    on_test = Trial(tasks, config.tasks, config.test_samples, config.trial_law, config.asking, config.reward)
    with run.scope("test"):
        plain = run.trial(base, on_test, about={"direction": "none", "strength": 0.0}, name="plain")
        rows = {}
        for kind, vectors in kinds.items():
            about = {"direction": kind, **{k: best[k] for k in ("pool", "layer", "strength")}}
            policy = run.steered(base, best["layer"], vectors[best["layer"]], best["strength"])
            rows[kind] = run.trial(policy, on_test, about=about, name=kind)
    steered = rows["steering"]
    return {
        "test accuracy unsteered": plain["accuracy"],
        "test accuracy steered": steered["accuracy"],
        "test tokens unsteered": plain["length"],
        "test tokens steered": steered["length"],
        "test reduction": reduction(steered["length"], plain["length"]),
        "test degenerate steered": steered["degenerate"],
    }
