"""Proves a task source: gold passes, attacks do not, items repeat, splits are apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sharpen.errors import SharpenError
from sharpen.runs import own
from sharpen.tasks.family import ANSWER
from sharpen.tasks.registry import make
from sharpen.tasks.splits import SPLITS, contamination, prompt_text
from sharpen.tasks.task import Task, TaskSource, TooFew, up_to

_SHAPES = ("{}", ANSWER + "{}", "<answer>{}</answer>")
_ARABIC = {ord("0") + d: chr(0x0660 + d) for d in range(10)}


@dataclass(frozen=True, slots=True)
class Failure:
    """One broken promise. ``check`` names it, ``task_id`` the item (``""``: the whole source)."""

    check: str
    task_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What ``check_source`` found: how many items and completions were judged, and every failure."""

    name: str
    items: int
    judged: int
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        """Whether at least one item was there and nothing failed."""
        return self.items > 0 and not self.failures

    def __str__(self) -> str:
        head = f"{self.name}: {self.items} items, {self.judged} completions judged"
        if self.ok:
            return f"{head}, all as promised"
        shown = [f"  {f.check} {f.task_id}: {f.detail}" for f in self.failures[:10]]
        return "\n".join([f"{head}, {len(self.failures)} failures", *shown])


def check_source(source: TaskSource, *, again: TaskSource | None = None, n: int = 50) -> Report:
    """Check up to ``n`` items of each split.

    Gold answer and worked solution pass; the empty answer, and every string of ``attacks``, does not; the
    verifier never raises; ids are unique, questions distinct, splits apart, canonical forms stable, data
    JSON. With ``again``, a second source made the same way, items are read in another order and must be
    the same.

    An attack is judged in this process without a deadline: run sources that you do not trust in a process
    that can be killed.
    """
    failures: list[Failure] = []
    items = {split: up_to(source, split, n) for split in SPLITS}
    every = [task for tasks in items.values() for task in tasks]
    judged = 0
    for task in every:
        for failure in _judge(source, task):
            judged += 1
            if failure is not None:
                failures.append(failure)
        failures += _well_formed(source, task)
    failures += _distinct(source, items)
    if again is not None:
        failures += _same(source, again, items)
    if not every:
        failures.append(Failure("no items", "", _why_none(source)))
    return Report(source.name, len(every), judged, tuple(failures))


def _why_none(source: TaskSource) -> str:
    try:
        source.take("train", 1)
    except TooFew as e:
        return str(e)
    return "no split has an item"


def summary(source: str, items: int, own_code: Sequence[str] = ()) -> dict[str, Any]:
    """``check_source`` of the source of this name, as JSON: ``source``, ``items``, ``judged``, ``failures``
    (check and how often, with one example) or ``refused``, why it cannot be made. For a pool: its processes
    know of the user's own code only what ``own_code`` lists."""
    own.allow(*own_code)
    found: dict[str, Any] = {"source": source, "items": 0, "judged": 0, "failures": [], "refused": ""}
    # a quarantined source is checked as well: its reason may be gone
    changed = {"quarantined": True} if source.startswith("reasoning_gym:") else {}
    try:
        report = check_source(make(source, **changed), again=make(source, **changed), n=items)
    except SharpenError as e:
        return {**found, "refused": str(e)}
    if not report.items:
        return {**found, "refused": report.failures[-1].detail}
    seen: dict[str, list[Failure]] = {}
    for failure in report.failures:
        seen.setdefault(failure.check, []).append(failure)
    failures = [
        {"check": check, "times": len(found), "example": f"{found[0].task_id} {found[0].detail}".strip()}
        for check, found in seen.items()
    ]
    return {**found, "items": report.items, "judged": report.judged, "failures": failures}


def attacks(task: Task) -> dict[str, str]:
    """Answers that must not pass, by name. None of them is the gold answer."""
    gold = task.answer
    wrong = [w for w in ("qzx", "7531902", "-1", "yes", "no", "A") if w.lower() != gold.strip().lower()]
    spray = [str(i) for i in range(100) if str(i) != gold.strip()]
    found = {
        "empty": "",
        "white space": " \n\t ",
        "junk": "qzx 7531902 ???",
        "punctuation": ".",
        "answer spray": "\n".join([*spray, gold, *wrong]),
        "spray of answer lines": "\n".join(ANSWER + a for a in [*wrong, gold, wrong[0]]),
        "many boxes": f"\\boxed{{{wrong[0]}}} \\boxed{{{gold}}} \\boxed{{{wrong[1]}}}",
        "many answer tags": f"<answer>{gold}</answer> <answer>{wrong[0]}</answer>",
        "unclosed box": f"\\boxed{{{gold}}} \\boxed{{",
        "unclosed answer tag": f"<answer>{gold}</answer> <answer>",
        "prompt echo": prompt_text(task.prompt),
        "gold inside digits": f"7{gold}77",
        "gold inside text": f"not {gold} but {wrong[0]}",
        "unicode digits": gold.translate(_ARABIC),
        "huge integer": "9" * 5000,
        "tower of powers": "9**9**9",
        "control characters": f"\x00{gold}\x00",
        "code": "__import__('os').getpid()",
        "deep brackets": "[" * 3000,
        "infinity": "inf",
        "not a number": "nan",
    }
    # where there is no gold answer, an empty one is an attack too
    return {name: text for name, text in found.items() if not gold.strip() or text.strip() != gold.strip()}


def _judge(source: TaskSource, task: Task) -> Iterator[Failure | None]:
    """One entry a judged completion, None where it went as promised."""
    shapes = (*_SHAPES, *getattr(source, "shapes", ()))
    outcomes = [_verify(source, task, shape.replace("{}", task.answer)) for shape in shapes]
    if "right" not in outcomes and (task.answer or getattr(source, "needs_gold", True)):
        yield Failure("gold refused", task.id, f"{task.answer[:60]!r}: {outcomes[0]}")
    if task.solution is not None and (outcome := _verify(source, task, task.solution)) != "right":
        yield Failure("solution refused", task.id, f"{task.solution[-60:]!r}: {outcome}")
    for name, text in attacks(task).items():
        for shape in shapes:
            outcome = _verify(source, task, shape.replace("{}", text))
            what = "attack passes" if outcome == "right" else outcome
            wrong = outcome.startswith("wrong")
            yield None if wrong else Failure(f"{what}: {name}", task.id, repr(shape.replace("{}", text)[:60]))


def _verify(source: TaskSource, task: Task, completion: str) -> str:
    try:
        checked = source.verify(task, completion)
    except Exception as e:
        return f"verifier raises {type(e).__name__}"
    return "right" if checked.correct else f"wrong ({checked.detail})"


def _well_formed(source: TaskSource, task: Task) -> list[Failure]:
    failures = []
    try:
        same = json.loads(json.dumps(dict(task.data), allow_nan=False)) == dict(task.data)
    except (TypeError, ValueError):
        same = False
    if not same:
        failures.append(Failure("data is not JSON", task.id, repr(task.data)[:80]))
    if source.canonical(task) != source.canonical(task):
        failures.append(Failure("canonical form changes", task.id, "two calls, two forms"))
    return failures


def _distinct(source: TaskSource, items: dict[str, list[Task]]) -> list[Failure]:
    failures = []
    ids: set[str] = set()
    for split, tasks in items.items():
        forms: dict[str, str] = {}
        for task in tasks:
            if task.id in ids:
                failures.append(Failure("id repeated", task.id, f"in {split}"))
            ids.add(task.id)
            other = forms.setdefault(source.canonical(task), task.id)
            if other != task.id:
                failures.append(Failure("question repeated", task.id, f"same as {other}"))
    for (a, left), (b, right) in combinations(items.items(), 2):
        for one, two in contamination(left, right, source.canonical):
            failures.append(Failure("in two splits", two, f"{one} of {a} is in {b}"))
    return failures


def _same(source: TaskSource, again: TaskSource, items: dict[str, list[Task]]) -> list[Failure]:
    failures = []
    if source.spec != again.spec:
        failures.append(Failure("spec changes", "", f"{source.spec} and {again.spec}"))
    for split in reversed(list(items)):
        for i in reversed(range(len(items[split]))):
            task, other = items[split][i], again.take(split, 1, start=i)[0]
            if task != other or source.canonical(task) != again.canonical(other):
                failures.append(Failure("item changes", task.id, f"item {i} of {split}, made again"))
    return failures
