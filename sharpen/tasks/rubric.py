"""What a judge is asked: a score by a rubric, or the better of two responses; and rows of one's own that are
judged so.

The form is that of Prometheus 2 (arXiv 2405.01535): feedback first, then ``[RESULT]`` and the verdict, and
nothing behind it. ``sharpen.tasks.ratings`` reads the replies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from sharpen.errors import SharpenError
from sharpen.tasks.dataset import Dataset, Limits
from sharpen.tasks.ratings import HIGHEST, MARKER, checked, read_verdict
from sharpen.tasks.rows import BadRow
from sharpen.tasks.splits import Split
from sharpen.tasks.task import Checked, Task


@dataclass(frozen=True, slots=True)
class Rubric:
    """What is judged.

    Attributes:
        criterion: the question that the judge answers.
        scores: what each score means, that of 1 first.
    """

    criterion: str
    scores: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """As a judge reads it."""
        lines = [f"Score {i}: {text}" for i, text in enumerate(self.scores, 1)]
        return "\n".join([f"[{self.criterion}]", *lines])


def score_prompt(
    instruction: str, response: str, rubric: Rubric, *, reference: str = "", rationale: bool = True
) -> str:
    """Asks for a score of one response (an empty one too).

    Args:
        reference: a response that would have the highest score; "" for none.
        rationale: feedback is asked for before the score, or the score alone.
    """
    n = len(rubric.scores) or 5
    first = "Write feedback that judges the response by the criterion alone, then" if rationale else "Only"
    parts = [
        f"An instruction, a response to it and a criterion are given. {first} write {MARKER} and a whole "
        f"number from 1 to {n}, and nothing after it.",
        f"Instruction:\n{instruction}",
        f"Response:\n{response}",
        *([f"A response that would have {n}:\n{reference}"] if reference else []),
        f"Criterion:\n{rubric.written}",
        "Feedback:" if rationale else "Verdict:",
    ]
    return "\n\n".join(parts) + "\n"


def choice_prompt(
    instruction: str, first: str, second: str, rubric: Rubric, *, reference: str = "", rationale: bool = True
) -> str:
    """Asks which of two responses is better, ``A`` (the first) or ``B``."""
    ask = "Write feedback that compares them by the criterion alone, then" if rationale else "Only"
    parts = [
        f"An instruction, two responses to it and a criterion are given. {ask} write {MARKER} and the letter "
        "of the better one, A or B, and nothing after it.",
        f"Instruction:\n{instruction}",
        f"Response A:\n{first}",
        f"Response B:\n{second}",
        *([f"A good response:\n{reference}"] if reference else []),
        f"Criterion:\n{rubric.written}",
        "Feedback:" if rationale else "Verdict:",
    ]
    return "\n\n".join(parts) + "\n"


class Rubrics(Dataset):
    """Rows of a JSONL file, each a response to be judged by a criterion, or two of which one is better.

    A row has ``instruction``, ``criterion`` (the question that the judge answers), and either ``response``
    (an empty one is judged too) and ``score`` (1 to 5), or ``response``, ``other`` and ``better`` (``A`` is
    the first). It may have ``scores`` (what 1 to 5 mean, five texts), ``reference`` (a response that would
    have a 5), ``split`` and ``id``.

    Raises:
        SharpenError: see ``Dataset``.
    """

    shapes: ClassVar = (f"{MARKER} {{}}",)
    """How a reply gives a verdict, for ``sharpen check-task``."""

    def __init__(self, path: str | Path, *, limits: Limits | None = None) -> None:
        super().__init__("jsonl", path, limits=limits or Limits())
        self.name = f"rubric:{Path(path).name}"

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {**super().spec, "source": "rubric"}

    def _task(self, row: Mapping[str, Any], given: str, fallback_id: str) -> tuple[Task, Split | None]:
        data, answer = _read(row)
        told = {k: row[k] for k in ("split", "id") if row.get(k) is not None}
        task, split = self._made({"prompt": _prompt(data), "answer": answer, **told}, given, fallback_id)
        return replace(task, data={**task.data, **data}), split

    def canonical(self, task: Task) -> str:
        """Instruction, criterion and responses."""
        return " | ".join((task.data["instruction"], task.data["criterion"], *task.data["responses"]))

    def verify(self, task: Task, completion: str) -> Checked:
        """Whether the judgment ends in the gold verdict."""
        return checked(self.canonical_answer(task, completion), task.answer)

    def has_answer(self, completion: str) -> bool:
        """Whether a completion ends with a verdict."""
        return any(read_verdict(completion, pair=pair) is not None for pair in (False, True))

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """The verdict, None where none can be read."""
        return read_verdict(completion, pair=len(task.data["responses"]) == 2)

    def bare(self, task: Task) -> Task:
        """The task that asks for the verdict alone, without feedback."""
        return replace(task, id=f"{task.id}/bare", prompt=_prompt(task.data, rationale=False))

    def sides(self, task: Task) -> tuple[Task, Task]:
        """Of a pair, each response to be scored alone; the better one first. Their gold scores are not
        known."""
        found = []
        for k, response in enumerate(task.data["responses"]):
            data = {**task.data, "responses": [response]}
            found.append(replace(task, id=f"{task.id}/side-{k}", prompt=_prompt(data), answer="", data=data))
        return (found[0], found[1]) if task.answer == "A" else (found[1], found[0])

    def exchanged(self, task: Task) -> Task:
        """The pair the other way round. SharpenError for a task without two responses."""
        if len(task.data["responses"]) != 2:
            raise SharpenError(f"{self.name}: {task.id} has no second response to exchange")
        data = {**task.data, "responses": task.data["responses"][::-1]}
        answer = {"A": "B", "B": "A"}[task.answer]
        return replace(task, id=f"{task.id}/exchanged", prompt=_prompt(data), answer=answer, data=data)


def _read(row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What a row says, and its gold verdict."""
    pair = "other" in row
    texts = ["instruction", "criterion", "response", *(["other"] if pair else [])]
    for name in texts:
        if not isinstance(row.get(name), str):
            raise BadRow("missing field", f"{name!r} should be text")
        if name not in ("response", "other") and not row[name].strip():
            raise BadRow("missing field", f"{name!r} is empty")
    verdict, wanted = row.get("better" if pair else "score"), "AB" if pair else "12345"
    if isinstance(verdict, bool) or str(verdict) not in set(wanted):
        told = "'better' should be A or B" if pair else "'score' should be a whole number from 1 to 5"
        raise BadRow("bad verdict", f"{told}, not {verdict!r}")
    scores, reference = row.get("scores") or [], row.get("reference") or ""
    if not isinstance(scores, list) or len(scores) not in (0, HIGHEST):
        raise BadRow("wrong type", f"'scores' should say what 1 to {HIGHEST} mean, in {HIGHEST} texts")
    if not all(isinstance(text, str) for text in (*scores, reference)):
        raise BadRow("wrong type", "'scores' and 'reference' should be text")
    data = {
        "instruction": row["instruction"],
        "criterion": row["criterion"],
        "responses": [row["response"], *([row["other"]] if pair else [])],
        "scores": scores,
        "reference": reference,
    }
    return data, str(verdict)


def _prompt(data: Mapping[str, Any], *, rationale: bool = True) -> str:
    rubric, reference = Rubric(data["criterion"], tuple(data["scores"])), data["reference"]
    about, responses = data["instruction"], data["responses"]
    if len(responses) == 1:
        return score_prompt(about, responses[0], rubric, reference=reference, rationale=rationale)
    return choice_prompt(about, *responses, rubric=rubric, reference=reference, rationale=rationale)
