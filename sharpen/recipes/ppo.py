"""PPO (arXiv 1707.06347) on text: a value for every token, generalized advantages, a clipped ratio.

An attempt's reward comes with its last token. Rounds are learnt from in several passes and parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sharpen.learn.config import CriticConfig
from sharpen.learn.policy_gradient import LossConfig
from sharpen.learn.rollouts import fresh, with_gae, with_penalty
from sharpen.recipes.policy_gradients import PolicyGradients
from sharpen.recipes.settings import Count, Positive

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(PolicyGradients):
    """Settings of PPO."""

    rounds: Positive = 30
    """How often the loop runs."""
    samples: Positive = 4
    """Attempts a question."""
    queries: Positive = 64
    """Questions attempted a round."""
    measure_every: Positive = 10
    """Rounds between exams; there is one before the first round and one after the last in any case."""
    epochs: Positive = 2
    """Passes over a round's attempts."""
    minibatches: Positive = 2
    """Optimizer updates that a pass is split over."""
    max_lag: Count = 3
    """Most updates between the policy that sampled an attempt and the one that an update starts from; what is
    staler is left out."""
    loss: LossConfig = LossConfig(kl_in="reward", kl_estimator="k1", kl_coef=0.01)
    """What is minimised."""
    gamma: Share = 1.0
    """Discount a token."""
    gae_lambda: Share = 1.0
    """1: the return minus the value (arXiv 2503.24290); less trusts the values more."""
    whiten: bool = True
    """Take a round's advantages to mean 0 and standard deviation 1."""
    critic: CriticConfig = CriticConfig()
    """The value function."""


def ppo(run: Run, config: Settings) -> None:
    """Run PPO."""
    base = run.policy(config.model)
    state = run.learner(base, config.optimizer)
    updates, budget = config.epochs * config.minibatches, config.tokens_per_microbatch
    run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
    for r in run.rounds(config.rounds):
        rollouts = run.practise(state.policy, config.practice, asking=config.asking)
        rollouts = fresh(rollouts, now=state.step, updates=updates, max_lag=config.max_lag)
        if config.loss.kl_coef:
            rollouts = run.annotate(base, rollouts, law=config.law)
        if config.loss.penalised:
            rollouts = with_penalty(rollouts, config.loss.kl_coef, config.loss.kl_estimator)
        rollouts = run.value(state, base, rollouts, budget=budget)
        rollouts = with_gae(rollouts, gamma=config.gamma, lam=config.gae_lambda, whiten=config.whiten)
        state = run.fit_critic(state, base, rollouts, config.critic, budget=budget)
        state = run.learn(state, rollouts, config.learning(rollouts), objective=config.objective)
        if config.examined(r):
            run.measure(state.policy, config.exam, asking=config.asking, reward=config.reward)
