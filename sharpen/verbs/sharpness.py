"""How sharp a policy is on some questions, and what the best of many samples would have given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.learn.row import Row
from sharpen.learn.rows import row_of
from sharpen.measure.diversity import mean_entropy, mean_length, truncated_share
from sharpen.measure.sharpness import coverage, picked, signal
from sharpen.runs.streams import stream
from sharpen.sample.episode import Finish
from sharpen.sample.law import GREEDY, SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.score.group import Groups
from sharpen.score.self_reward import KINDS, loglik, rewards_of
from sharpen.verbs.sampling import sample
from sharpen.verbs.trials import Trial

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Whetstone:
    """What policies are held against.

    Attributes:
        trial: questions, and how many samples each, at temperature 1.
        delta: a policy is sharp on a question where it gives the base's likeliest answer with probability
            1 - delta at least.
        read: a completion's final answer.
        cool: further temperatures at which the base is sampled, for comparison.
    """

    trial: Trial
    delta: float
    read: Callable[[str], str | None]
    cool: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """The base's own numbers: the likeliest answer found to each question, and how likely it finds it."""

    policy: Policy
    best: tuple[Row, ...]
    logliks: Floats


def tell_base(run: Run, base: Policy, what: Whetstone, *, about: Mapping[str, Any], name: str) -> Base:
    """The base's row ``sharpness``, rows ``best_of`` by self-reward and number of samples, and ``cooled``."""
    with run.scope(name), run.scope("held_out"):
        greedy, sampled = _answered(run, base, what)
        told = _logliks(sampled)
        fits = np.array([[f is not Finish.LENGTH for f in c.finish] for c in sampled.columns])
        best = picked(told, fits, np.arange(told.shape[1])[None].repeat(len(told), 0), told.shape[1])
        found = Base(
            base,
            tuple(row_of(sampled[g].episodes[int(k)]) for g, k in enumerate(best)),
            told[np.arange(len(told)), best.astype(int)],
        )
        row = _row(greedy, sampled, _logliks(greedy)[:, 0], told, told, found.logliks, what.delta)
        covered = coverage(found.logliks)
        row |= {"coverage": covered if np.isfinite(covered) else None, "any_right": _any(sampled)}
        rewards, right = _rewards(sampled, told, what.read), np.array(sampled.correct, np.float64)
        picks = {f"best_{kind}": picked(r, fits, right, r.shape[1]) for kind, r in rewards.items()}
        lines = [{"name": "best_of", **line} for line in _best_of(rewards, right, told, fits)]
        for t in what.cool:
            groups = _sampled(run, base, what, replace(what.trial.law, temperature=t), f"at-{t:g}")
            cooled = {"accuracy_t1": _share(groups), "loglik": float(_logliks(groups).mean())}
            lines.append({"name": "cooled", "temperature": t, **cooled, "entropy": mean_entropy(groups)})
        _keep(run, about, [{"name": "sharpness", **row}, *lines], _columns(greedy, sampled) | picks)
    return found


def tell(
    run: Run, base: Base, policy: Policy, what: Whetstone, *, about: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The row ``sharpness`` of a policy trained from the base."""
    with run.scope(name), run.scope("held_out"):
        greedy, sampled = _answered(run, policy, what)
        n = len(sampled)
        rows = [row_of(e) for groups in (greedy, sampled) for group in groups for e in group.episodes]
        under = np.array([_said(r) for r in run.annotate(base.policy, rows, law=SamplingLaw(), name="base")])
        best = [_said(r) for r in run.annotate(policy, base.best, law=SamplingLaw(), name="best")]
        row = _row(
            greedy,
            sampled,
            under[:n],
            under[n:].reshape(n, -1),
            _logliks(sampled),
            np.array(best),
            what.delta,
        )
        return _keep(run, about, [{"name": "sharpness", **row}], _columns(greedy, sampled))


def _answered(run: Run, policy: Policy, what: Whetstone) -> tuple[Groups, Groups]:
    """A greedy answer and samples, judged. Every policy draws the same random numbers for a question."""
    return _sampled(run, policy, what, GREEDY, "greedy"), _sampled(
        run, policy, what, what.trial.law, "sampled"
    )


def _sampled(run: Run, policy: Policy, what: Whetstone, law: SamplingLaw, name: str) -> Groups:
    t, names = what.trial, stream(run.seed, "sharpness", name)
    n = 1 if law.greedy else t.n
    groups = sample(run, policy, t.tasks, n=n, law=law, asking=t.asking, name=name, streams=names)
    return run.score(groups, t.reward, tasks=t.source, name=name, tell=False)


def _row(
    greedy: Groups, sampled: Groups, at_greedy: Floats, under: Floats, own: Floats, best: Floats, delta: float
) -> dict[str, Any]:
    """The numbers of one policy; log-probabilities in nats: of its greedy answers and its samples under the
    base, of its samples under itself, of the base's likeliest answers under itself."""
    return {
        "accuracy_greedy": _share(greedy),
        "accuracy_t1": _share(sampled),
        "loglik_greedy": float(at_greedy.mean()),
        "loglik": float(under.mean()),
        "kl": float((own - under).mean()),
        "sharp": float((best >= math.log(1 - delta)).mean()),
        "best_probability": float(np.exp(best).mean()),
        "entropy": mean_entropy(sampled),
        "length": mean_length(sampled),
        "truncated_share": truncated_share(sampled),
        "n_questions": len(sampled),
        "n_samples": own.shape[1],
    }


def _columns(greedy: Groups, sampled: Groups) -> dict[str, Any]:
    """Shares of right answers by question."""
    return {
        "task_id": [c.task.id for c in sampled.columns],
        "greedy": [float(c.correct[0]) for c in greedy.columns],
        "sampled": [float(c.correct.mean()) for c in sampled.columns],
    }


def _keep(
    run: Run, about: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]
) -> dict[str, Any]:
    """Store columns by question, and tell the rows; the first comes back."""
    rows = [{"name": line["name"], "round": run.round, **about, **line} for line in lines]
    step = run.journal.begin("sharpness", {"rows": rows}, name="sharpness")
    if step.result is None:
        step.write_unit(0, pa.table(dict(columns)))
        step.finish(rows[0], metrics=rows)
        run.progress.metrics(rows[0])
    assert step.result is not None
    return step.result


def _best_of(
    by_kind: Mapping[str, Floats], right: Floats, told: Floats, fits: NDArray[np.bool_]
) -> Iterator[dict[str, Any]]:
    """A row for each self-reward and each power of two up to the number of samples."""
    for kind, rewards in by_kind.items():
        told_apart = signal(list(rewards), list(right > 0))
        n = 1
        while n <= told.shape[1]:
            yield {
                "by": kind,
                "n": n,
                "accuracy": float(picked(rewards, fits, right, n).mean()),
                "loglik": float(picked(rewards, fits, told, n).mean()),
                "signal": told_apart,
            }
            n *= 2


def _rewards(groups: Groups, told: Floats, read: Callable[[str], str | None]) -> dict[str, Floats]:
    answers = [[read(text) for text in c.texts] for c in groups.columns]
    return {
        kind: np.array(
            [rewards_of(kind, t, c.lengths, a) for t, c, a in zip(told, groups.columns, answers, strict=True)]
        )
        for kind in KINDS
    }


def _logliks(groups: Groups) -> Floats:
    """Of each attempt under the policy that sampled it, ``(questions, n)``."""
    return np.array([[loglik(e) for e in group.episodes] for group in groups])


def _said(row: Row) -> float:
    return float(row.arrays["ref_logprob"].sum(dtype=np.float64))


def _share(groups: Groups) -> float:
    return float(np.mean([c.correct.mean() for c in groups.columns]))


def _any(groups: Groups) -> float:
    return float(np.mean([c.correct.any() for c in groups.columns]))
