"""What a selection gives: items for a learner, and a ledger that accounts for every sample."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sharpen.errors import SharpenError
from sharpen.sample.episode import Episode
from sharpen.score.group import Groups
from sharpen.tasks.task import Task

Unique = Callable[[Task, str], str | None]
"""Names a response of a task: two of one name are the same response. None: the stripped text is its name.
A task source's ``canonical_answer`` is one."""


def same_text(task: Task, text: str) -> str:
    """Exact string identity."""
    return text


def stripped(task: Task, text: str) -> str:
    """Identity up to surrounding space."""
    return text.strip()


def name_of(unique: Unique, task: Task, text: str) -> str:
    """The name that ``unique`` gives, or the stripped text where it gives none."""
    name = unique(task, text)
    return text.strip() if name is None else name


def label(rule: Callable[..., Any] | None) -> str | None:
    """How a function stands in a spec: its qualified name."""
    return None if rule is None else getattr(rule, "__qualname__", type(rule).__name__)


@dataclass(frozen=True, slots=True)
class Selected:
    """One chosen response.

    Attributes:
        task: the task it answers.
        text: prefill and sampled text, or the gold solution.
        score: its reward, or the fixed score of gold.
        correct: whether it counts as right; gold does.
        group, sample: where it stands in the groups; None for gold.
        source: the groups it was chosen from.
    """

    task: Task
    text: str
    score: float
    correct: bool
    group: int | None = None
    sample: int | None = None
    source: Groups | None = field(default=None, repr=False, compare=False)

    @property
    def gold(self) -> bool:
        """True where it is a worked solution instead of a sample."""
        return self.sample is None

    @property
    def reprompted(self) -> bool:
        """True where ``task`` asks otherwise than the episode was asked (see ``under``): a learner then
        puts the sampled tokens behind the prompt of ``task``."""
        if self.source is None or self.group is None:
            return False
        return self.source.columns[self.group].task.prompt != self.task.prompt

    @property
    def episode(self) -> Episode | None:
        """The sampled episode, its tokens loaded now; None for gold."""
        if self.source is None or self.group is None or self.sample is None:
            return None
        return self.source[self.group].episodes[self.sample]


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen responses in a fixed order (the learner shuffles).

    Attributes:
        items: what was chosen, query by query.
        spec: how it was chosen: JSON, a step's input.
        m: the per-query cap that was in force; None without one.
        ledger: counts; ``sampled`` + ``gold`` equals the sum of the others.
    """

    items: tuple[Selected, ...]
    spec: Mapping[str, Any]
    m: int | None
    ledger: Mapping[str, int]

    def __post_init__(self) -> None:
        put_in = self.ledger.get("sampled", 0) + self.ledger.get("gold", 0)
        came_out = sum(n for name, n in self.ledger.items() if name not in ("sampled", "gold"))
        if put_in != came_out or self.ledger.get("kept", 0) != len(self.items):
            raise SharpenError(
                f"selection ledger does not add up: {dict(self.ledger)}, {len(self.items)} items"
            )

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Selected]:
        return iter(self.items)

    @property
    def digest(self) -> str:
        """A hash of what was chosen and how: ids, positions, texts, scores and the rule."""
        rows = [[i.task.id, i.group, i.sample, i.text, i.score.hex(), i.correct] for i in self.items]
        blob = json.dumps([rows, dict(self.spec)], sort_keys=True)
        return hashlib.blake2b(blob.encode(), digest_size=16).hexdigest()

    @property
    def accuracy(self) -> float | None:
        """Share of the chosen that count as right; None where nothing was chosen."""
        return sum(i.correct for i in self.items) / len(self.items) if self.items else None


def joined(*selections: Selection) -> Selection:
    """All items of several selections, in their order; nothing is removed, ledgers add up."""
    items = tuple(item for s in selections for item in s.items)
    ledger: Counter[str] = Counter()
    for s in selections:
        ledger.update(s.ledger)
    return Selection(items, {"rule": "joined", "of": [dict(s.spec) for s in selections]}, None, dict(ledger))


def under(selection: Selection, tasks: Mapping[str, Task]) -> Selection:
    """The same responses, to be learnt as answers to ``tasks`` (by task id) instead of the tasks asked.

    STaR's rationalization: an attempt made with a hint is learnt without it. SharpenError for an id
    that ``tasks`` lacks.
    """
    missing = [i.task.id for i in selection.items if i.task.id not in tasks]
    if missing:
        raise SharpenError(f"selection: no task to put {missing[0]!r} under")
    items = tuple(replace(i, task=tasks[i.task.id]) for i in selection.items)
    return replace(selection, items=items, spec={**selection.spec, "under": "other prompts"})
