"""Verifiers: what judges an episode, and how their own failures stay visible."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from sharpen.errors import NotFinite, SharpenError, unknown
from sharpen.sample.episode import Episode, Finish
from sharpen.score.answers import choice_verdict, exact_verdict, has_answer, number_verdict
from sharpen.score.group import Group, Groups, completion_text
from sharpen.score.lists import sequence_verdict, set_verdict
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.task import Checked, Task


class Verifier(Protocol):
    """Judges one episode. Pure: the same task and episode always give the same verdict.

    One that is faster on many at once has ``prepare(groups)``, called before their episodes are judged; one
    that holds processes has ``close()``.
    """

    @property
    def name(self) -> str:
        """Short name, written to ``Verdict.by``."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: a step's input."""
        ...

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        """The verdict. Keyword-only, so that task and episode cannot be swapped."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """Judges many groups at once."""

    def prepare(self, groups: Sequence[Group]) -> None: ...


@runtime_checkable
class Closes(Protocol):
    """Holds processes that end with ``close``."""

    def close(self) -> None: ...


@runtime_checkable
class ChecksItself(Protocol):
    """A task source with its own checker."""

    name: str

    @property
    def spec(self) -> dict[str, Any]: ...
    def verify(self, task: Task, completion: str) -> Checked: ...


def judge(verifier: Verifier, *, task: Task, episode: Episode) -> Verdict:
    """The verdict of ``verifier``, with every failure in its place.

    - an exception becomes status ``crash`` (unknown, with the exception as detail), never a 0;
    - an episode that the engine or environment ended with an error is not judged: ``abstain``;
    - a NaN or infinite score raises NotFinite, naming verifier and task.

    Errors meant for the user (``SharpenError``, such as gold read by a label-free method) pass through.
    """
    if episode.finish is Finish.ERROR:
        return Verdict(0.0, Status.ABSTAIN, by=verifier.name, detail="the episode ended in an error")
    try:
        verdict = verifier(task=task, episode=episode)
    except SharpenError:
        raise
    except Exception as problem:
        return crash(verifier.name, problem)
    if not isinstance(verdict, Verdict):
        raise SharpenError(
            f"verifier {verifier.name!r} gave no Verdict but {verdict!r:.80} on task {task.id!r}"
        )
    _check_finite(verifier.name, task, [verdict.score, *verdict.parts.values(), *verdict.steps])
    return verdict if verdict.by else replace(verdict, by=verifier.name)


def judge_group(verifier: Verifier, group: Group) -> tuple[Verdict, ...]:
    """The verdicts of one group's episodes, in order."""
    return tuple(judge(verifier, task=group.task, episode=e) for e in group.episodes)


def judge_all(verifier: Verifier, groups: Iterable[Group]) -> Groups:
    """The same groups with verdicts; earlier ones are replaced. A lazy table stays lazy."""
    table = groups if isinstance(groups, Groups) else Groups(groups)
    return table.with_verdicts([judge_group(verifier, g) for g in table])


def crash(name: str, problem: Exception) -> Verdict:
    """The verdict where a verifier raised ``problem``."""
    detail = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
    # lone surrogates cannot be written as UTF-8, and an exception may quote any text
    return Verdict(0.0, Status.CRASH, by=name, detail=detail.encode("utf-8", "replace").decode())


def _check_finite(name: str, task: Task, values: list[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise NotFinite(f"verifier {name!r} gave {value} on task {task.id!r}: a reward must be finite")


def mark_truncated(verdict: Verdict, episode: Episode, answered: bool) -> Verdict:
    """Status ``truncated`` where the length limit, not the model's ending, explains the missing answer."""
    if episode.finish is Finish.LENGTH and not answered and not verdict.status.unknown:
        return replace(verdict, status=Status.TRUNCATED)
    return verdict


_ARGUMENTS = ("prompt", "completion", "answer", "data")


@dataclass(frozen=True)
class FunctionVerifier:
    """A plain function as a verifier; made by ``from_function``."""

    function: Callable[..., Any]
    name: str
    arguments: tuple[str, ...]
    digest: str

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": "function", "name": self.name, "source": self.digest}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        completion = completion_text(episode)
        # only what the function asks for is read, so that it also judges tasks whose gold is hidden
        readers: dict[str, Callable[[], Any]] = {
            "prompt": lambda: task.prompt,
            "completion": lambda: completion,
            "answer": lambda: task.answer,
            "data": lambda: task.data,
        }
        given = {name: readers[name]() for name in self.arguments}
        try:
            score = self.function(**given)
        except SharpenError:
            raise
        except Exception as problem:
            return crash(self.name, problem)
        if not isinstance(score, Real):
            raise SharpenError(
                f"verifier {self.name!r} gave {score!r:.80} on task {task.id!r}: a reward must be a number"
            )
        value = float(score)
        _check_finite(self.name, task, [value])
        verdict = Verdict(value, by=self.name)
        return mark_truncated(verdict, episode, verdict.correct or has_answer(completion))


def from_function(function: Callable[..., Any]) -> FunctionVerifier:
    """A verifier from ``def reward(prompt, completion, answer) -> float``.

    The function takes any of ``prompt``, ``completion`` (assistant prefill included), ``answer`` and
    ``data`` (``Task.data``), always by name. It returns a finite number; 1 or more counts as correct.
    Anything else raises SharpenError naming verifier and task; an exception becomes status ``crash``.
    Its identity is its name and source text: values that it closes over are not part of it.
    Raises SharpenError for an argument it may not ask for.
    """
    name = getattr(function, "__name__", type(function).__name__)
    arguments = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments = list(_ARGUMENTS)
        elif parameter.name in _ARGUMENTS and parameter.kind is not parameter.POSITIONAL_ONLY:
            arguments.append(parameter.name)
        elif parameter.default is parameter.empty:
            raise unknown(f"argument of reward {name}", parameter.name, _ARGUMENTS)
    return FunctionVerifier(function, name, tuple(dict.fromkeys(arguments)), source_digest(function))


def source_digest(function: Callable[..., Any]) -> str:
    """A hash of a function's source text; of its byte code where there is none."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = repr(getattr(getattr(function, "__code__", None), "co_code", function))
    return hashlib.blake2b(source.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class SourceVerifier:
    """A task source's own checker as a verifier: 1.0 for a correct completion, else 0.0."""

    source: ChecksItself

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": "source", "source": self.source.spec}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        checked = self.source.verify(task, completion_text(episode))
        score = float(checked.correct)
        verdict = Verdict(
            score, Status(checked.status), by=self.name, detail=checked.detail, parts={"correct": score}
        )
        return mark_truncated(verdict, episode, verdict.status is not Status.UNPARSABLE)


def source_verifier(source: object) -> SourceVerifier:
    """The verifier that a task source brings along. SharpenError where it has no ``verify``."""
    if not isinstance(source, ChecksItself):
        raise SharpenError(f"task source {getattr(source, 'name', source)!r} has no checker of its own")
    return SourceVerifier(source)


@dataclass(frozen=True)
class AnswerVerifier:
    """Compares the final answer with the gold: ``number`` (exact rational), ``exact`` (same string),
    ``choice`` (option letter), ``set`` or ``sequence`` (several items)."""

    name: str

    @property
    def spec(self) -> dict[str, Any]:
        return {"verifier": self.name}

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        verdict = rule(self.name)(gold=task.answer, completion=completion_text(episode))
        verdict = replace(verdict, by=self.name)
        return mark_truncated(verdict, episode, verdict.status is not Status.UNPARSABLE)


_RULES: dict[str, Callable[..., Verdict]] = {
    "number": number_verdict,
    "exact": exact_verdict,
    "choice": choice_verdict,
    "set": set_verdict,
    "sequence": sequence_verdict,
}
NAMES = ("source", *_RULES, "maths", "format", "stated", "thought", "code")
"""Every verifier that settings can name."""


def rule(name: str) -> Callable[..., Verdict]:
    """What compares ``gold`` and ``completion`` under this name. SharpenError for an unknown one."""
    if name not in _RULES:
        raise unknown("verifier of final answers", name, _RULES)
    return _RULES[name]


def answer_verifier(name: str) -> AnswerVerifier:
    """The verifier that compares final answers by the rule of this name. SharpenError for another name."""
    rule(name)
    return AnswerVerifier(name)
