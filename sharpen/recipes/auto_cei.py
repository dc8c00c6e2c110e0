"""Auto-CEI, automatic curriculum expert iteration (arXiv 2410.07627): answer, or say that you cannot.

A right answer is worth 1, a wrong one -1, and "I don't know" the more the longer it was reasoned about:
nothing at c1 steps. Expert iteration learns what was right, and refusals; a hill climb moves c1 to where
precision and the share answered are best together on validation questions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sharpen.errors import SharpenError
from sharpen.learn.config import LearnConfig, OptimizerConfig, decaying
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.recipes.settings import Positive, Training
from sharpen.sample.law import SamplingLaw
from sharpen.score.refusal import PHRASES, Refusals, replies
from sharpen.score.refusal_reward import Rule, Scale, rewarded, scale
from sharpen.select.controls import gold_only
from sharpen.select.curriculum import Climb, Curriculum, offsets
from sharpen.select.preferences import by_score
from sharpen.select.r_tuning import r_tuned
from sharpen.select.resampling import NONE, all_refused, resampled
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Reward

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy
    from sharpen.score.group import Groups
    from sharpen.verbs.refusing import Examined, Inquiry
    from sharpen.verbs.run import Made, Run

Share = Annotated[float, Field(ge=0, le=1)]
GIVEN_UP = 0.95


class Supervised(BaseModel):
    """Supervised learning from worked solutions, before anything is sampled."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tasks: str = ""
    """Where the solutions come from; "" is where the questions do."""
    questions: Positive = 3000
    """Questions with a worked solution, from the split that nothing else uses."""
    steps: Positive = 240
    """Optimizer updates."""
    lr: Annotated[float, Field(ge=0)] = 2e-3
    """Highest learning rate."""


class Settings(Training):
    """Settings of Auto-CEI."""

    variant: Literal["auto_cei", "ei", "ei_r_tuning", "r_tuning", "rlkf", "sft"] = "auto_cei"
    """auto_cei is the method; its baselines: ei is expert iteration that cannot refuse, ei_r_tuning that and
    R-Tuning once at its end, r_tuning stops after the R-tuned start, sft before it; rlkf is DPO from the
    R-tuned start, right answers preferred to refusals and these to wrong ones."""
    preference: PreferenceConfig = PreferenceConfig(kind="dpo", beta=0.1)
    """variant=rlkf: the loss."""
    preference_lr: Annotated[float, Field(ge=0)] = 5e-5
    """variant=rlkf: highest learning rate."""
    per_query: Positive = 4
    """variant=rlkf: pairs of a question, at most."""
    curriculum: Curriculum = "auto"
    """auto climbs; fixed leaves c1 where it starts, random_walk moves it up or down by chance, both until all
    rounds are used up."""
    refusal_reward: Literal["length", "constant", "shuffled"] = "length"
    """What a refusal is worth: length by its own steps, constant 0, shuffled by another refusal's."""
    tasks: str = "order:level=1,min_letters=2,max_letters=6"
    """Where questions come from: a family with its parameters, reasoning_gym:NAME, or a file (jsonl:PATH)."""
    rounds: Positive = 12
    """Rounds of expert iteration at most, of all values of c1 together."""
    per_c1: Positive = 2
    """Rounds at one c1, at most."""
    tolerance: Share = 0.003
    """Fewer, where a round moves neither precision nor the share of refusals by as much."""
    pool: Positive = 3600
    """Distinct training questions; rounds walk through them, newly shuffled each time through."""
    queries: Positive = 300
    """Questions attempted a round."""
    samples: Positive = 8
    """Attempts a question (the paper: 16)."""
    max_new_tokens: Positive = 80
    """Longest attempt, in tokens."""
    phrases: tuple[str, ...] = PHRASES
    """A response with one of these refuses, in reward and evaluation alike."""
    sentence: str = "Sorry, I don't know."
    """What R-Tuning says instead of a wrong answer."""
    steps_by: Literal["lines", "sentences"] = "lines"
    """What is a step of reasoning: a line, or a sentence that ends its line."""
    lam: Share = 0.2
    """The weight of answering at all: f = (1 - lam) precision + lam (1 - share of refusals)."""
    start: Literal["refusals", "mean"] = "refusals"
    """The first c1: d above the mean steps of the R-tuned policy's refusals (the released code), or the
    mean of all its responses (the paper)."""
    move: Annotated[float, Field(ge=0)] = 0.0
    """d, how far the climb moves c1 at once; 0: a fifth of the steps' standard deviation, a half at most."""
    tau: float | None = None
    """Temperature of the resampling; none: the fine-tuned policy's validation precision within tau_range; -1:
    no resampling."""
    tau_range: tuple[float, float] = (0.4, 0.7)
    """The paper's limits of tau; the released code has none."""
    drop_negative_idk: bool = False
    """Leave out refusals that are worth less than 0. Else each is learnt once."""
    dedup: bool = False
    """Equal attempts at a question count once before they are drawn."""
    supervised: Supervised = Supervised()
    """What makes the model that samples first."""
    restart: Literal["sft", "base"] = "sft"
    """What R-Tuning and every round train: base, as in the paper, where the base can do the task; or sft, the
    fine-tuned one, where it cannot and would not regain it from a round's samples."""
    steps: Positive = 40
    """Optimizer updates a round, from the same weights each time."""
    batch_rows: Positive = 64
    """Attempts per optimizer update."""
    optimizer: OptimizerConfig = decaying(40, 1e-3)
    """AdamW and its schedule, new in every round."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""
    validation: Positive = 300
    """Questions of the dev split, answered greedily: constants, climb and choice of policy rest on them."""
    held_out: Positive = 500
    """Held-out questions, never trained on nor searched by; answered before all else and at the end."""
    forced: str = "Answer: "
    """What a refusal's reasoning is continued by at the end, to see what it would have answered; "": not."""
    depth: str = "clues"
    """Which field of a question's data tells how many steps it needs: a number, or a list that counts."""

    TINY: ClassVar[Mapping[str, Any]] = {
        **Training.TINY, "per_c1": 1, "tolerance": 0.0, "validation": 12, "steps": 3, "batch_rows": 8,
        "supervised": {"questions": 16, "steps": 3},
    }  # fmt: skip

    @field_validator("tau")
    @classmethod
    def _positive(cls, tau: float | None) -> float | None:
        if tau is not None and tau != NONE and not tau > 0:
            raise ValueError(f"tau={tau} must be above 0, -1 (no resampling) or none (from precision)")
        return tau

    @field_validator("tau_range")
    @classmethod
    def _ordered(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not 0 < limits[0] <= limits[1]:
            raise ValueError(f"tau_range={list(limits)} must be two numbers above 0, the lower one first")
        return limits

    @model_validator(mode="after")
    def _sentence_refuses(self) -> Settings:
        try:
            refuses = self.refusals.said(self.sentence)
        except SharpenError as e:
            raise ValueError(str(e)) from None
        if not refuses:
            raise ValueError(f"sentence={self.sentence!r} holds none of the phrases that refuse")
        return self

    @property
    def refusals(self) -> Refusals:
        """What a refusal is, and a step."""
        return Refusals(self.phrases, self.steps_by)

    @property
    def reward(self) -> Reward:
        """Who judges the attempts; a refusal is neither right nor unparsable."""
        return Reward(self.verifier, unsafe=self.unsafe_local_exec, refusals=self.refusals)

    @property
    def iterates(self) -> bool:
        """Whether there are rounds of expert iteration."""
        return self.variant in ("auto_cei", "ei", "ei_r_tuning")

    @property
    def rule(self) -> Rule:
        """How refusals are paid; where the method cannot refuse, as wrong answers."""
        return self.refusal_reward if self.variant == "auto_cei" else "none"

    def learning(self, steps: int = 0) -> LearnConfig:
        """How a round learns."""
        return self.trained(steps or self.steps, self.batch_rows)

    def temperature_of(self, precision: float | None) -> float:
        """tau, from the fine-tuned policy's precision where it is not set."""
        low, high = self.tau_range
        return self.tau if self.tau is not None else min(max(precision or 0.0, low), high)

    def scale_of(self, seen: Examined) -> Scale:
        """The scale of refusals, from a policy's validation responses."""
        found = scale(seen.replies.steps, seen.replies.refused, start=self.start)
        return replace(found, move=self.move) if self.move else found

    def learnings(self) -> int:
        """Trainings of the base, those on worked solutions aside."""
        tunings = self.variant in ("auto_cei", "ei_r_tuning", "r_tuning", "rlkf")
        return tunings + (self.variant == "rlkf") + self.rounds * self.iterates

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose, for the plan: at most."""
        return {"training": self.learnings() * self.queries * self.samples}

    def updates(self) -> int:
        """Optimizer updates, for the plan."""
        return self.supervised.steps + self.learnings() * self.steps

    def learnt(self) -> int:
        """Rows that the updates learn from, at most."""
        return self.updates() * self.batch_rows

    def exams(self) -> int:
        """How often the exam is sat."""
        return 2

    def plan(self) -> dict[str, Any]:
        """Derived numbers, at most."""
        found = super().plan()
        again = min(self.held_out_sampled, self.held_out) * self.held_out_samples
        more = (1 + self.learnings()) * self.validation + self.held_out + again
        more += (self.held_out + again) * bool(self.forced)
        found["samples_held_out"] += more
        found["samples"] += more
        found["tokens"] += more * self.max_new_tokens
        return found


def auto_cei(run: Run, config: Settings) -> None:
    """Run Auto-CEI."""
    base = run.policy(config.model)
    run.learner(base)
    run.measure(base, config.exam, asking=config.asking, reward=config.reward)
    with run.scope("sft"):
        policy = fine_tuned(run, base, config)
        seen = validated(run, policy, config, "sft")
    tau = config.temperature_of(seen.row["precision"])
    base = policy if config.restart == "sft" else base
    if config.variant in ("auto_cei", "r_tuning", "rlkf"):
        policy, seen = tuned(run, base, policy, config, "r_tuning")
    if config.iterates:
        policy = improved(run, Iteration(base, config, config.scale_of(seen), tau), policy, seen)
    if config.variant == "rlkf":
        policy = preferring(run, policy, config)
    if config.variant == "ei_r_tuning":
        policy, _ = tuned(run, base, policy, config, "r_tuning")
    with run.scope("final"):  # the one time that test questions meet a trained policy
        run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
        reliable(run, policy, config)


def fine_tuned(run: Run, base: Policy, config: Settings) -> Policy:
    """The base after it has learnt worked solutions of the split that nothing else uses."""
    s = config.supervised
    tasks = run.source(s.tasks or config.tasks).take("base", s.questions)
    chosen = gold_only(tasks, len(tasks), run.stream("gold"))
    start = run.learner(base, decaying(max(s.steps, 11), s.lr))
    return run.learn(start, chosen, config.learning(s.steps), asking=config.asking).policy


def tuned(run: Run, base: Policy, sampler: Policy, config: Settings, name: str) -> tuple[Policy, Examined]:
    """The base after R-Tuning on the samples of another policy, and how it did on validation questions."""
    with run.scope(name):
        groups = attempted(run, sampler, config)
        chosen = r_tuned(groups, config.sentence, config.refusals, prefill=config.prefill)
        state = run.learn(
            run.learner(base, config.optimizer), chosen, config.learning(), asking=config.asking
        )
        return state.policy, validated(run, state.policy, config, name)


def preferring(run: Run, policy: Policy, config: Settings) -> Policy:
    """The policy after DPO on its own attempts, worth 1 (right), 0 (refused) or -1 (wrong)."""
    from sharpen.verbs.learning import pair_rows

    with run.scope("rlkf"):
        groups = attempted(run, policy, config)
        said = replies(groups, config.refusals)
        paid = rewarded(groups, said, 0.0, 0.0, rule="constant", stream=run.stream("none"))
        pairs = by_score(paid, run.stream("pairs"), per_query=config.per_query)
        run.log("pairs", pairs.ledger)
        rows = run.annotate(policy, pair_rows(policy, pairs, config.asking), law=SamplingLaw())
        state = run.learner(policy, OptimizerConfig(lr=config.preference_lr, warmup_steps=10))
        policy = run.learn(state, rows, config.learning(), objective=Preference(config.preference)).policy
        validated(run, policy, config, "rlkf")
        return policy


def attempted(run: Run, policy: Policy, config: Settings) -> Groups:
    """A round's judged attempts."""
    groups = run.sample(policy, config.questions, n=config.samples, law=config.law, asking=config.asking)
    return run.score(groups, config.reward, tasks=config.tasks)


# expert iteration, and the climb -----------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Iteration:
    """What all rounds of expert iteration have in common."""

    base: Policy
    config: Settings
    scale: Scale
    tau: float


@dataclass(frozen=True, slots=True)
class Found:
    """A policy and its validation."""

    policy: Policy
    seen: Examined

    @property
    def f(self) -> float:
        """What the climb maximises."""
        return float(self.seen.row["f"])


def improved(run: Run, it: Iteration, start: Policy, seen: Examined) -> Policy:
    """The policy of the highest validation f over all rounds at all values of c1."""
    config, rounds = it.config, cast("Generator[int]", run.rounds(it.config.rounds))
    climb = Climb(*it.scale.offsets)
    told = {"mu": it.scale.mean, "sigma": it.scale.deviation, "d": it.scale.move, "c2": it.scale.slope}
    run.log("scale", {**told, "c1": it.scale.start, "tau": it.tau, "low": climb.low, "high": climb.high})
    sampler, best = Found(start, seen), None
    curriculum = config.curriculum if config.variant == "auto_cei" else "fixed"
    for offset in offsets(curriculum, climb, run.stream("walk")):
        found = expert_iteration(run, it, offset, sampler, islice(rounds, config.per_c1))
        if found is None:  # all rounds are used up
            break
        climb.tell(offset, found.f)
        if best is None or found.f > best.f:
            best = found
            run.hold(best.policy)
        run.log("climb", {"offset": offset, "c1": it.scale.c1(offset), "f": found.f, "best": climb.best})
        sampler = best
    rounds.close()
    return best.policy if best else start


def expert_iteration(
    run: Run, it: Iteration, offset: int, sampler: Found, rounds: Iterator[int]
) -> Found | None:
    """EI(c1): rounds of sampling from the last policy and training the base anew, until precision and
    refusals stay. The round of the highest f; None without a round."""
    config, best, last = it.config, None, sampler
    for _ in rounds:
        groups = attempted(run, last.policy, config)
        c1, said = it.scale.c1(offset), replies(groups, config.refusals)
        paid = rewarded(groups, said, c1, it.scale.slope, rule=config.rule, stream=run.stream("shuffled"))
        chosen = resampled(
            paid, it.tau, run.stream("resampled"),
            drop_negative_idk=config.drop_negative_idk, dedup=config.dedup,
        )  # fmt: skip
        given_up = all_refused(paid.columns)
        run.log("attempts", {
            "offset": offset, "c1": c1, "correct": float(said.correct.mean()),
            "idk": float(said.refused.mean()), "all_refused": given_up, "learnt": len(chosen),
            "learnt_refusals": sum(not i.correct for i in chosen), **chosen.ledger,
        })  # fmt: skip
        if given_up > GIVEN_UP:
            run.warn([f"round {run.round}: {100 * given_up:.0f} % of the questions are always refused"])
        start = run.learner(it.base, config.optimizer)
        state = run.learn(start, chosen, config.learning(), asking=config.asking)
        policy = state.policy if state.step else last.policy  # what selects nothing changes nothing
        now = Found(policy, validated(run, policy, config, "validation", {"offset": offset, "c1": c1}))
        best = now if best is None or now.f > best.f else best
        still = settled(last.seen.row, now.seen.row, config.tolerance)
        last = now
        if still:
            break
    return best


def settled(before: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> bool:
    """Whether neither precision nor the share of refusals has moved by ``tolerance``."""
    sides = [((row["precision"] or 0.0), row["idk"]) for row in (before, now)]
    return all(abs(a - b) < tolerance for a, b in zip(*sides, strict=True))


# what it is judged by ----------------------------------------------------------------------------------
def validated(
    run: Run, policy: Policy, config: Settings, of: str, about: Mapping[str, Any] | None = None
) -> Examined:
    """A policy's greedy answers to the validation questions."""
    from sharpen.verbs.refusing import examine

    what = inquiry(run, config, "dev", config.validation)
    return examine(run, policy, what, about={"of": of, **(about or {})}, name="validation")


def reliable(run: Run, policy: Policy, config: Settings) -> Examined:
    """The final policy's answers to held-out questions, refusals answered by force."""
    from sharpen.verbs.refusing import examine

    what = inquiry(run, config, config.held_out_split, config.held_out)
    some = min(config.held_out_sampled, config.held_out)
    what = replace(what, opening=config.forced, sampled=some, by_length=True)
    with run.scope("answers"), run.scope("held_out"):
        return examine(run, policy, what, about={"of": config.variant}, name="reliability")


def inquiry(run: Run, config: Settings, split: str, n: int) -> Inquiry:
    """Questions that may be declined."""
    from sharpen.verbs.refusing import Inquiry
    from sharpen.verbs.trials import Trial

    tasks = run.source(config.tasks).take(split, n)
    trial = Trial(tasks, config.tasks, config.held_out_samples, config.law, config.asking, config.reward)
    return Inquiry(trial, config.refusals, config.lam, depth=config.depth)


def check(config: Settings) -> Made:
    """What can be wrong is found before anything is written."""
    from sharpen.recipes.execute import check as usual

    made = usual(config)
    source = made.sources[config.tasks]
    source.take("dev", config.validation)
    s = config.supervised
    worked = make(s.tasks) if s.tasks else source
    if not any(t.solution for t in worked.take("base", s.questions)):
        raise SharpenError(f"supervised: {s.tasks or config.tasks} has no worked solutions")
    return made
