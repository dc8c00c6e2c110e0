"""Single-turn environments of the ``verifiers`` library as task sources (needs the extra ``verifiers``).

The environment is the library's: its dataset is what is asked, and a completion is judged by the
environment's own rollout, with the completion in the model's place, and its own rubric.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError, missing, unknown
from sharpen.tasks.outside import Outside, Said, code_of, first_line, message, said, visiting
from sharpen.tasks.task import Prompt, Task


class VerifiersEnv(Outside):
    """A single-turn environment: ``verifiers.load_environment(environment, **arguments)``.

    Its training rows are ``train`` and its evaluation rows ``test``; where it has only one of both, questions
    are split by a hash of their canonical form. The reward is the rubric's weighted sum.

    Args:
        environment: an installed environment's name, or a module with ``load_environment``, also one of the
            working folder.
        correct: the reward function that tells right (1 or more) from wrong. It must be named where several
            have a weight.
        gold: how a right answer is written, with ``{}`` for the answer; for ``check-task`` only.
        arguments: what ``load_environment`` takes.

    Raises:
        SharpenError: verifiers is missing or without ``load_environment``; unknown environment, argument or
            reward function (naming the nearest); an environment that fails to load, takes several turns or
            tools, or whose rubric asks a model or compares answers of a group; a prompt that is not text.
    """

    def __init__(self, environment: str, /, *, correct: str = "", gold: str = "", **arguments: Any) -> None:
        self.environment = environment
        name = f"verifiers:{environment}"
        env = load(environment, arguments)
        self.correct = _deciding(name, env, correct)
        super().__init__(
            name,
            _rows(name, env),
            judge=f"{__name__}:judge",
            setup={"environment": environment, "arguments": arguments, "correct": self.correct},
            identity={
                "verifiers": importlib.metadata.version("verifiers"),
                "arguments": arguments,
                "correct": self.correct,
                "code": code_of(importlib.import_module(_module(environment))),
            },
            gold=gold,
        )

    def job(self, task: Task, completion: str) -> dict[str, Any]:
        """The row as the library has it, and the completion."""
        prompt = task.prompt if isinstance(task.prompt, str) else [dict(m) for m in task.prompt]
        return {"row": {**task.data["row"], "prompt": prompt}, "completion": completion}


def load(environment: str, arguments: Mapping[str, Any]) -> Any:
    """The environment, loaded by the library and found fit: one turn, no tools, a rubric of plain functions.

    Raises SharpenError, see ``VerifiersEnv``.
    """
    name = f"verifiers:{environment}"
    vf = _library()
    with visiting():
        module = _module(environment)
        try:
            found = importlib.util.find_spec(module)
        except (ModuleNotFoundError, ValueError):
            found = None
        if found is None:
            known = _installed()
            if not known:
                raise SharpenError(f"no verifiers environment {environment!r}: none is installed")
            raise unknown("verifiers environment", environment, known)
        try:
            maker = getattr(importlib.import_module(module), "load_environment", None)
            if maker is None:
                raise SharpenError(f"{name}: module {module} has no load_environment")
            _check_arguments(name, maker, arguments)
            with vf.log_level("CRITICAL"), _no_bars():  # what it logs, it raises
                env = vf.load_environment(environment, **arguments)
                env.build_dataset()
                env.build_eval_dataset()
        except SharpenError:
            raise
        except Exception as e:
            raise SharpenError(f"{name} cannot be loaded: {first_line(e.__cause__ or e)}") from e
    _check_fit(name, vf, env)
    return env


def judge(
    environment: str, arguments: Mapping[str, Any], correct: str, places: Mapping[str, str]
) -> Callable[..., Said]:
    """The check of an environment, for a pool. What a reward function raises comes through, where the
    library would count 0."""
    with visiting(places):
        env = load(environment, arguments)
    raised: list[Exception] = []
    for rubric in _rubrics(env.rubric):
        rubric.funcs = [_watched(function, raised) for function in rubric.funcs]

    def check(row: dict[str, Any], completion: str) -> Said:
        raised.clear()
        with _library().log_level("CRITICAL"):
            state = asyncio.run(_rollout(env, row, completion))
        if raised:
            raise raised[0]
        metrics = {name: float(value) for name, value in state["metrics"].items()}
        detail = ", ".join(f"{name} {value:g}" for name, value in metrics.items() if name != "num_turns")
        return said(float(state["reward"]), correct=metrics[correct] >= 1, parts=metrics, detail=detail[:200])

    return check


async def _rollout(env: Any, row: dict[str, Any], completion: str) -> Any:
    """The environment's own rollout and scoring, with the completion in the model's place."""
    from verifiers.types import Response, ResponseMessage  # pyright: ignore[reportMissingImports]

    asked = []

    async def reply(state: Any, prompt: Any, *_: Any, **__: Any) -> Any:
        asked.append([(m["role"], m["content"]) for m in prompt] if isinstance(prompt, list) else prompt)
        text = ResponseMessage(content=completion, finish_reason="stop", is_truncated=False)
        return Response(id="0", created=0, model="none", message=text)

    env.get_model_response = reply
    state = await env.rollout(row, _nobody(), "none", {})
    if state.get("error") is not None:
        raise RuntimeError(f"the environment's rollout failed: {state['error']!r}")
    given = row["prompt"]
    if asked != [[(m["role"], m["content"]) for m in given] if isinstance(given, list) else given]:
        raise RuntimeError("the environment asks something else than its dataset says")
    await env.rubric.score_rollout(state)
    return state


@functools.cache
def _nobody() -> Any:
    """A client without a model: who asks it, such as a judge that cannot be told from a plain function,
    fails."""
    client: Any = _library().Client

    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the environment asks a model of its own")

    return type("Nobody", (client,), dict.fromkeys(["setup_client", *client.__abstractmethods__], refuse))(
        None
    )


def _library() -> Any:
    try:
        import verifiers  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise missing("a verifiers task", "verifiers", "verifiers") from None
    try:
        assert verifiers.load_environment
    except AttributeError:
        version = importlib.metadata.version("verifiers")
        raise SharpenError(
            f"verifiers {version} has no load_environment any more: pip install 'sharpen[verifiers]'"
        ) from None
    return verifiers


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    import datasets  # pyright: ignore[reportMissingImports]  verifiers needs it

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _module(environment: str) -> str:
    return environment.replace("-", "_").split("/")[-1]


def _installed() -> list[str]:
    """Names of environments: what is installed and needs verifiers, and modules of the working folder."""
    found = {
        d.name
        for d in importlib.metadata.distributions()
        if any(re.match(r"verifiers\b(?!.*extra)", r) for r in d.requires or ())
    }
    here = (p for p in Path.cwd().glob("*.py") if "def load_environment" in p.read_text(errors="ignore"))
    return sorted({*found, *(p.stem for p in here)})


def _check_arguments(name: str, maker: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    accepted = inspect.signature(maker).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for key in arguments:
        if key not in accepted:
            raise unknown(f"argument of {name}", key, [*accepted, "correct", "gold"])


def _check_fit(name: str, vf: Any, env: Any) -> None:
    if not isinstance(env, vf.SingleTurnEnv):
        raise SharpenError(f"{name} is a {type(env).__name__}: only single-turn environments can be asked")
    if env.tool_defs:
        raise SharpenError(f"{name} gives the model tools: only plain questions can be asked")
    for rubric in _rubrics(env.rubric):
        if any(c.__name__ == "JudgeRubric" for c in type(rubric).__mro__):
            raise SharpenError(
                f"{name}: its {type(rubric).__name__} asks a model to judge, only plain functions may"
            )
        if rubric.has_group_rewards:
            raise SharpenError(
                f"{name}: its rubric compares the answers of a group; it must judge each alone"
            )


def _rubrics(rubric: Any) -> Iterator[Any]:
    """A rubric and those it is made of."""
    yield rubric
    for inner in getattr(rubric, "rubrics", ()):
        yield from _rubrics(inner)


def _deciding(name: str, env: Any, correct: str) -> str:
    """The reward function that tells right from wrong."""
    pairs = [pair for r in _rubrics(env.rubric) for pair in zip(r.funcs, r.weights, strict=True)]
    weighted = [function.__name__ for function, weight in pairs if weight]
    if correct and correct not in (known := [function.__name__ for function, _ in pairs]):
        raise unknown(f"reward function of {name}", correct, known)
    if not correct and len(weighted) != 1:
        told = ", ".join(weighted) or "none"
        raise SharpenError(f"{name}: say which reward function tells right from wrong, correct=NAME ({told})")
    return correct or weighted[0]


def _rows(name: str, env: Any) -> list[tuple[str, Task]]:
    parts = {"train": env.dataset, "test": env.eval_dataset}
    parts = {split: dataset for split, dataset in parts.items() if dataset is not None}
    rows = []
    for split, dataset in parts.items():
        for i, row in enumerate(dataset):
            given = split if len(parts) == 2 else ""
            rows.append((given, _task(f"{given}-{i}" if given else str(i), row, f"{name}, row {i}")))
    return rows


def _task(task_id: str, row: dict[str, Any], where: str) -> Task:
    given = row["prompt"]
    prompt: Prompt = given if isinstance(given, str) else tuple(
        message(m.get("role"), m.get("content"), where) for m in given
    )  # fmt: skip
    answer = row.get("answer")
    rest = {key: value for key, value in row.items() if key != "prompt"}
    try:
        json.dumps(rest, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise SharpenError(f"{where}: a field is not JSON: {e}") from None
    return Task(task_id, prompt, "" if answer is None else str(answer), {"row": rest})


def _watched(function: Callable[..., Any], raised: list[Exception]) -> Callable[..., Any]:
    """The same reward function; its exceptions are kept, since the library turns them into 0."""

    async def later(value: Any) -> float:
        try:
            return float(await value)
        except Exception as e:
            raised.append(e)
            raise

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            value = function(*args, **kwargs)
            return later(value) if inspect.isawaitable(value) else float(value)
        except Exception as e:
            raised.append(e)
            raise

    return call
