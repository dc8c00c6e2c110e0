"""A step scorer made by the run itself: Monte-Carlo labels, a head, and the reward that it gives.

B-STaR's process reward model (arXiv 2412.17256, section 3): solutions of the first policy are cut after each
step, completed several times from there, and a step is labelled good if any completion is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file, save_file

from sharpen.errors import SharpenError
from sharpen.learn.head import Head, HeadConfig, score, train_head
from sharpen.learn.row import Row
from sharpen.sample.episode import Episode, Ids
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.score.group import Group, Groups
from sharpen.score.process import WithProcess, ended, head_process_reward, step_labels
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking, Questions, Reward
from sharpen.verbs.sampling import sample
from sharpen.verbs.scoring import verifier_of
from sharpen.verbs.stepscorer import StepScorer

if TYPE_CHECKING:
    from sharpen.verbs.run import Run


def newline_ids(policy: Policy) -> frozenset[int]:
    """The ids whose text holds a line break: a step ends there."""
    tokenizer: Any = policy.tokenizer
    return frozenset(i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i]))


def step_ends(episode: Episode, newlines: frozenset[int]) -> Ids:
    """Positions, in the episode's tokens, of those that end a step: the sampled ones with a line break."""
    start, ends = 0, []
    for span in episode.spans:
        if span.sampled is not None:
            ends += [start + i for i, t in enumerate(span.tokens) if int(t) in newlines]
        start += len(span.tokens)
    return np.array(ends, dtype=np.int32)


@dataclass
class HeadProcess:
    """``min(step logits) / 5`` of a trained head, see ``sharpen.score.process.head_process_reward``."""

    policy: Policy
    head: Head
    spec: dict[str, Any]
    name: str = "head"
    newlines: frozenset[int] = frozenset()
    _ready: dict[str, list[float]] = field(default_factory=dict)

    def prepare(self, groups: Sequence[Group]) -> None:
        """Score the steps of these groups' episodes in batched forward passes."""
        episodes = [e for g in groups for e in g.episodes]
        ends = [step_ends(e, self.newlines) for e in episodes]
        logits = score(self.policy, self.head, [e.tokens for e in episodes], ends)
        self._ready = {e.key: found.tolist() for e, found in zip(episodes, logits, strict=True)}

    def __call__(self, *, task: Task, episode: Episode) -> float:
        if episode.key not in self._ready:
            self.prepare([Group(task, (episode,))])
        return head_process_reward(self._ready[episode.key], finished=ended(episode))


def step_scorer(
    run: Run, policy: Policy, scorer: StepScorer, questions: Questions, asking: Asking, verifier: str
) -> WithProcess:
    """Label, train, and return correctness plus the head's process reward as one verifier."""
    outcome = verifier_of(run, Reward(verifier), questions.tasks)
    tasks = run.source(questions.tasks).take(questions.split, scorer.questions)
    newlines = newline_ids(policy)
    with run.scope("step_scorer"):
        law = SamplingLaw()
        solved = run.sample(policy, tasks, n=scorer.solutions, law=law, asking=asking, name="solutions")
        cut, starts, episodes = _prefixes(solved, newlines)
        if not cut:
            raise SharpenError("step scorer: no sampled solution has a written step")
        done = sample(
            run, policy, cut, n=scorer.completions, law=law, asking=asking, name="completions", starts=starts
        )
        judged = run.score(done, outcome, name="completions")
        rows = _rows(episodes, judged, newlines)
        config = HeadConfig(width=scorer.width, epochs=scorer.epochs)
        inputs = {"completions": judged.origin, "head": config.model_dump(mode="json"), "seed": run.seed}
        step = run.journal.begin("head", inputs, name="head")
        if step.result is None:
            head = train_head(policy, rows, config=config, stream=step.stream(run.seed))
            step.checkpoint("final", lambda folder: _save(head, folder))
            step.finish(dict(head.report), metrics=[{"name": "step_scorer", **head.report}])
        folder = step.load_checkpoint("final")
        if folder is None:
            raise SharpenError(f"{step.key}: the step scorer is damaged; `sharpen resume` makes it again")
        head = Head(load_file(folder / "head.safetensors"))
        spec = {"process": "head", "policy": policy.version, "step": step.inputs_digest}
    return WithProcess(outcome, HeadProcess(policy, head, spec, newlines=newlines))


def _prefixes(groups: Groups, newlines: frozenset[int]) -> tuple[list[Task], list[Ids], list[Episode]]:
    """A task for each step of each solution, the sampled tokens up to the step's end, and the solutions."""
    tasks, starts, episodes = [], [], []
    for group in groups:
        for episode in group.episodes:
            episodes.append(episode)
            before = sum(len(s.tokens) for s in episode.spans if s.sampled is None)
            for i, end in enumerate(step_ends(episode, newlines)):
                tasks.append(replace(group.task, id=f"{group.task.id}~{episode.sample}~{i}"))
                starts.append(episode.tokens[before : int(end) + 1])
    return tasks, starts, episodes


def _rows(episodes: Sequence[Episode], judged: Groups, newlines: frozenset[int]) -> list[Row]:
    """Labelled rows: one label at the end of each step."""
    outcomes = iter(judged.columns)
    rows = []
    for episode in episodes:
        ends = step_ends(episode, newlines)
        known = [
            [None if v.status.unknown else v.correct for v in next(outcomes).judged] for _ in range(len(ends))
        ]
        tokens = episode.tokens
        label, weight = np.zeros(len(tokens), np.float32), np.zeros(len(tokens), np.float32)
        for end, good in zip(ends, step_labels(known), strict=True):
            if good is not None:
                label[end], weight[end] = float(good), 1.0
        rows.append(Row(tokens, {"weight": weight, "label": label}, key=episode.key))
    return rows


def _save(head: Head, folder: Path) -> None:
    save_file(
        {name: head.weights[name].contiguous() for name in sorted(head.weights)}, folder / "head.safetensors"
    )
