"""Task sources by name: ``countdown:level=2``, ``reasoning_gym:leg_counting``, ``jsonl:train.jsonl``,
``words.py:Words:level=2``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from sharpen.errors import SharpenError, unknown
from sharpen.runs import own
from sharpen.tasks.rows import KINDS
from sharpen.tasks.task import TaskSource

FAMILIES: dict[str, str] = {
    "cases": "sharpen.tasks.cases:Cases",
    "chain": "sharpen.tasks.chain:Chain",
    "countdown": "sharpen.tasks.countdown:Countdown",
    "keydoor": "sharpen.tasks.keydoor:Keydoor",
    "lookup": "sharpen.tasks.lookup:Lookup",
    "machine": "sharpen.tasks.machine:Machine",
    "facts": "sharpen.tasks.facts:Facts",
    "grading": "sharpen.tasks.grading:Grading",
    "order": "sharpen.tasks.order:Order",
}
"""Own procedural families: ``module:class``, imported when asked for."""

LIBRARIES: dict[str, tuple[str, str]] = {
    "reasoning_gym": ("sharpen.tasks.reasoning_gym:ReasoningGym", "dataset"),
    "verifiers": ("sharpen.tasks.verifiers_env:VerifiersEnv", "environment"),
    "inspect": ("sharpen.tasks.inspect_task:InspectTask", "task"),
}
"""Other people's tasks: ``module:class``, imported when asked for, and what is named."""

SOURCES: dict[str, str] = {
    **{name: f"{name}[:level=N,seed=N,...]" for name in FAMILIES},
    "reasoning_gym": "reasoning_gym:DATASET[:parameter=value,...]",
    **{kind: f"{kind}:PATH[:prompt=COLUMN,answer=COLUMN,...]" for kind in KINDS},
    "rubric": "rubric:PATH",
    "verifiers": "verifiers:ENVIRONMENT[:correct=FUNCTION,argument=value,...]",
    "inspect": "inspect:FILE.py@TASK or inspect:PACKAGE/TASK[:scorer=NAME,argument=value,...]",
    "mix": "mix:SOURCE|SOURCE[|...]",
    "FILE.py": "FILE.py:CLASS[:level=N,seed=N,...]",
}
"""Every kind of source and how it is written."""

_ABOUT = {
    "reasoning_gym": "any of the 100 datasets of the reasoning-gym library",
    "jsonl": "a file with one JSON object a line",
    "parquet": "a Parquet file",
    "hf": "a local Hugging Face dataset, written by save_to_disk",
    "rubric": "responses to be judged by criteria of your own, one JSON object a line",
    "verifiers": "a single-turn environment of the verifiers library, by name or module",
    "inspect": "a task of Inspect (inspect-ai) that asks one question and compares the answer",
    "FILE.py": "a family of your own",
    "mix": "several sources as one, question by question in turn",
}
_PAIRS = re.compile(r"[A-Za-z_]\w*=[^,=]*(?:,[A-Za-z_]\w*=[^,=]*)*", re.ASCII)
_LIMITS = ("on_bad_row", "on_overlap", "max_prompt", "length")


def make(spec: str, **params: Any) -> TaskSource:
    """The source that ``spec`` names; ``params`` add to and override the parameters inside it.

    Files take ``columns`` as a dict or as single words (``prompt=question``), and the fields of
    ``dataset.Limits``. ``path`` may be given as a parameter where it is one file a split.

    Raises:
        SharpenError: unknown source, dataset, parameter or value, naming the nearest one.
    """
    if mine := own.target(spec):
        made = own.load(spec, "task family")
        return _call(str(mine), made, {**parameters(spec, mine.rest), **params})
    kind, _, rest = spec.partition(":")
    if kind not in SOURCES:
        raise unknown("task", kind, SOURCES)
    if kind == "mix":
        from sharpen.tasks.mixture import Mixture

        return Mixture([make(part, **params) for part in rest.split("|")])
    if kind in FAMILIES:
        return _call(kind, family(kind), {**parameters(spec, rest), **params})
    subject, _, tail = rest.rpartition(":")
    if not _PAIRS.fullmatch(tail) or not subject:
        subject, tail = rest, ""
    params = {**parameters(spec, tail), **params}
    if kind in LIBRARIES:
        if not subject:
            raise SharpenError(f"{spec!r} names no {LIBRARIES[kind][1]}; write {SOURCES[kind]}")
        return _imported(LIBRARIES[kind][0])(subject, **params)
    if kind == "rubric":
        return _rubric(subject, params)
    return _dataset(kind, subject, params)


def names() -> list[tuple[str, str, str]]:
    """``(name, how it is written, what it is)`` of every kind of source, for people."""
    return [
        (name, usage, family(name).about if name in FAMILIES else _ABOUT[name])
        for name, usage in SOURCES.items()
    ]


def family(name: str) -> Any:
    """The class of an own family."""
    return _imported(FAMILIES[name])


def _imported(target: str) -> Any:
    module, _, cls = target.partition(":")
    return getattr(importlib.import_module(module), cls)


def _call(kind: str, make_it: Callable[..., TaskSource], params: Mapping[str, Any]) -> TaskSource:
    accepted = inspect.signature(make_it).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for key in params:
        if key not in accepted and not open_ended:
            raise unknown(f"parameter of {kind}", key, accepted)
    return make_it(**params)


def _dataset(kind: str, path: str, params: dict[str, Any]) -> TaskSource:
    from sharpen.tasks.dataset import Dataset, Limits

    where = params.pop("path", path)
    if not where:
        raise SharpenError(f"{kind} needs a path; write {SOURCES[kind]}")
    limits = Limits(**{key: params.pop(key) for key in _LIMITS if key in params})
    columns = dict(params.pop("columns", {}))
    rest = {key: params.pop(key) for key in ("verifier",) if key in params}
    # what is left maps a task's field to a column
    fields = ("prompt", "answer", "split", "id", "solution")
    for key, column in params.items():
        if key not in fields:
            raise unknown(f"parameter of {kind}", key, [*fields, *_LIMITS, "columns", "path", "verifier"])
        columns[key] = str(column)
    return Dataset(kind, where, columns=columns, limits=limits, **rest)


def _rubric(path: str, params: dict[str, Any]) -> TaskSource:
    from sharpen.tasks.dataset import Limits
    from sharpen.tasks.rubric import Rubrics

    if not path:
        raise SharpenError(f"rubric needs a path; write {SOURCES['rubric']}")
    for key in params:
        if key not in _LIMITS:
            raise unknown("parameter of rubric", key, _LIMITS)
    return Rubrics(path, limits=Limits(**params))


def parameters(spec: str, text: str) -> dict[str, Any]:
    """What ``name=value,name=value`` says: whole numbers, numbers, true and false, else text.

    Raises SharpenError, naming ``spec``, where ``text`` is not of that form.
    """
    if not text:
        return {}
    if not _PAIRS.fullmatch(text):
        raise SharpenError(f"{spec!r}: {text!r} is not of the form name=value,name=value")
    pairs = [part.partition("=") for part in text.split(",")]
    return {key: _value(value) for key, _, value in pairs}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
