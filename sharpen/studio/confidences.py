"""Every confidence that a run's judged episodes have: what they say in words, how many of a question's
attempts agree, and the signals that the engine stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import SharpenError, unknown
from sharpen.runs.store import unit_files
from sharpen.sample.episode import Episode, Finish
from sharpen.score.confidence import Mode, declines, final, stated, states_confidence, validity
from sharpen.score.group import completion_text
from sharpen.score.signals import Stored, episode_scores
from sharpen.score.table import table_to_episodes, table_to_verdicts
from sharpen.score.verdict import Status, Verdict
from sharpen.select.votes import classes

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]

STATED, VOTES, STRATEGY = "stated", "vote share", "strategy"
ENGINE: dict[str, Stored] = {
    "self-certainty": "certainty",
    "log-probability": "logprob",
    "entropy": "entropy",
}
"""The engine's signals by the name that people use; all of them larger where surer."""
NAMES = (STATED, VOTES, STRATEGY, *ENGINE)
_WEIGHED = {"task_id", "confidence", "correct", "unknown"}


@dataclass(frozen=True, slots=True)
class Items:
    """Judged episodes, one entry an episode.

    Attributes:
        episodes: of one or several runs. runs: which one's each is, from 0. questions: its task.
        correct: as judged. unknown: the verifier could not judge. truncated: cut at the length limit.
        declined: said that it does not know, and was not cut.
        given: what a strategy said of each answer, in [0, 1]; NaN where nothing.
    """

    episodes: tuple[Episode, ...]
    runs: NDArray[np.int64]
    questions: NDArray[np.str_]
    correct: Marks
    unknown: Marks
    truncated: Marks
    declined: Marks
    given: Array

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Sampled tokens."""
        return np.array([e.n_sampled for e in self.episodes], dtype=np.int64)

    @property
    def attempted(self) -> Marks:
        """What measures of confidence are about: judged, and not declined."""
        return ~self.unknown & ~self.declined


@dataclass(frozen=True, slots=True)
class Signal:
    """One confidence of every item.

    Attributes:
        name: one of ``NAMES``.
        values: larger is surer, NaN where invalid, float64 ``(n,)``.
        scale: whether it lies in [0, 1] and claims to be a probability.
        problems: why attempted items are invalid, and how many.
        about: further counts worth telling, such as copied examples.
    """

    name: str
    values: Array
    scale: bool
    problems: dict[str, int] = field(default_factory=dict)
    about: dict[str, int] = field(default_factory=dict)


def judged_steps(folder: Path) -> dict[str, str]:
    """Sampling step -> the last step that judged it, in the order of the run; a step that weighed a
    strategy's answers (``sharpen eval``) stands for both.

    An episode's key begins with its sampling step's, which is how the two find each other.
    """
    import pyarrow.parquet as pq

    files = unit_files(folder)
    whole = {step: paths for step, paths in files.items() if all(path.is_file() for path in paths)}
    columns = {step: set(pq.read_schema(paths[0]).names) for step, paths in whole.items()}
    # a strategy's answers are stored as texts, once each: no attempts
    sampled = [s for s, names in columns.items() if {"key", "tokens"} <= names and _has_tokens(whole[s])]
    found: dict[str, str] = {}
    for step, names in columns.items():
        if names >= _WEIGHED:
            found[step] = step
        if "score" in names:
            keys = pq.read_table(files[step][0], columns=["key"])["key"]
            first = str(keys[0]) if len(keys) else ""
            found.update({s: step for s in sampled if first.startswith(f"{s}/")})
    return {s: found[s] for s in columns if s in found}


def _has_tokens(files: Sequence[Path]) -> bool:
    import pyarrow.parquet as pq

    return any(any(pq.read_table(path, columns=["n_sampled"])["n_sampled"].to_pylist()) for path in files)


def step_of(folder: Path, step: str | None) -> tuple[str, str]:
    """The sampling step and the one that judged it; ``step`` names either, None is the last one judged.

    Raises SharpenError for an unknown step and for a run in which nothing has been judged.
    """
    found = judged_steps(folder)
    if not found:
        raise SharpenError(f"{folder}: no attempt has been judged yet")
    if step is None:
        return list(found.items())[-1]
    by_either = {**{judge: sampled for sampled, judge in found.items()}, **{s: s for s in found}}
    if step not in by_either:
        raise unknown("judged step", step, found)
    return by_either[step], found[by_either[step]]


def read_items(runs: Sequence[tuple[Path, str | None]]) -> Items:
    """The judged episodes of one step of each run; questions of one name are one question in all runs."""
    judged: list[tuple[int, Episode, Verdict]] = []
    given: dict[tuple[int, str], float] = {}
    for number, (folder, step) in enumerate(runs):
        sampled, judge = step_of(folder, step)
        if sampled == judge:
            for episode, verdict, sure in _weighed(folder, sampled):
                judged.append((number, episode, verdict))
                given[number, episode.key] = sure
            continue
        held, known = _step(folder, sampled, judge)
        judged += [(number, e, known[e.key]) for e in held if e.key in known]
    cut = np.array([e.finish is Finish.LENGTH for _, e, _ in judged], dtype=np.bool_)
    unsure = np.array([declines(completion_text(e)) for _, e, _ in judged], dtype=np.bool_)
    return Items(
        tuple(e for _, e, _ in judged),
        runs=np.array([number for number, _, _ in judged], dtype=np.int64),
        questions=np.array([e.task_id for _, e, _ in judged], dtype=np.str_),
        correct=np.array([v.correct for _, _, v in judged], dtype=np.bool_),
        unknown=np.array([v.status.unknown for _, _, v in judged], dtype=np.bool_),
        truncated=cut,
        declined=unsure & ~cut,
        given=np.array([given.get((r, e.key), np.nan) for r, e, _ in judged], dtype=np.float64),
    )


def _weighed(folder: Path, step: str) -> list[tuple[Episode, Verdict, float]]:
    """A strategy's final answers, one a question, without text: right or not, and how sure it was."""
    import pyarrow.parquet as pq

    found = []
    for row in (row for path in unit_files(folder)[step] for row in pq.read_table(path).to_pylist()):
        episode = Episode(f"{step}/{row['task_id']}", row["task_id"], 0, (), Finish.EOS, "")
        verdict = Verdict(float(row["correct"]), Status.CRASH if row["unknown"] else Status.OK)
        found.append((episode, verdict, np.nan if row["confidence"] is None else float(row["confidence"])))
    return found


def _step(folder: Path, sampled: str, judged: str) -> tuple[list[Episode], dict[str, Verdict]]:
    import pyarrow.parquet as pq

    files = unit_files(folder)
    episodes = [e for path in files[sampled] for e in table_to_episodes(pq.read_table(path))]
    return episodes, {k: v for path in files[judged] for k, v in table_to_verdicts(pq.read_table(path))}


def signal_of(items: Items, name: str, mode: Mode = "percent") -> Signal | str:
    """The confidence of this name; where the items have none, one line on why.

    What was cut at the length limit is invalid in every signal: no confidence is about its answer.
    """
    if name not in NAMES:
        raise unknown("signal", name, NAMES)
    if name == STATED:
        return _stated(items, mode)
    if name == STRATEGY:
        if np.isnan(items.given).all():
            return "no strategy's answers: the verb eval gives them"
        return _signal(items, STRATEGY, items.given, "no confidence", scale=True)
    return _votes(items) if name == VOTES else _engine(items, name)


def _stated(items: Items, mode: Mode) -> Signal | str:
    texts = [completion_text(e) for e in items.episodes]
    if not any(map(states_confidence, texts)):
        return "no reply states a confidence"
    cut, asked = items.truncated, items.attempted
    read = [stated(text, mode=mode, truncated=bool(t)) for text, t in zip(texts, cut, strict=True)]
    values = np.array([r.confidence if r.valid else np.nan for r in read], dtype=np.float64)
    counts = validity([r for r, a in zip(read, asked, strict=True) if a])
    about = {"copied from the example": counts.copied, "read as probability": counts.read_as_probability}
    return Signal(STATED, values, True, counts.problems, {k: n for k, n in about.items() if n})


def _votes(items: Items) -> Signal | str:
    """The share of a question's attempts (itself included) that give the same answer."""
    groups: dict[tuple[int, str], list[int]] = {}
    for i, name in enumerate(zip(items.runs.tolist(), items.questions.tolist(), strict=True)):
        groups.setdefault(name, []).append(i)
    if len(groups) == len(items.episodes):
        return "one attempt a question"
    answers = [final(completion_text(e)) for e in items.episodes]
    values = np.full(len(answers), np.nan)
    for group in groups.values():
        of = classes([answers[i] for i in group])
        size = Counter(c for c in of if c is not None)
        for i, c in zip(group, of, strict=True):
            values[i] = np.nan if c is None else size[c] / len(group)
    return _signal(items, VOTES, values, "no answer", scale=True)


def _engine(items: Items, name: str) -> Signal | str:
    try:
        values = episode_scores(items.episodes, ENGINE[name]).values
    except SharpenError as e:
        return str(e)
    if np.isneginf(values).all():
        return "no token was stored with the answers"
    return _signal(items, name, np.where(np.isneginf(values), np.nan, values), "no number", scale=False)


def _signal(items: Items, name: str, values: Array, why: str, *, scale: bool) -> Signal:
    cut, asked = items.truncated, items.attempted
    problems = {"truncated": int((cut & asked).sum()), why: int((np.isnan(values) & ~cut & asked).sum())}
    kept = np.where(cut, np.nan, values)
    return Signal(name, kept, scale, {k: n for k, n in problems.items() if n})
