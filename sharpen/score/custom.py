"""Reward functions of the user's own as verifiers, also in TRL's form: ``f(completions, **columns)``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, cast

from sharpen.errors import SharpenError
from sharpen.runs import own
from sharpen.sample.episode import Episode
from sharpen.score.answers import has_answer
from sharpen.score.group import Group, completion_text
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import Verifier, crash, from_function, mark_truncated, source_digest
from sharpen.tasks.task import Task


@dataclass(eq=False)
class TrlReward:
    """A TRL reward function, called with lists: ``prompts``, ``completions``, ``completion_ids``, ``answer``
    and every field of ``Task.data`` as a column.

    Text prompts come with text completions, chat prompts with chat completions, as in TRL. The function gets
    a whole group at once. It returns one number an answer; None is TRL's "does not apply" and becomes
    ``abstain``. A number of 1 or more counts as correct. An exception makes the group's verdicts ``crash``.
    """

    function: Callable[..., Sequence[float | None]]
    name: str
    digest: str
    _known: dict[str, float | None] = field(default_factory=dict, repr=False)
    _broken: dict[str, Verdict] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: name and source text."""
        return {"verifier": "trl", "name": self.name, "source": self.digest}

    def prepare(self, groups: Sequence[Group]) -> None:
        """Call the function once a group."""
        self._known, self._broken = {}, {}
        for group in groups:
            self._call(group.task, group.episodes)

    def _call(self, task: Task, episodes: Sequence[Episode]) -> None:
        chat = not isinstance(task.prompt, str)
        texts = [completion_text(e) for e in episodes]
        n = len(episodes)
        columns = {"answer": task.answer, **task.data}
        try:
            scores = self.function(
                prompts=[list(task.prompt) if chat else task.prompt for _ in episodes],
                completions=[[{"role": "assistant", "content": t}] for t in texts] if chat else texts,
                completion_ids=[e.tokens[len(e.tokens) - e.n_sampled :].tolist() for e in episodes],
                **{name: [value] * n for name, value in columns.items()},
            )
        except SharpenError:
            raise
        except Exception as problem:
            self._broken.update((e.key, crash(self.name, problem)) for e in episodes)
            return
        if not isinstance(scores, Sequence) or len(scores) != n:
            raise SharpenError(f"reward {self.name!r} gave no list of {n} scores on task {task.id!r}")
        for episode, score in zip(episodes, scores, strict=True):
            if score is not None and not isinstance(score, Real):
                raise SharpenError(f"reward {self.name!r} gave {score!r:.80} on task {task.id!r}")
            self._known[episode.key] = None if score is None else float(score)

    def __call__(self, *, task: Task, episode: Episode) -> Verdict:
        if episode.key not in self._known and episode.key not in self._broken:
            self._call(task, [episode])
        if episode.key in self._broken:
            return self._broken[episode.key]
        score = self._known[episode.key]
        if score is None:
            return Verdict(0.0, Status.ABSTAIN, by=self.name, detail="the reward says that it does not apply")
        verdict = Verdict(score, by=self.name)
        return mark_truncated(verdict, episode, verdict.correct or has_answer(completion_text(episode)))


def from_trl(function: Callable[..., Sequence[float | None]]) -> TrlReward:
    """A verifier from a TRL reward function. Its identity is its name and source text.

    Raises SharpenError where it does not take ``completions``.
    """
    name = getattr(function, "__name__", type(function).__name__)
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if "completions" not in parameters or not takes_all:
        raise SharpenError(f"reward {name}: TRL's form is f(completions, **columns)")
    return TrlReward(function, name, source_digest(function))


def imported(target: str) -> Verifier:
    """The verifier that ``module:function`` or ``FILE.py:function`` names, a function of the
    user's own: in TRL's form where it takes ``completions``, else
    ``def reward(prompt, completion, answer) -> float``.

    The module is also looked for in the working folder. Raises SharpenError where there is none.
    """
    function = own.load(target, "verifier") if own.target(target) else _of_module(target)
    if not callable(function):
        raise SharpenError(f"verifier {target!r} is no function")
    known = inspect.signature(function).parameters
    mine = cast("Any", function)
    return from_trl(mine) if "completions" in known else from_function(mine)


def _of_module(target: str) -> Any:
    module, _, attribute = target.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise SharpenError(f"verifier {target!r} cannot be imported: {e}") from None
    finally:
        sys.path.remove(os.getcwd())
