"""Tasks of Inspect (inspect-ai, UK AISI) as task sources (needs the extra ``inspect``).

The task is Inspect's own: its solvers make the prompt, and its solvers and scorer judge a completion, which
stands where the model's reply would. Only solvers that lead to one plain question are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import math
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError, missing, unknown
from sharpen.tasks.outside import Outside, Said, code_of, first_line, message, said, visiting
from sharpen.tasks.task import Task

SOLVERS = (
    "generate",
    "system_message",
    "user_message",
    "prompt_template",
    "chain_of_thought",
    "multiple_choice",
)
"""Inspect's solvers that only word the question; ``generate`` and ``multiple_choice`` ask it, once."""

# these ask a model, or look at its log-probabilities
_ASK = ("model_graded_qa", "model_graded_fact", "perplexity", "target_perplexity")
# of Score.reason: what the model's answer lacks, and what the scorer could not do
_NO_ANSWER = ("no_response", "invalid_response_format")
_NO_SCORE = ("grader_failed", "scoring_failed")


class InspectTask(Outside):
    """A task: ``FILE.py@TASK`` (``@TASK`` may be left out where the file has one), or ``PACKAGE/TASK`` of an
    installed package. Questions are split by a hash of their canonical form.

    Its epochs, limits, metrics and generation settings are not used: a run samples and measures its own way.

    Args:
        task: where it is.
        scorer: the scorer that judges; it must be named where the task has several.
        gold: how a right answer is written, with ``{}`` for the answer; for ``check-task`` only.
        arguments: what the task's function takes.

    Raises:
        SharpenError: Inspect is missing; unknown file, task, argument or scorer (naming the nearest); a task
            that fails to load; a solver beyond ``SOLVERS``, a sandbox, no scorer or one that asks a model; a
            prompt that is not text.
    """

    def __init__(self, task: str, /, *, scorer: str = "", gold: str = "", **arguments: Any) -> None:
        path, at, name = task.rpartition("@")
        self.task = f"{Path(path).name}@{name}" if at else Path(task).name if task.endswith(".py") else task
        name = f"inspect:{self.task}"
        loaded, function = load(name, task, arguments)
        self.scorer = _named_scorer(name, loaded, scorer)
        with visiting():
            rows = [("", _task(name, loaded, i, sample)) for i, sample in enumerate(loaded.dataset)]
        super().__init__(
            name,
            rows,
            judge=f"{__name__}:judge",
            setup={"task": task, "arguments": arguments, "scorer": self.scorer},
            identity={
                "inspect_ai": importlib.metadata.version("inspect_ai"),
                "arguments": arguments,
                "scorer": self.scorer,
                "code": code_of(function),
            },
            gold=gold,
        )

    def job(self, task: Task, completion: str) -> dict[str, Any]:
        """The sample as Inspect has it, and the completion."""
        return {"sample": task.data["sample"], "completion": completion}


def load(name: str, task: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """The task and the function that makes it, loaded by Inspect and found fit.

    Raises SharpenError, see ``InspectTask``.
    """
    registry = _library()
    with visiting():
        try:
            function = _function(name, task)
            known = registry.registry_info(function).metadata["params"]
            for key in arguments:
                if key not in known:
                    raise unknown(f"argument of {name}", key, [*known, "scorer", "gold"])
            with _beside(task):
                made = function(**arguments)
        except SharpenError:
            raise
        except Exception as e:
            raise SharpenError(f"{name} cannot be loaded: {first_line(e)}") from e
    _check_fit(name, made)
    return made, function


def judge(
    task: str, arguments: Mapping[str, Any], scorer: str, places: Mapping[str, str]
) -> Callable[..., Said]:
    """The check of a task, for a pool: its solvers with the completion as the model's reply, then its
    scorer. What they raise comes through."""
    with visiting(places):
        made, _ = load(f"inspect:{task}", task, arguments)
    score = next(s for s in made.scorer if _name(s) == scorer)

    async def judged(sample: Any, completion: str) -> Any:
        from inspect_ai.scorer import Target  # pyright: ignore[reportMissingImports]

        state, _ = await _asked(made, sample, completion)
        return await score(state, Target(sample.target))

    def check(sample: dict[str, Any], completion: str) -> Said:
        from inspect_ai.dataset import Sample  # pyright: ignore[reportMissingImports]

        return _said(scorer, _finished(judged(Sample.model_validate(sample), completion)))

    return check


async def _asked(made: Any, sample: Any, completion: str) -> tuple[Any, list[Any]]:
    """The state after the task's solvers, with ``completion`` as the model's reply, and the messages that the
    model was asked each time."""
    from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
        ChatMessageUser,
        ModelName,
        ModelOutput,
    )
    from inspect_ai.scorer import Target  # pyright: ignore[reportMissingImports]
    from inspect_ai.solver import TaskState  # pyright: ignore[reportMissingImports]

    sample = sample.model_copy(deep=True)
    given = sample.input
    state = TaskState(
        model=ModelName("none/none"),
        sample_id=sample.id or 0,
        epoch=1,
        input=given,
        messages=[ChatMessageUser(content=given)] if isinstance(given, str) else given,
        target=Target(sample.target),
        choices=sample.choices,
        metadata=sample.metadata,
    )
    asked: list[Any] = []

    async def generate(state: Any, *_: Any, **__: Any) -> Any:
        asked.append([m.model_copy() for m in state.messages])
        state.output = ModelOutput.from_content("none", completion)
        state.messages.append(state.output.message)
        return state

    for solver in _solvers(made):
        state = await solver(state, generate)
    return state, asked


def _task(name: str, made: Any, index: int, sample: Any) -> Task:
    task_id = str(index) if sample.id is None else str(sample.id)
    where = f"{name}, sample {task_id}"
    if sample.sandbox or sample.files or sample.setup:
        raise SharpenError(f"{where} needs a sandbox: only plain questions can be asked")
    try:
        _, asked = _finished(_asked(made, sample, ""))
        kept = json.loads(sample.model_dump_json(exclude_none=True))
        json.dumps(kept, allow_nan=False)
        for given in kept["input"] if isinstance(kept["input"], list) else ():
            given.pop("id", None)  # drawn anew each time
    except Exception as e:
        raise SharpenError(f"{where}: {first_line(e)}") from e
    if len(asked) != 1:
        raise SharpenError(f"{name} asks the model {len(asked)} times: only single questions can be asked")
    if any(getattr(m, "tool_calls", None) for m in asked[0]):
        raise SharpenError(f"{where} has tool calls: only plain questions can be asked")
    prompt = tuple(message(m.role, m.content, where) for m in asked[0])
    target = sample.target
    # several targets: the letters of one answer, or answers each of which is right
    answer = target if isinstance(target, str) else ",".join(target) if sample.choices else target[0]
    return Task(task_id, prompt, answer, {"sample": kept})


def _said(scorer: str, score: Any) -> Said:
    """Inspect's score as a judgment, by its own ``value_to_float``."""
    from inspect_ai.scorer import NOANSWER, value_to_float  # pyright: ignore[reportMissingImports]

    if score is None:
        return said(0.0, correct=False, parts={}, status="abstain", detail=f"scorer {scorer} gave no score")
    value, reason = score.value, getattr(score, "reason", None)
    if not isinstance(value, str | int | float | bool):
        raise TypeError(f"scorer {scorer} gave a {type(value).__name__}, not one value")
    number = value_to_float()(value)
    if number == 0.0 and isinstance(value, str) and not _means_zero(value):
        raise ValueError(
            f"scorer {scorer} gave {value!r}, which is no value of Inspect's"
        )  # it would count 0
    detail = f"{scorer}: {value}, answer {score.answer!r}"[:200]
    if math.isnan(number) or reason in _NO_SCORE:
        status = "unparsable" if reason in _NO_ANSWER else "refused" if reason == "refusal" else "abstain"
        return said(0.0, correct=False, parts={}, status=status, detail=f"{detail}, {reason}")
    status = "unparsable" if value == NOANSWER or reason in _NO_ANSWER else "ok"
    status = "refused" if reason == "refusal" else status
    return said(number, correct=number >= 1, parts={scorer: number}, status=status, detail=detail)


def _means_zero(value: str) -> bool:
    if value in ("I", "N") or value.lower() in ("no", "false"):
        return True
    try:
        return float(value) == 0
    except ValueError:
        return False


def _finished(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, work).result()


# loading ------------------------------------------------------------------------------------------
def _library() -> Any:
    try:
        from inspect_ai._util import registry  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise missing("an inspect task", "inspect-ai", "inspect") from None
    return registry


def _function(name: str, task: str) -> Any:
    """The function of a task, from a file or from an installed package."""
    registry = _library()
    path, at, wanted = task.rpartition("@")
    if not at and not task.endswith(".py"):
        function = registry.registry_lookup("task", task)
        if function is None:
            known = _installed(registry)
            if not known:
                raise SharpenError(f"no inspect task {task!r}: no installed package has tasks")
            raise unknown("inspect task", task, known)
        return function
    file = Path(path if at else task)
    if not file.is_file():
        raise SharpenError(f"no such file: {file}")
    from inspect_ai._eval.loader import load_file_tasks  # pyright: ignore[reportMissingImports]
    from inspect_ai._util.decorator import parse_decorators  # pyright: ignore[reportMissingImports]

    known = [found[0] for found in parse_decorators(file, "task")]
    if at and wanted not in known:
        raise unknown(f"task of {file.name}", wanted, known)
    if not at and len(known) != 1:
        raise SharpenError(f"{name}: say which task, {file.name}@TASK ({', '.join(known) or 'it has none'})")
    load_file_tasks(file.absolute())
    return registry.registry_lookup("task", wanted if at else known[0])


def _installed(registry: Any) -> list[str]:
    found = registry.registry_find(lambda info: info.type == "task" and "/" in info.name)
    return [registry.registry_info(function).name for function in found]


def _beside(task: str) -> contextlib.AbstractContextManager[None]:
    """A task of a file is made in its folder, as Inspect does: it may read files beside it."""
    from inspect_ai._util.path import chdir_python  # pyright: ignore[reportMissingImports]

    path = task.rpartition("@")[0] or task
    return (
        chdir_python(str(Path(path).absolute().parent)) if path.endswith(".py") else contextlib.nullcontext()
    )


def _solvers(made: Any) -> list[Any]:
    from inspect_ai.solver._chain import unroll  # pyright: ignore[reportMissingImports]

    return [*unroll(made.setup or []), *unroll(made.solver)]


def _name(thing: Any) -> str:
    """The name under which Inspect knows a solver or scorer, without its package where that is Inspect."""
    registry = _library()
    if not registry.is_registry_object(thing):
        return type(thing).__name__
    return registry.registry_info(thing).name.removeprefix("inspect_ai/")


def _check_fit(name: str, made: Any) -> None:
    from inspect_ai.solver._constants import SOLVER_ALL_PARAMS_ATTR  # pyright: ignore[reportMissingImports]

    if made.sandbox is not None:
        raise SharpenError(f"{name} needs a sandbox: only plain questions can be asked")
    if getattr(made, "sample_source", None) is not None:
        raise SharpenError(f"{name} makes its samples while it runs: only a fixed dataset can be asked")
    for solver in _solvers(made):
        if _name(solver) not in SOLVERS:
            raise SharpenError(
                f"{name}: solver {_name(solver)} cannot be taken over, only {', '.join(SOLVERS)}"
            )
        if getattr(solver, SOLVER_ALL_PARAMS_ATTR, {}).get("shuffle"):
            raise SharpenError(
                f"{name}: multiple_choice shuffles anew each time; shuffle in the dataset, seeded"
            )


def _named_scorer(name: str, made: Any, scorer: str) -> str:
    known = [_name(s) for s in made.scorer or ()]
    if not known:
        raise SharpenError(f"{name} has no scorer")
    if scorer and scorer not in known:
        raise unknown(f"scorer of {name}", scorer, known)
    if not scorer and len(known) > 1:
        raise SharpenError(f"{name}: say which scorer judges, scorer=NAME ({', '.join(known)})")
    scorer = scorer or known[0]
    if known.count(scorer) > 1:
        raise SharpenError(f"{name} has {known.count(scorer)} scorers called {scorer}")
    if scorer in _ASK:
        raise SharpenError(f"{name}: scorer {scorer} asks a model, only scorers that compare text may judge")
    return scorer
