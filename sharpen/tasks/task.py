"""What a model is asked: a frozen ``Task``, and the sources that make tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

from sharpen.errors import SharpenError


class Message(TypedDict):
    """One chat message. ``role`` is ``system``, ``user``, ``assistant`` or ``tool``."""

    role: str
    content: str


Prompt = str | tuple[Message, ...]
"""Text is continued as it stands (a base model); messages go through the model's chat template."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question.

    Attributes:
        id: unique inside its source, stable across machines and runs.
        prompt: text to continue, or chat messages.
        answer: the gold answer; it passes the task's own verifier, and ``""`` does not.
        data: what the verifier needs, JSON values only. ``data["solution"]``, where a
            source has one, is a worked gold completion.
    """

    id: str
    prompt: Prompt
    answer: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def solution(self) -> str | None:
        """A worked gold completion (derivation and answer), or None where there is none."""
        return self.data.get("solution")


@dataclass(frozen=True, slots=True)
class Checked:
    """A source's own judgment of a completion: pure, and never an exception whatever the text.

    Attributes:
        correct: whether the final answer is right.
        status: ``ok``, or ``unparsable`` where no answer could be read (the model's doing, wrong).
        detail: why, one line for people.
    """

    correct: bool
    status: Literal["ok", "unparsable"] = "ok"
    detail: str = ""


class TooFew(SharpenError):
    """A split has fewer items than were asked for; ``found`` is how many it has."""

    def __init__(self, source: str, split: str, found: int, wanted: int, why: str = "") -> None:
        super().__init__(
            f"{source}: split {split!r} has {found} distinct items, {wanted} were asked for{why}"
        )
        self.found = found


class GoldIsHidden(SharpenError):
    """A method that promised to work without labels read one."""


class _HiddenTask(Task):
    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in ("answer", "solution", "data"):
            task_id = object.__getattribute__(self, "id")
            raise GoldIsHidden(f"gold of task {task_id!r} read by a label-free method")
        return object.__getattribute__(self, name)


def hidden(tasks: Sequence[Task]) -> list[Task]:
    """The same tasks with their gold out of reach: reading ``answer``, ``solution`` or ``data`` raises
    ``GoldIsHidden``. Label-free methods run on these."""
    return [_HiddenTask(t.id, t.prompt, "", {}) for t in tasks]


def is_hidden(task: Task) -> bool:
    """Whether the task's gold is out of reach."""
    return isinstance(task, _HiddenTask)


def hint(prompt: Prompt, answer: str, form: str) -> Prompt:
    """The question with its answer given away, as STaR's rationalization asks it (arXiv 2203.14465).

    ``form`` holds ``{prompt}`` and ``{answer}``; the prompt loses surrounding space first. Of chat
    messages the last one is changed. Raises SharpenError where ``form`` lacks a place for either.
    """
    if "{prompt}" not in form or "{answer}" not in form:
        raise SharpenError(f"hint {form!r} needs both {{prompt}} and {{answer}}")
    if isinstance(prompt, str):
        # replaced one after the other, never formatted: a question may hold braces
        return form.replace("{answer}", answer).replace("{prompt}", prompt.strip())
    *before, last = prompt
    text = hint(last["content"], answer, form)
    assert isinstance(text, str)
    return (*before, Message(role=last["role"], content=text))


class TaskSource(Protocol):
    """A family, adapter or dataset with splits that do not overlap."""

    name: str

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity of this source (name, configuration, content digest of files): a step's input."""
        ...

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of ``split`` (``base``, ``train``, ``dev`` or ``test``).

        No two items of one split have the same canonical form. Raises TooFew when the split has fewer.
        """
        ...

    def verify(self, task: Task, completion: str) -> Checked:
        """Judge a completion (prefill included, prompt not)."""
        ...

    def has_answer(self, completion: str) -> bool:
        """Whether a completion gives an answer, right or wrong, where ``verify`` looks for one."""
        ...

    def canonical(self, task: Task) -> str:
        """The question in canonical form; equal forms are the same question."""
        ...

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """A correct completion in canonical form (two derivations that differ only in the order of
        commutative operands are one), or None where it cannot be read."""
        ...


def up_to(source: TaskSource, split: str, n: int) -> list[Task]:
    """The first ``n`` items of a split, or all that it has."""
    try:
        return source.take(split, n)
    except TooFew as e:
        return source.take(split, e.found)
