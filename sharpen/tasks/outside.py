"""What sources of other libraries share: rows into splits, and a check that is the library's own code."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.tasks.answer import answer_of
from sharpen.tasks.splits import SPLITS, Split, canonical_text, check_split, prompt_text, split_of
from sharpen.tasks.task import Checked, Message, Task, TooFew

# held-out questions stay where they are; the copy in the split before them goes
_HELD_OUT_FIRST: tuple[Split, ...] = ("test", "dev", "train", "base")
# where libraries find what they have downloaded: all that a worker process gets of the environment
_PLACES = (
    "HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
)  # fmt: skip

Said = dict[str, Any]
"""A judgment as JSON: ``score``, ``parts`` (with ``correct``, 1.0 or 0.0), ``status`` (one of ``Status``) and
``detail``."""


class Outside:
    """Rows of another library as a ``TaskSource``. All are read when it is made.

    A row comes with its split or with ``""``; without, questions are split by a hash of their canonical form.
    A question that was there before, in its split or in a more held-out one, is left out and counted in
    ``passed_over``.

    Args:
        name: the source's name, without a folder.
        rows: ``(split or "", task)``.
        judge: ``module:function``. Called with ``setup`` it gives the check, a function of ``job``'s fields
            that returns a ``Said``. Runs call it in processes that can be killed.
        setup: what it is called with, JSON values.
        identity: what else tells this source from another one: versions, arguments, code.
        gold: how a right answer is written, with ``{}`` for the answer; ``check-task`` tries it beside the
            usual forms.

    Raises:
        SharpenError: there is no row, or an id comes twice.
    """

    needs_gold = False
    """A library's check may need no gold answer, so rows may come without one."""

    def __init__(
        self,
        name: str,
        rows: Sequence[tuple[str, Task]],
        *,
        judge: str,
        setup: Mapping[str, Any],
        identity: Mapping[str, Any],
        gold: str = "",
    ) -> None:
        self.name, self.judge = name, judge
        places = {key: os.environ[key] for key in _PLACES if key in os.environ}
        self.setup = {**setup, "places": places}
        self.shapes = ("\\boxed{{}}", *([gold] if gold else []))
        self.passed_over: Counter[str] = Counter()
        self._identity = dict(identity)
        self._items: dict[Split, list[Task]] = {split: [] for split in SPLITS}
        self._place(rows)
        if not any(self._items.values()):
            raise SharpenError(f"{name} has no rows")

    def _place(self, rows: Sequence[tuple[str, Task]]) -> None:
        placed: dict[Split, dict[str, Task]] = {split: {} for split in SPLITS}
        for given, task in rows:
            if any(task.id in tasks for tasks in placed.values()):
                raise SharpenError(f"{self.name}: two rows have the id {task.id!r}")
            placed[check_split(given) if given else split_of(self.canonical(task))][task.id] = task
        owner: dict[str, Split] = {}
        for split in _HELD_OUT_FIRST:
            for task in placed[split].values():
                form = self.canonical(task)
                if form in owner:
                    self.passed_over["repeated" if owner[form] == split else "in a more held-out split"] += 1
                    continue
                owner[form] = split
                self._items[split].append(task)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: name, arguments, versions, code, and a digest of every row."""
        rows = [[s, t.id, t.prompt, t.answer, dict(t.data)] for s, ts in self._items.items() for t in ts]
        digest = hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()
        return {"source": self.name, **self._identity, "rows": digest}

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split in the library's order; see ``TaskSource.take``."""
        items = self._items[check_split(split)]
        if len(items) < start + n:
            why = ", ".join(f"{count} {reason}" for reason, count in self.passed_over.items())
            raise TooFew(self.name, split, len(items), start + n, f" ({why})" if why else "")
        return items[start : start + n]

    def job(self, task: Task, completion: str) -> dict[str, Any]:
        """What the check is asked about a completion, as JSON."""
        raise NotImplementedError

    def verify(self, task: Task, completion: str) -> Checked:
        """The library's judgment, in this process and without a deadline.

        What the library's code raises comes through; where it cannot say, RuntimeError.
        """
        said = self._check(**self.job(task, completion))
        if said["status"] == "abstain":
            raise RuntimeError(said["detail"])
        status = "ok" if said["status"] == "ok" else "unparsable"
        return Checked(said["parts"]["correct"] >= 1, status, said["detail"])

    @functools.cached_property
    def _check(self) -> Callable[..., Said]:
        module, _, function = self.judge.partition(":")
        return getattr(importlib.import_module(module), function)(**self.setup)

    def has_answer(self, completion: str) -> bool:
        """Whether there is any text: where the library looks for an answer is its own affair."""
        return bool(completion.strip())

    def canonical(self, task: Task) -> str:
        """The user's turns as canonical text."""
        return canonical_text(prompt_text(task.prompt))

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """The final answer with white space collapsed."""
        answer = answer_of(completion)
        return None if answer is None else " ".join(answer.split())


def said(score: float, *, correct: bool, parts: Mapping[str, float], **told: str) -> Said:
    """A judgment; ``told`` may give ``status`` (default ``ok``) and ``detail``."""
    parts = {**parts, "correct": float(correct)}
    return {"score": score, "parts": parts, "status": "ok", "detail": "", **told}


def message(role: Any, content: Any, where: str) -> Message:
    """One chat message of a prompt. ``content`` is text or a list of text parts (mappings, or objects with
    ``type`` and ``text``).

    Raises SharpenError, beginning with ``where``, for anything but text.
    """
    if role not in ("system", "user", "assistant"):
        raise SharpenError(f"{where}: a message of role {role!r} cannot be asked, only text of one turn")
    if isinstance(content, str):
        return Message(role=role, content=content)
    texts = []
    for part in content or ():
        kind, text = (part if isinstance(part, Mapping) else vars(part)).get, "text"
        if kind("type") != text:
            raise SharpenError(f"{where}: content of type {kind('type')!r} cannot be asked, only text")
        texts.append(str(kind(text)))
    return Message(role=role, content="\n".join(texts))


def code_of(thing: Any) -> str:
    """BLAKE2b digest (hex) of the source file of a function or module; ``""`` where there is none."""
    try:
        file = inspect.getsourcefile(thing)
        return hashlib.blake2b(Path(file).read_bytes(), digest_size=16).hexdigest() if file else ""
    except (TypeError, OSError):
        return ""


@contextlib.contextmanager
def visiting(places: Mapping[str, str] | None = None) -> Iterator[None]:
    """A library's code is loaded inside: modules of the working folder are found, ``places`` are in the
    environment, and handlers of signals that it sets (some end the process their own way) are put back."""
    os.environ.update(places or {})
    kept = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        for number, handler in kept.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text, or its type."""
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
