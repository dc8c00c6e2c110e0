"""B-STaR (arXiv 2412.17256): Online RFT whose temperature and reward threshold are chosen anew every round.

Before each round a few monitored questions are sampled once at every temperature; every threshold is tried on
those samples; the pair with the highest balance score (enough right and different answers, little else) is
used for the round. Otherwise it is Online RFT: weights, moments and schedule carry over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sharpen.learn.config import OptimizerConfig, decaying
from sharpen.recipes.settings import SelfTraining
from sharpen.sample.law import SamplingLaw
from sharpen.select.above import above
from sharpen.select.balance import n_star, search
from sharpen.select.controls import controlled
from sharpen.select.selection import Selection
from sharpen.verbs.asking import Reward
from sharpen.verbs.stepscorer import StepScorer

if TYPE_CHECKING:
    from sharpen.sample.policy import Policy
    from sharpen.score.group import Groups
    from sharpen.score.verify import Verifier
    from sharpen.verbs.run import Run

Grid = Annotated[tuple[float, ...], Field(min_length=1)]
Rule = Callable[["Groups", float], Selection]
"""Groups and a threshold -> what is learnt from."""


class Settings(SelfTraining):
    """Settings of B-STaR."""

    tasks: str = "countdown"
    """Where questions come from; balancing needs questions with several right answers."""
    rounds: Annotated[int, Field(gt=0)] = 4
    """How often the loop runs."""
    pool: Annotated[int, Field(gt=0)] = 3584
    """Distinct training questions; rounds walk through them, newly shuffled each time through."""
    queries: Annotated[int, Field(gt=0)] = 512
    """Questions attempted a round (M)."""
    samples: Annotated[int, Field(gt=0)] = 16
    """Attempts a question (K)."""
    steps: Annotated[int, Field(gt=0)] = 60
    """Optimizer updates a round."""
    optimizer: OptimizerConfig = decaying(240, lr=4e-3)
    """AdamW and its schedule, one over all rounds."""
    temperatures: Grid = (0.4, 0.7, 1.0, 1.3)
    """Temperatures tried before each round."""
    thresholds: Grid = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
    """Reward thresholds tried on the samples of each temperature."""
    monitored: Annotated[int, Field(gt=0)] = 48
    """Training questions on which the balance is measured (Q_dev)."""
    selected: Annotated[int, Field(gt=0)] = 1024
    """N: attempts to select a round; the smallest per-question cap that reaches it is used."""
    tau_from: Literal["dev", "full"] = "dev"
    """Take the threshold from the monitored questions (paper), or again from the whole round (its code)."""
    gold: bool = False
    """Add each question's worked solution to its attempts, at a fixed reward of 1 (the released code)."""
    process: Literal["none", "noisy_steps", "head"] = "noisy_steps"
    """The process reward r_prm: none, the source's step check misread at random, or a trained step scorer."""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.15
    """noisy_steps: how often validity is misread."""
    noise: Annotated[float, Field(ge=0)] = 0.3
    """noisy_steps: standard deviation of the added noise."""
    scorer: StepScorer = StepScorer()
    """head: how the step scorer is made."""
    schedule: tuple[tuple[float, float], ...] = ()
    """Control: fixed (temperature, threshold) by round instead of the search; the last one is repeated."""
    held_out: Annotated[int, Field(gt=0)] = 1000
    """Held-out questions, never trained on; answered greedily before the first round and after every one."""
    held_out_sampled: Annotated[int, Field(gt=0)] = 128
    """So many held-out questions, the first ones, are also answered at temperature 1."""
    held_out_samples: Annotated[int, Field(gt=0)] = 16
    """Attempts at temperature 1 a question: the K of Pass@K-S."""

    TINY: ClassVar[Mapping[str, Any]] = {**SelfTraining.TINY, "monitored": 6, "selected": 48}

    @property
    def reward_with_process(self) -> Reward:
        """Correctness plus the process reward."""
        return Reward(self.verifier, self.process, self.flip, self.noise, self.unsafe_local_exec)

    def sampled(self) -> dict[str, int]:
        """Attempts by purpose: the search is an overhead of its own."""
        search = 0 if self.schedule else self.rounds * self.monitored * self.samples * len(self.temperatures)
        return {"training": self.rounds * self.queries * self.samples, "search": search}


def b_star(run: Run, config: Settings) -> None:
    """Run B-STaR."""
    state = run.learner(run.policy(config.model), config.optimizer)
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    reward: Reward | Verifier = config.reward_with_process
    if config.process == "head":
        reward = run.step_scorer(
            state.policy, config.scorer, config.questions, asking=config.asking, verifier=config.verifier
        )
    answered = run.has_answer(config.reward, tasks=config.tasks)
    select = rule(config, answered)
    for r in run.rounds(config.rounds):
        temperature, threshold = balance(run, state.policy, config, reward, select, r)
        law = SamplingLaw(temperature=temperature, top_k=config.top_k)
        groups = run.sample(state.policy, config.questions, n=config.samples, law=law, asking=config.asking)
        groups = run.score(groups, reward, tasks=config.tasks)
        if config.tau_from == "full" and not config.schedule:
            whole = search({temperature: groups}, config.thresholds, target(config), select=select)
            threshold = whole.threshold
        chosen = controlled(
            groups,
            lambda g, t=threshold: select(g, t),
            config.control,
            run.stream("control"),
            has_answer=answered,
        )
        state = run.learn(state, chosen, config.learning(), asking=config.asking)
        run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)


def balance(
    run: Run, policy: Policy, config: Settings, reward: Reward | Verifier, select: Rule, r: int
) -> tuple[float, float]:
    """The round's temperature and threshold: the highest balance score on the monitored questions."""
    if config.schedule:
        return config.schedule[min(r, len(config.schedule)) - 1]
    tasks = run.source(config.tasks).take("train", config.monitored)
    with run.scope("balance"):
        by_temperature: dict[float, Groups] = {}
        for temperature in config.temperatures:
            law = SamplingLaw(temperature=temperature, top_k=config.top_k)
            name = f"T={temperature}"
            drawn = run.sample(policy, tasks, n=config.samples, law=law, asking=config.asking, name=name)
            by_temperature[temperature] = run.score(drawn, reward, tasks=config.tasks, name=name)
        found = search(by_temperature, config.thresholds, target(config), select=select)
        run.log(
            "balance",
            {
                "temperature": found.temperature,
                "threshold": found.threshold,
                "balance": found.score,
                "table": [[p.temperature, p.threshold, p.score, p.selected, p.correct] for p in found.table],
            },
        )
    return found.temperature, found.threshold


def target(config: Settings) -> int:
    """n*: how many responses a question should give."""
    return n_star(config.selected, config.queries)


def rule(config: Settings, answered: Callable[[str], bool]) -> Rule:
    """The selection rule: of the attempts with an answer those strictly above the threshold, capped so that
    about N are kept in a round."""

    def select(groups: Groups, threshold: float) -> Selection:
        # on the monitored questions the same share of N
        total = -(-config.selected * len(groups) // config.queries)
        gold = 1.0 if config.gold else None
        return above(groups, threshold, total=total, gold=gold, has_answer=answered)

    return select
