"""W2, one step of GRPO: sample, reward, compare, update once; no divergence term, nothing written to disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import w1_rollouts
from measuring import Clock, apart, run_side
from w1_rollouts import counts, requests, warm
from workload import Job, Workload, ours, peer

LR = 1e-6


def groups_of(policy: Any, job: Job, completions: Any) -> list[Any]:
    """Completions as scored groups: the reward is 1 where 7 divides the length of the text, else 0."""
    from sharpen.sample.text import Rendered
    from sharpen.score.group import Group
    from sharpen.score.verdict import Verdict
    from sharpen.tasks.task import Task
    from sharpen.verbs.sampling import episode_of

    found, n = [], job["samples"]
    for i, prompt in enumerate(job["prompts"]):
        text = policy.tokenizer.decode(prompt)
        task = Task(f"t{i}", text, "")
        shown = Rendered(np.array(prompt, np.int32), len(prompt), text)
        done = completions[i * n : (i + 1) * n]
        episodes = tuple(
            episode_of(policy, shown, c, f"w2/{task.id}/{k}", task.id, k) for k, c in enumerate(done)
        )
        texts = [policy.tokenizer.decode(c.tokens, skip_special_tokens=True) for c in done]
        found.append(Group(task, episodes, tuple(Verdict(float(len(t) % 7 == 0)) for t in texts)))
    return found


def step(policy: Any, engine: Any, job: Job) -> dict[str, Any]:
    """The step; seconds by part, and counts. Groups with nothing to compare are learnt from too, as the peer
    does, unless ``drop_dead``."""
    from sharpen.learn.config import LearnConfig, OptimizerConfig
    from sharpen.learn.learner import learn
    from sharpen.learn.policy_gradient import LossConfig, PolicyGradient
    from sharpen.learn.rollouts import rollouts, with_advantages
    from sharpen.learn.state import TrainState
    from sharpen.runs.streams import stream
    from sharpen.score.group import Groups

    clock = Clock()
    completions = engine.generate(policy, requests(policy, job), batch=job.get("batch"))
    sampled = clock.read()
    groups = Groups(groups_of(policy, job, completions))
    rows = rollouts(groups, {policy.version: 0})
    rows = with_advantages(rows, "group_zscore", keep_dead=not job.get("drop_dead"))
    scored = clock.read()
    config = LearnConfig(steps=1, batch_rows=len(rows), tokens_per_microbatch=job["tokens_per_microbatch"])
    state = TrainState.start(policy, OptimizerConfig(lr=LR))
    objective = PolicyGradient(LossConfig(normaliser="sequences"))
    _, metrics = learn(
        state, rows.rows, objective=objective, config=config, stream=stream("bench", "w2", job["seed"])
    )
    end = clock.read()
    parts = apart(sample=sampled, score=scored, learn=end)
    work = counts(job, [c.tokens for c in completions])
    learnt = {"rows": len(rows), "learnt_tokens": int(metrics[0]["tokens"]), "updates": len(metrics)}
    return {**end, "unit": "tokens", "parts": parts, "work": work | learnt}


def main(job: Job) -> dict[str, Any]:
    """Our side."""
    from sharpen.sample.native import NativeEngine
    from sharpen.sample.policy import load_policy

    policy, engine = load_policy(job["model"]), NativeEngine()
    step(policy, engine, {**warm(job), "drop_dead": False})
    return {**step(policy, engine, job), "exact": engine.exact}


def job(smoke: bool, repeat: int, repeats: int) -> Job:
    """W1's work, and how it is learnt from."""
    given = w1_rollouts.job(smoke, repeat, prompts=(32, 24, 40), samples=8, new=96)
    return {**given, "lr": LR, "tokens_per_microbatch": 4096}


def rows_at_once(*sizes: int) -> tuple[dict[str, Any], ...]:
    return tuple({"rows": rows, "cache": cache} for cache in ("static", "default") for rows in sizes)


W2 = Workload(
    "W2",
    "a GRPO step: W1's rollouts, reward, one update, no KL",
    job,
    ours("w2_grpo.py"),
    (peer("TRL GRPOTrainer", "trl_grpo.py", "trl", *rows_at_once(32, 64, 256)),),
    {"TRL GRPOTrainer": 3.0},
    (*w1_rollouts.SAME, "rows", "updates"),
)

if __name__ == "__main__":
    run_side(main)
