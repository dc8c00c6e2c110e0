"""Lessons in criticising and refining one's own answers: D_meta of SELF (arXiv 2310.00533), as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpen.errors import SharpenError
from sharpen.learn.dialogues import dialogue_row
from sharpen.learn.row import Row
from sharpen.learn.rows import row_of_text
from sharpen.runs.streams import Stream
from sharpen.sample.episode import Finish, Ids, Span
from sharpen.sample.policy import Policy
from sharpen.score.feedback import Annotator
from sharpen.score.group import Group, Groups
from sharpen.strategies.words import Words
from sharpen.verbs.asking import Asking
from sharpen.verbs.desk import dialogue_of, turn_text


@dataclass(frozen=True, slots=True)
class Lesson:
    """One question of D_meta.

    Attributes:
        key: the episode's.
        prompt: the question's ids; refined: those of the right answer, end token included.
        spans: the dialogue: question, answer as it was sampled, request, feedback, request, right answer.
        qualified: whether the sampled answer was right, so that it is the refined one too.
    """

    key: str
    prompt: Ids
    refined: Ids
    spans: tuple[Span, ...]
    qualified: bool


def lessons(
    policy: Policy, groups: Groups, annotator: Annotator, words: Words, asking: Asking, stream: Stream
) -> list[Lesson]:
    """What the annotator says of each first sample, and what it makes of it."""
    return [_lesson(policy, group, annotator, words, asking, stream.child(group.task.id)) for group in groups]


def _lesson(
    policy: Policy, group: Group, annotator: Annotator, words: Words, asking: Asking, stream: Stream
) -> Lesson:
    task, episode = group.task, group.episodes[0]
    sampled, prompt = episode.spans[-1].sampled, episode.spans[0].tokens
    assert sampled is not None
    dialogue = dialogue_of(policy, asking)
    shown = dialogue.show(turn_text(str(task.prompt), asking), 0)
    if not np.array_equal(shown, prompt) or len(episode.spans) > 2:
        raise SharpenError("lessons begin with a plain question, without prefill or examples")
    answer = dialogue.say(sampled, version=policy.version, trainable=False)
    said = annotator.critique(task, answer)
    if said.qualified and sampled.finish is Finish.EOS:
        refined = sampled.tokens
    else:
        refined = _closed(policy, annotator.refinement(task, answer, said, stream))
    for turn, (role, reply) in enumerate((("assess", _closed(policy, said.text)), ("refine", refined)), 1):
        dialogue.show(turn_text(words.prompt(role), asking), turn)
        dialogue.write(reply)
    return Lesson(episode.key, prompt, refined, tuple(dialogue.spans), said.qualified)


def _closed(policy: Policy, text: str) -> Ids:
    ids: Any = policy.tokenizer.encode(text, add_special_tokens=False)
    return np.array([*ids, *policy.eos_ids[:1]], np.int32)


def meta_rows(given: Sequence[Lesson], *, beta: float = 1.0, alpha: float = 1.0) -> list[Row]:
    """``alpha (log M(f|p,r) + log M(r^|p,r,f) + beta log M(r^|p))`` as rows: of each lesson its dialogue, in
    which feedback and refined answer are learnt and the sampled answer only stands, then question and refined
    answer alone. A term without weight has no rows."""
    rows = []
    for lesson in given if alpha else ():
        rows.append(dialogue_row(lesson.spans, key=f"{lesson.key}#dialogue", weight=alpha))
        rows += direct_rows([lesson], alpha * beta)
    return rows


def direct_rows(given: Sequence[Lesson], weight: float = 1.0) -> list[Row]:
    """D_QA: each lesson's question and refined answer alone."""
    if not weight:
        return []
    return [row_of_text(x.prompt, x.refined, key=f"{x.key}#direct", weight=weight) for x in given]
