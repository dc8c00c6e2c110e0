"""Self-rationalization: a judge improves by DPO on its own judgments (arXiv 2410.05495).

A seed judge learns to write reasons and a score. It judges each item many times; judgments that meet the gold
score are preferred to those that miss it, and DPO learns that on the whole text, reasons and score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import SharpenError
from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.recipes.settings import Count, Positive, Training
from sharpen.runs.streams import stream
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.score.group import Groups
from sharpen.select.judgments import Judged, Paired, Pairing, paired
from sharpen.tasks.ratings import MARKER
from sharpen.tasks.rubric import Rubric, score_prompt
from sharpen.tasks.splits import prompt_text
from sharpen.tasks.task import Task, hidden

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.sample.policy import Policy
    from sharpen.verbs.run import Made, Run

Share = Annotated[float, Field(ge=0, le=1)]

BLIND: tuple[Pairing, ...] = ("majority", "meta", "random")
"""Ways to pair that never see the gold score."""
BIAS = 0.5
"""Chosen judgments that score higher than rejected ones by more than this on average raise a warning."""


class Seed(BaseModel):
    """The seed judge: supervised learning of reasons and scores."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["joint", "merged", "pointwise"] = "joint"
    """joint: one judge learns scores and comparisons; merged: one learns scores, another comparisons, and
    their weights are averaged; pointwise: scores alone."""
    noise: Share = 0.1
    """Share of the judgments of lines that are turned round before they are learnt; scores stay right."""
    bare: Share = 0.2
    """Share of items whose score is learnt without reasons, so that the judge can be asked for it."""
    steps: Count = 800
    """Optimizer updates of each; 0: the model is a judge already."""
    batch_rows: Positive = 32
    """Judgments per update."""
    lr: Annotated[float, Field(ge=0)] = 2e-3
    """Highest learning rate."""


class Settings(Training):
    """Settings of self-rationalization."""

    tasks: str = (
        "grading:level=2,criteria=sums+units+labels+order+sums-units+labels-order+sums-order+units-labels"
    )
    """What is judged: a source whose answers are scores from 1 to 5, such as rubric:FILE."""
    unseen: str = "grading:level=2,criteria=sums-labels+units-order"
    """Criteria that nothing is trained on, for measurement; "" for none."""
    comparisons: str = (
        "grading:level=2,pairs=true,"
        "criteria=sums+units+labels+order+sums-units+labels-order+sums-order+units-labels"
    )
    """Pairs for the seed judge's other half, and for measurement."""
    pool: Positive = 8000
    """Items with worked judgments, which the seed judge learns from; rounds judge them anew."""
    seed_judge: Seed = Seed()
    """How the seed judge is made."""
    rounds: Count = 2
    """Iterations of judging and DPO; 0: the seed judge alone."""
    queries: Positive = 4000
    """Items of the first round, of those that the seed judge learnt from."""
    later: Positive = 500
    """Items of each later round."""
    samples: Annotated[int, Field(gt=1)] = 8
    """Judgments of each item (N)."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """They are sampled from the likeliest tokens of this mass."""
    pairing: Pairing = "gold"
    """Which judgments are preferred: gold meets the gold score and the other misses it by the margin;
    majority puts the most frequent score in its place, meta the ratings of a meta-judge (both see no gold);
    as controls, swapped turns gold's pairs round, and random takes any two."""
    meta: str = ""
    """The meta-judge: a model by name or folder; "" is the judge itself."""
    margin: Positive = 2
    """By how much a rejected score misses (pairing=gold or majority)."""
    per_item: Positive = 4
    """Pairs of an item, at most."""
    learns: Literal["dpo", "chosen", "right"] = "dpo"
    """dpo learns the preference; as baselines, chosen learns the preferred judgments of the same pairs by
    supervised learning, and right one judgment of each item that meets the gold score (best of N)."""
    reasons: bool = True
    """Judgments have reasons; false: scores alone are sampled, paired and learnt."""
    preference: PreferenceConfig = PreferenceConfig(kind="dpo", beta=0.5)
    """The loss on pairs."""
    steps: Positive = 75
    """Optimizer updates of the first round."""
    later_steps: Positive = 15
    """Of each later round."""
    batch_rows: Positive = 128
    """Judgments per update; a pair is two."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-5, warmup_steps=10)
    """AdamW, begun anew in each round."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""
    max_new_tokens: Positive = 96
    """Longest judgment, in tokens."""
    template: Literal["auto", "chat", "plain"] = "auto"
    """How prompts are rendered: chat goes through the tokenizer's template, plain continues text."""
    judged: Count = 400
    """Held-out items, and as many pairs, that each judge is tried on; as many again of unseen criteria."""
    votes: Count = 8
    """Judgments of each for the vote (self-consistency); 0: no vote."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **Training.TINY, "queries": 8, "later": 4, "steps": 2, "later_steps": 1, "batch_rows": 8, "judged": 6,
        "votes": 3, "margin": 1, "max_new_tokens": 3, "reasons": False, "prefill": "[RESULT] ",
        "seed_judge": {"kind": "pointwise", "steps": 8, "batch_rows": 16, "bare": 1, "lr": 0.004},
    }  # fmt: skip

    @property
    def law(self) -> SamplingLaw:
        """How judgments are sampled."""
        return SamplingLaw(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)

    def asked(self, r: int) -> int:
        """Items of round ``r``."""
        return self.queries if r == 1 else self.later

    def sampled(self) -> dict[str, int]:
        """Judgments by purpose, for the plan."""
        items = sum(self.asked(r + 1) for r in range(self.rounds))
        found = {"training": items * self.samples}
        return found | ({"ratings": items * self.samples} if self.pairing == "meta" else {})

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        own = sum(self.steps if not r else self.later_steps for r in range(self.rounds))
        return own + self.seed_judge.steps * (1 + (self.seed_judge.kind == "merged"))

    def learnt(self) -> int:
        """Rows that the updates learn from, for the plan."""
        own = sum(self.steps if not r else self.later_steps for r in range(self.rounds))
        seeds = self.seed_judge.steps * (1 + (self.seed_judge.kind == "merged"))
        return own * self.batch_rows + seeds * self.seed_judge.batch_rows

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        found = super().plan()
        # greedily, for the vote, bare, behind others' reasons where there are any, each side and both orders
        each = 1 + self.votes + 1 + (MARKER not in self.prefill) + 4 * bool(self.comparisons)
        tried = (1 + self.rounds) * (1 + bool(self.unseen)) * self.judged * each
        found["samples_held_out"] += tried
        found["samples"] += tried
        found["tokens"] += tried * self.max_new_tokens
        return found


def self_rationalization(run: Run, config: Settings) -> None:
    """Run self-rationalization."""
    judge = seeded(run, run.policy(config.model), config)
    meta = run.policy(config.meta) if config.meta else None
    run.measure(judge, config.exam, asking=config.asking, reward=config.reward)
    tried(run, judge, config)
    for r in run.rounds(config.rounds):
        tasks = items(run, config)
        groups = run.sample(judge, tasks, n=config.samples, law=config.law, asking=config.asking)
        rows = preferred_rows(groups, pairs(run, judge, meta, groups, config), config)
        if not rows:
            run.warn([f"round {r}: no two judgments can be paired, so the judge stays as it is"])
            break
        state = run.learner(judge, config.optimizer)
        learning = config.trained(config.steps if r == 1 else config.later_steps, config.batch_rows)
        if config.learns == "dpo":
            rows = run.annotate(judge, rows, law=SamplingLaw())
            state = run.learn(state, rows, learning, objective=Preference(config.preference))
        else:
            state = run.learn(state, rows, learning)
        judge = state.policy
        run.measure(judge, config.exam, asking=config.asking, reward=config.reward)
        tried(run, judge, config)


# the seed judge --------------------------------------------------------------------------------------
def seeded(run: Run, start: Policy, config: Settings) -> Policy:
    """The seed judge."""
    seed = config.seed_judge
    if not seed.steps:
        return start
    with run.scope("seed"):
        kinds = {"scores": config.tasks, "choices": config.comparisons}
        if seed.kind == "pointwise":
            del kinds["choices"]
        rows = {name: worked(run, start, tasks, name, config) for name, tasks in kinds.items()}
        if seed.kind == "joint":
            rows = {"both": [row for some in rows.values() for row in some]}
        falling = decaying(max(seed.steps, 11), seed.lr)
        learning = config.trained(seed.steps, seed.batch_rows).model_copy(update={"optimizer": falling})
        found = [run.learn(run.learner(start), some, learning, name=n).policy for n, some in rows.items()]
        return run.merge(found) if len(found) > 1 else found[0]


def worked(run: Run, start: Policy, tasks: str, name: str, config: Settings) -> list[Row]:
    """Worked judgments of a source's items as rows, some of their lines turned round."""
    from sharpen.learn.rows import row_of_text
    from sharpen.verbs.judging import Judgeable
    from sharpen.verbs.sampling import prompt_of

    source, seed = run.source(tasks), config.seed_judge
    rng, rows = run.stream("noise", name).generator(), []
    for task in source.take("train", config.pool):
        asked = source.bare(task) if rng.random() < seed.bare and isinstance(source, Judgeable) else task
        text = noisy(asked.solution or "", seed.noise, rng).removeprefix(config.prefill)
        ids: Any = start.tokenizer.encode(text, add_special_tokens=False)
        prompt = prompt_of(start, asked, config.asking).tokens
        rows.append(row_of_text(prompt, ids, key=asked.id, eos_id=start.eos_ids[0]))
    return rows


def noisy(solution: str, noise: float, rng: np.random.Generator) -> str:
    """The judgment with lines turned round, ``ok`` for ``bad`` and ``bad`` for ``ok``, each with this
    probability; its verdict stays."""
    *lines, verdict = solution.split("\n")
    turned = {"ok": "bad", "bad": "ok"}
    told = []
    for line in lines:
        head, _, word = line.rpartition(" ")
        told.append(f"{head} {turned[word]}" if word in turned and rng.random() < noise else line)
    return "\n".join([*told, verdict])


# a round ---------------------------------------------------------------------------------------------
def items(run: Run, config: Settings) -> list[Task]:
    """This round's items, of those that the seed judge learnt from; their gold out of reach where no rule may
    see it."""
    from sharpen.verbs.judging import Judgeable

    source = run.source(config.tasks)
    pool = source.take("train", config.pool)
    order = stream(run.seed, "items").generator().permutation(len(pool))
    start = sum(config.asked(r) for r in range(1, run.round))
    tasks = [pool[int(order[i % len(pool)])] for i in range(start, start + config.asked(run.round))]
    if not config.reasons:
        assert isinstance(source, Judgeable)
        tasks = [source.bare(task) for task in tasks]
    return hidden(tasks) if config.pairing in BLIND and config.learns != "right" else tasks


def pairs(run: Run, judge: Policy, meta: Policy | None, groups: Groups, config: Settings) -> Paired:
    """Which judgments of each item are preferred to which; the row ``pairs``."""
    from sharpen.verbs.judging import scores_of

    scores, blind = scores_of(groups), config.pairing in BLIND
    ratings = rated(run, meta or judge, groups, config) if config.pairing == "meta" else None
    given = [
        Judged(c.task.id, said, c.texts, None if blind else int(c.task.answer), ratings[g] if ratings else ())
        for g, (c, said) in enumerate(zip(groups.columns, scores, strict=True))
    ]
    found = paired(config.pairing, given, run.stream("pairs"), margin=config.margin, most=config.per_item)
    sides = [[scores[g][side[k]] for g, *side in found.pairs] for k in (0, 1)]
    means = [float(np.mean([s for s in some if s is not None])) if some else None for some in sides]
    flat = [s for said in scores for s in said]
    row = {**found.ledger, "unread_share": flat.count(None) / len(flat), "chosen_score": means[0],
           "rejected_score": means[1]}  # fmt: skip
    if ratings is not None:
        row["unrated"] = sum(r is None for some in ratings for r in some)
    run.log("pairs", row)
    if row.get("unrated", 0) > len(flat) / 2:
        share = row["unrated"] / len(flat)
        run.warn([f"round {run.round}: {share:.0%} of the meta-judge's ratings cannot be read"])
    high = means[0] is not None and means[1] is not None and means[0] - means[1] > BIAS
    if high and config.pairing == "meta":
        run.warn(
            [f"round {run.round}: the meta-judge prefers high scores ({means[0]:.1f} to {means[1]:.1f})"]
        )
    return found


def rated(run: Run, meta: Policy, groups: Groups, config: Settings) -> list[list[int | None]]:
    """A meta-judge's rating of each judgment, greedy; None where none can be read, or it did not end."""
    from sharpen.verbs.judging import Planted, scores_of

    own = isinstance(run.source(config.tasks), Planted)
    tasks = [
        Task(f"{c.task.id}/judgment-{k}", meta_prompt(c.task, text, own=own), "", {})
        for c in groups.columns
        for k, text in enumerate(c.texts)
    ]
    given = run.sample(meta, tasks, n=1, law=GREEDY, asking=config.asking, name="ratings")
    told = iter(said[0] for said in scores_of(given))
    return [[next(told) for _ in c.texts] for c in groups.columns]


def meta_prompt(task: Task, judgment: str, *, own: bool) -> str:
    """Asks how good a judgment is: in English, or in the ``own`` words of items that are not put in any."""
    asked = prompt_text(task.prompt)
    if own:
        return f"{asked}{judgment}\n{asked}"
    rubric = Rubric("Does the feedback find what is wrong and nothing else, and does its score follow?")
    return score_prompt(asked, judgment, rubric)


def preferred_rows(groups: Groups, found: Paired, config: Settings) -> list[Row]:
    """What is learnt: two rows a pair, or what a baseline learns in their place."""
    from sharpen.learn.rows import row_of
    from sharpen.verbs.judging import scores_of

    if config.learns == "right":
        rows = []
        for group, said in zip(groups, scores_of(groups), strict=True):
            met = [k for k, s in enumerate(said) if s == int(group.task.answer)]
            rows += [row_of(group.episodes[k]) for k in met[:1]]
        return rows
    if config.learns == "chosen":
        return [row_of(groups[g].episodes[i]) for g, i, _ in found.pairs]
    rows = []
    for n, (g, *sides) in enumerate(found.pairs):
        for k, preferred in zip(sides, (1.0, 0.0), strict=True):
            scalars = {"preferred": preferred, "reward": preferred}
            rows.append(replace(row_of(groups[g].episodes[k]), unit=f"pair-{n}", scalars=scalars))
    return rows


# what comes of it ------------------------------------------------------------------------------------
def tried(run: Run, judge: Policy, config: Settings) -> None:
    """The rows of ``sharpen.verbs.judging`` on held-out items: of criteria that were trained on, and not."""
    from sharpen.verbs.judging import Bench, try_judge

    if not config.judged:
        return
    for on, tasks in (("seen", config.tasks), ("unseen", config.unseen)):
        if not tasks:
            continue
        source, compared = run.source(tasks), paired_with(tasks, config)
        held_out = source.take(config.held_out_split, config.judged)
        others = run.source(compared).take(config.held_out_split, config.judged) if compared else ()
        pairs = run.source(compared) if compared else None
        bench = Bench(source, held_out, config.asking, config.law, config.votes, others, pairs)
        try_judge(run, judge, bench, about={"on": on}, name=f"judge-{on}")


def paired_with(tasks: str, config: Settings) -> str:
    """The source of pairs that goes with a source of items: by the same criteria; "" for none."""
    from sharpen.tasks.registry import FAMILIES

    if not config.comparisons or tasks == config.tasks:
        return config.comparisons
    return f"{tasks},pairs=true" if tasks.partition(":")[0] in FAMILIES else ""


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.recipes.execute import check as usual
    from sharpen.sample.policy import load_policy
    from sharpen.tasks.registry import make
    from sharpen.verbs.judging import Judgeable

    made = usual(config)
    source, seed = made.sources[config.tasks], config.seed_judge
    taken = source.take("train", config.pool)
    _scored(config.tasks, [*taken, *source.take(config.held_out_split, config.judged)])
    if seed.steps and taken[0].solution is None:
        raise SharpenError(
            f"tasks={config.tasks} has no worked judgments; a model that can judge: seed_judge.steps=0"
        )
    if not config.reasons and not isinstance(source, Judgeable):
        raise SharpenError(f"reasons=false: {config.tasks} does not say how a score alone is asked for")
    if config.meta:
        made.policies[config.meta] = load_policy(config.meta)
    if config.unseen:
        made.sources[config.unseen] = make(config.unseen)
        _scored(config.unseen, made.sources[config.unseen].take(config.held_out_split, config.judged))
    for tasks in filter(None, (config.tasks, config.unseen)):
        if compared := paired_with(tasks, config):
            made.sources[compared] = make(compared)
            made.sources[compared].take(config.held_out_split, config.judged)
    return made


def _scored(name: str, tasks: Sequence[Task]) -> None:
    """Raises SharpenError where an answer is no score."""
    for task in tasks:
        if task.answer not in set("12345"):
            raise SharpenError(
                f"{name}: answers should be scores from 1 to 5, that of {task.id} is {task.answer!r}"
            )
