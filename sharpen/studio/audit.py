"""Rollouts judged again by a second verifier: how often it agrees, and every case where it does not."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from sharpen.errors import SharpenError
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import rollouts
from sharpen.runs.streams import stream
from sharpen.score.confidence import gradable
from sharpen.score.verdict import Status
from sharpen.studio.table import listing, settings_lines
from sharpen.studio.words import clean
from sharpen.tasks.registry import make
from sharpen.tasks.second import opinion
from sharpen.tasks.task import Task, TaskSource, up_to

Judge = Callable[[Task, str], bool | None]
"""Whether a completion is right; None where it cannot say."""


def audit(folder: Path, n: int, verifier: str | None = None) -> dict[str, Any]:
    """Judge up to ``n`` judged rollouts of a run again, drawn at random (a named stream, so always the same).

    Returns ``first`` and ``second`` (the verifiers), ``judged``, ``agreed``, ``unknown`` (one of them could
    not say) and ``disagreements``: key, question, gold, text and both verdicts. Raises SharpenError for a
    run without judged rollouts, or one whose questions cannot be made again.
    """
    config = tomllib.loads(read_manifest(folder).config)
    tasks, source = _asked(folder, config)
    # a verifier that was blind to a stated confidence judged the text without it
    blind = str(config.get("verifier", "")).partition(":")[0] == "stated"
    table = rollouts(folder)
    if "correct" not in table.columns:
        raise SharpenError(f"{folder}: no rollout has been judged yet")
    columns = ("key", "task_id", "prefill", "text", "status", "correct", "by")
    judged = (
        table.filter("""correct is not null and "by" != 'play'""")  # a play's outcome is no opinion
        .order("key")
        .project(", ".join(f'"{c}"' for c in columns))
        .fetchall()
    )
    order = stream("audit", folder.name).generator().permutation(len(judged))[:n]
    rows = [dict(zip(columns, judged[int(i)], strict=True)) for i in sorted(order)]
    second, name = _second(source, verifier)
    found: dict[str, Any] = {"run": str(folder), "first": rows[0]["by"] if rows else "", "second": name,
                             "judged": 0, "agreed": 0, "unknown": 0, "disagreements": []}  # fmt: skip
    for row in rows:
        task = tasks.get(row["task_id"].partition("~")[0])
        if task is None:
            raise SharpenError(f"{folder}: task {row['task_id']!r} is not among the run's questions")
        text = (row["prefill"] or "") + row["text"]
        text = gradable(text) if blind else text
        verdict = None if Status(row["status"]).unknown else second(task, text)
        if verdict is None:
            found["unknown"] += 1
            continue
        found["judged"] += 1
        found["agreed"] += verdict == row["correct"]
        if verdict != row["correct"]:
            told = {"key": row["key"], "prompt": str(task.prompt), "gold": task.answer, "text": text}
            found["disagreements"].append({**told, "first": bool(row["correct"]), "second": verdict})
    return found


def _asked(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, Task], TaskSource]:
    """The run's questions by id."""
    spec = config.get("tasks") or config.get("transfer")
    if not spec:
        raise SharpenError(f"{folder}: its recipe asks no questions of a task source")
    source = make(spec)
    asked = up_to(source, "train", int(config.get("pool", 0)))
    for split, n in (("held_out_split", "held_out"), ("split", "questions")):  # of training, of evaluations
        if split in config:
            asked += up_to(source, config[split], int(config[n]))
    asked += up_to(source, "dev", int(config.get("validation", 0)))
    asked += up_to(source, "test", int(config.get("transfer_questions", 0)))
    return {task.id: task for task in asked}, source


def _second(source: TaskSource, verifier: str | None) -> tuple[Judge, str]:
    """The second verifier and its name. SharpenError for an unknown one, and for ``source`` itself."""
    own = opinion(source.name)
    if verifier is None and own is not None:
        return own, f"second check of {source.name}"
    from sharpen.score.verify import answer_verifier, rule

    name = verifier or "exact"
    answer_verifier(name)  # an unknown name is said before anything is judged

    def judge(task: Task, text: str) -> bool | None:
        verdict = rule(name)(gold=task.answer, completion=text)
        return None if verdict.status.unknown else verdict.correct

    return judge, name


def audit_parts(found: dict[str, Any]) -> list[RenderableType]:
    """For a terminal."""
    told = {k: found[k] for k in ("run", "first", "second", "judged", "agreed", "unknown")}
    parts: list[RenderableType] = [settings_lines(told), ""]
    if not found["disagreements"]:
        return [*parts, Text("no disagreement", style="green")]
    rows = [
        [d["key"], _word(d["first"]), _word(d["second"]), clean(d["gold"], 40), clean(d["text"], 60)]
        for d in found["disagreements"]
    ]
    return [*parts, listing(["rollout", "first", "second", "gold", "text"], rows)]


def _word(right: bool) -> str:
    return "right" if right else "wrong"
