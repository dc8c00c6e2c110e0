"""Attempts read back from a run's stored calls: the strategy's loop is played again, nothing is sampled."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sharpen.runs.store import unit_files
from sharpen.runs.streams import Stream, stream
from sharpen.sample.episode import Episode, Finish
from sharpen.sample.policy import Policy
from sharpen.sample.text import cut_at_stop
from sharpen.score.overthinking import patterns, reasoning_action_ratio, rule_score
from sharpen.score.table import table_to_episodes
from sharpen.strategies.acting import played
from sharpen.strategies.ask import Ask, Reply, Session, Wanted
from sharpen.strategies.question import Question
from sharpen.strategies.words import Words
from sharpen.tasks.environment import WorldFamily
from sharpen.tasks.task import Task


class Try(NamedTuple):
    """What is kept of an attempt.

    Attributes:
        right: the hidden tests pass at its end.
        score: by rules, 0..10. disengaged: that pattern alone, 0 or 1. turns: messages.
        reasoning: tokens that are no action. ratio: of those to actions. tokens: all that were sampled.
        logprob: their mean log-probability, nats.
    """

    right: int
    score: int
    disengaged: int
    turns: int
    reasoning: int
    ratio: float
    tokens: int
    logprob: float


class Stored:
    """A desk (``sharpen.strategies.ask.Desk``) that answers one question's calls from the store.

    Calls with equal prompts are given in their order: attempts that were alike so far may swap what follows,
    which leaves the set of attempts as it was.
    """

    def __init__(self, policy: Policy, calls: Sequence[Episode], system: str, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = policy.tokenizer, tuple(stop)
        self._head = f"{system}\n\n" if system else ""
        self.left: dict[str, deque[Episode]] = defaultdict(deque)
        for call in calls:
            self.left[str(self._tokenizer.decode(call.spans[0].tokens))].append(call)
        self.said: list[Reply] = []

    async def ask(self, item: tuple[Session, Question, Wanted]) -> Reply:
        """The next stored reply to a prompt; KeyError where there is none."""
        _, question, wanted = item
        prompt = self._head + str(question.asked(wanted.prompt))
        if not self.left[prompt]:
            raise KeyError(f"no stored reply to {prompt!r}")
        call = self.left[prompt].popleft()
        text = cut_at_stop(call.text, self._stop) if call.finish is Finish.STOP else call.text
        self.said.append(Reply(text, call))
        return self.said[-1]

    async def gather(self, *flows: Coroutine[Any, Any, Any]) -> list[Any]:
        """One after the other."""
        return [await flow for flow in flows]

    def stream(self, question: Question) -> Stream:
        """Nothing is drawn."""
        return stream("stored", question.id)

    def tokens(self, text: str, most: int) -> tuple[int, str]:
        """As the run counted."""
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return len(ids), str(self._tokenizer.decode(ids[:most]))


def tries(task: Task, source: WorldFamily, desk: Stored, words: Words, *, steps: int, n: int) -> list[Try]:
    """A question's ``n`` attempts of up to ``steps`` turns. ValueError where a stored call is in none."""
    question = Question(
        task.id, task.prompt, source.has_answer, environment=partial(source.environment, task)
    )
    ask, found = Ask(desk, question, words), []
    for _ in range(n):
        desk.said = []
        course = asyncio.run(played(ask, steps, one=False))
        right = source.verify(task, course.final(ask).text).correct
        found.append(
            Try(
                int(right), rule_score(course.turns), int(patterns(course.turns).disengaged),
                len(course.turns), sum(t.reasoning for t in course.turns),
                round(reasoning_action_ratio(course.turns), 3), course.tokens,
                round(sum(reply.total() for reply in desk.said) / course.tokens, 4),
            )
        )  # fmt: skip
    if left := sum(map(len, desk.left.values())):
        raise ValueError(f"{task.id}: {left} stored calls are in no attempt")
    return found


def stored_calls(folder: Path, strategy: str) -> dict[str, list[Episode]]:
    """All calls of a strategy by task, in the order in which they were answered."""
    files = unit_files(folder)[f"{strategy.replace(':', ' ')}/solve:0"]
    table = pa.concat_tables([pq.read_table(f) for f in files[1::2]])
    calls: dict[str, list[Episode]] = defaultdict(list)
    for episode in table_to_episodes(table.drop_columns(["request"])):
        calls[episode.task_id].append(episode)
    return calls
