"""The verb ``score``: verdicts on groups, stored beside the episodes they judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpen.errors import SharpenError, unknown
from sharpen.measure.report import rollout_metrics
from sharpen.runs.streams import stream
from sharpen.sample.episode import Episode, Finish, Span
from sharpen.score import answers
from sharpen.score.blind import Blind
from sharpen.score.code import CodeVerifier
from sharpen.score.confidence import gradable
from sharpen.score.custom import imported
from sharpen.score.format import DEFAULT, Form, FormatVerifier
from sharpen.score.group import Groups
from sharpen.score.outside import JudgedApart, OutsideVerifier
from sharpen.score.pooled import maths_verifier
from sharpen.score.process import NoisyStepChecker, WithProcess
from sharpen.score.refusal import MayRefuse
from sharpen.score.sandbox import last_block
from sharpen.score.table import table_to_verdicts, verdicts_to_table
from sharpen.score.thought import CLOSED, BehindThought
from sharpen.score.verdict import Verdict
from sharpen.score.verify import (
    NAMES,
    Closes,
    Prepares,
    Verifier,
    answer_verifier,
    judge_group,
    source_verifier,
)
from sharpen.tasks.task import Task, TaskSource
from sharpen.verbs.asking import Reward

if TYPE_CHECKING:
    from sharpen.verbs.run import Run

UNIT_GROUPS = 512


def verifier_of(run: Run, reward: Reward, tasks: str) -> Verifier:
    """The verifier that ``reward`` names, with the checker of source ``tasks`` where it needs one."""
    return named(reward, run.source(tasks), run.seed)


def named(reward: Reward, source: TaskSource, seed: int) -> Verifier:
    """The verifier that ``reward`` names over ``source``; ``seed`` is the run's, for noisy ones.

    Raises SharpenError for an unknown name, or a source that cannot check what the reward needs.
    """
    outcome = _outcome(reward.verifier, source, reward.unsafe)
    if reward.refusals is not None:
        outcome = MayRefuse(outcome, reward.refusals)
    if reward.process == "none":
        return outcome
    if reward.process == "noisy_steps":
        checker: Any = source
        noise = stream(seed, "noisy_steps")
        return WithProcess(outcome, NoisyStepChecker(checker, noise, flip=reward.flip, sd=reward.sd))
    raise SharpenError(f"process reward {reward.process!r} needs a trained scorer: pass it as a verifier")


def _outcome(name: str, source: TaskSource, unsafe: bool) -> Verifier:
    if name == "source":
        return OutsideVerifier(source) if isinstance(source, JudgedApart) else source_verifier(source)
    if name == "maths":
        return maths_verifier()
    if name == "code":
        return CodeVerifier(unsafe=unsafe)
    kind, _, form = name.partition(":")
    if kind == "stated":
        return Blind(_outcome(form or "source", source, unsafe))
    if kind == "thought":
        return BehindThought(_outcome(form or "source", source, unsafe))
    if kind == "format":
        return FormatVerifier(Form(form or DEFAULT))
    if ":" in name:
        return imported(name)
    if name not in NAMES:
        raise unknown("verifier", name, NAMES)
    return answer_verifier(name)


def judge_of(run: Run, reward: Reward, tasks: str) -> Callable[[Task, str], Verdict]:
    """See ``Run.judge``."""
    verifier = verifier_of(run, reward, tasks)

    def judge(task: Task, text: str) -> Verdict:
        empty = Span("assistant", np.zeros(0, np.int32))
        return verifier(task=task, episode=Episode("", task.id, 0, (empty,), Finish.EOS, text))

    return judge


def has_answer(reward: Reward, source: TaskSource) -> Callable[[str], bool]:
    """Tells of a completion whether it gives an answer where the verifier of ``reward`` looks for one."""
    if (refusals := reward.refusals) is not None:
        given = has_answer(replace(reward, refusals=None), source)
        return lambda completion: not refusals.said(completion) and given(completion)
    kind, _, inner = reward.verifier.partition(":")
    if kind == "stated":
        answered = has_answer(replace(reward, verifier=inner or "source"), source)
        return lambda completion: answered(gradable(completion))
    if kind == "thought":
        behind = has_answer(replace(reward, verifier=inner or "source"), source)
        return lambda completion: behind(completion.partition(CLOSED)[2].lstrip())
    if reward.verifier == "code":
        return lambda completion: last_block(completion) is not None
    if ":" in reward.verifier:  # what a function of the user's own takes for an answer is its own affair
        return lambda completion: bool(completion.strip())
    return source.has_answer if reward.verifier == "source" else answers.has_answer


def score(
    run: Run, groups: Groups, verifier: Verifier, *, name: str, tell: bool = True
) -> tuple[Groups, dict[str, Any]]:
    """See ``Run.score``. Also gives the step's row of metrics; they are not told where another step will."""
    step = run.journal.begin("score", {"groups": groups.origin, "verifier": verifier.spec}, name=name)
    parts = [range(i, min(i + UNIT_GROUPS, len(groups))) for i in range(0, len(groups), UNIT_GROUPS)]
    verdicts: list[tuple[Verdict, ...]] = []
    working = step.result is None
    if working:
        run.progress.begin(step.key, "score", groups.n_samples)
    for i, part in enumerate(parts):
        stored = step.unit(i)
        if stored is None:
            if isinstance(verifier, Prepares):
                verifier.prepare([groups[g] for g in part])
            fresh = [judge_group(verifier, groups[g]) for g in part]
            keys = [key for g in part for key in groups.columns[g].keys]
            stored = verdicts_to_table(keys, [v for group in fresh for v in group])
            step.write_unit(i, stored)
        flat = iter([v for _, v in table_to_verdicts(stored)])
        verdicts.extend(tuple(next(flat) for _ in groups.columns[g].keys) for g in part)
        if working:
            run.progress.advance(sum(len(v) for v in verdicts[-len(part) :]))
    if isinstance(verifier, Closes):
        verifier.close()
    scored = groups.with_verdicts(verdicts)
    scored.origin = {"step": step.key, "inputs": step.inputs_digest}
    if step.result is None:
        row = {"name": name, "round": run.round, **rollout_metrics(scored)}
        step.finish(row, metrics=[row] if tell else [])
        run.progress.end()
        if tell:
            run.progress.metrics(row)
        show(run, scored)
    assert step.result is not None
    return scored, step.result


def show(run: Run, groups: Groups) -> None:
    """One rollout for the watcher: the first sample of the first group."""
    if len(groups):
        row = groups.columns[0]
        run.progress.rollout(str(row.task.prompt), row.texts[0], row.judged[0])
