"""Small tables of scored groups, made by hand."""

from collections.abc import Sequence

import numpy as np

from sharpen.sample.episode import Completion, Episode, Finish, Span
from sharpen.score.group import Group, Groups
from sharpen.score.verdict import Status, Verdict
from sharpen.tasks.task import Task


def task(name: str = "q", answer: str = "42", solution: str | None = None) -> Task:
    return Task(name, f"question {name}\n", answer, {} if solution is None else {"solution": solution})


def episode(
    text: str,
    *,
    of: str = "q",
    sample: int = 0,
    finish: Finish = Finish.EOS,
    length: int = 3,
    prefill: str = "",
) -> Episode:
    ids = np.arange(length, dtype=np.int32)
    signal = np.full(length, 0.5, dtype=np.float32)
    done = Completion(ids, -signal, -signal, signal, 2 * signal, finish)
    prompt = Span("prompt", np.array([7, 8], dtype=np.int32))
    answer = Span("assistant", ids, True, sampled=done, version="v0")
    return Episode(f"round/sample:0/{of}/{sample}", of, sample, (prompt, answer), finish, text, prefill)


def verdict(score: float, correct: bool | None = None, status: Status = Status.OK) -> Verdict:
    parts = {} if correct is None else {"correct": float(correct)}
    return Verdict(score, status, by="test", parts=parts)


Sample = tuple[str, Verdict] | tuple[str, Verdict, int]


def group(name: str, samples: Sequence[Sample], *, solution: str | None = None) -> Group:
    episodes = tuple(
        episode(s[0], of=name, sample=k, length=s[2] if len(s) > 2 else 3) for k, s in enumerate(samples)
    )
    return Group(task(name, solution=solution), episodes, tuple(s[1] for s in samples))


def table(*held: Group) -> Groups:
    return Groups(held)


def scored(name: str, scores: Sequence[float]) -> Group:
    """One group of distinct texts with these scores; correct from 1.0 on."""
    return group(name, [(f"{name} text {k}", verdict(x)) for k, x in enumerate(scores)])
