"""A question as a strategy sees it: its text, how answers are read and written, its tools. Never its gold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.score.answers import extract_answer, parse_number
from sharpen.score.verdict import Verdict
from sharpen.tasks.answer import answer_of
from sharpen.tasks.family import ANSWER
from sharpen.tasks.task import Message, Prompt, TaskSource

Search = Callable[[str], str]
"""A search tool: a query in, what was found as text out."""


class NoVerifier(Exception):
    """A strategy asked for the verifier although it is not one that may."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: the task's.
        prompt: as the source puts it: text to continue, or messages.
        readable: whether a completion gives an answer, right or wrong.
        search: the search tool, None where there is none.
        tests: public tests of a programming task (never those that judge it), as in ``sharpen.score.code``.
        verify: judges a completion; None for strategies that may not see it.
        environment: makes a fresh environment to act in, None where there is none.
        unsafe: run programs although a fork bomb cannot be held on this machine.
        demos: worked questions of the training split: question, gold completion. Never this question.
        pool: questions of the training split as the model itself worked them (``zero_shot_cot``): question,
            completion without any gold.
        memory: what was learnt on training questions beforehand, as key and content: problems in short and
            ways to solve them (``distil_thoughts``), or tasks and programs that carry them out (``voyager``).
        score: what a program is worth, larger is better, and one line on what went wrong; ``-inf`` where it
            fails. None where programs are not scored.
    """

    id: str
    prompt: Prompt
    readable: Callable[[str], bool] = field(default=lambda text: extract_answer(text) is not None)
    search: Search | None = None
    tests: Sequence[Any] = ()
    verify: Callable[[str], Verdict] | None = None
    environment: Callable[[], Any] | None = None
    unsafe: bool = False
    demos: Sequence[tuple[str, str]] = ()
    pool: Sequence[tuple[str, str]] = ()
    memory: Sequence[tuple[str, str]] = ()
    score: Callable[[str], tuple[float, str]] | None = None

    @property
    def verifier(self) -> Callable[[str], Verdict]:
        """``verify``, for strategies whose entry says that they need it. Raises NoVerifier for others."""
        if self.verify is None:
            raise NoVerifier("this strategy did not say that it needs the verifier")
        return self.verify

    @property
    def text(self) -> str:
        """The question as plain text: the last message of the user, space at its ends stripped."""
        if isinstance(self.prompt, str):
            return self.prompt.strip()
        said = [m["content"] for m in self.prompt if m["role"] == "user"]
        return said[-1].strip() if said else ""

    def asked(self, text: str) -> Prompt:
        """Another text put in the question's place: its messages are kept."""
        if isinstance(self.prompt, str):
            return text if text.endswith("\n") else text + "\n"
        return (*self.prompt[:-1], Message(role="user", content=text))

    def read(self, text: str) -> str | None:
        """The final answer in a completion, None where there is none."""
        if not self.readable(text):
            return None
        return extract_answer(text) or answer_of(text)

    def write(self, answer: str) -> str:
        """A completion that gives ``answer`` where every source looks for one."""
        return f"{ANSWER}{answer}"

    @staticmethod
    def name(answer: str | None) -> str | None:
        """Answers with equal names are the same answer: numbers by value, others by their characters."""
        if answer is None:
            return None
        number = parse_number(answer)
        return str(number) if number is not None else " ".join(answer.split()) or None

    def names(self, texts: Sequence[str]) -> list[str | None]:
        """The names of the answers in completions."""
        return [self.name(self.read(t)) for t in texts]


def question_text(task: Any) -> str:
    """A task's question as plain text."""
    return Question(task.id, task.prompt).text


def question_of(source: TaskSource, task: Any, **tools: Any) -> Question:
    """A task's question; ``tools`` are further attributes."""
    return Question(task.id, task.prompt, source.has_answer, **tools)
