"""SELF, self-evolution with language feedback (arXiv 2310.00533).

A model first learns two skills from an annotator: to criticise its answer, and to refine it. Then it evolves
without labels: it answers new prompts, criticises and refines, keeps what it approves of, and the start model
is trained again on all that was kept. The skills also serve at inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sharpen.errors import SharpenError
from sharpen.learn.config import OptimizerConfig
from sharpen.measure.refinement import refinement_rates, verdict_quality
from sharpen.measure.strategies import strategy_items, strategy_metrics
from sharpen.recipes.settings import Count, Positive, Training, decaying
from sharpen.runs.streams import stream
from sharpen.sample.law import SamplingLaw
from sharpen.score.feedback import Annotator, Judgment
from sharpen.select.approved import Approved, Loop, Verdicts, approved, loops
from sharpen.select.novel import Novelty
from sharpen.strategies import strategy
from sharpen.strategies.ask import Budget
from sharpen.strategies.question import question_of
from sharpen.strategies.words import WORDS, Words
from sharpen.tasks.task import Task, hidden
from sharpen.verbs.asking import Questions

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.learn.state import TrainState
    from sharpen.sample.policy import Policy
    from sharpen.verbs.lessons import Lesson
    from sharpen.verbs.run import Made, Run
    from sharpen.verbs.solving import Solved

Weight = Annotated[float, Field(ge=0)]
REQUESTS = ("assess", "refine")


class Settings(Training):
    """Settings of SELF."""

    tasks: str = "countdown:level=3"
    """Where questions come from: countdown or chain with its parameters, whose solutions a program can
    criticise."""
    rounds: Count = 3
    """Rounds of evolution; 0 stops after the meta-skills."""
    teach: Literal["meta", "qa"] = "meta"
    """What is learnt before the first round: meta is feedback and refinement; qa, a baseline, the same
    refined answers alone."""
    lessons: Positive = 1536
    """Questions of the annotator (D_meta), which no round asks."""
    beta: Weight = 1.0
    """Weight of a lesson's refined answer as a plain answer; 0: feedback and refinement only."""
    alpha: Weight = 1.0
    """Weight of the lessons among what a round learns; 0 removes them."""
    pool: Positive = 4608
    """Distinct prompts; rounds walk through them, newly shuffled each time through."""
    queries: Positive = 1536
    """Prompts a round, without their answers."""
    samples: Annotated[int, Field(gt=0, le=1)] = 1
    """Answers a prompt."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature of answers and refinements; feedback is greedy."""
    refinements: Count = 1
    """Refinements of an answer at most (R); 0 accepts qualified first answers only."""
    verdicts: Verdicts = "own"
    """Who filters: own is the model's last verdict; as controls, shuffled permutes those of a round, gold
    asks the answers, random keeps as many first answers blindly, off keeps all."""
    strategy: Literal["restart", "mixed", "newest"] = "restart"
    """A round's training: restart trains the start model on lessons and all rounds' answers; mixed goes on
    from the last model on the same, newest on this round's answers alone."""
    prompts: Literal["procedural", "own"] = "procedural"
    """Prompts of later rounds: fresh questions of the source, or proposed by the model itself."""
    likeness: Annotated[float, Field(ge=0, le=1)] = 1.0
    """prompts=own: a prompt is dropped where its ROUGE-L against another is above this (Self-Instruct: 0.7);
    1 drops exact repeats alone, since questions of our families differ in few words."""
    shown: Positive = 8
    """prompts=own: questions in the list that the model continues."""
    steps: Positive = 900
    """Optimizer updates of each training."""
    batch_rows: Positive = 16
    """Rows per update."""
    optimizer: OptimizerConfig = decaying(900, lr=2e-3)
    """AdamW, begun anew in each training."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""
    max_new_tokens: Positive = 96
    """Longest answer or feedback, in tokens."""
    words: Literal["auto", "english", "nano-self"] = "auto"
    """How feedback and refinement are asked for; auto knows the shipped models."""
    inference: Count = 200
    """Held-out questions for each way of inference and for the quality of verdicts; 0: none."""
    votes: Positive = 5
    """Samples of self-consistency there."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **{k: v for k, v in Training.TINY.items() if k not in ("samples", "max_new_tokens")},
        "lessons": 8, "queries": 8, "steps": 3, "batch_rows": 8, "inference": 2, "votes": 2, "shown": 3,
    }  # fmt: skip

    @model_validator(mode="after")
    def _judges_what_it_learnt(self) -> Settings:
        if self.teach == "qa" and self.rounds and self.verdicts not in ("gold", "off"):
            raise ValueError(f"verdicts={self.verdicts} need feedback, which teach=qa does not teach")
        return self

    @property
    def questions(self) -> Questions:
        """The prompts of the rounds."""
        return Questions(self.tasks, self.pool, self.queries)

    def dialect(self) -> Words:
        """The words for the model."""
        known = "nano-self" if self.model.startswith("nano") else "english"
        return WORDS[known if self.words == "auto" else self.words]

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan; calls of strategies are told apart."""
        own = self.queries * max(0, self.rounds - 1) if self.prompts == "own" else 0
        return {"training": self.lessons + own}

    def calls(self) -> int:
        """Generations of evolution and of inference, at most."""
        evolving = self.rounds * self.queries * 2 * (1 + self.refinements)
        ends = 2 if self.rounds else 1
        return evolving + self.inference * ((1 + self.rounds) * 4 + ends * 4 * self.votes)

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return (1 + self.rounds) * self.steps

    def learnt(self) -> int:
        """Rows that the updates learn from, for the plan."""
        return self.updates() * self.batch_rows

    def plan(self) -> dict[str, Any]:
        """Derived numbers; tokens are upper bounds."""
        found = super().plan()
        found["calls"] = self.calls()
        found["tokens"] += self.calls() * self.max_new_tokens
        return found


def self_evolution(run: Run, config: Settings) -> None:
    """Run SELF."""
    from sharpen.verbs.lessons import direct_rows, meta_rows

    start = run.policy(config.model)
    run.measure(start, config.exam, asking=config.asking, reward=config.reward)
    taught = annotated(run, start, config)
    rows = meta_rows(taught, beta=config.beta) if config.teach == "meta" else direct_rows(taught)
    state = trained(run, run.learner(start, config.optimizer), rows, config, name=config.teach)
    inferred(run, start, config, "start", votes=False)
    inferred(run, state.policy, config, config.teach, votes=True)
    if config.teach == "meta":
        lessons = meta_rows(taught, beta=config.beta, alpha=config.alpha)
    else:
        lessons = direct_rows(taught, config.alpha)
    kept: list[list[Row]] = []
    asked: list[Task] = []
    for r in run.rounds(config.rounds):
        tasks = prompts(run, state.policy, config, asked)
        asked += tasks
        kept.append(evolved(run, state.policy, tasks, config))
        if config.strategy == "restart":
            state = run.learner(start, config.optimizer)
        else:
            state = state.fresh_optimizer()
        newest = config.strategy == "newest"
        rows = kept[-1] if newest else [*lessons, *(row for some in kept for row in some)]
        state = trained(run, state, rows, config)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
        inferred(run, state.policy, config, f"round {r}", votes=r == config.rounds)


def trained(
    run: Run, state: TrainState, rows: Sequence[Row], config: Settings, *, name: str = "learn"
) -> TrainState:
    """The state after one training."""
    return run.learn(state, rows, config.trained(config.steps, config.batch_rows), name=name)


def dealt(run: Run, config: Settings) -> tuple[list[Task], list[Task]]:
    """Training questions of the annotator, and of the rounds. They are dealt at random, since the later ones
    of a small split are not like the first."""
    tasks = run.source(config.tasks).take("train", config.lessons + config.pool)
    order = stream(run.seed, "dealt").generator().permutation(len(tasks))
    mixed = [tasks[int(i)] for i in order]
    return mixed[: config.lessons], mixed[config.lessons :]


# the two skills --------------------------------------------------------------------------------------
def annotated(run: Run, start: Policy, config: Settings) -> list[Lesson]:
    """D_meta: answers of the start model, criticised and mended by the program."""
    from sharpen.verbs.lessons import lessons

    source = run.source(config.tasks)
    with run.scope("lessons"):
        tasks = dealt(run, config)[0]
        groups = run.sample(start, tasks, n=1, law=config.law, asking=config.asking)
        found = lessons(start, groups, Annotator(source), config.dialect(), config.asking, run.stream("ways"))
        run.log("lessons", {"lessons": len(found), "qualified": sum(x.qualified for x in found) / len(found)})
    return found


# a round ---------------------------------------------------------------------------------------------
def prompts(run: Run, policy: Policy, config: Settings, asked: Sequence[Task]) -> list[Task]:
    """The round's prompts; the model's own may be fewer than ``queries``."""
    from sharpen.verbs.sampling import round_of

    seeds, pool = dealt(run, config)
    given = round_of(pool, config.queries, run.round, stream(run.seed, "questions"))
    if config.prompts == "procedural" or run.round == 1:
        return given
    from sharpen.verbs.inventing import Inventing, Reads, invent

    source = run.source(config.tasks)
    assert isinstance(source, Reads)
    how = Inventing(
        config.queries, config.shown, SamplingLaw(temperature=config.temperature), Novelty(config.likeness)
    )
    found, ledger = invent(run, policy, source, seeds, asked, run.held_out(config.exam), how)
    run.log("invented", ledger)
    if not found:
        run.warn([f"round {run.round}: the model proposed no new question, so the source's are asked"])
    return found[: config.queries] or given


def evolved(run: Run, policy: Policy, tasks: Sequence[Task], config: Settings) -> list[Row]:
    """D_self of a round as rows: what the model answers, criticises, refines and approves of. Gold is out of
    reach but for the control ``gold``, and for the numbers that ``told`` writes."""
    from sharpen.learn.rows import row_of_text
    from sharpen.verbs.sampling import prompt_of

    how = f"self_feedback:temperature=-1,rounds={config.refinements},recheck=true"
    solved = ask(run, policy, hidden(tasks), config, how)
    given = loops(solved.calls)
    right = judge(run, tasks, config)
    words = config.dialect()
    filtered = partial(
        approved, given, has_answer=run.has_answer(config.reward, tasks=config.tasks),
        requests=[words.prompt(role) for role in REQUESTS], stream=run.stream("filter"),
    )  # fmt: skip
    found = filtered(config.verdicts, right=right if config.verdicts == "gold" else None)
    told(run, given, found, right)
    rows = []
    for i, k in found.kept:
        episode = solved.calls[given[i].group].episodes[2 * k]
        prompt = prompt_of(policy, tasks[i], config.asking).tokens
        rows.append(row_of_text(prompt, episode.spans[-1].tokens, key=episode.key))
    return rows


def ask(run: Run, policy: Policy, tasks: Sequence[Task], config: Settings, name: str) -> Solved:
    """The tasks answered by a strategy."""
    from sharpen.verbs.solving import Means

    make = partial(question_of, run.source(config.tasks))
    means = Means(config.dialect(), config.law, Budget(), question=make)
    return run.solve(policy, tasks, strategy(name), asking=config.asking, means=means)


def judge(run: Run, tasks: Sequence[Task], config: Settings) -> Any:
    """Whether answer ``k`` of a loop is right, by the verifier: of measures, and of the upper bound."""
    from sharpen.verbs.scoring import judge_of

    verdict = judge_of(run, config.reward, config.tasks)

    def right(loop: Loop, k: int) -> bool:
        return verdict(tasks[loop.group], loop.answers[k]).correct

    return right


def told(run: Run, given: Sequence[Loop], found: Approved, right: Any) -> None:
    """The row ``evolution``, and warnings; here gold only measures."""
    first = [bool(x.answers) and right(x, 0) for x in given]
    kept = [right(given[i], k) for i, k in found.kept]
    said = [j for x in given for j in x.judgments]
    refined = [x for x in given if len(x.answers) > 1]
    row = {
        **found.ledger,
        "yield": len(kept) / len(given) if given else None,
        "purity": sum(kept) / len(kept) if kept else None,
        "first_accuracy": sum(first) / len(first) if first else None,
        "generations": sum(x.generations for x in given),
        "unparsable_feedback": said.count(Judgment.UNPARSABLE),
        "refined": len(refined),
        **refinement_rates([right(x, 0) for x in refined], [right(x, len(x.answers) - 1) for x in refined]),
        **_critic([(j, right(x, k)) for x in given for k, j in enumerate(x.judgments)]),
        "filter_inactive": bool(said) and all(j is Judgment.QUALIFIED for j in said),
    }
    run.log("evolution", row)
    if row["filter_inactive"]:
        run.warn([f"round {run.round}: every answer is judged qualified, so the filter is inactive"])
    if not kept:
        run.warn([f"round {run.round}: no answer is approved of, so the round adds nothing"])


def _critic(judged: Sequence[tuple[Judgment, bool]]) -> dict[str, float | None]:
    quality = verdict_quality([j for j, _ in judged], [r for _, r in judged])
    return {f"verdict_{name}": value for name, value in quality.items()}


# inference -------------------------------------------------------------------------------------------
def inferred(run: Run, policy: Policy, config: Settings, stage: str, *, votes: bool) -> None:
    """Held-out questions answered directly and with self-refinement (by vote too, where asked): rows
    ``inference`` with their cost, and the row ``critic`` with the quality of verdicts."""
    if not config.inference:
        return
    ways = ["greedy", "self_feedback"]
    if votes:
        n = config.votes
        ways += [f"self_consistency:samples={n}", f"self_feedback:samples={n},temperature=-1"]
    tasks = run.held_out(replace(config.exam, n=config.inference))
    right = judge(run, tasks, config)
    with run.scope(f"inference {stage}"):
        for name in ways:
            with run.scope(name.replace(":", " ")):
                solved = ask(run, policy, tasks, config, name)
                judged = run.score(
                    solved.groups, config.reward, tasks=config.tasks, name="answers", tell=False
                )
                row = strategy_metrics(strategy_items(solved.rows, judged), solved.result)
                run.log("inference", {"stage": stage, "strategy": name, **row})
                if name == "self_feedback":
                    given = loops(solved.calls)
                    refined = [x for x in given if len(x.answers) > 1]
                    before, after = ([right(x, k) for x in refined] for k in (0, 1))
                    critic = _critic([(x.judgments[0], right(x, 0)) for x in given if x.judgments])
                    run.log("critic", {"stage": stage, **critic, **refinement_rates(before, after)})


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.recipes.execute import check as usual
    from sharpen.verbs.inventing import Reads

    made = usual(config)
    source = made.sources[config.tasks]
    Annotator(source)
    source.take("train", config.lessons + config.pool)
    source.take(config.held_out_split, config.inference)
    if config.prompts == "own" and not isinstance(source, Reads):
        raise SharpenError(f"prompts=own: {source.name!r} does not read questions")
    return made
