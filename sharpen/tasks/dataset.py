"""JSONL, Parquet and local Hugging Face datasets as task sources, with a ledger that adds up."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from sharpen.errors import SharpenError, nearest, unknown
from sharpen.tasks.answer import answer_of, exact
from sharpen.tasks.rows import BadRow, digest_of, read_rows
from sharpen.tasks.splits import SPLITS, Split, canonical_text, check_split, prompt_text, split_of
from sharpen.tasks.task import Checked, Message, Prompt, Task, TooFew

_SPLIT_NAMES: dict[str, Split] = {
    **{s: s for s in SPLITS},
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
}
# held-out questions stay where they are; the copy in the split before them goes
_HELD_OUT_FIRST: tuple[Split, ...] = ("test", "dev", "train", "base")
_SHOWN = 20

Path_ = str | os.PathLike[str]


@dataclass(slots=True)
class Ledger:
    """Where every row went: ``read = kept + skipped + duplicates``.

    Attributes:
        read: rows read (blank lines of a JSONL file are not rows).
        kept: tasks, by split.
        skipped: rows left out, by reason.
        duplicates: rows with a question and answer already kept in their split.
        shown: the first lines that name a skipped row, for people.
    """

    read: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    shown: list[str] = field(default_factory=list)

    @property
    def adds_up(self) -> bool:
        """Whether no row was lost or counted twice."""
        return self.read == self.kept.total() + self.skipped.total() + self.duplicates

    def __str__(self) -> str:
        parts = [f"{n} {s}" for s, n in self.kept.items()] + [f"{self.duplicates} repeated"]
        parts += [f"{n} skipped: {why}" for why, n in self.skipped.items()]
        return f"{self.read} rows read = {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a usable row is and what happens to the others.

    Attributes:
        on_bad_row: ``error`` stops at the first one, ``skip`` counts it in the ledger.
        on_overlap: a question in two given splits is an ``error``, or the copy in the less held-out
            split is dropped and counted (order: test, dev, train, base).
        max_prompt: the longest prompt allowed, in the unit of ``length``; None allows any.
        length: measures a prompt; characters unless told otherwise (pass a token counter).
    """

    on_bad_row: Literal["error", "skip"] = "error"
    on_overlap: Literal["error", "drop"] = "error"
    max_prompt: int | None = None
    length: Callable[[Prompt], int] = lambda prompt: len(_all_text(prompt))

    def __post_init__(self) -> None:
        for name, value, known in (
            ("on_bad_row", self.on_bad_row, ("error", "skip")),
            ("on_overlap", self.on_overlap, ("error", "drop")),
        ):
            if value not in known:
                raise unknown(f"value of {name}", str(value), known)


class Dataset:
    """A file, or one file a split, as a ``TaskSource``. All rows are read and checked when it is made.

    Args:
        kind: ``jsonl``, ``parquet``, or ``hf`` (a folder written by ``save_to_disk``; extra ``tasks``).
        path: one path, or ``{split: path}`` with the splits ``base``, ``train``, ``dev``, ``test``.
        columns: where a task's fields are in a row, e.g. ``{"prompt": "question", "answer": "meta.gold"}``;
            dots lead into nested objects. Fields are ``prompt`` (text or a list of chat messages; default
            column ``prompt``), ``answer`` (default ``answer``), and optional ``split``, ``id``,
            ``solution``; any other name goes to ``task.data``.
        verifier: judges a completion; exact match of the final answer unless told otherwise.
        limits: see ``Limits``.

    With neither several paths, nor a ``split`` column, nor a Hugging Face folder of named splits, questions
    are split by a hash of their canonical form. Rows are numbered from 1 (JSONL: the line).

    Raises:
        SharpenError: naming file and row of a bad row, the ids of a question in two splits, an unknown
            column or value.
    """

    def __init__(
        self,
        kind: str,
        path: Path_ | Mapping[str, Path_],
        *,
        columns: Mapping[str, str] | None = None,
        verifier: Callable[[Task, str], Checked] = exact,
        limits: Limits | None = None,
    ) -> None:
        paths = path if isinstance(path, Mapping) else {"": path}
        self._files = {check_split(s) if s else "": Path(p) for s, p in paths.items()}
        self.kind = kind
        self.columns = {"prompt": "prompt", "answer": "answer", **(columns or {})}
        if "" not in self._files and "split" in self.columns:
            raise SharpenError("one path a split and a split column: say the splits once")
        self.verifier = verifier
        self.limits = limits or Limits()
        self.name = f"{kind}:{'+'.join(p.name for p in self._files.values())}"
        self.ledger = Ledger()
        self._digests = {s: digest_of(p) for s, p in self._files.items()}
        self._items: dict[Split, list[Task]] = {s: [] for s in SPLITS}
        self._ids: set[str] = set()
        for split, file in self._files.items():
            self._read(split, file)
        self._separate()
        self.ledger.kept.update({split: len(tasks) for split, tasks in self._items.items() if tasks})
        if not any(self._items.values()):
            raise SharpenError(f"{self.name}: no usable row ({self.ledger})")

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: file names and contents (never where they lie), columns, limits, rows kept."""
        return {
            "source": self.kind,
            "files": [[s, p.name, self._digests[s]] for s, p in self._files.items()],
            "columns": dict(self.columns),
            "verifier": getattr(self.verifier, "__qualname__", type(self.verifier).__qualname__),
            "on_bad_row": self.limits.on_bad_row,
            "on_overlap": self.limits.on_overlap,
            "max_prompt": self.limits.max_prompt,
            "kept": self._kept(),
        }

    def _kept(self) -> str:
        # a token counter has no identity of its own, what it let through has
        ids = [[split, [t.id for t in tasks]] for split, tasks in self._items.items()]
        return hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest()

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split in file order; see ``TaskSource.take``."""
        items = self._items[check_split(split)]
        if len(items) < start + n:
            raise TooFew(self.name, split, len(items), start + n)
        return items[start : start + n]

    def verify(self, task: Task, completion: str) -> Checked:
        """The caller's verifier."""
        return self.verifier(task, completion)

    def has_answer(self, completion: str) -> bool:
        """Whether ``answer_of`` finds one."""
        return answer_of(completion) is not None

    def canonical(self, task: Task) -> str:
        """The question (user turns of a chat) as canonical text."""
        return canonical_text(prompt_text(task.prompt))

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """The final answer with white space collapsed."""
        answer = answer_of(completion)
        return None if answer is None else " ".join(answer.split())

    # reading -------------------------------------------------------------------------------------
    def _read(self, given: str, path: Path) -> None:
        first: dict[str, dict[str, Task]] = {s: {} for s in SPLITS}
        for number, split_name, row in read_rows(self.kind, path, tuple(self.columns.values())):
            self.ledger.read += 1
            try:
                if isinstance(row, BadRow):
                    raise row
                task, split = self._task(row, given or split_name, f"{path.stem}-{number}")
                form = self.canonical(task)
                split = split or split_of(form)
                earlier = first[split].get(form)
                if earlier is not None and earlier.answer != task.answer:
                    raise BadRow("conflict", f"same question as {earlier.id}, another answer")
                if earlier is not None:
                    self.ledger.duplicates += 1
                    continue
                if task.id in self._ids:
                    raise BadRow("repeated id", f"id {task.id!r} was used before")
            except BadRow as bad:
                self._skip(bad, f"{path.name}, row {number}: {bad}")
                continue
            first[split][form] = task
            self._ids.add(task.id)
            self._items[split].append(task)

    def _skip(self, bad: BadRow, line: str) -> None:
        if self.limits.on_bad_row == "error":
            raise SharpenError(line) from None
        self.ledger.skipped[bad.reason] += 1
        if len(self.ledger.shown) < _SHOWN:
            self.ledger.shown.append(line)

    def _task(self, row: Mapping[str, Any], given: str, fallback_id: str) -> tuple[Task, Split | None]:
        return self._made(
            {name: _at(row, column) for name, column in self.columns.items()}, given, fallback_id
        )

    def _made(self, found: dict[str, Any], given: str, fallback_id: str) -> tuple[Task, Split | None]:
        """A task of its fields, and its split where one is named."""
        prompt = _prompt(found.pop("prompt"))
        answer = _answer(found.pop("answer"))
        name = found.pop("split", given)
        if name and name not in _SPLIT_NAMES:
            raise BadRow("bad split", f"split {name!r} is none of {', '.join(_SPLIT_NAMES)}")
        size = self.limits.length(prompt)
        if self.limits.max_prompt is not None and size > self.limits.max_prompt:
            raise BadRow("too long", f"prompt of length {size}, at most {self.limits.max_prompt} fit")
        task_id = found.pop("id", None)
        task_id = fallback_id if task_id is None else str(task_id)
        if "solution" in found and not isinstance(found["solution"], str):
            raise BadRow("wrong type", f"solution is {type(found['solution']).__name__}, not text")
        try:
            json.dumps([task_id, prompt, answer, found], ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            raise BadRow("not UTF-8", "text with half a surrogate pair") from None
        except (TypeError, ValueError) as e:
            raise BadRow("wrong type", f"a field is not JSON: {e}") from None
        # several given files may have one name
        task_id = f"{given}-{task_id}" if given and task_id == fallback_id else task_id
        return Task(task_id, prompt, answer, found), _SPLIT_NAMES.get(name) if name else None

    def _separate(self) -> None:
        owner: dict[str, Task] = {}
        for split in _HELD_OUT_FIRST:
            kept = []
            for task in self._items[split]:
                held = owner.setdefault(self.canonical(task), task)
                if held is task:
                    kept.append(task)
                elif self.limits.on_overlap == "error":
                    raise SharpenError(
                        f"{self.name}: {task.id} of {split!r} asks the same as {held.id} of another "
                        "split; mend the files or say on_overlap = 'drop'"
                    )
            self.ledger.skipped["in a more held-out split too"] += len(self._items[split]) - len(kept)
            self._items[split] = kept
        self.ledger.skipped += Counter()  # forget zeros


def _at(row: Mapping[str, Any], column: str) -> Any:
    value: Any = row
    for part in [column] if column in row else column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            near = nearest(part, (str(k) for k in value)) if isinstance(value, Mapping) else ""
            raise BadRow(
                "missing field", f"no field {column!r}" + (f", did you mean {near!r}?" if near else "")
            )
        value = value[part]
    if value is None:
        raise BadRow("missing field", f"field {column!r} is empty")
    return value


def _prompt(value: Any) -> Prompt:
    if isinstance(value, str):
        if not value.strip():
            raise BadRow("missing field", "the prompt is empty")
        return value
    if not isinstance(value, list):
        raise BadRow("wrong type", f"prompt is {type(value).__name__}, not text or a list of messages")
    messages: list[Message] = []
    for m in value:
        fields = {k: v for k, v in m.items() if v is not None} if isinstance(m, dict) else {}
        if set(fields) != {"role", "content"} or not all(isinstance(v, str) for v in fields.values()):
            raise BadRow("wrong type", "a message needs exactly role and content, both text")
        if fields["role"] not in ("system", "user", "assistant", "tool"):
            raise BadRow("wrong type", f"unknown message role {fields['role']!r}")
        messages.append(cast(Message, fields))
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        raise BadRow("missing field", "the prompt has no user turn")
    return tuple(messages)


def _answer(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("wrong type", f"answer is {type(value).__name__}, not text or a number")
    if not str(value).strip():
        raise BadRow("missing field", "the answer is empty")
    return str(value)


def _all_text(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(m["content"] for m in prompt)
