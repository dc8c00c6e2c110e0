"""DPO (arXiv 2305.18290) on one's own attempts, round by round: right ones are preferred to wrong ones.

Each round refers to the policy that it starts from. With ``preference.sft_coef`` it is iterative reasoning
preference optimization (2404.19733); ``preference.kind=ipo`` is IPO (2310.12036), ``learns=answers`` KTO
(2402.01306), which needs no pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sharpen.learn.config import OptimizerConfig
from sharpen.learn.kto import KTO, KTOConfig
from sharpen.learn.preference import Preference, PreferenceConfig
from sharpen.recipes.settings import Positive, SelfTraining
from sharpen.sample.law import SamplingLaw
from sharpen.select.controls import Control, shuffle_rewards
from sharpen.select.preferences import by_score

if TYPE_CHECKING:
    from sharpen.learn.row import Row
    from sharpen.sample.policy import Policy
    from sharpen.score.group import Groups
    from sharpen.verbs.run import Run


class Settings(SelfTraining):
    """Settings of DPO."""

    learns: Literal["pairs", "answers"] = "pairs"
    """pairs: a right attempt against a wrong one at the same question; answers: each by itself (KTO)."""
    preference: PreferenceConfig = PreferenceConfig(kind="dpo", beta=0.1)
    """learns=pairs: the loss."""
    kto: KTOConfig = KTOConfig()
    """learns=answers: the loss."""
    per_query: Positive = 4
    """learns=pairs: pairs of a question, at most."""
    queries: Positive = 2048
    """Questions attempted a round."""
    samples: Annotated[int, Field(gt=1)] = 8
    """Attempts a question."""
    control: Control = "none"
    """shuffled permutes the rewards over all attempts of a round before they are compared."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-5, warmup_steps=10)
    """AdamW, begun anew in each round."""
    method: Literal["full", "lora"] = "full"
    """Train all weights, or low-rank adapters."""

    TINY: ClassVar[Mapping[str, Any]] = {**SelfTraining.TINY, "learns": "pairs"}

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.control == "random":
            raise ValueError("control=random is for selections; here shuffled is the control")
        return self


def dpo(run: Run, config: Settings) -> None:
    """Run DPO."""
    policy = run.policy(config.model)
    run.measure(policy, config.exam, asking=config.asking, reward=config.reward)
    for r in run.rounds(config.rounds):
        groups = run.sample(policy, config.questions, n=config.samples, law=config.law, asking=config.asking)
        groups = run.score(groups, config.reward, tasks=config.tasks)
        if config.control == "shuffled":
            groups = shuffle_rewards(groups, run.stream("control"))
        rows = compared(run, policy, groups, config)
        if rows:
            rows = run.annotate(policy, rows, law=SamplingLaw())
            loss = Preference(config.preference) if config.learns == "pairs" else KTO(config.kto)
            state = run.learner(policy, config.optimizer)
            policy = run.learn(state, rows, config.learning(), objective=loss).policy
        else:
            run.warn([f"round {r}: no question has both right and wrong attempts, so nothing is learnt"])
        run.measure(policy, config.exam, asking=config.asking, reward=config.reward)


def compared(run: Run, policy: Policy, groups: Groups, config: Settings) -> list[Row]:
    """What a round learns from: rows of pairs, or of single attempts; the row ``pairs``."""
    from sharpen.verbs.learning import answer_rows, pair_rows

    if config.learns == "answers":
        return answer_rows(groups)
    found = by_score(groups, run.stream("pairs"), per_query=config.per_query)
    run.log("pairs", found.ledger)
    return pair_rows(policy, found, config.asking)
